/* SPDX-License-Identifier: MIT */
/*
 * The observer: everything between the kernel, the targets and the model.
 */
#ifndef STRANDED_OBSERVE_OBSERVER_H
#define STRANDED_OBSERVE_OBSERVER_H

#include "model/model.h"
#include "observe/scope.h"

struct observer;

/*
 * By what a waiting task is suspected. No rule is a proof; what is proved is no suspect. Tasks
 * that wake by themselves (a deadline, sleep, I/O) never are. 0 switches a rule off.
 */
struct suspect_rules {    /* 0 switches a rule off */
	int64_t age_ns;   /* `age`: waits for longer than this and than 99 % did at its site */
	uint64_t crowd;   /* `crowd`: at least so many wait at its site */
	unsigned growing; /* `growing`: more at its site in so many samples in a row */
};

struct observer_options {
	int64_t threshold_ns; /* parks are announced at this age */
	struct scope scope;   /* others are neither attached nor shown; zeroed: every process */
	struct suspect_rules suspects; /* zeroed: nothing is suspected */
	uint64_t waiting_quota;        /* of one process, 0: half of the room for all */
	bool stacks;                   /* read and symbolise stacks in snapshots */
};

/*
 * observer_new - load and attach, find the processes that run already.
 * Returns 0, or -errno with one line for people in ret_error (malloc'ed) that names what failed
 * and what to do: -EPERM not root, -ENOSYS kernel without BPF, ...
 */
int observer_new(const struct observer_options *options, struct observer **ret_observer,
		 char **ret_error);
void observer_free(struct observer *o);

/* Handle events until the given time (CLOCK_MONOTONIC ns). Returns 0, or -EINTR on a signal. */
int observer_run(struct observer *o, int64_t until_ns);

/*
 * For a caller with a loop of its own: observer_run() has something to do when the descriptor is
 * readable, or at that time (CLOCK_MONOTONIC ns). The descriptor is the observer's.
 */
int observer_fd(const struct observer *o);
int64_t observer_due_ns(const struct observer *o);

/*
 * observer_search - ask for leak searches and wait for the answers.
 * @pid  0: every observed process
 * Returns the number of processes that answered (with whatever result), 0 if there are none,
 * or -ESRCH if the pid is not observed. Failures are in the model (model_search.error).
 */
int observer_search(struct observer *o, pid_t pid, int64_t timeout_ns);

/*
 * The model of this moment; the caller ends it with model_done().
 *   observer_snapshot  every waiting task, each with its own stack: costs by tasks
 *   observer_overview  one task for each site and state, which stands for the others
 *                      (model_task.stands_for): costs by sites, however many tasks there are
 */
int observer_snapshot(struct observer *o, struct model *ret_model);
int observer_overview(struct observer *o, struct model *ret_model);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The BPF programs, loaded once, and their probes in each binary with the runtime.
 *
 * Nothing is pinned: when the observer ends, in whatever way, the kernel takes the
 * probes out and lowers the semaphores.
 */
#ifndef STRANDED_OBSERVE_ATTACH_H
#define STRANDED_OBSERVE_ATTACH_H

#include "observe/target.h"

struct attacher;

/* Ways to place the probes, the best first. (A third, tracefs, would go between them.) */
enum attach_method {
	ATTACH_BEST = 0,     /* the first that the kernel has */
	ATTACH_UPROBE_MULTI, /* Linux 6.6: one link a binary, needs no CAP_SYS_ADMIN */
	ATTACH_PERF,         /* one perf event a probe; detaching takes 0.1 s each */
};

struct attach_options {
	pid_t only_pid;         /* 0: every process */
	uint64_t waiting_quota; /* waiting tasks of one process; 0: WAITING_QUOTA */
	enum attach_method method;
};

/* The maps that collect reads. Borrowed from the attacher. */
struct collect_maps {
	int waiting;
	int sites;
	int processes;
	int wanted;
	int counters;
	int events;
};

/*
 * attacher_new - load the BPF programs.
 * Returns 0 or -errno, with a line for people in ret_error (malloc'ed, NULL if out of memory).
 */
int attacher_new(const struct attach_options *options, struct attacher **ret_attacher,
		 char **ret_error);

/* Every binary must have been detached. */
void attacher_free(struct attacher *a);

enum attach_method attacher_method(const struct attacher *a);
struct collect_maps attacher_maps(const struct attacher *a);

/*
 * attacher_attach - put the probes into the binary, for every process that maps it now or later.
 * Returns 0 (binary->link is set) or -errno.
 */
int attacher_attach(struct attacher *a, struct binary *binary);
void attacher_detach(struct binary *binary);

/*
 * attacher_attach_target - put the probes of the target's binary into this one process: others
 * that map the file are not slowed and not seen. Returns 0 (target->link is set) or -errno.
 */
int attacher_attach_target(struct attacher *a, struct target *target);
void attacher_detach_target(struct target *target);

/* Would the kernel have to single-step the probed instruction (a hit costs 10 us, not 0.6)? */
bool attach_probe_is_slow(uint8_t first_byte);

#endif

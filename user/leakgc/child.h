/* SPDX-License-Identifier: MIT */
/* The process that searches: a snapshot's, or one that shares the memory of the target. */
#ifndef LEAKGC_CHILD_H
#define LEAKGC_CHILD_H

#include <stdint.h>
#include <strand/abi.h>

struct leakgc_child {
	int pid;
	int pidfd;
};

/* First thing in the child: the target's signal handlers are not to run in it. */
void leakgc_child_reset_signals(void);

/* Limits, and a quick death with the parent. Exits if the parent is gone already. */
void leakgc_child_limit(int parent_pid, int64_t time_ns);

_Noreturn void leakgc_child_leave(int status);

/*
 * leakgc_child_wait - wait for the child's end, or bring it about.
 * Returns NONE, CANCELLED, TIME_BUDGET, or CHILD_DIED where it is known not to have ended well.
 */
enum strand_search_cause leakgc_child_wait(const struct leakgc_child *child,
					   const volatile int *cancel, int64_t deadline_ns);

#endif

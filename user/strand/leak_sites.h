/* SPDX-License-Identifier: MIT */
/*
 * What a runtime remembers of the leaks that its searches have found.
 *
 * A task that was reported is marked until it parks again or ends. Nothing should ever unpark
 * it: if something does, the proof was wrong. That is counted, told once a site, and fails every
 * test run (STRAND_RETRACTED=abort). The mark lies beside the one that an unpark looks at anyway.
 */
#ifndef STRAND_LEAK_SITES_H
#define STRAND_LEAK_SITES_H

#include <stdbool.h>
#include <stdint.h>
#include "strand/lock.h"

struct leakgc_result;
struct leakgc_verdict;
struct runtime;
struct task;

/* Sites that are remembered; leaks at more of them are reported all the same. */
#define LEAK_SITES_MAX 512

struct leak_site {
	uintptr_t pc, created_pc, fn; /* pc 0: free */
	uint8_t reason;
	bool retracted;         /* it was told that a leak here was none */
	uint32_t searches_seen; /* that found leaks here */
	uint64_t last_search;
};

/* In struct control; zeroed is empty. */
struct leak_sites {
	struct lock lock;
	uint64_t searches; /* that found leaks */
	struct leak_site sites[LEAK_SITES_MAX];
};

/* Called for each leaked task of a result that still is in the park that the verdict is about. */
typedef void leaked_task_seen(void *context, struct task *task, const struct leakgc_verdict *v);

void leak_sites_visit(struct runtime *rt, const struct leakgc_result *result,
		      leaked_task_seen *seen, void *context);

/* On the control thread, after a search: mark its leaked tasks and count their sites. */
void leak_sites_note(struct runtime *rt, const struct leakgc_result *result);

/* How many searches have found leaks where the task waits. */
uint32_t leak_sites_seen(struct runtime *rt, const struct task *task);

/* On its worker: a reported task is unparked. */
void leak_sites_retract(struct runtime *rt, struct task *task);

/* On the control thread: cancel the leaked tasks, as nobody else can. */
void leak_sites_cancel(struct runtime *rt, const struct leakgc_result *result);

#endif

/* SPDX-License-Identifier: MIT */
/* What the leak search is told of locks and of those who wait in the parking lot. */
#ifndef STRAND_LEAKS_LOCKS_H
#define STRAND_LEAKS_LOCKS_H

#include <stdbool.h>
#include "leakgc/leakgc.h"
#include "strand/runtime.h"

/* Which task has an id? Chains through task->leak->next; filled while the world is described. */
struct task_index {
	struct task **heads; /* NULL: no memory for it, so every owner is unknown */
	size_t size;         /* a power of two */
};

/* In the target, before the search: room for all tasks there are. */
struct task_index task_index_new(struct runtime *rt);
void task_index_free(struct runtime *rt, struct task_index *index);

void task_index_add(struct task_index *index, struct task *task);

/* Is the task parked in the lot? Is its place there in motion, so that it may be woken now? */
bool leaks_waits_in_lot(const struct task *task);
bool leaks_lot_is_in_motion(const struct task *task);

/*
 * leaks_describe_lot - the waits in the lot, and who can end them.
 * All tasks have their nodes and are in the index. Returns 0 or -ENOMEM.
 */
int leaks_describe_lot(struct leakgc_world *world, const struct runtime *rt,
		       const struct task_index *index);

#endif

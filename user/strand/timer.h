/* SPDX-License-Identifier: MIT */
/* The deadlines of one worker's parked tasks: a heap, soonest first. */
#ifndef STRAND_TIMER_H
#define STRAND_TIMER_H

#include <stddef.h>
#include <strand.h>
#include "strand/memory.h"
#include "strand/task.h"

struct timers {
	struct memory *memory;
	struct task **heap; /* 1-based; task->timer_index is the place */
	size_t count, room;
};

/* Make room for one more task. Returns 0 or -ENOMEM. */
int timers_reserve(struct timers *t);

/* Put the task in by its deadline. There is room. */
void timers_add(struct timers *t, struct task *task);
void timers_remove(struct timers *t, struct task *task);

/* The task whose deadline is soonest, NULL if there is none. */
static inline struct task *timers_first(const struct timers *t)
{
	return t->count ? t->heap[1] : NULL;
}

/* Asserts the heap order and the back references. */
void timers_check(const struct timers *t);

#endif

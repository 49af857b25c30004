/* SPDX-License-Identifier: MIT */
/* The structures of tasks and their recycling. See task_pool.c. */
#ifndef STRAND_TASK_POOL_H
#define STRAND_TASK_POOL_H

#include <strand.h>
#include "strand/list.h"
#include "strand/lock.h"

struct runtime;
struct task;
struct task_slab;

struct task_pool {
	struct lock lock;
	struct task_slab *slabs; /* only ever grows */
	struct list warm;        /* task->parked: free, their stacks' memory is there */
	struct task *cold;       /* free, their stacks' memory was given back */
	struct task *bare;       /* free, without a stack */
	size_t warm_count, cold_count;
	size_t warm_min; /* the lowest warm_count since trim_started */
	size_t surplus;  /* of the warm ones, still to be trimmed */
	strand_time trim_started;
};

void task_pool_init(struct task_pool *pool);

/* A free task, with a stack of the default size if one is at hand and wanted. NULL: no memory. */
struct task *task_pool_take(struct runtime *rt, bool with_stack);

/* Free a task; its stack is of the default size, or it is the task's own and is unmapped. */
void task_pool_give(struct runtime *rt, struct task *task);

/*
 * task_pool_trim - give back the memory of up to max stacks that a burst has left behind.
 * Returns when it wants to be called again; STRAND_FOREVER: not before tasks have ended.
 */
strand_time task_pool_trim(struct runtime *rt, strand_time now, unsigned max);

#endif

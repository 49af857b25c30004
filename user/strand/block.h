/* SPDX-License-Identifier: MIT */
/* The threads that run blocking calls for tasks. See block.c. */
#ifndef STRAND_BLOCK_H
#define STRAND_BLOCK_H

#include <stdbool.h>
#include <strand.h>
#include "strand/list.h"
#include "strand/object_lock.h"

struct block_pool {
	struct object_lock lock;  /* of everything but the settings */
	struct list calls;        /* struct blocking_call that no thread has begun, by waiter */
	size_t call_count;        /* in calls */
	unsigned threads;         /* those that run a call, and the idle ones */
	unsigned idle;            /* have no call, or are only being started */
	unsigned returning;       /* have made their call and wake who waits for it */
	bool stopping;            /* threads end instead of touching tasks */
	_Atomic unsigned changes; /* futex of idle threads: grows with each new call */
	_Atomic unsigned ends;    /* futex of block_stop: grows with each end of a thread */
	unsigned threads_max;
	strand_time idle_limit; /* a thread without a call ends after this */
};

void block_init(struct block_pool *pool);

/* End the threads that run no call, and those that do after it. The workers have stopped. */
void block_stop(struct block_pool *pool);

/* Does a task wait for a call? */
bool block_is_busy(struct block_pool *pool);

/* Stopped, does no call run any more? Else the pool and the stacks of tasks have to stay. */
bool block_is_over(struct block_pool *pool);

#endif

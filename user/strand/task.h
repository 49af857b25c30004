/* SPDX-License-Identifier: MIT */
/*
 * A task: its state, its stack and what is known of it while it is parked.
 *
 * States, and who may touch the task in each:
 *
 *     FREE ─► MAKING ──task_new──► NEW ──first run──► RUNNING ──park──► PARKED
 *      ▲                  (any worker may    │  ▲ ▲             │
 *      │                   take it)          │  │ └──run── READY ◄── wake
 *      └──────────── exit ◄──────────────────┘  └─ yield, via READY
 *
 *   FREE     on a free list; the pool owns it.
 *   MAKING   task_new; from here on its argument is user data that the leak search looks at.
 *   NEW      on a queue; it has an argument but no stack content.
 *   RUNNING  only its worker, on the task's own stack.
 *   PARKED   its stack is saved and does not change. Whoever holds the lock of its wait
 *            object may wake it: unlink the waiter, set the result, set READY, in this
 *            order, under that lock. So a parked task whose wait object is not locked is
 *            truly waiting (the leak search relies on it: hole 28).
 *   READY    its worker, through its queue or inbox.
 *
 * Invariants:
 *   I1. In READY and PARKED, sp is the saved stack pointer: both are set only after
 *       the switch away (sched.c, finish_switch).
 *   I2. A started task runs on one worker for ever (task->worker), so errno and other
 *       thread-locals that the compiler has cached stay true. One that migrates changes its
 *       worker only while it is READY, in a queue that others may take from; so while it is
 *       PARKED, task->worker alone brings it back.
 *   I3. generation grows with every park and is never reused for this id.
 *   I4. A task structure is never unmapped while the runtime runs: a stale pointer to it
 *       reads a valid, maybe different, task.
 */
#ifndef STRAND_TASK_H
#define STRAND_TASK_H

#include <strand.h>
#include <strand/abi.h>
#include "strand/list.h"
#include "strand/rwlock.h"
#include "strand/sanitizers.h"
#include "strand/stack.h"
#include "strand/task_pool.h"

struct worker;
struct sleeper;
struct runtime;

enum task_state {
	TASK_FREE = 0,
	TASK_MAKING,
	TASK_NEW,
	TASK_READY,
	TASK_RUNNING,
	TASK_PARKED,
};

/* The registers of a caller's frame, as they will be when the call has returned. */
struct frame {
	uintptr_t pc, sp, fp;
};

/* To be used in the public function itself; its frame pointer chain starts in user code. */
#define CALLER_FRAME()                                          \
	((struct frame){                                        \
		(uintptr_t)__builtin_return_address(0),         \
		(uintptr_t)__builtin_dwarf_cfa(),               \
		*(const uintptr_t *)__builtin_frame_address(0), \
	})

struct task {
	void *sp;               /* I1 */
	_Atomic uint32_t state; /* enum task_state */
	union {
		struct {
			bool announced; /* the observer was told of this park; the worker's */
			bool reported;  /* as leaked, in this park; set by the control thread */
		};
		uint16_t told; /* both, for whoever unparks it */
	};
	bool canary;                   /* its stack has one, to be looked at */
	uint8_t reason;                /* enum strand_wait_reason */
	struct worker *_Atomic worker; /* NULL until it has started */
	struct task *next;             /* in a queue, an inbox or a free list */
	uint32_t turn;                 /* its place over all queues of a worker */
	bool migrates;                 /* STRAND_MIGRATE */
	struct list parked; /* in worker->parked, in park order; of the pool, if it is free */
	_Atomic uint64_t generation; /* I3 */
	strand_time since;           /* of the park; 0: not stamped yet */
	uintptr_t object;            /* what it waits on, 0: nothing */
	struct frame where;          /* the user frame that waits */
	strand_time deadline;        /* STRAND_FOREVER: none */
	size_t timer_index;          /* in worker->timers, 1-based; 0: not in it */
	struct sleeper *sleeper;     /* its wait, while it is parked */
	uint64_t waker;              /* id of the task that woke it last */

	uint64_t id;
	uint64_t parent;
	struct task_leak *leak; /* for the leak search */
	struct reads reads;
	struct strand_task *handle;  /* of a spawned task, NULL: nobody waits for it */
	_Atomic bool cancelled;      /* sticky; whoever sets it tells the worker */
	_Atomic bool cancel_pending; /* on a worker's list of cancelled tasks, or on its way */
	struct task *next_cancelled; /* in worker->cancelled */
	strand_time limit;           /* of its scope: no deadline is later */
	void (*fn)(void *);
	/* User data, scanned by the leak search; keep them together. */
	void *arg; /* until the task has started, then cleared */
	void *locals[STRAND_LOCALS_MAX];
	uintptr_t created_pc;
	struct stack stack;
	struct fiber fiber;
	char name[STRAND_NAME_MAX];
};

/* Of the search that is describing the world. Apart from the task: to write it is no change. */
struct task_leak {
	uint32_t node;
	struct task *next; /* in the index by id */
};

/* Task structures, in slabs; free ones keep their stack if it has the default size. */
struct task_slab {
	struct task_slab *next;
	size_t count;
	struct task tasks[];
};

/* A task in state NEW, or NULL. */
struct task *task_new(struct runtime *rt, const struct strand_task_options *options,
		      void (*fn)(void *), void *arg, uintptr_t created_pc);

/*
 * Make a task and run it. With ret_handle it gets a handle, whose one reference is the
 * caller's; scope (may be NULL) is noted in the handle and limits the task's deadlines.
 */
int task_spawn(const struct strand_task_options *options, void (*fn)(void *), void *arg,
	       uintptr_t created_pc, struct strand_scope *scope, struct strand_task **ret_handle);

/* Recycle a task that has ended; not on its own stack. */
void task_free(struct runtime *rt, struct task *task);

#endif

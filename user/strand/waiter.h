/* SPDX-License-Identifier: MIT */
/*
 * Waiting and waking: sleepers and waiters.
 *
 * A sleeper is one wait of one task or plain thread; a waiter is its place in the queue
 * of one wait object. A plain wait has one waiter, a select one for each case, a sleep
 * none. Both lie on the stack of who waits.
 *
 * Whoever wants to wake a sleeper has to claim it first; a claim succeeds once:
 *   - through a waiter, under the lock of its wait object (waiter_take);
 *   - for a passed deadline or a cancellation, on the task's own worker
 *     (sleeper_interrupt), which cannot run the task meanwhile.
 * A single waiter is claimed by unlinking it under the lock. A select's waiters have
 * different locks, so there `fired` decides; the losers' waiters are unlinked by the next
 * one to come across them, or by the select itself when it runs again.
 *
 * From the claim on the task is READY, although it is on no queue yet: it is never seen
 * as parked while somebody is about to wake it (task.h, hole 28).
 */
#ifndef STRAND_WAITER_H
#define STRAND_WAITER_H

#include <errno.h>

#include "strand/list.h"
#include "strand/object_lock.h"
#include "strand/sched.h"
#include "strand/task.h"

struct waiter;

struct sleeper {
	struct task *task;  /* NULL: a plain thread */
	bool shared;        /* more than one waiter: fired decides */
	bool uncancellable; /* a wait that must not be given up */
	_Atomic bool fired;
	_Atomic unsigned word;           /* a plain thread sleeps on it while 0 */
	int result;                      /* set by who claims */
	const struct strand_case *cases; /* shared: what it waits for, for the leak search */
	size_t case_count;
	struct waiter *waiter; /* not shared: the only one, NULL: none. shared: the one claimed */
};

struct waiter {
	struct list link;
	struct sleeper *sleeper;
	struct object_lock *lock; /* of the wait object */
	void *element;            /* what is sent, or where to put what is received; may be NULL */
	bool linked;              /* under the lock */
};

/* What the observer and the leak search are told of a wait. */
struct wait_info {
	enum strand_wait_reason reason;
	uintptr_t object; /* 0: nothing, or several */
	const struct frame *where;
};

/* A sleeper for the calling task or thread. */
static inline struct sleeper sleeper_here(void)
{
	return (struct sleeper){.task = sched_current_task()};
}

/* Append to the queue of a wait object whose lock is held. */
static inline void waiter_link(struct waiter *waiter, struct sleeper *sleeper, struct list *queue,
			       struct object_lock *lock)
{
	waiter->sleeper = sleeper;
	waiter->lock = lock;
	waiter->linked = true;
	if (!sleeper->shared)
		sleeper->waiter = waiter;
	list_append(queue, &waiter->link);
}

/*
 * wait_allowed - may the caller wait? To be asked before its waiter is linked.
 * Returns 0, with the deadline made no later than that of the task's scope; -ETIMEDOUT if it
 * only wants to try, -ECANCELED if it was cancelled, -ENOMEM if there is no memory for a timer.
 * What it has reserved for that is the caller's until it lets others run.
 */
static inline int wait_allowed(strand_time *deadline);

/* The last of it again, for who parks a second time. Returns 0 or -ENOMEM. */
int wait_reserve(strand_time deadline);

static inline int wait_allowed(strand_time *deadline)
{
	struct task *task = sched_current_task();

	if (*deadline <= 0)
		return -ETIMEDOUT;
	if (!task)
		return 0;
	if (atomic_load(&task->cancelled))
		return -ECANCELED;
	if (*deadline > task->limit)
		*deadline = task->limit;
	return *deadline == STRAND_FOREVER ? 0 : wait_reserve(*deadline);
}

/*
 * sleeper_wait - wait until claimed, cancelled or the deadline has passed.
 * @unlock  called with lock when the stack is saved, so that wakers may come. NULL: lock is an
 *          object's, or NULL if nothing is held
 * Returns the sleeper's result: what the waker set, -ETIMEDOUT or -ECANCELED.
 */
int sleeper_wait(struct sleeper *sleeper, const struct wait_info *info, strand_time deadline,
		 void (*unlock)(void *), void *lock);

/* The usual wait: one waiter, whose object's lock is held and is released. */
static inline int waiter_wait(struct waiter *waiter, const struct wait_info *info,
			      strand_time deadline)
{
	return sleeper_wait(waiter->sleeper, info, deadline, NULL, waiter->lock);
}

/* Wait on nothing: sleeps, NULL channels. */
int wait_on_nothing(const struct wait_info *info, strand_time deadline);

/*
 * waiter_take - claim the first sleeper of a queue that can still be claimed.
 * The lock is held; afterwards release it and call sleeper_wake(waiter->sleeper). Until
 * then the waiter's memory stays valid. Returns NULL if nobody waits.
 */
static inline struct waiter *waiter_take(struct list *queue, int result);

/* Claim this one. Its lock is held, and its sleeper is not shared. */
static inline void waiter_claim(struct waiter *waiter, int result);

/*
 * waiter_begin - take the first of a queue out of the reach of deadlines and cancellations.
 * The lock is held; no sleeper in the queue is shared. It goes on waiting, for
 * sleeper_finish, which needs no lock. Returns NULL if nobody waits.
 */
struct waiter *waiter_begin(struct list *queue);
void sleeper_finish(struct sleeper *sleeper, int result);

/* Claim them all. Under the lock: move to a list; after its release: wake each on it. */
void waiter_take_all(struct list *queue, int result, struct list *ret_taken);
void waiter_wake_all(struct list *taken);

/* Run a sleeper that was claimed. */
void sleeper_wake(struct sleeper *sleeper);

/* On the task's worker: claim it for a deadline or a cancellation. False: too late. */
bool sleeper_interrupt(struct sleeper *sleeper, int result);

/* ---- inline, since every message passes here ---------------------------------------- */

static inline void waiter_unlink(struct waiter *waiter)
{
	list_remove(&waiter->link);
	waiter->linked = false;
}

static inline void sleeper_claimed(struct sleeper *sleeper, int result)
{
	sleeper->result = result;
	if (sleeper->task)
		atomic_store_explicit(&sleeper->task->state, TASK_READY, memory_order_relaxed);
}

/* Of a shared one: are we the first? */
static inline bool sleeper_fire(struct sleeper *sleeper)
{
	bool fired;

	if (!solo_enter())
		return !atomic_exchange(&sleeper->fired, true);
	fired = atomic_load_explicit(&sleeper->fired, memory_order_relaxed);
	atomic_store_explicit(&sleeper->fired, true, memory_order_relaxed);
	solo_leave();
	return !fired;
}

static inline void waiter_claim(struct waiter *waiter, int result)
{
	waiter_unlink(waiter);
	sleeper_claimed(waiter->sleeper, result);
}

static inline struct waiter *waiter_take(struct list *queue, int result)
{
	while (!list_is_empty(queue)) {
		struct waiter *waiter = list_entry(queue->next, struct waiter, link);
		struct sleeper *sleeper = waiter->sleeper;

		waiter_unlink(waiter);
		if (sleeper->shared) {
			if (!sleeper_fire(sleeper))
				continue;
			sleeper->waiter = waiter;
		}
		sleeper_claimed(sleeper, result);
		return waiter;
	}
	return NULL;
}

#endif

/* SPDX-License-Identifier: MIT */
/* Waiting and waking, alike for tasks and plain threads. */
#include "strand/waiter.h"

#include <errno.h>

#include "strand/futex.h"
#include "strand/sched.h"

/* ---- claiming and waking -------------------------------------------------------- */

struct waiter *waiter_begin(struct list *queue)
{
	struct waiter *waiter;

	if (list_is_empty(queue))
		return NULL;
	waiter = list_entry(queue->next, struct waiter, link);
	waiter_unlink(waiter);
	return waiter;
}

void sleeper_finish(struct sleeper *sleeper, int result)
{
	sleeper_claimed(sleeper, result);
	sleeper_wake(sleeper);
}

void waiter_take_all(struct list *queue, int result, struct list *ret_taken)
{
	struct waiter *waiter;

	while ((waiter = waiter_take(queue, result)))
		list_append(ret_taken, &waiter->link);
}

void waiter_wake_all(struct list *taken)
{
	while (!list_is_empty(taken)) {
		struct waiter *waiter = list_entry(taken->next, struct waiter, link);

		list_remove(&waiter->link); /* before it runs: its stack is its own again */
		sleeper_wake(waiter->sleeper);
	}
}

void sleeper_wake(struct sleeper *sleeper)
{
	if (sleeper->task) {
		sched_wake(sleeper->task);
		return;
	}
	/* Once word is set the thread may return: only the address is used after that. */
	atomic_store_explicit(&sleeper->word, 1, memory_order_release);
	futex_wake_one(&sleeper->word);
}

bool sleeper_interrupt(struct sleeper *sleeper, int result)
{
	struct waiter *waiter = sleeper->waiter;
	bool won = true;

	if (sleeper->shared) {
		won = sleeper_fire(sleeper);
		if (won) {
			sleeper->waiter = NULL;
			sleeper_claimed(sleeper, result);
		}
	} else if (waiter) {
		object_lock_take(waiter->lock);
		won = waiter->linked;
		if (won) {
			waiter_unlink(waiter);
			sleeper_claimed(sleeper, result);
		}
		object_lock_release(waiter->lock);
	} else {
		sleeper_claimed(sleeper, result);
	}
	return won;
}

/* ---- waiting --------------------------------------------------------------------- */

int wait_reserve(strand_time deadline)
{
	struct worker *w = sched_this_worker;

	return deadline == STRAND_FOREVER || !w ? 0 : timers_reserve(&w->timers);
}

/* Returns 0, or -ETIMEDOUT. */
static int thread_sleep(_Atomic unsigned *word, strand_time deadline)
{
	while (!atomic_load_explicit(word, memory_order_acquire)) {
		if (futex_wait(word, 0, deadline) < 0)
			return -ETIMEDOUT;
	}
	return 0;
}

/* Whoever has claimed the sleeper still writes to it until word is set. */
static int thread_wait(struct sleeper *sleeper, strand_time deadline)
{
	if (thread_sleep(&sleeper->word, deadline) < 0 && !sleeper_interrupt(sleeper, -ETIMEDOUT))
		thread_sleep(&sleeper->word, STRAND_FOREVER);
	return sleeper->result;
}

static int task_wait(struct sleeper *sleeper, const struct wait_info *info, strand_time deadline,
		     void (*unlock)(void *), void *lock)
{
	struct task *task = sleeper->task;

	task->reason = (uint8_t)info->reason;
	task->object = info->object;
	task->where.pc = info->where->pc; /* one by one: see STRAND_CFLAGS in the Makefile */
	task->where.sp = info->where->sp;
	task->where.fp = info->where->fp;
	task->deadline = deadline;
	task->sleeper = sleeper;
	sched_park(sched_this_worker, task, unlock, lock);
	task->sleeper = NULL;
	return sleeper->result;
}

int sleeper_wait(struct sleeper *sleeper, const struct wait_info *info, strand_time deadline,
		 void (*unlock)(void *), void *lock)
{
	if (sleeper->task)
		return task_wait(sleeper, info, deadline, unlock, lock);
	if (unlock)
		unlock(lock);
	else if (lock)
		object_lock_release(lock);
	return thread_wait(sleeper, deadline);
}

int wait_on_nothing(const struct wait_info *info, strand_time deadline)
{
	struct sleeper sleeper = sleeper_here();

	return sleeper_wait(&sleeper, info, deadline, NULL, NULL);
}

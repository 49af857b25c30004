/* SPDX-License-Identifier: MIT */
/* Waiting and waking, alike for tasks and plain threads. */
#include "strand/waiter.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "strand/sched.h"

static void park_current(struct task *task, enum strand_wait_reason reason, uintptr_t object,
			 strand_time deadline, struct waiter *waiter, struct lock *lock,
			 const struct frame *where)
{
	task->reason = (uint8_t)reason;
	task->object = object;
	task->deadline = deadline;
	task->waiter = waiter;
	task->where = *where;
	sched_park(sched_this_worker, task, lock);
}

/* Returns 0, or -ETIMEDOUT. */
static int thread_sleep(_Atomic unsigned *word, strand_time deadline)
{
	struct timespec ts = {deadline / STRAND_SECOND, deadline % STRAND_SECOND};

	while (!atomic_load_explicit(word, memory_order_acquire)) {
		long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, 0,
				 deadline == STRAND_FOREVER ? NULL : &ts, NULL,
				 FUTEX_BITSET_MATCH_ANY);

		if (r < 0 && errno == ETIMEDOUT)
			return -ETIMEDOUT;
	}
	return 0;
}

/* A plain thread. Whoever has claimed the waiter still writes to it until word is set. */
static int thread_wait(struct waiter *waiter, strand_time deadline)
{
	int saved_errno = errno;

	if (thread_sleep(&waiter->word, deadline) < 0) {
		lock_take(&waiter->object->lock);
		if (waiter->linked) {
			waiter->linked = false;
			list_remove(&waiter->link);
			waiter->result = -ETIMEDOUT;
			atomic_store(&waiter->word, 1);
		}
		lock_release(&waiter->object->lock);
		thread_sleep(&waiter->word, STRAND_FOREVER);
	}
	errno = saved_errno;
	return waiter->result;
}

int waiter_wait(struct waiter *waiter, enum strand_wait_reason reason, strand_time deadline,
		const struct frame *where)
{
	struct lock *lock = &waiter->object->lock;

	if (!waiter->task) {
		lock_release(lock);
		return thread_wait(waiter, deadline);
	}
	park_current(waiter->task, reason, (uintptr_t)waiter->object, deadline, waiter, lock,
		     where);
	return waiter->result;
}

void waiter_claim(struct waiter *waiter, int result)
{
	list_remove(&waiter->link);
	waiter->linked = false;
	waiter->result = result;
	if (waiter->task)
		atomic_store_explicit(&waiter->task->state, TASK_READY, memory_order_relaxed);
}

void waiter_wake(struct waiter *waiter)
{
	if (waiter->task) {
		sched_ready(runtime_get(), waiter->task);
		return;
	}
	atomic_store_explicit(&waiter->word, 1, memory_order_release);
	syscall(SYS_futex, &waiter->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

int waiter_wait_nothing(enum strand_wait_reason reason, strand_time deadline,
			const struct frame *where)
{
	struct task *task = sched_current_task();

	if (task) {
		park_current(task, reason, 0, deadline, NULL, NULL, where);
	} else {
		_Atomic unsigned never = 0;
		int saved_errno = errno;

		thread_sleep(&never, deadline);
		errno = saved_errno;
	}
	return -ETIMEDOUT;
}

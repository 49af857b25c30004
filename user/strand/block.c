/* SPDX-License-Identifier: MIT */
/*
 * Blocking calls on helper threads.
 *
 * A call lies on the stack of its task and goes through these states:
 *   queued   its waiter is linked in pool->calls: deadline and cancellation can end the wait.
 *   begun    a thread has unlinked the waiter (waiter_begin), so both come too late: the
 *            call may use its task's stack, so the task has to wait for its end.
 *   ended    the thread has stored the result and wakes the task (sleeper_finish).
 * The task is parked as `blocking call` in the first two, which the leak search takes as live.
 * The threads' own stacks are ordinary memory, so roots.
 *
 * Invariants, under the lock:
 *   B1. While there are calls in the queue, there are threads: whoever ends a thread looks at
 *       the queue first, and who fails to start the only one fails the calls in it.
 *   B2. `idle` counts threads that will look at the queue again before they sleep or end. So a
 *       call needs a new thread only if there are as many calls as idle threads.
 */
#include "strand/block.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "strand/futex.h"
#include "strand/runtime.h"
#include "strand/sched.h"
#include "strand/waiter.h"

/* An idle thread costs 16 KiB. More of them only help calls that wait for other machines. */
#define THREADS_DEFAULT 64
#define THREADS_MAX     4096

#define IDLE_LIMIT      (10 * STRAND_SECOND)

struct blocking_call {
	struct waiter waiter;
	int (*fn)(void *);
	void *arg;
	int result;
	int error; /* errno after the call */
};

/* ---- the threads ----------------------------------------------------------------- */

/* Lock held; released while there is nothing to do. NULL: the thread is to end. */
static struct blocking_call *next_call(struct block_pool *pool)
{
	strand_time until = strand_now() + pool->idle_limit;
	struct waiter *waiter;
	int r = 0;

	while (!pool->stopping) {
		unsigned seen = atomic_load(&pool->changes);

		waiter = waiter_begin(&pool->calls);
		if (waiter) {
			pool->call_count--;
			return list_entry(waiter, struct blocking_call, waiter);
		}
		if (r < 0)
			break;
		object_lock_release(&pool->lock);
		r = futex_wait(&pool->changes, seen, until);
		object_lock_take(&pool->lock);
	}
	return NULL;
}

/* Returns whether the pool may still be used; then with its lock held. */
static bool run_call(struct block_pool *pool, struct runtime *rt, struct blocking_call *call)
{
	errno = 0;
	call->result = call->fn(call->arg);
	call->error = errno;
	if (runtime_get() != rt)
		return false; /* it has ended, or this is the child of a fork in the call */
	object_lock_take(&pool->lock);
	if (!pool->stopping) { /* else the task will never run again */
		pool->returning++;
		object_lock_release(&pool->lock);
		sleeper_finish(call->waiter.sleeper, 0);
		object_lock_take(&pool->lock);
		pool->returning--;
	}
	return true;
}

static void *thread_main(void *arg)
{
	struct runtime *rt = arg;
	struct block_pool *pool = &rt->blocking;
	struct blocking_call *call;

	object_lock_take(&pool->lock);
	while ((call = next_call(pool))) {
		pool->idle--;
		object_lock_release(&pool->lock);
		if (!run_call(pool, rt, call))
			return NULL;
		pool->idle++;
	}
	pool->idle--;
	pool->threads--;
	atomic_fetch_add(&pool->ends, 1);
	/* Under the lock: once it is free block_stop may return, and the pool be gone. */
	futex_wake_one(&pool->ends);
	object_lock_release(&pool->lock);
	return NULL;
}

static int start_thread(struct runtime *rt)
{
	int saved_errno = errno;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, thread_main, rt);
	pthread_attr_destroy(&attr);
	errno = saved_errno;
	return -r;
}

/* Lock held; released meanwhile. B1: they had counted on a thread that there will not be. */
static void fail_calls(struct block_pool *pool, int error)
{
	struct list failed;
	struct waiter *waiter;

	list_init(&failed);
	while ((waiter = waiter_take(&pool->calls, error))) {
		list_append(&failed, &waiter->link);
		pool->call_count--;
	}
	object_lock_release(&pool->lock);
	waiter_wake_all(&failed);
	object_lock_take(&pool->lock);
}

/* One more thread. Lock held; released meanwhile. Returns 0 or -errno. */
static int grow(struct block_pool *pool, struct runtime *rt)
{
	int r;

	pool->threads++;
	pool->idle++;
	object_lock_release(&pool->lock);
	r = start_thread(rt);
	object_lock_take(&pool->lock);
	if (r == 0)
		return 0;
	pool->threads--;
	pool->idle--;
	if (!pool->threads)
		fail_calls(pool, r);
	return r;
}

void block_init(struct block_pool *pool)
{
	const char *text = getenv("STRAND_BLOCKING_THREADS");
	long n = text ? strtol(text, NULL, 10) : 0;

	list_init(&pool->calls);
	pool->threads_max = n < 1 ? THREADS_DEFAULT : n > THREADS_MAX ? THREADS_MAX : (unsigned)n;
	pool->idle_limit = IDLE_LIMIT;
}

void block_stop(struct block_pool *pool)
{
	object_lock_take(&pool->lock);
	pool->stopping = true;
	while (pool->idle || pool->returning) {
		unsigned seen = atomic_load(&pool->ends);

		atomic_fetch_add(&pool->changes, 1);
		object_lock_release(&pool->lock);
		futex_wake_one(&pool->changes);
		futex_wait(&pool->ends, seen, STRAND_FOREVER);
		object_lock_take(&pool->lock);
	}
	object_lock_release(&pool->lock);
}

bool block_is_busy(struct block_pool *pool)
{
	bool busy;

	object_lock_take(&pool->lock);
	busy = pool->call_count || pool->threads > pool->idle;
	object_lock_release(&pool->lock);
	return busy;
}

bool block_is_over(struct block_pool *pool)
{
	bool over;

	object_lock_take(&pool->lock);
	over = pool->threads == 0;
	object_lock_release(&pool->lock);
	return over;
}

/* ---- the calls --------------------------------------------------------------------- */

static void release_and_tell(void *context)
{
	struct block_pool *pool = context;

	atomic_fetch_add(&pool->changes, 1);
	object_lock_release(&pool->lock);
	futex_wake_one(&pool->changes);
}

/* Lock held. Will a thread begin another call at once? */
static bool has_free_thread(const struct block_pool *pool)
{
	return pool->idle > pool->call_count;
}

/* Lock held; released meanwhile. Returns 0 if the call may be queued. */
static int find_thread(struct block_pool *pool, struct runtime *rt, bool only_try)
{
	int r = 0;

	while (r == 0 && !has_free_thread(pool) && pool->threads < pool->threads_max)
		r = grow(pool, rt);
	if (!pool->threads)
		return r;
	return only_try && !has_free_thread(pool) ? -ETIMEDOUT : 0;
}

/* Returns 0 when the call has been made. */
static __attribute__((noinline)) int make_call(struct runtime *rt, struct blocking_call *call,
					       strand_time deadline, const struct frame *where)
{
	struct block_pool *pool = &rt->blocking;
	struct sleeper sleeper = sleeper_here();
	struct wait_info info = {STRAND_WAIT_BLOCKING_CALL, 0, where};
	bool only_try = deadline <= 0;
	int r;

	if (only_try)
		deadline = STRAND_FOREVER; /* of the wait for its end */
	r = wait_allowed(&deadline);
	if (r < 0)
		return r;
	object_lock_take(&pool->lock);
	r = find_thread(pool, rt, only_try);
	if (r < 0) {
		object_lock_release(&pool->lock);
		return r;
	}
	waiter_link(&call->waiter, &sleeper, &pool->calls, &pool->lock);
	pool->call_count++;
	r = sleeper_wait(&sleeper, &info, deadline, release_and_tell, pool);
	if (r == -ETIMEDOUT || r == -ECANCELED) { /* who else takes it from the queue counts it */
		object_lock_take(&pool->lock);
		pool->call_count--;
		object_lock_release(&pool->lock);
	}
	return r;
}

/* Not inlined: a task that migrates may have another errno than before it parked. */
static __attribute__((noinline)) void set_errno(int error)
{
	errno = error;
}

int strand_block(int (*fn)(void *), void *arg, strand_time deadline, int *ret_result)
{
	struct frame where = CALLER_FRAME();
	struct blocking_call call = {.fn = fn, .arg = arg};
	int r;

	if (!fn)
		return -EINVAL;
	if (!sched_current_task()) {
		call.result = fn(arg);
		if (ret_result)
			*ret_result = call.result;
		return 0;
	}
	r = make_call(runtime_get(), &call, deadline, &where);
	if (r < 0)
		return r;
	set_errno(call.error);
	if (ret_result)
		*ret_result = call.result;
	return r;
}

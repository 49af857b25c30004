/* SPDX-License-Identifier: MIT */
/*
 * Spawned tasks: joining and cancelling.
 *
 * Cancelling works without touching the parked task from outside: the flag is set, and the
 * task's worker is asked to look. It alone can interrupt the park safely (waiter.h). A
 * task that has not started looks at the flag when it first parks. Both sides are seq_cst:
 * the canceller sets `cancelled` and then reads `worker`; a starting task's worker sets
 * `worker` and then, before parking, reads `cancelled`. So one of them sees the other.
 */
#include "strand/handle.h"

#include <errno.h>

#include "strand/sched.h"
#include "strand/waiter.h"

struct strand_task *strand_task_ref(struct strand_task *handle)
{
	if (handle)
		atomic_fetch_add_explicit(&handle->refs, 1, memory_order_relaxed);
	return handle;
}

struct strand_task *strand_task_unref(struct strand_task *handle)
{
	if (!handle || atomic_fetch_sub_explicit(&handle->refs, 1, memory_order_acq_rel) != 1)
		return NULL;
	object_free(&handle->object);
	return NULL;
}

struct strand_task *handle_new(struct runtime *rt)
{
	struct strand_task *handle = (struct strand_task *)object_new(rt->objects, sizeof(*handle));

	if (!handle)
		return NULL;
	atomic_init(&handle->refs, 2);
	list_init(&handle->joiners);
	return handle;
}

int strand_spawn(const struct strand_task_options *options, int (*fn)(void *), void *arg,
		 struct strand_task **ret_task)
{
	sched_perturb();
	return task_spawn(options, (void (*)(void *))(void (*)(void))fn, arg,
			  (uintptr_t)__builtin_return_address(0), NULL, ret_task);
}

void handle_task_ended(struct task *task, int result)
{
	struct strand_task *handle = task->handle;
	struct list joiners;

	if (!handle)
		return;
	list_init(&joiners);
	object_lock_take(&handle->object.lock);
	handle->task = NULL;
	handle->result = result;
	waiter_take_all(&handle->joiners, 0, &joiners);
	object_lock_release(&handle->object.lock);
	waiter_wake_all(&joiners);
	if (handle->scope)
		scope_task_ended(handle->scope, handle, result);
	task->handle = NULL;
	strand_task_unref(handle);
}

int strand_join(struct strand_task *handle, strand_time deadline, int *ret_result)
{
	struct frame where = CALLER_FRAME();
	struct wait_info info = {STRAND_WAIT_JOIN, (uintptr_t)handle, &where};
	struct sleeper sleeper = sleeper_here();
	struct waiter waiter = {0};
	int r = 0;

	if (!handle)
		return -EINVAL;
	sched_perturb();
	object_lock_take(&handle->object.lock);
	if (handle->task)
		r = handle->task == sleeper.task ? -EDEADLK : wait_allowed(&deadline);
	if (handle->task && r == 0) {
		waiter_link(&waiter, &sleeper, &handle->joiners, &handle->object.lock);
		r = waiter_wait(&waiter, &info, deadline);
	} else {
		object_lock_release(&handle->object.lock);
	}
	if (r == 0 && ret_result)
		*ret_result = handle->result;
	return r;
}

void handle_cancel(struct strand_task *handle)
{
	object_lock_take(&handle->object.lock);
	if (handle->task && !atomic_exchange(&handle->task->cancelled, true))
		sched_cancel(handle->task);
	object_lock_release(&handle->object.lock);
}

int strand_cancel(struct strand_task *handle)
{
	if (!handle)
		return -EINVAL;
	sched_perturb();
	handle_cancel(handle);
	return 0;
}

int strand_cancelled(void)
{
	struct task *task = sched_current_task();

	return task && atomic_load_explicit(&task->cancelled, memory_order_relaxed);
}

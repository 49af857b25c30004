/* SPDX-License-Identifier: MIT */
/*
 * Scopes: tasks that belong together end together.
 *
 * A scope knows the handles of its tasks that have not ended. A task leaves the list
 * when it has ended, under the scope's lock; the last one wakes who waits for the scope.
 * Lock order: scope before handle.
 */
#include <errno.h>

#include "strand/handle.h"
#include "strand/sched.h"
#include "strand/waiter.h"

int strand_scope_new(strand_time deadline, struct strand_scope **ret_scope)
{
	struct runtime *rt = runtime_get();
	struct task *task = sched_current_task();
	struct strand_scope *scope;

	if (!rt)
		return -ENXIO;
	scope = (struct strand_scope *)object_new(rt->objects, sizeof(*scope));
	if (!scope)
		return -ENOMEM;
	list_init(&scope->handles);
	list_init(&scope->waiters);
	scope->limit = task && task->limit < deadline ? task->limit : deadline;
	atomic_store_explicit(&scope->object.kind, OBJECT_SCOPE, memory_order_release);
	*ret_scope = scope;
	return 0;
}

/* Lock held. */
static void cancel_all(struct strand_scope *scope)
{
	scope->cancelled = true;
	for (struct list *l = scope->handles.next; l != &scope->handles; l = l->next)
		handle_cancel(list_entry(l, struct strand_task, in_scope));
}

int strand_scope_cancel(struct strand_scope *scope)
{
	if (!scope)
		return -EINVAL;
	sched_perturb();
	object_lock_take(&scope->object.lock);
	cancel_all(scope);
	object_lock_release(&scope->object.lock);
	return 0;
}

/* Lock held. Returns 0, or why no task may be added. */
static int check_open(const struct strand_scope *scope)
{
	return scope->closing ? -EINVAL : scope->cancelled ? -ECANCELED : 0;
}

int strand_scope_go(struct strand_scope *scope, const struct strand_task_options *options,
		    int (*fn)(void *), void *arg)
{
	struct strand_task *handle;
	int r;

	if (!scope)
		return -EINVAL;
	sched_perturb();
	object_lock_take(&scope->object.lock);
	r = check_open(scope);
	if (r == 0)
		r = task_spawn(options, (void (*)(void *))(void (*)(void))fn, arg,
			       (uintptr_t)__builtin_return_address(0), scope, &handle);
	if (r == 0) {
		list_append(&scope->handles, &handle->in_scope);
		strand_task_unref(
			handle); /* the task's own reference keeps it while it is listed */
	}
	object_lock_release(&scope->object.lock);
	return r;
}

void scope_task_ended(struct strand_scope *scope, struct strand_task *handle, int result)
{
	struct list waiters;

	list_init(&waiters);
	object_lock_take(&scope->object.lock);
	list_remove(&handle->in_scope);
	if (result < 0 && !scope->result) {
		scope->result = result;
		cancel_all(scope);
	}
	if (list_is_empty(&scope->handles))
		waiter_take_all(&scope->waiters, 0, &waiters);
	object_lock_release(&scope->object.lock);
	waiter_wake_all(&waiters);
}

/* One wait for the last task. Returns what interrupted it, or 0. */
static int wait_empty(struct strand_scope *scope, const struct wait_info *info, bool uncancellable)
{
	struct sleeper sleeper = sleeper_here();
	struct waiter waiter = {0};
	strand_time deadline = STRAND_FOREVER;
	int r = 0;

	sleeper.uncancellable = uncancellable;
	object_lock_take(&scope->object.lock);
	if (!list_is_empty(&scope->handles) && !uncancellable)
		r = wait_allowed(&deadline);
	if (list_is_empty(&scope->handles) || r < 0) {
		object_lock_release(&scope->object.lock);
		return r;
	}
	waiter_link(&waiter, &sleeper, &scope->waiters, &scope->object.lock);
	return waiter_wait(&waiter, info, deadline);
}

int strand_scope_wait(struct strand_scope *scope)
{
	struct frame where = CALLER_FRAME();
	struct wait_info info = {STRAND_WAIT_SCOPE_WAIT, (uintptr_t)scope, &where};
	struct runtime *rt = runtime_get();
	int r;

	if (!scope || !rt)
		return -EINVAL;
	sched_perturb();
	object_lock_take(&scope->object.lock);
	scope->closing = true;
	object_lock_release(&scope->object.lock);
	if (wait_empty(scope, &info, false) < 0) {
		/* Cancelled, or out of time: so are the tasks; but none is left behind. */
		strand_scope_cancel(scope);
		wait_empty(scope, &info, true);
	}
	object_lock_take(&scope->object.lock); /* the last task may still be on its way out of it */
	r = scope->result;
	object_lock_release(&scope->object.lock);
	object_free(&scope->object);
	return r;
}

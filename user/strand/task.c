/* SPDX-License-Identifier: MIT */
/* Making, naming and recycling tasks. */
#include "strand/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "strand/handle.h"
#include "strand/local.h"
#include "strand/probes.h"
#include "strand/runtime.h"
#include "strand/sched.h"
#include "strand/switch.h"
#include "strand/task_pool.h"

/* ---- tasks ----------------------------------------------------------------------- */

static void set_name(struct task *task, const char *name)
{
	size_t length = strnlen(name, sizeof(task->name) - 1);

	memmove(task->name, name, length); /* it may be a part of the old name */
	memset(task->name + length, 0, sizeof(task->name) - length);
}

static void trace_spawn(const struct task *task)
{
	struct strand_rec_spawn record = {
		.h = PROBE_HEADER(STRAND_PROBE_SPAWN, record),
		.task = task->id,
		.parent = task->parent,
		.fn = (uintptr_t)task->fn,
		.created_pc = task->created_pc,
	};

	memcpy(record.name, task->name, sizeof(record.name));
	strand_probe_spawn(&record);
}

/* Ids that a worker draws at once: an atomic addition for each would cost 6 of 45 ns. */
#define WORKER_IDS 256

/* Ids of one worker grow; those of several are not in the order of creation. */
static uint64_t new_id(void)
{
	/* Of the process, not of a runtime: observers and owners of locks tell tasks apart by it. */
	static _Atomic uint64_t last;
	struct worker *w = sched_this_worker;

	if (!w)
		return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
	if (w->ids_left == 0) {
		w->last_id = atomic_fetch_add_explicit(&last, WORKER_IDS, memory_order_relaxed);
		w->ids_left = WORKER_IDS;
	}
	w->ids_left--;
	return ++w->last_id;
}

struct task *task_new(struct runtime *rt, const struct strand_task_options *options,
		      void (*fn)(void *), void *arg, uintptr_t created_pc)
{
	struct task *parent = sched_current_task();
	size_t stack_size = options ? options->stack_size : 0;
	struct task *task = task_pool_take(rt, stack_size == 0);

	if (!task)
		return NULL;
	if (!task->stack.base &&
	    stack_new(&rt->stacks, &rt->memory, stack_size, &task->stack) < 0) {
		task_pool_give(rt, task);
		return NULL;
	}
	atomic_store_explicit(&task->state, TASK_MAKING, memory_order_release);
	task->id = new_id();
	task->parent = parent ? parent->id : 0;
	task->fn = fn;
	task->arg = arg;
	task->created_pc = created_pc;
	memset(task->locals, 0, sizeof(task->locals));
	atomic_store_explicit(&task->worker, NULL, memory_order_relaxed); /* it is nobody's yet */
	task->deadline = STRAND_FOREVER;
	task->limit = parent ? parent->limit : STRAND_FOREVER;
	task->handle = NULL;
	task->reads = (struct reads){0}; /* what an ended task held nobody can unlock */
	atomic_store_explicit(&task->cancelled, false, memory_order_relaxed);
	task->migrates = options && options->flags & STRAND_MIGRATE;
	if (options && options->name)
		set_name(task, options->name);
	else
		memcpy(task->name, parent ? parent->name : "", parent ? sizeof(task->name) : 1);
	task->canary = task->stack.guard == STACK_GUARD_CANARY;
	fiber_new(&task->fiber, &task->stack);
	task->sp = switch_prepare(stack_top(&task->stack), task);
	atomic_store_explicit(&task->state, TASK_NEW, memory_order_release);
	if (probes_tracing())
		trace_spawn(task);
	return task;
}

void task_free(struct runtime *rt, struct task *task)
{
	fiber_done(&task->fiber);
	atomic_store_explicit(&task->state, TASK_FREE, memory_order_release);
	task_pool_give(rt, task);
}

/* ---- the first and the last of a task ---------------------------------------------- */

struct task_entry task_begin(struct task *task)
{
	struct task_entry entry = {task->fn, task->arg};

	fiber_arrive(&task->fiber);
	task->arg = NULL; /* from here on it is the task's own business whether it is kept */
	sched_after_switch(sched_this_worker);
	return entry;
}

_Noreturn void task_end(int result)
{
	struct task *task = sched_current_task();

	if (!task)
		exit(0); /* a forked child returns from its last function, as from a last thread's */
	local_task_ended(task);
	handle_task_ended(task, result);
	if (probes_tracing()) {
		struct strand_rec_exit record = {
			.h = PROBE_HEADER(STRAND_PROBE_EXIT, record),
			.task = task->id,
		};

		strand_probe_exit(&record);
	}
	sched_exit_task();
}

/* ---- public ------------------------------------------------------------------------ */

static void count_spawn(void)
{
	struct worker *w = sched_this_worker;

	if (w)
		w->spawned++;
	else
		__atomic_fetch_add(&strand_descriptor.tasks_spawned, 1, __ATOMIC_RELAXED);
}

static void tie(struct strand_task *handle, struct task *task, struct strand_scope *scope)
{
	handle->task = task;
	handle->scope = scope;
	task->handle = handle;
	if (scope && scope->limit < task->limit)
		task->limit = scope->limit;
	atomic_store_explicit(&handle->object.kind, OBJECT_HANDLE, memory_order_release);
}

static int read_options(const struct strand_task_options *options,
			struct strand_task_options *ret_own)
{
	size_t size = options->size < sizeof(*ret_own) ? options->size : sizeof(*ret_own);

	memset(ret_own, 0, sizeof(*ret_own));
	memcpy(ret_own, options, size);
	if (!size || ret_own->stack_size > STACK_MAX_SIZE || ret_own->flags & ~STRAND_MIGRATE)
		return -EINVAL;
	return 0;
}

int task_spawn(const struct strand_task_options *options, void (*fn)(void *), void *arg,
	       uintptr_t created_pc, struct strand_scope *scope, struct strand_task **ret_handle)
{
	struct runtime *rt = runtime_get();
	struct strand_task_options own; /* as many fields as the caller knows of */
	struct strand_task *handle = NULL;
	struct task *task;

	if (!fn || (options && read_options(options, &own) < 0))
		return -EINVAL;
	if (!rt)
		return -ENXIO;
	if (ret_handle) {
		handle = handle_new(rt);
		if (!handle)
			return -ENOMEM;
	}
	task = task_new(rt, options ? &own : NULL, fn, arg, created_pc);
	if (!task) {
		if (handle)
			object_free(&handle->object);
		return -ENOMEM;
	}
	if (handle) {
		tie(handle, task, scope);
		*ret_handle = handle;
	}
	count_spawn();
	sched_start(rt, task);
	return 0;
}

int strand_go(void (*fn)(void *), void *arg)
{
	sched_perturb();
	return task_spawn(NULL, fn, arg, (uintptr_t)__builtin_return_address(0), NULL, NULL);
}

int strand_go_with(const struct strand_task_options *options, void (*fn)(void *), void *arg)
{
	sched_perturb();
	return task_spawn(options, fn, arg, (uintptr_t)__builtin_return_address(0), NULL, NULL);
}

uint64_t strand_task_id(void)
{
	struct task *task = sched_current_task();

	return task ? task->id : 0;
}

const char *strand_task_name(void)
{
	struct task *task = sched_current_task();

	return task ? task->name : "";
}

int strand_task_set_name(const char *name)
{
	struct task *task = sched_current_task();

	if (!name)
		return -EINVAL;
	if (!task)
		return -ENXIO;
	set_name(task, name);
	return 0;
}

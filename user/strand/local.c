/* SPDX-License-Identifier: MIT */
/* Task-local storage: a few pointers in each task, and what to do with them at its end. */
#include "strand/local.h"

#include <errno.h>

#include "strand/sched.h"

/* Keys are a process's, as those of threads are; they outlive the runtime. */
static void (*destructors[STRAND_LOCALS_MAX])(void *);
static _Atomic int key_count;

int strand_local_new(void (*destructor)(void *))
{
	int key = atomic_load(&key_count);

	do {
		if (key == STRAND_LOCALS_MAX)
			return -ENOSPC;
	} while (!atomic_compare_exchange_weak(&key_count, &key, key + 1));
	destructors[key] = destructor; /* before anybody else knows the key */
	return key;
}

static bool is_key(int key)
{
	return key >= 0 && key < atomic_load_explicit(&key_count, memory_order_acquire);
}

void *strand_local_get(int key)
{
	struct task *task = sched_current_task();

	return task && is_key(key) ? task->locals[key] : NULL;
}

int strand_local_set(int key, void *value)
{
	struct task *task = sched_current_task();

	if (!is_key(key))
		return -EINVAL;
	if (!task)
		return -ENXIO;
	task->locals[key] = value;
	return 0;
}

/* Once each, in the order of the keys: what a destructor sets anew is left alone. */
void local_task_ended(struct task *task)
{
	int count = atomic_load_explicit(&key_count, memory_order_acquire);

	for (int key = 0; key < count; key++) {
		void *value = task->locals[key];

		task->locals[key] = 0;
		if (value && destructors[key])
			destructors[key](value);
	}
}

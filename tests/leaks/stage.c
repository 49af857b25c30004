/* SPDX-License-Identifier: MIT */
/*
 * The order in which the tasks of a case run: a task may wait until all others have come as
 * far as they can.
 *
 * S1. Tasks that are in settle() count as waiting; the latest of them goes on first.
 * S2. Two looks at all tasks that find each of them parked, in the same park both times (its
 *     generation), prove that all of them were parked at the moment between the looks. Nobody
 *     but the caller can have woken one since, for who else would have run?
 *
 * Nothing in here keeps a pointer: the leak search would find it.
 */
#include "corpus.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "strand/runtime.h"
#include "strand/task.h"

#define SETTLERS_MAX 64

static struct {
	pthread_mutex_t lock;
	uint64_t ids[SETTLERS_MAX];
	size_t count;
} settlers = {.lock = PTHREAD_MUTEX_INITIALIZER};

void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "corpus: cannot %s: %s\n", what, strerror(-r));
	fflush(stderr);
	abort();
}

void go(void (*fn)(void *), void *arg)
{
	must(strand_go(fn, arg), "start a task");
}

struct strand_chan *new_chan(size_t capacity)
{
	struct strand_chan *chan = NULL;

	must(strand_chan_new(0, capacity, &chan), "make a channel");
	return chan;
}

/* Parked, until another task wakes it. Who waits for a search will go on. */
static bool is_stuck(const struct task *task)
{
	return atomic_load(&task->state) == TASK_PARKED &&
	       task->reason != STRAND_WAIT_BLOCKING_CALL &&
	       (task->deadline == STRAND_FOREVER ||
		task->deadline - strand_now() > 100 * STRAND_SECOND);
}

static bool is_settler(uint64_t id)
{
	for (size_t i = 0; i < settlers.count; i++)
		if (settlers.ids[i] == id)
			return true;
	return false;
}

/* Whether all tasks are stuck, have ended or are settlers; with the sum of their parks. */
static bool look(uint64_t *ret_parks)
{
	uint64_t parks = 0;

	for (const struct task_slab *slab = runtime_get()->tasks.slabs; slab; slab = slab->next) {
		for (size_t i = 0; i < slab->count; i++) {
			const struct task *task = &slab->tasks[i];

			if (atomic_load(&task->state) == TASK_FREE || is_settler(task->id))
				continue;
			if (!is_stuck(task))
				return false;
			parks += atomic_load(&task->generation);
		}
	}
	*ret_parks = parks;
	return true;
}

/* The caller is the latest settler, and all others are at rest (S2). */
static bool is_settled(uint64_t me)
{
	uint64_t first, second;
	bool settled;

	pthread_mutex_lock(&settlers.lock);
	settled = settlers.ids[settlers.count - 1] == me && look(&first) && look(&second) &&
		  first == second;
	if (settled)
		settlers.count--;
	pthread_mutex_unlock(&settlers.lock);
	return settled;
}

static void enter(uint64_t me)
{
	pthread_mutex_lock(&settlers.lock);
	must(settlers.count < SETTLERS_MAX ? 0 : -ENOBUFS, "settle that deep");
	settlers.ids[settlers.count++] = me;
	pthread_mutex_unlock(&settlers.lock);
}

static void leave(uint64_t me)
{
	do
		strand_yield();
	while (!is_settled(me));
}

void settle(void)
{
	enter(strand_task_id());
	leave(strand_task_id());
}

/* In this order: the new task may itself settle at once, on another worker, and goes first (S1). */
void go_and_settle(void (*fn)(void *), void *arg)
{
	enter(strand_task_id());
	go(fn, arg);
	leave(strand_task_id());
}

size_t count_other_tasks(void)
{
	size_t count = 0;

	for (const struct task_slab *slab = runtime_get()->tasks.slabs; slab; slab = slab->next)
		for (size_t i = 0; i < slab->count; i++)
			count += atomic_load(&slab->tasks[i].state) != TASK_FREE;
	return count - 1;
}

int search_patiently(void (*callback)(const struct strand_leak *leak, void *arg), void *arg,
		     struct strand_leaks_result *ret_result)
{
	strand_time end = strand_now() + 20 * STRAND_SECOND;
	int r;

	do {
		r = strand_leaks(0, callback, arg, ret_result);
		if (r == -EAGAIN || r == -EBUSY)
			strand_sleep(VERY_SOON);
	} while ((r == -EAGAIN || r == -EBUSY) && strand_now() < end);
	return r;
}

void expect_leaks(int count)
{
	int r = search_patiently(NULL, NULL, NULL);

	must(r, "search");
	must(r == count ? 0 : -EPROTO, "find as many leaks as there are");
}

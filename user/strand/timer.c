/* SPDX-License-Identifier: MIT */
/* A binary heap of deadlines. */
#include "strand/timer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static void put(struct timers *t, size_t i, struct task *task)
{
	t->heap[i] = task;
	task->timer_index = i;
}

static void sift_up(struct timers *t, size_t i, struct task *task)
{
	while (i > 1 && t->heap[i / 2]->deadline > task->deadline) {
		put(t, i, t->heap[i / 2]);
		i /= 2;
	}
	put(t, i, task);
}

static void sift_down(struct timers *t, size_t i, struct task *task)
{
	for (;;) {
		size_t child = 2 * i;

		if (child > t->count)
			break;
		if (child < t->count && t->heap[child + 1]->deadline < t->heap[child]->deadline)
			child++;
		if (t->heap[child]->deadline >= task->deadline)
			break;
		put(t, i, t->heap[child]);
		i = child;
	}
	put(t, i, task);
}

static int grow(struct timers *t)
{
	size_t page = memory_page_size();
	size_t room = t->room ? t->room * 2 : page / sizeof(*t->heap);
	struct task **heap = memory_map(t->memory, room * sizeof(*heap));

	if (!heap)
		return -ENOMEM;
	if (t->heap) {
		memcpy(heap, t->heap, (t->count + 1) * sizeof(*heap));
		memory_unmap(t->memory, t->heap, t->room * sizeof(*heap));
	}
	t->heap = heap;
	t->room = room;
	return 0;
}

int timers_reserve(struct timers *t)
{
	return t->count + 1 < t->room ? 0 : grow(t);
}

void timers_add(struct timers *t, struct task *task)
{
	assert(t->count + 1 < t->room);
	sift_up(t, ++t->count, task);
}

void timers_remove(struct timers *t, struct task *task)
{
	size_t i = task->timer_index;
	struct task *last = t->heap[t->count--];

	task->timer_index = 0;
	if (last == task)
		return;
	if (i > 1 && t->heap[i / 2]->deadline > last->deadline)
		sift_up(t, i, last);
	else
		sift_down(t, i, last);
}

void timers_check(const struct timers *t)
{
	for (size_t i = 1; i <= t->count; i++) {
		assert(t->heap[i]->timer_index == i);
		assert(i == 1 || t->heap[i / 2]->deadline <= t->heap[i]->deadline);
	}
}

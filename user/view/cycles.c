/* SPDX-License-Identifier: MIT */
/*
 * Wait-for cycles as small trees: each ring once, then those that wait behind its members.
 *
 * Each member of a ring carries the whole ring in its links, in waiting order, so a ring is told
 * by its smallest member. With one task for many (model_task.stands_for) a ring may be that of
 * the example only: the others of its site have rings alike.
 */
#include <errno.h>
#include <stdlib.h>

#include "view/board.h"

static bool is_ring(const struct model_task *t)
{
	return t->state == MODEL_LEAKED && t->why == STRAND_WHY_CYCLE && t->link_count;
}

static uint64_t smallest(const struct model_task *t)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < t->link_count; i++)
		if (t->links[i].kind == STRAND_LINK_TASK && t->links[i].value < least)
			least = t->links[i].value;
	return least;
}

static size_t count_members(const struct model_task *t)
{
	size_t count = 0;

	for (size_t i = 0; i < t->link_count; i++)
		count += t->links[i].kind == STRAND_LINK_TASK;
	return count;
}

static void fill(struct row *row, const struct model_task *t, uint64_t id, uint64_t next)
{
	row->id = id;
	row->next = next;
	row->task = t;
	row->state = MODEL_LEAKED;
	row->tasks[MODEL_LEAKED] = t ? model_task_weight(t) : 0;
	row->retained = t ? t->retained : 0;
	row->oldest_since_ns = t ? t->since_ns : 0;
}

static uint64_t next_member(const struct model_task *t, size_t i)
{
	for (size_t step = 1; step <= t->link_count; step++) {
		const struct model_link *link = &t->links[(i + step) % t->link_count];

		if (link->kind == STRAND_LINK_TASK)
			return link->value;
	}
	return 0;
}

static enum row_branch branch_at(size_t index, size_t count)
{
	if (count == 1)
		return ROW_CYCLE_ALONE;
	if (!index)
		return ROW_CYCLE_FIRST;
	return index + 1 == count ? ROW_CYCLE_LAST : ROW_IN_CYCLE;
}

static int add_ring(struct board_rows *rows, const struct model_process *p,
		    const struct model_task *t)
{
	size_t count = count_members(t), index = 0;

	for (size_t i = 0; i < t->link_count; i++) {
		struct row *row;

		if (t->links[i].kind != STRAND_LINK_TASK)
			continue;
		row = board_add(rows, ROW_CYCLE, p);
		if (!row)
			return -ENOMEM;
		row->branch = branch_at(index++, count);
		fill(row, model_find_task(p, t->links[i].value), t->links[i].value,
		     next_member(t, i));
	}
	return 0;
}

/* Those that name a task as the one they wait behind, or whose lock its end has left held. */
static int add_behind(struct board_rows *rows, const struct model_process *p)
{
	for (size_t i = 0; i < p->task_count && rows->count < BOARD_ROWS_MAX; i++) {
		const struct model_task *t = &p->tasks[i];
		struct row *row;

		if (t->state != MODEL_LEAKED || is_ring(t) || !t->root)
			continue;
		row = board_add(rows, ROW_CYCLE, p);
		if (!row)
			return -ENOMEM;
		row->branch = ROW_BEHIND;
		fill(row, t, t->id, t->root);
	}
	return 0;
}

/* A ring is shown for its first member that is in the model: ids rise from task to task. */
static bool shown_before(const struct model_process *p, const struct model_task *t)
{
	uint64_t least = smallest(t);
	const struct model_task *first;

	if (least >= t->id)
		return false;
	first = model_find_task(p, least);
	return first && is_ring(first) && smallest(first) == least;
}

int board_add_cycles(struct board_rows *rows, const struct model_process *p)
{
	for (size_t i = 0; i < p->task_count && rows->count < BOARD_ROWS_MAX; i++) {
		const struct model_task *t = &p->tasks[i];

		if (!is_ring(t) || shown_before(p, t))
			continue;
		if (add_ring(rows, p, t))
			return -ENOMEM;
	}
	return add_behind(rows, p);
}

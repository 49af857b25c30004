/* SPDX-License-Identifier: MIT */
/*
 * Wait-for cycles among the nodes that are not LIVE.
 *
 * A cycle is a closed walk along edges, told as the tasks on it. Two kinds are worth telling:
 *
 *   Y1. By ownership: only OWNS and WAITS edges. Each of its tasks holds the lock that another
 *       one, or itself, waits for: all of it is needed to explain the deadlock.
 *   Y2. By any edge, through tasks that wait for different things. Tasks that wait for the same
 *       channel, each with a pointer to it, are no cycle to anybody but this graph; and one that
 *       alone reaches what it waits for is explained better by saying that.
 *
 * Every node that is on a cycle lies in a strongly connected component (Tarjan, without
 * recursion). In each, a breadth-first walk looks for the shortest cycle through a task; after
 * STARTS_MAX tasks the rest of a component is left unexplained, which keeps all of it linear.
 */
#include <string.h>

#include "leakgc/answers.h"

#define STARTS_MAX 8

struct finder {
	struct leakgc_world *w;
	bool by_ownership;   /* Y1, else Y2 */
	uint32_t *order;     /* the node's number in the order of discovery; 0: not discovered */
	uint32_t *low;       /* the lowest such number that is known to be in its component */
	uint32_t *component; /* number; 0: not closed yet */
	uint32_t *next;      /* the next of its edges */
	uint32_t *open;      /* nodes whose component is not closed; a stack */
	uint32_t *calls;     /* nodes whose edges are being looked at; a stack */
	uint32_t *from;      /* by state: the state before it, plus 1; 0: not visited */
	uint32_t *queue;     /* of states */
	uint32_t *waits_too; /* by node: number of the start that it waits together with */
	uint32_t discovered, components, starts;
	size_t open_count, depth;
	bool *on_cycle;
	leakgc_cycle_told *told;
	void *context;
};

/* A walk's state: the node, and whether the walk has come by another task than its first. */
static uint32_t state_of(uint32_t node, bool others)
{
	return node * 2 + others;
}

static bool is_task(const struct finder *f, uint32_t node)
{
	return f->w->nodes[node].flags & LEAKGC_NODE_TASK;
}

static bool counts(const struct finder *f, const struct leakgc_edge *edge)
{
	if (f->by_ownership && edge->kind == LEAKGC_EDGE_REACHES)
		return false;
	return !leakgc_world_is_live(f->w, edge->to);
}

/* ---- the shortest cycle through a task ----------------------------------------------- */

static void tell(struct finder *f, uint32_t start, uint32_t last)
{
	uint32_t tasks[LEAKGC_CYCLE_MAX] = {start};
	size_t count = 1;

	f->on_cycle[start] = true;
	for (uint32_t state = last; state / 2 != start; state = f->from[state] - 1) {
		if (!is_task(f, state / 2))
			continue;
		f->on_cycle[state / 2] = true;
		if (count < LEAKGC_CYCLE_MAX)
			tasks[count++] = state / 2;
	}
	f->told(f->context, tasks, count);
}

/* Who waits together with the start: a cycle through them says nothing (Y2). */
static void mark_waits_too(struct finder *f, const uint32_t *nodes, size_t count, uint32_t start)
{
	f->starts++;
	for (size_t n = 0; n < count; n++) {
		uint32_t first = f->w->nodes[nodes[n]].first_edge, i;
		const struct leakgc_edge *edge;
		bool waits = false;

		for (i = first; i != LEAKGC_NO_EDGE && !waits; i = edge->next) {
			edge = leakgc_world_edge(f->w, i);
			waits = edge->kind == LEAKGC_EDGE_WAITS && edge->to == start;
		}
		for (i = waits ? first : LEAKGC_NO_EDGE; i != LEAKGC_NO_EDGE; i = edge->next) {
			edge = leakgc_world_edge(f->w, i);
			if (edge->kind == LEAKGC_EDGE_WAITS)
				f->waits_too[edge->to] = f->starts;
		}
	}
}

/* May the walk go on to the node, and in which state? */
static bool may_enter(const struct finder *f, uint32_t node, uint32_t start, bool *others)
{
	if (f->component[node] != f->component[start])
		return false;
	if (!is_task(f, node))
		return true;
	*others = true;
	return f->by_ownership || f->waits_too[node] != f->starts;
}

/* Returns whether there is one, and has told it. */
static bool walk_from(struct finder *f, uint32_t start)
{
	size_t head = 0, tail = 0;
	bool alone = false;

	f->from[state_of(start, false)] = state_of(start, false) + 1;
	f->queue[tail++] = state_of(start, false);
	while (head < tail) {
		uint32_t state = f->queue[head++];
		const struct leakgc_edge *edge;

		for (uint32_t i = f->w->nodes[state / 2].first_edge; i != LEAKGC_NO_EDGE;
		     i = edge->next) {
			bool others = state & 1;

			edge = leakgc_world_edge(f->w, i);
			if (!counts(f, edge))
				continue;
			if (edge->to == start) {
				if (others) {
					tell(f, start, state);
					return true;
				}
				alone = true;
				continue;
			}
			if (!may_enter(f, edge->to, start, &others) ||
			    f->from[state_of(edge->to, others)])
				continue;
			f->from[state_of(edge->to, others)] = state + 1;
			f->queue[tail++] = state_of(edge->to, others);
		}
	}
	if (alone && f->by_ownership)
		tell(f, start, state_of(start, false));
	return alone && f->by_ownership;
}

static void search_component(struct finder *f, const uint32_t *nodes, size_t count)
{
	int starts = 0;

	for (size_t i = 0; i < count && starts < STARTS_MAX; i++) {
		if (!is_task(f, nodes[i]) || f->on_cycle[nodes[i]])
			continue;
		for (size_t n = 0; n < count; n++)
			f->from[state_of(nodes[n], false)] = f->from[state_of(nodes[n], true)] = 0;
		if (!f->by_ownership)
			mark_waits_too(f, nodes, count, nodes[i]);
		walk_from(f, nodes[i]);
		starts++;
	}
}

/* ---- components ------------------------------------------------------------------------ */

static void discover(struct finder *f, uint32_t node)
{
	f->order[node] = f->low[node] = ++f->discovered;
	f->next[node] = f->w->nodes[node].first_edge;
	f->open[f->open_count++] = node;
	f->calls[f->depth++] = node;
}

static void close_component(struct finder *f, uint32_t node)
{
	size_t at = f->open_count;

	f->components++;
	do {
		f->component[f->open[--at]] = f->components;
	} while (f->open[at] != node);
	search_component(f, f->open + at, f->open_count - at);
	f->open_count = at;
}

static void note_low(struct finder *f, uint32_t node, uint32_t low)
{
	if (low < f->low[node])
		f->low[node] = low;
}

static void search_from(struct finder *f, uint32_t root)
{
	discover(f, root);
	while (f->depth) {
		uint32_t node = f->calls[f->depth - 1], i = f->next[node];
		const struct leakgc_edge *edge;

		if (i == LEAKGC_NO_EDGE) {
			f->depth--;
			if (f->depth)
				note_low(f, f->calls[f->depth - 1], f->low[node]);
			if (f->low[node] == f->order[node])
				close_component(f, node);
			continue;
		}
		edge = leakgc_world_edge(f->w, i);
		f->next[node] = edge->next;
		if (!counts(f, edge))
			continue;
		if (!f->order[edge->to])
			discover(f, edge->to);
		else if (!f->component[edge->to])
			note_low(f, node, f->order[edge->to]);
	}
}

static void find(struct finder *f, bool by_ownership)
{
	size_t size = f->w->node_count * sizeof(uint32_t);

	f->by_ownership = by_ownership;
	memset(f->order, 0, size);
	memset(f->component, 0, size);
	for (uint32_t i = 0; i < f->w->node_count; i++)
		if (!f->order[i] && !leakgc_world_is_live(f->w, i))
			search_from(f, i);
}

bool leakgc_cycles_find(struct leakgc_world *w, bool *on_cycle, leakgc_cycle_told *told,
			void *context)
{
	struct finder f = {.w = w, .on_cycle = on_cycle, .told = told, .context = context};
	uint32_t **const tables[] = {&f.order, &f.low,  &f.component, &f.next,     &f.open,
				     &f.calls, &f.from, &f.queue,     &f.waits_too};
	uintptr_t mark = w->arena.next;

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		bool by_state = tables[i] == &f.from || tables[i] == &f.queue;

		*tables[i] = leakgc_arena_take(&w->arena, w->node_count * sizeof(uint32_t) *
								  (by_state ? 2 : 1));
		if (!*tables[i]) {
			w->arena.next = mark;
			return false;
		}
	}
	memset(f.waits_too, 0, w->node_count * sizeof(uint32_t));
	find(&f, true);
	find(&f, false);
	w->arena.next = mark;
	return true;
}

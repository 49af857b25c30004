/* SPDX-License-Identifier: MIT */
/* Explains verdicts: why a leaked task can never be woken, and what keeps the others alive. */
#include "leakgc/answers.h"

#include <string.h>

/* Links of all explanations together: a report should stay readable. */
#define LINKS_MAX (1u << 18)

/* What is found out about one node. */
struct note {
	uint32_t link_first;
	uint32_t link_count; /* of its cycle */
	uint32_t holder[2];  /* leaked tasks that reach it, owners first; NO_NODE: no (more) */
	uint32_t behind;     /* a task: another leaked one that could end its wait, or NO_NODE */
	uint64_t dead_owner;
	uint64_t retained; /* a task: bytes that are kept because of it */
};

struct explanation {
	struct leakgc_world *w;
	struct strand_report_link *links;
	size_t link_count, link_room;
	struct note *notes;
	uint32_t *queue; /* nodes that got a holder; each comes twice at most */
	size_t queued;
};

static bool is_leaked_task(const struct leakgc_world *w, uint32_t node)
{
	const uint8_t flags = w->nodes[node].flags;

	return flags & LEAKGC_NODE_CANDIDATE && !(flags & LEAKGC_NODE_LIVE);
}

/* ---- cycles ------------------------------------------------------------------------ */

static void add_link(struct explanation *x, enum strand_link_kind kind, uint64_t value,
		     uint64_t size)
{
	x->links[x->link_count++] =
		(struct strand_report_link){.value = value, .size = size, .kind = kind};
}

static void note_cycle(void *context, const uint32_t *tasks, size_t count)
{
	struct explanation *x = context;
	uint32_t first = (uint32_t)x->link_count;

	if (count > x->link_room - x->link_count)
		return;
	for (size_t i = 0; i < count; i++)
		add_link(x, STRAND_LINK_TASK, x->w->nodes[tasks[i]].id, 0);
	for (size_t i = 0; i < count; i++) {
		x->notes[tasks[i]].link_first = first;
		x->notes[tasks[i]].link_count = (uint32_t)count;
	}
}

/* ---- who could end a wait ------------------------------------------------------------ */

static void add_holder(struct explanation *x, uint32_t node, uint32_t task)
{
	struct note *note = &x->notes[node];
	int free = note->holder[0] == LEAKGC_NO_NODE ? 0 : 1;

	if (note->holder[0] == task || note->holder[free] != LEAKGC_NO_NODE)
		return;
	note->holder[free] = task;
	x->queue[x->queued++] = node;
}

static bool is_explained_by_holders(const struct leakgc_world *w, uint32_t node)
{
	return !(w->nodes[node].flags & (LEAKGC_NODE_TASK | LEAKGC_NODE_LIVE));
}

static void add_holders_of_task(struct explanation *x, uint32_t task, bool owned)
{
	const struct leakgc_edge *edge;

	for (uint32_t i = x->w->nodes[task].first_edge; i != LEAKGC_NO_EDGE; i = edge->next) {
		edge = leakgc_world_edge(x->w, i);
		if (owned == (edge->kind == LEAKGC_EDGE_OWNS) &&
		    is_explained_by_holders(x->w, edge->to))
			add_holder(x, edge->to, task);
	}
}

/* What reaches a node reaches what its memory leads to. */
static void spread_holders(struct explanation *x)
{
	for (size_t at = 0; at < x->queued; at++) {
		const struct note *note = &x->notes[x->queue[at]];
		const struct leakgc_edge *edge;

		for (uint32_t i = x->w->nodes[x->queue[at]].first_edge; i != LEAKGC_NO_EDGE;
		     i = edge->next) {
			edge = leakgc_world_edge(x->w, i);
			if (!is_explained_by_holders(x->w, edge->to))
				continue;
			for (int h = 0; h < 2; h++)
				if (note->holder[h] != LEAKGC_NO_NODE)
					add_holder(x, edge->to, note->holder[h]);
		}
	}
}

static void note_behind(struct explanation *x, uint32_t task, uint32_t other)
{
	if (other != LEAKGC_NO_NODE && other != task && x->notes[task].behind == LEAKGC_NO_NODE)
		x->notes[task].behind = other;
}

/* From a node to the tasks that wait for it, or that wait for this task alone. */
static void note_waits(struct explanation *x, uint32_t node)
{
	const struct leakgc_node_info *info = &x->w->nodes[node];
	bool is_task = info->flags & LEAKGC_NODE_TASK;
	const struct leakgc_edge *edge;

	for (uint32_t i = info->first_edge; i != LEAKGC_NO_EDGE; i = edge->next) {
		edge = leakgc_world_edge(x->w, i);
		if (is_task && edge->kind == LEAKGC_EDGE_OWNS) {
			note_behind(x, edge->to, node);
		} else if (edge->kind == LEAKGC_EDGE_WAITS) {
			x->notes[edge->to].dead_owner = info->id;
			note_behind(x, edge->to, x->notes[node].holder[0]);
			note_behind(x, edge->to, x->notes[node].holder[1]);
		}
	}
}

static void find_holders(struct explanation *x)
{
	for (int owned = 1; owned >= 0; owned--)
		for (uint32_t i = 0; i < x->w->node_count; i++)
			if (is_leaked_task(x->w, i))
				add_holders_of_task(x, i, owned);
	spread_holders(x);
	for (uint32_t i = 0; i < x->w->node_count; i++)
		if (!leakgc_world_is_live(x->w, i))
			note_waits(x, i);
}

/* ---- retained memory ----------------------------------------------------------------------- */

/* Pages that a program may have written, of a whole stack: what lies below is held, too. */
static uint64_t stack_bytes(struct leakgc_memory *memory, const struct leakgc_node_info *task)
{
	uintptr_t at = task->root, hi = task->body.hi;
	uint64_t bytes = 0;

	if (task->flags & LEAKGC_NODE_LIVE)
		at = 0; /* its root says something else */
	hi = (hi + memory->page_size - 1) & ~(uintptr_t)(memory->page_size - 1);
	while (at && at < hi) {
		int n = leakgc_memory_runs(memory, &at, hi, false);

		for (int i = 0; i < n; i++)
			bytes += memory->runs[i].hi - memory->runs[i].lo;
		if (n < 0)
			return 0;
	}
	return bytes;
}

/*
 * A node that is not LIVE and was looked for by the last complete passes is reached by nothing
 * live. What was not looked for may be anything, and is not counted.
 */
static bool is_retained(const struct leakgc_node_info *info)
{
	return (info->flags & (LEAKGC_NODE_LIVE | LEAKGC_NODE_SOUGHT | LEAKGC_NODE_TASK)) ==
	       LEAKGC_NODE_SOUGHT;
}

/* An object in an array leaves out its last byte (leakgc.h), but it takes it. */
#define OBJECT_ALIGN 16

static uint64_t object_bytes(const struct leakgc_node_info *info)
{
	uint64_t bytes = info->body.hi - info->body.lo;
	bool inside = info->content.lo >= info->body.lo && info->content.hi <= info->body.hi;

	if (!inside)
		bytes += info->content.hi - info->content.lo;
	return (bytes + OBJECT_ALIGN - 1) & ~(uint64_t)(OBJECT_ALIGN - 1);
}

/* The leaked task that reaches the node, else one that waits for it. */
static uint32_t keeper_of(const struct explanation *x, uint32_t node)
{
	const struct leakgc_edge *edge;

	if (x->notes[node].holder[0] != LEAKGC_NO_NODE)
		return x->notes[node].holder[0];
	for (uint32_t i = x->w->nodes[node].first_edge; i != LEAKGC_NO_EDGE; i = edge->next) {
		edge = leakgc_world_edge(x->w, i);
		if (edge->kind == LEAKGC_EDGE_WAITS && is_leaked_task(x->w, edge->to))
			return edge->to;
	}
	return LEAKGC_NO_NODE;
}

static void retain_stack(struct explanation *x, struct leakgc_memory *memory, uint32_t task,
			 struct leakgc_findings *f)
{
	uint64_t bytes = stack_bytes(memory, &x->w->nodes[task]);

	x->notes[task].retained += bytes;
	f->retained_stacks += bytes;
}

static void retain_node(struct explanation *x, uint32_t node, struct leakgc_findings *f)
{
	const struct leakgc_node_info *info = &x->w->nodes[node];
	uint32_t keeper = keeper_of(x, node);
	uint64_t bytes = object_bytes(info);

	if (keeper == LEAKGC_NO_NODE)
		return;
	x->notes[keeper].retained += bytes;
	if (info->flags & LEAKGC_NODE_BLOCK)
		f->retained_blocks += bytes;
	else
		f->retained_objects += bytes;
}

/* Each byte once: what several leaked tasks reach counts for one of them. */
static void add_up_retained(struct explanation *x, struct leakgc_memory *memory,
			    struct leakgc_findings *f)
{
	for (uint32_t i = 0; i < x->w->node_count; i++) {
		if (is_leaked_task(x->w, i))
			retain_stack(x, memory, i, f);
		else if (is_retained(&x->w->nodes[i]))
			retain_node(x, i, f);
	}
}

/* ---- verdicts -------------------------------------------------------------------------- */

static void explain_leak(const struct explanation *x, uint32_t node, struct leakgc_verdict *v)
{
	const struct note *note = &x->notes[node];

	v->retained = note->retained;
	if (x->w->nodes[node].flags & LEAKGC_NODE_UNWAKEABLE) {
		v->why = STRAND_WHY_NOTHING;
	} else if (note->dead_owner) {
		v->why = STRAND_WHY_DEAD_OWNER;
		v->root = note->dead_owner == LEAKGC_SOME_TASK ? 0 : note->dead_owner;
	} else if (note->link_count) {
		v->why = STRAND_WHY_CYCLE;
		v->link_first = note->link_first;
		v->link_count = note->link_count;
	} else if (note->behind != LEAKGC_NO_NODE) {
		v->why = STRAND_WHY_BEHIND;
		v->root = x->w->nodes[note->behind].id;
	} else {
		v->why = STRAND_WHY_UNREACHABLE;
	}
}

/* From the root to what the task waits on. A task on the way is the root that was named. */
static void tell_chain(struct explanation *x, uint32_t task, struct leakgc_verdict *v)
{
	uint32_t chain[LEAKGC_CHAIN_MAX];
	size_t count = 0;

	for (uint32_t node = x->w->nodes[task].live_from;
	     node != LEAKGC_NO_NODE && count < LEAKGC_CHAIN_MAX &&
	     !(x->w->nodes[node].flags & LEAKGC_NODE_TASK);
	     node = x->w->nodes[node].live_from)
		chain[count++] = node;
	if (!count || count > x->link_room - x->link_count)
		return;
	v->link_first = x->link_count;
	v->link_count = (uint32_t)count;
	while (count) {
		const struct leakgc_node_info *info = &x->w->nodes[chain[--count]];
		bool is_block = info->flags & LEAKGC_NODE_BLOCK;

		add_link(x, is_block ? STRAND_LINK_BLOCK : STRAND_LINK_OBJECT,
			 is_block ? info->body.lo : info->object_name,
			 info->body.hi - info->body.lo);
	}
}

/* The findings hold the verdicts of the candidates in the order of their nodes. */
static void explain_verdicts(struct explanation *x, struct leakgc_findings *f)
{
	size_t at = 0;

	for (uint32_t i = 0; i < x->w->node_count && at < f->verdict_count; i++) {
		if (!(x->w->nodes[i].flags & LEAKGC_NODE_CANDIDATE))
			continue;
		if (f->verdicts[at].verdict == STRAND_VERDICT_LIVE)
			tell_chain(x, i, &f->verdicts[at]);
		else if (x->notes)
			explain_leak(x, i, &f->verdicts[at]);
		at++;
	}
	f->link_count = x->link_count;
}

/* Cycles and holders. Without memory for them chains are told all the same. */
static void look_at_leaks(struct explanation *x, struct leakgc_memory *memory,
			  struct leakgc_findings *f)
{
	struct leakgc_arena *arena = &x->w->arena;
	size_t nodes = x->w->node_count;
	struct note *notes = leakgc_arena_take(arena, nodes * sizeof(*notes));
	bool *on_cycle = leakgc_arena_take(arena, nodes * sizeof(*on_cycle));

	x->queue = leakgc_arena_take(arena, 2 * nodes * sizeof(*x->queue));
	if (!notes || !on_cycle || !x->queue)
		return;
	x->notes = notes;
	memset(on_cycle, 0, nodes * sizeof(*on_cycle));
	for (size_t i = 0; i < nodes; i++)
		x->notes[i] = (struct note){.holder = {LEAKGC_NO_NODE, LEAKGC_NO_NODE},
					    .behind = LEAKGC_NO_NODE};
	leakgc_cycles_find(x->w, on_cycle, note_cycle, x);
	find_holders(x);
	add_up_retained(x, memory, f);
}

void leakgc_answer(struct leakgc_state *s, struct leakgc_findings *f, size_t room)
{
	uintptr_t mark = s->w->arena.next;
	struct explanation x = {
		.w = s->w,
		.links = (struct strand_report_link *)&f->verdicts[f->verdict_count],
		.link_room = (room - f->verdict_count) * sizeof(f->verdicts[0]) /
			     sizeof(struct strand_report_link),
	};

	if (x.link_room > LINKS_MAX)
		x.link_room = LINKS_MAX;
	if (f->leaked)
		look_at_leaks(&x, s->e->memory, f);
	explain_verdicts(&x, f);
	s->w->arena.next = mark;
}

/* SPDX-License-Identifier: MIT */
/* Build the world of a search and let LIVE spread through it. */
#include "leakgc/world.h"

#include <errno.h>

/* Edge numbers are 32 bits, less LEAKGC_NO_EDGE; node numbers in edges 30. */
#define COUNT_MAX (UINT32_MAX - 1)
#define NODES_MAX ((1u << 30) - 1)

int leakgc_world_begin(struct leakgc_world *w)
{
	w->nodes = leakgc_arena_take(&w->arena, 0);
	w->edge_end = (struct leakgc_edge *)(w->arena.top & ~(uintptr_t)7);
	w->arena.top = (uintptr_t)w->edge_end;
	return w->nodes ? 0 : -ENOMEM;
}

/* A candidate whose verdict depends on what is found. */
static bool is_open_candidate(const struct leakgc_node_info *info)
{
	return (info->flags & (LEAKGC_NODE_CANDIDATE | LEAKGC_NODE_UNWAKEABLE)) ==
	       LEAKGC_NODE_CANDIDATE;
}

/* One part in so many of what is left of the memory may go to heap blocks. */
#define BLOCK_SHARE 8

static uint32_t room_for_blocks(const struct leakgc_world *w)
{
	size_t left = w->arena.top > w->arena.next ? w->arena.top - w->arena.next : 0;
	size_t room = left / BLOCK_SHARE / sizeof(struct leakgc_node_info);

	return room < LEAKGC_BLOCKS_MAX ? (uint32_t)room : LEAKGC_BLOCKS_MAX;
}

int leakgc_world_seal(struct leakgc_world *w)
{
	w->block_room = w->wants_blocks ? room_for_blocks(w) : 0;
	if (w->node_count > NODES_MAX - w->block_room ||
	    !leakgc_arena_append(&w->arena, w->block_room * sizeof(*w->nodes)))
		return -ENOMEM;
	w->work = leakgc_arena_take(&w->arena,
				    ((size_t)w->node_count + w->block_room) * sizeof(*w->work));
	if (!w->work)
		return -ENOMEM;
	w->sealed = true;
	for (uint32_t i = 0; i < w->node_count; i++) {
		if (leakgc_world_is_live(w, i))
			w->work[w->work_count++] = i;
		else if (is_open_candidate(&w->nodes[i]))
			w->candidates_open++;
	}
	return 0;
}

bool leakgc_world_add_block(struct leakgc_world *w, uintptr_t lo, uintptr_t hi, uint32_t *ret_node)
{
	if (!w->block_room)
		return false;
	w->block_room--;
	*ret_node = w->node_count++;
	w->nodes[*ret_node] = (struct leakgc_node_info){
		.body = {lo, hi},
		.first_edge = LEAKGC_NO_EDGE,
		.live_from = LEAKGC_NO_NODE,
		.flags = LEAKGC_NODE_BLOCK,
	};
	return true;
}

static int add_node(struct leakgc_world *w, struct leakgc_node_info **ret_info,
		    leakgc_node *ret_node)
{
	struct leakgc_node_info *info;

	if (w->node_count == NODES_MAX)
		return -ENOMEM;
	info = leakgc_arena_append(&w->arena, sizeof(*info));
	if (!info)
		return -ENOMEM;
	*info = (struct leakgc_node_info){.first_edge = LEAKGC_NO_EDGE,
					  .live_from = LEAKGC_NO_NODE};
	*ret_info = info;
	*ret_node = w->node_count++;
	return 0;
}

int leakgc_world_add_task(struct leakgc_world *w, const struct leakgc_task *task,
			  leakgc_node *ret_node)
{
	struct leakgc_node_info *info;
	leakgc_node node;
	int r = add_node(w, &info, &node);

	if (r < 0)
		return r;
	info->cookie = task->cookie;
	info->body = (struct leakgc_range){task->stack_lo, task->stack_hi};
	info->content = (struct leakgc_range){task->data_lo, task->data_hi};
	info->id = task->id;
	info->generation = task->generation;
	info->object_name = task->object_name;
	info->flags = LEAKGC_NODE_TASK;
	if (task->candidate) {
		info->flags |= LEAKGC_NODE_CANDIDATE;
		info->root = task->stack_base;
		if (task->unwakeable)
			info->flags |= LEAKGC_NODE_UNWAKEABLE;
	} else {
		info->flags |= LEAKGC_NODE_LIVE;
		info->root_kind = task->deadline ? STRAND_ROOT_DEADLINE : STRAND_ROOT_RUNTIME;
	}
	*ret_node = node;
	return 0;
}

int leakgc_world_add_object(struct leakgc_world *w, const struct leakgc_object *object,
			    leakgc_node *ret_node)
{
	struct leakgc_node_info *info;
	leakgc_node node;
	int r = add_node(w, &info, &node);

	if (r < 0)
		return r;
	info->cookie = object->cookie;
	info->body = (struct leakgc_range){object->lo, object->hi};
	info->content = (struct leakgc_range){object->content_lo, object->content_hi};
	info->object_name = object->name ? object->name : object->lo;
	info->id = object->dead_owner;
	if (object->live && !leakgc_without(w, LEAKGC_WITHOUT_LIVE_OBJECTS)) {
		info->flags = LEAKGC_NODE_LIVE;
		info->root_kind = STRAND_ROOT_RUNTIME;
		info->root = object->lo;
	}
	*ret_node = node;
	return 0;
}

static int add_edge(struct leakgc_world *w, uint32_t from, uint32_t to, enum leakgc_edge_kind kind)
{
	struct leakgc_node_info *info = &w->nodes[from];
	struct leakgc_edge *edge;

	/* Once the world is sealed, the edges of what was LIVE before have been followed. */
	if (w->sealed && leakgc_world_is_live(w, from)) {
		leakgc_world_mark_from(w, from, to);
		return 0;
	}
	if (w->edge_count == COUNT_MAX)
		return -ENOMEM;
	edge = leakgc_arena_take_top(&w->arena, sizeof(*edge));
	if (!edge)
		return -ENOMEM;
	*edge = (struct leakgc_edge){to, kind, info->first_edge};
	info->first_edge = w->edge_count++;
	return 0;
}

int leakgc_world_add_edge(struct leakgc_world *w, uint32_t from, uint32_t to)
{
	uint32_t first = w->nodes[from].first_edge;

	/* A stack often holds the same pointer many times in a row. */
	if (first != LEAKGC_NO_EDGE && leakgc_world_edge(w, first)->to == to)
		return 0;
	return add_edge(w, from, to, LEAKGC_EDGE_REACHES);
}

int leakgc_world_add_wait(struct leakgc_world *w, leakgc_node task, leakgc_node object)
{
	return add_edge(w, object, task, LEAKGC_EDGE_WAITS);
}

int leakgc_world_add_owner_wait(struct leakgc_world *w, leakgc_node waiter, leakgc_node owner)
{
	return add_edge(w, owner, waiter, LEAKGC_EDGE_OWNS);
}

void leakgc_world_set_dead_owner(struct leakgc_world *w, leakgc_node object, uint64_t task)
{
	w->nodes[object].id = task;
}

int leakgc_world_add_hold(struct leakgc_world *w, leakgc_node task, leakgc_node object)
{
	return add_edge(w, task, object, LEAKGC_EDGE_OWNS);
}

int leakgc_world_add_reach(struct leakgc_world *w, leakgc_node task, leakgc_node object)
{
	return add_edge(w, task, object, LEAKGC_EDGE_REACHES);
}

int leakgc_world_mask(struct leakgc_world *w, uintptr_t lo, uintptr_t hi)
{
	if (w->mask_count == w->mask_room)
		return -ENOMEM;
	w->masks[w->mask_count++] = (struct leakgc_range){lo, hi};
	return 0;
}

int leakgc_world_add_region(struct leakgc_world *w, uintptr_t lo, uintptr_t hi, size_t block_size)
{
	size_t at = w->region_count;

	if (at == LEAKGC_REGIONS_MAX || leakgc_without(w, LEAKGC_WITHOUT_HEAP))
		return 0;
	for (; at && w->regions[at - 1].lo > lo; at--)
		w->regions[at] = w->regions[at - 1];
	w->regions[at] = (struct leakgc_block_region){lo, hi, block_size};
	w->region_count++;
	return 0;
}

const struct leakgc_limits *leakgc_world_limits(const struct leakgc_world *w)
{
	return w->limits;
}

void leakgc_world_mark_live(struct leakgc_world *w, uint32_t node, enum strand_root_kind kind,
			    uint64_t root)
{
	struct leakgc_node_info *info = &w->nodes[node];

	if (info->flags & LEAKGC_NODE_LIVE)
		return;
	info->flags |= LEAKGC_NODE_LIVE;
	info->root_kind = (uint8_t)kind;
	info->root = root;
	if (is_open_candidate(info))
		w->candidates_open--;
	w->work[w->work_count++] = node;
}

/* People want the live task that holds the pointer; of an object, what keeps the object. */
void leakgc_world_mark_from(struct leakgc_world *w, uint32_t from, uint32_t to)
{
	const struct leakgc_node_info *info = &w->nodes[from];

	if (leakgc_world_is_live(w, to))
		return;
	if (info->flags & LEAKGC_NODE_TASK)
		leakgc_world_mark_live(w, to, STRAND_ROOT_TASK, info->id);
	else
		leakgc_world_mark_live(w, to, info->root_kind, info->root);
	w->nodes[to].live_from = from;
}

void leakgc_world_propagate(struct leakgc_world *w)
{
	while (w->work_count) {
		uint32_t from = w->work[--w->work_count];
		uint32_t i = w->nodes[from].first_edge;

		while (i != LEAKGC_NO_EDGE) {
			const struct leakgc_edge *edge = leakgc_world_edge(w, i);

			leakgc_world_mark_from(w, from, edge->to);
			i = edge->next;
		}
	}
}

/* SPDX-License-Identifier: MIT */
/* A world that was described while threads ran, and what has changed since. See leakgc.h. */
#include <errno.h>
#include <string.h>

#include "leakgc/world.h"

/* Stacks and arguments of tasks that ran meanwhile, buffers of new channels. */
#define ROOTS_MAX (1u << 20)

int leakgc_world_read(struct leakgc_world *w, const void *from, void *to, size_t length)
{
	return leakgc_memory_read(w->memory, (uintptr_t)from, to, length);
}

bool leakgc_world_is_node(const struct leakgc_world *w, leakgc_node node, const void *cookie)
{
	return node < w->node_count && cookie && w->nodes[node].cookie == cookie;
}

bool leakgc_world_is_open(const struct leakgc_world *w, leakgc_node node)
{
	return !leakgc_world_is_live(w, node);
}

int leakgc_world_list_open(struct leakgc_world *w)
{
	size_t mask_words = w->mask_count / 64 + 1;

	w->open = leakgc_arena_take(&w->arena, w->node_count * sizeof(*w->open));
	w->roots = leakgc_arena_take(&w->arena, ROOTS_MAX * sizeof(*w->roots));
	w->kept = leakgc_arena_take(&w->arena, mask_words * sizeof(*w->kept));
	if (!w->open || !w->roots || !w->kept)
		return -ENOMEM;
	w->root_room = ROOTS_MAX;
	memset(w->kept, 0, mask_words * sizeof(*w->kept));
	for (uint32_t i = 0; i < w->node_count; i++)
		if (!leakgc_world_is_live(w, i))
			w->open[w->open_count++] = i;
	return 0;
}

const void *leakgc_world_next_open(struct leakgc_world *w, size_t *at, leakgc_node *ret_node)
{
	while (*at < w->open_count) {
		uint32_t node = w->open[(*at)++];

		/* A block is the search's own, and has no cookie. */
		if (leakgc_world_is_live(w, node) || !w->nodes[node].cookie)
			continue;
		*ret_node = node;
		return w->nodes[node].cookie;
	}
	return NULL;
}

bool leakgc_world_is_task(const struct leakgc_world *w, leakgc_node node)
{
	return w->nodes[node].flags & LEAKGC_NODE_TASK;
}

bool leakgc_world_is_park(const struct leakgc_world *w, leakgc_node node, uint64_t id,
			  uint64_t generation)
{
	return w->nodes[node].id == id && w->nodes[node].generation == generation;
}

struct leakgc_object leakgc_world_object_of(const struct leakgc_world *w, leakgc_node node)
{
	const struct leakgc_node_info *info = &w->nodes[node];

	return (struct leakgc_object){
		.cookie = info->cookie,
		.lo = info->body.lo,
		.hi = info->body.hi,
		.content_lo = info->content.lo,
		.content_hi = info->content.hi,
		.live = leakgc_world_is_live(w, node),
	};
}

void leakgc_world_changed(struct leakgc_world *w, leakgc_node node)
{
	leakgc_world_mark_live(w, node, STRAND_ROOT_RUNTIME, w->nodes[node].object_name);
}

int leakgc_world_add_root(struct leakgc_world *w, uintptr_t lo, uintptr_t hi)
{
	if (lo >= hi)
		return 0;
	if (w->root_count == w->root_room)
		return -ENOMEM;
	w->roots[w->root_count++] = (struct leakgc_range){lo, hi};
	return 0;
}

int leakgc_world_keep_mask(struct leakgc_world *w, uintptr_t lo, uintptr_t hi)
{
	for (size_t n = 0; n < w->mask_count; n++) {
		size_t i = (w->next_kept + n) % w->mask_count; /* mostly in the same order */

		if (w->masks[i].lo != lo || w->masks[i].hi != hi)
			continue;
		w->next_kept = i + 1;
		w->kept_count += !(w->kept[i / 64] >> i % 64 & 1);
		w->kept[i / 64] |= 1ULL << i % 64;
		break;
	}
	return 0;
}

bool leakgc_world_is_kept(const struct leakgc_world *w, uintptr_t address)
{
	if (w->kept_count == w->mask_count)
		return true;
	for (size_t i = 0; i < w->mask_count; i++)
		if (address >= w->masks[i].lo && address < w->masks[i].hi &&
		    !(w->kept[i / 64] >> i % 64 & 1))
			return false;
	return true;
}

int leakgc_world_end_changes(struct leakgc_world *w)
{
	int r = 0;

	for (size_t i = 0; i < w->mask_count && r == 0; i++)
		if (!(w->kept[i / 64] >> i % 64 & 1))
			r = leakgc_world_add_root(w, w->masks[i].lo, w->masks[i].hi);
	leakgc_world_propagate(w);
	return r;
}

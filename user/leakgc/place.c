/* SPDX-License-Identifier: MIT */
/* Where things lie: regions, owners of memory, heap blocks, and nodes inside of others. */
#include <errno.h>
#include <string.h>

#include "leakgc/state.h"
#include "leakgc/syscall.h"

/* ---- regions ---------------------------------------------------------------- */

static int add_region(void *context, const struct leakgc_region *region)
{
	struct leakgc_state *s = context;
	struct leakgc_scan_region *scan;
	bool files = false;

	if (region->backing == LEAKGC_BACKING_KERNEL || region->backing == LEAKGC_BACKING_UPROBES)
		return 0;
	if (region->hi - 1 > s->address_mask)
		s->address_mask = (1ULL << 56) - 1; /* five-level page tables: 57 bits in all */
	/* A huge page that the parent needed may have been taken out of the snapshot. */
	if (s->e->memory->kind == LEAKGC_MEMORY_SNAPSHOT &&
	    (region->vm_flags & LEAKGC_VM_WIPEONFORK ||
	     (region->vm_flags & LEAKGC_VM_HUGETLB && !region->shared)) &&
	    !leakgc_without(s->w, LEAKGC_WITHOUT_INHERITANCE))
		return leakgc_stop_because(s, STRAND_CAUSE_MEMORY_NOT_INHERITED, region->lo);
	if (region->shared) {
		/* Copied when the world stood still, but for files that nobody writes here. */
		if (region->backing != LEAKGC_BACKING_FILE || region->writable ||
		    (s->e->memory->kind == LEAKGC_MEMORY_SNAPSHOT &&
		     !(region->vm_flags & LEAKGC_VM_MAY_WRITE)))
			return 0;
		files = true;
	}
	if (!region->readable && leakgc_without(s->w, LEAKGC_WITHOUT_PROTECTED))
		return 0;
	scan = leakgc_arena_append(&s->w->arena, sizeof(*scan));
	if (!scan)
		return leakgc_out_of_memory(s);
	*scan = (struct leakgc_scan_region){region->lo, region->hi, files};
	s->region_count++;
	if (region->backing != LEAKGC_BACKING_ANONYMOUS || region->shared)
		return 0;
	return leakgc_heap_add_region(&s->heap, region->lo, region->hi);
}

static int read_regions(struct leakgc_state *s)
{
	int r;

	s->regions = leakgc_arena_take(&s->w->arena, 0);
	r = leakgc_memory_regions(s->e->memory, (char *)s->e->chunk, LEAKGC_CHUNK, add_region, s);
	return r < 0 ? leakgc_stop_because(s, STRAND_CAUSE_SYSTEM, (uint64_t)-r) : 0;
}

/* ---- owners ------------------------------------------------------------------- */

static int build_owners(struct leakgc_state *s)
{
	struct leakgc_world *w = s->w;
	size_t room = 2 * (size_t)w->node_count + w->mask_count + s->e->own_count, n = 0;
	struct leakgc_extent *x = leakgc_arena_take(&w->arena, room * sizeof(*x));

	if (!x)
		return leakgc_out_of_memory(s);
	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct leakgc_node_info *info = &w->nodes[i];

		/* What lies in an object, but for its content, is the runtime's. */
		if (info->flags & LEAKGC_NODE_TASK)
			x[n++] = (struct leakgc_extent){info->body.lo, info->body.hi, i};
		x[n++] = (struct leakgc_extent){info->content.lo, info->content.hi, i};
	}
	for (size_t i = 0; i < w->mask_count; i++)
		x[n++] = (struct leakgc_extent){w->masks[i].lo, w->masks[i].hi, LEAKGC_MASKED};
	for (size_t i = 0; i < s->e->own_count; i++)
		x[n++] = (struct leakgc_extent){s->e->own[i].lo, s->e->own[i].hi, LEAKGC_MASKED};
	return leakgc_cover_build(&w->arena, x, n, &s->owners) < 0 ? leakgc_out_of_memory(s) : 0;
}

/* ---- segments ----------------------------------------------------------------- */

struct leakgc_segment leakgc_segment_at(const struct leakgc_cover *cover, size_t index)
{
	struct leakgc_segment g = {.hi = UINTPTR_MAX};
	size_t next = index == LEAKGC_COVER_NONE ? 0 : index + 1;

	if (next < cover->count)
		g.hi = cover->start[next];
	if (index == LEAKGC_COVER_NONE)
		return g;
	g.members = cover->member + cover->first[index];
	g.member_count = cover->first[index + 1] - cover->first[index];
	for (size_t i = 0; i < g.member_count; i++)
		g.masked |= g.members[i] == LEAKGC_MASKED;
	return g;
}

bool leakgc_segment_is_ignored(const struct leakgc_segment *g)
{
	for (size_t i = 0; i < g->member_count; i++)
		if (g->members[i] != LEAKGC_MASKED)
			return false;
	return g->masked;
}

/* ---- heap blocks ---------------------------------------------------------------- */

static int make_block_table(struct leakgc_state *s)
{
	uint32_t slots = 1;

	if (!s->w->block_room)
		return 0;
	while (slots < 2 * s->w->block_room)
		slots *= 2;
	s->blocks = leakgc_arena_take(&s->w->arena, slots * sizeof(*s->blocks));
	if (!s->blocks)
		return leakgc_out_of_memory(s);
	memset(s->blocks, 0, slots * sizeof(*s->blocks));
	s->block_slots = slots;
	return 0;
}

/* The node of a block, made if there is none yet. false: there is no room for it. */
static bool block_node(struct leakgc_state *s, const struct leakgc_chunk *block, uint32_t *ret_node)
{
	uint32_t slot = (uint32_t)((block->lo >> 4) * 0x9e3779b97f4a7c15ULL >> 32);

	for (;; slot++) {
		uint32_t *at = &s->blocks[slot & (s->block_slots - 1)];

		if (*at && s->w->nodes[*at - 1].body.lo != block->lo)
			continue;
		if (!*at) {
			if (!leakgc_world_add_block(s->w, block->lo, block->hi, ret_node))
				return false;
			*at = *ret_node + 1;
		}
		*ret_node = *at - 1;
		return true;
	}
}

/* Regions that the program has declared come first: they may lie in blocks of malloc. */
static bool find_in_region(const struct leakgc_world *w, uintptr_t address,
			   struct leakgc_chunk *ret_block)
{
	const struct leakgc_block_region *r;
	size_t low = 0, high = w->region_count;
	uintptr_t lo;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (w->regions[middle].lo <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || address >= w->regions[low - 1].hi)
		return false;
	r = &w->regions[low - 1];
	lo = address - (address - r->lo) % r->block_size;
	*ret_block =
		(struct leakgc_chunk){lo, r->hi - lo < r->block_size ? r->hi : lo + r->block_size};
	return true;
}

enum leakgc_heap_holder leakgc_holder_of(struct leakgc_state *s, uintptr_t address,
					 uint32_t *ret_block)
{
	struct leakgc_chunk block;
	enum leakgc_heap_holder holder = LEAKGC_HOLDER_BLOCK;

	if (!find_in_region(s->w, address, &block))
		holder = leakgc_heap_find(&s->heap, address, &block);
	if (holder != LEAKGC_HOLDER_BLOCK)
		return holder;
	if (!s->block_slots || !block_node(s, &block, ret_block))
		return LEAKGC_HOLDER_ROOT;
	return LEAKGC_HOLDER_BLOCK;
}

int leakgc_connect(struct leakgc_state *s, uint32_t from, uint32_t to)
{
	if (from == LEAKGC_MASKED || from == to)
		return 0;
	if (leakgc_world_is_live(s->w, from))
		leakgc_world_mark_from(s->w, from, to);
	else if (leakgc_world_add_edge(s->w, from, to) < 0)
		return leakgc_out_of_memory(s);
	return 0;
}

/*
 * An object in memory that nobody masked: whoever reaches the block around it reaches it.
 * Where it is no block, or more than one, it is LIVE.
 */
static int place_in_block(struct leakgc_state *s, uint32_t node, uintptr_t lo, uintptr_t hi)
{
	bool is_task = s->w->nodes[node].flags & LEAKGC_NODE_TASK;
	uint32_t block;

	if (!is_task && leakgc_holder_of(s, lo, &block) == LEAKGC_HOLDER_BLOCK &&
	    hi <= s->w->nodes[block].body.hi) {
		if (leakgc_without(s->w, LEAKGC_WITHOUT_EMBEDDING))
			return 0;
		return leakgc_connect(s, block, node);
	}
	leakgc_world_mark_live(s->w, node, STRAND_ROOT_MEMORY, lo);
	return 0;
}

/* ---- containment (I3) --------------------------------------------------------- */

static int place_range(struct leakgc_state *s, uint32_t node, uintptr_t lo, uintptr_t hi)
{
	bool is_task = s->w->nodes[node].flags & LEAKGC_NODE_TASK;
	size_t index = leakgc_cover_find(&s->owners, lo);

	while (lo < hi) {
		struct leakgc_segment g = leakgc_segment_at(&s->owners, index);
		bool held = false;

		for (size_t i = 0; i < g.member_count; i++) {
			uint32_t holder = g.members[i];

			if (holder == LEAKGC_MASKED || holder == node || is_task)
				continue;
			held = true;
			if (leakgc_connect(s, holder, node) < 0)
				return -ECANCELED;
		}
		if (!g.masked && !held && place_in_block(s, node, lo, g.hi < hi ? g.hi : hi) < 0)
			return -ECANCELED;
		lo = g.hi;
		index = index == LEAKGC_COVER_NONE ? 0 : index + 1;
	}
	return 0;
}

static int place_nodes(struct leakgc_state *s)
{
	if (leakgc_without(s->w, LEAKGC_WITHOUT_CONTAINMENT))
		return 0;
	for (uint32_t i = 0; i < s->w->node_count; i++) {
		const struct leakgc_node_info *info = &s->w->nodes[i];
		uintptr_t hi = info->body.hi;

		if (info->flags & LEAKGC_NODE_LIVE)
			continue;
		if (!(info->flags & LEAKGC_NODE_TASK) && hi == info->body.lo)
			hi++; /* an object of no size still is somewhere */
		if (place_range(s, i, info->body.lo, hi) < 0 ||
		    place_range(s, i, info->content.lo, info->content.hi) < 0)
			return -ECANCELED;
	}
	return 0;
}

int leakgc_place(struct leakgc_state *s)
{
	int r = 0;

	/* malloc may be at work on live memory: then its chunks tell nothing. */
	if (s->e->memory->kind == LEAKGC_MEMORY_SNAPSHOT &&
	    leakgc_heap_look(&s->heap, s->w, s->e->memory, s->e->chunk) < 0)
		return leakgc_out_of_memory(s);
	r = read_regions(s);
	if (r == 0)
		r = make_block_table(s);
	if (r < 0)
		return r;
	leakgc_heap_self_test(&s->heap);
	r = build_owners(s);
	return r < 0 ? r : place_nodes(s);
}

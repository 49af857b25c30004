/* SPDX-License-Identifier: MIT */
/*
 * The backward search: who points at the few nodes that are not LIVE?
 *
 * I1. Every byte of scannable memory has an owner: the nodes whose stack, data or
 *     content holds it; nobody, where the runtime masked it; else it is a root.
 *     A word that points at a node makes an edge from its owner, or from a root
 *     makes the node LIVE.
 * I2. LIVE only grows. Edges are recorded whether or not their owner is LIVE, so
 *     one pass over memory is complete: what becomes LIVE later follows them.
 * I3. A node that lies in memory that nobody masked, or inside another node, is
 *     reachable without any stored pointer: by the address in the code, or from
 *     the stack pointer. The first is LIVE, the second an edge from its holder.
 * I4. A pass that cannot read, find memory or finish in time ends the search with a
 *     cause. There is no verdict then: a partial pass proves nothing.
 *
 * Two passes: words at every fourth byte first, which settles almost all; then,
 * if some task still looks leaked, words at every byte, for packed structures.
 */
#include "leakgc/search.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "leakgc/cover.h"
#include "leakgc/maps.h"
#include "leakgc/stop.h"
#include "leakgc/syscall.h"

/* After so much processor time the search runs only when nobody else wants to. */
#define YIELD_AFTER_NS   100000000

/* The filter has at most 2^26 bits (8 MB): it should stay near the caches. */
#define FILTER_BITS_MAX  (1ULL << 26)
#define FILTER_SHIFT_MIN 4

/* A masked stretch shorter than this is read along with its neighbours. */
#define MASKED_SKIP      16384

/* Member of the owner cover that stands for "masked". */
#define MASKED           UINT32_MAX

struct scan_region {
	uintptr_t lo;
	uintptr_t hi;
	bool files; /* clean pages of the file count too */
};

struct search {
	const struct leakgc_examination *e;
	struct leakgc_world *w;
	struct scan_region *regions;
	size_t region_count;
	uint64_t address_mask; /* which bits of a word are an address, without tags */
	struct leakgc_cover owners;
	struct leakgc_cover targets;
	uint64_t *filter; /* a bit per granule of [min, min + span] that has a target */
	unsigned filter_shift;
	uintptr_t target_min;
	uintptr_t target_span;
	size_t stride;
	int64_t yield_after_ns; /* of processor time; INT64_MAX: never (again) */
	uint64_t scanned_bytes;
	enum strand_search_cause cause;
	uint64_t detail;
};

/* Who holds the words that are being scanned. */
struct owner {
	const uint32_t *nodes;
	size_t node_count; /* 0: a root */
	enum strand_root_kind kind;
};

static int stop_because(struct search *s, enum strand_search_cause cause, uint64_t detail)
{
	if (!s->cause) {
		s->cause = cause;
		s->detail = detail;
	}
	return -ECANCELED;
}

static int out_of_memory(struct search *s)
{
	return stop_because(s, STRAND_CAUSE_MEMORY_BUDGET, s->w->limits->memory);
}

/* ---- regions ---------------------------------------------------------------- */

static int add_region(void *context, const struct leakgc_region *region)
{
	struct search *s = context;
	struct scan_region *scan;
	bool files = false;

	if (region->backing == LEAKGC_BACKING_KERNEL || region->backing == LEAKGC_BACKING_UPROBES)
		return 0;
	if (region->hi - 1 > s->address_mask)
		s->address_mask = (1ULL << 56) - 1; /* five-level page tables: 57 bits in all */
	/* A huge page that the parent needed may have been taken out of the snapshot. */
	if ((region->vm_flags & LEAKGC_VM_WIPEONFORK ||
	     (region->vm_flags & LEAKGC_VM_HUGETLB && !region->shared)) &&
	    !leakgc_without(s->w, LEAKGC_WITHOUT_INHERITANCE))
		return stop_because(s, STRAND_CAUSE_MEMORY_NOT_INHERITED, region->lo);
	if (region->shared) {
		/* Copied when the world stood still, but for files that nobody writes here. */
		if (region->backing != LEAKGC_BACKING_FILE || region->writable ||
		    !(region->vm_flags & LEAKGC_VM_MAY_WRITE))
			return 0;
		files = true;
	}
	if (!region->readable && leakgc_without(s->w, LEAKGC_WITHOUT_PROTECTED))
		return 0;
	scan = leakgc_arena_append(&s->w->arena, sizeof(*scan));
	if (!scan)
		return out_of_memory(s);
	*scan = (struct scan_region){region->lo, region->hi, files};
	s->region_count++;
	return 0;
}

static int read_regions(struct search *s)
{
	int fd = leakgc_open("/proc/thread-self/smaps"), r;

	if (fd < 0)
		return stop_because(s, STRAND_CAUSE_SYSTEM, (uint64_t)-fd);
	s->regions = leakgc_arena_take(&s->w->arena, 0);
	r = leakgc_walk_maps(fd, (char *)s->e->chunk, LEAKGC_CHUNK, add_region, s);
	leakgc_close(fd);
	return r < 0 ? stop_because(s, STRAND_CAUSE_SYSTEM, (uint64_t)-r) : 0;
}

/* ---- owners ------------------------------------------------------------------- */

static int build_owners(struct search *s)
{
	struct leakgc_world *w = s->w;
	size_t room = 2 * (size_t)w->node_count + w->mask_count + s->e->own_count, n = 0;
	struct leakgc_extent *x = leakgc_arena_take(&w->arena, room * sizeof(*x));

	if (!x)
		return out_of_memory(s);
	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct leakgc_node_info *info = &w->nodes[i];

		/* What lies in an object, but for its content, is the runtime's. */
		if (info->flags & LEAKGC_NODE_TASK)
			x[n++] = (struct leakgc_extent){info->body.lo, info->body.hi, i};
		x[n++] = (struct leakgc_extent){info->content.lo, info->content.hi, i};
	}
	for (size_t i = 0; i < w->mask_count; i++)
		x[n++] = (struct leakgc_extent){w->masks[i].lo, w->masks[i].hi, MASKED};
	for (size_t i = 0; i < s->e->own_count; i++)
		x[n++] = (struct leakgc_extent){s->e->own[i].lo, s->e->own[i].hi, MASKED};
	return leakgc_cover_build(&w->arena, x, n, &s->owners) < 0 ? out_of_memory(s) : 0;
}

struct segment {
	uintptr_t hi; /* end */
	bool masked;
	const uint32_t *members; /* MASKED among them */
	size_t member_count;
};

/* The stretch of one owner that starts at an address. @index: of the cover, or NONE. */
static struct segment segment_at(const struct leakgc_cover *cover, size_t index)
{
	struct segment g = {.hi = UINTPTR_MAX};
	size_t next = index == LEAKGC_COVER_NONE ? 0 : index + 1;

	if (next < cover->count)
		g.hi = cover->start[next];
	if (index == LEAKGC_COVER_NONE)
		return g;
	g.members = cover->member + cover->first[index];
	g.member_count = cover->first[index + 1] - cover->first[index];
	for (size_t i = 0; i < g.member_count; i++)
		g.masked |= g.members[i] == MASKED;
	return g;
}

/* Masked, and no node's: nothing in there counts. */
static bool is_ignored(const struct segment *g)
{
	for (size_t i = 0; i < g->member_count; i++)
		if (g->members[i] != MASKED)
			return false;
	return g->masked;
}

/* ---- containment (I3) --------------------------------------------------------- */

static int place_range(struct search *s, uint32_t node, uintptr_t lo, uintptr_t hi)
{
	bool is_task = s->w->nodes[node].flags & LEAKGC_NODE_TASK;
	size_t index = leakgc_cover_find(&s->owners, lo);

	while (lo < hi) {
		struct segment g = segment_at(&s->owners, index);
		bool held = false;

		for (size_t i = 0; i < g.member_count; i++) {
			uint32_t holder = g.members[i];

			if (holder == MASKED || holder == node || is_task)
				continue;
			held = true;
			if (leakgc_world_is_live(s->w, holder))
				leakgc_world_mark_from(s->w, holder, node);
			else if (leakgc_world_add_edge(s->w, holder, node) < 0)
				return out_of_memory(s);
		}
		if (!g.masked && !held)
			leakgc_world_mark_live(s->w, node, STRAND_ROOT_MEMORY, lo);
		lo = g.hi;
		index = index == LEAKGC_COVER_NONE ? 0 : index + 1;
	}
	return 0;
}

static int place_nodes(struct search *s)
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

/* ---- targets -------------------------------------------------------------------- */

static void add_target(const struct search *s, struct leakgc_extent *x, size_t *n,
		       struct leakgc_range range, uint32_t node)
{
	uintptr_t padding = leakgc_without(s->w, LEAKGC_WITHOUT_PADDING) ? 0 : 1;

	if (range.lo < range.hi || (range.lo && !(s->w->nodes[node].flags & LEAKGC_NODE_TASK)))
		x[(*n)++] = (struct leakgc_extent){range.lo & s->address_mask,
						   (range.hi & s->address_mask) + padding, node};
}

static int build_filter(struct search *s)
{
	const struct leakgc_cover *t = &s->targets;
	size_t size;

	/* The last segment is the end of the last target and has no members. */
	s->target_min = t->start[0];
	s->target_span = t->start[t->count - 1] - 1 - t->start[0];
	s->filter_shift = FILTER_SHIFT_MIN;
	while (s->target_span >> s->filter_shift >= FILTER_BITS_MAX)
		s->filter_shift++;
	size = ((s->target_span >> s->filter_shift) / 64 + 1) * sizeof(*s->filter);
	s->filter = leakgc_arena_take(&s->w->arena, size);
	if (!s->filter)
		return out_of_memory(s);
	memset(s->filter, 0, size);
	for (size_t i = 0; i + 1 < t->count; i++) {
		uint64_t bit = (t->start[i] - s->target_min) >> s->filter_shift;
		uint64_t last = (t->start[i + 1] - 1 - s->target_min) >> s->filter_shift;

		for (; t->first[i] != t->first[i + 1] && bit <= last; bit++)
			s->filter[bit / 64] |= 1ULL << bit % 64;
	}
	return 0;
}

/* Targets are the nodes that are not LIVE: nothing else can change. */
static int build_targets(struct search *s)
{
	struct leakgc_world *w = s->w;
	size_t n = 0;
	struct leakgc_extent *x =
		leakgc_arena_take(&w->arena, 2 * (size_t)w->node_count * sizeof(*x));

	if (!x)
		return out_of_memory(s);
	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct leakgc_node_info *info = &w->nodes[i];

		if (info->flags & LEAKGC_NODE_LIVE)
			continue;
		/*
		 * A pointer into a candidate's stack does not wake it, but whatever that
		 * stack refers to is reachable through it: so it counts as LIVE.
		 */
		if ((info->flags & LEAKGC_NODE_TASK) &&
		    leakgc_without(w, LEAKGC_WITHOUT_STACK_TARGETS))
			continue;
		add_target(s, x, &n, info->body, i);
		if (info->content.lo < info->content.hi)
			add_target(s, x, &n, info->content, i);
	}
	if (leakgc_cover_build(&w->arena, x, n, &s->targets) < 0)
		return out_of_memory(s);
	return s->targets.count ? build_filter(s) : 0;
}

/* ---- words ---------------------------------------------------------------------- */

static int hit_node(struct search *s, const struct owner *owner, uint32_t target, uint64_t location)
{
	if (leakgc_world_is_live(s->w, target))
		return 0;
	if (!owner->node_count) {
		leakgc_world_mark_live(s->w, target, owner->kind, location);
		return 0;
	}
	for (size_t i = 0; i < owner->node_count; i++) {
		uint32_t from = owner->nodes[i];

		if (from == MASKED || from == target)
			continue;
		if (leakgc_world_is_live(s->w, from))
			leakgc_world_mark_from(s->w, from, target);
		else if (leakgc_world_add_edge(s->w, from, target) < 0)
			return out_of_memory(s);
	}
	return 0;
}

static bool may_hit(const struct search *s, uint64_t word)
{
	uint64_t offset = (word & s->address_mask) - s->target_min;
	uint64_t bit = offset >> s->filter_shift;

	return offset <= s->target_span && (s->filter[bit / 64] >> bit % 64 & 1);
}

static int hit(struct search *s, const struct owner *owner, uint64_t word, uint64_t location)
{
	size_t index = leakgc_cover_find(&s->targets, word & s->address_mask);
	struct segment g;
	int r = 0;

	if (index == LEAKGC_COVER_NONE)
		return 0;
	g = segment_at(&s->targets, index);
	for (size_t i = 0; i < g.member_count && !r; i++)
		r = hit_node(s, owner, g.members[i], location);
	return r;
}

static int look_at_word(struct search *s, const struct owner *owner, const unsigned char *at,
			uintptr_t address)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return may_hit(s, word) ? hit(s, owner, word, address) : 0;
}

/*
 * Most words point nowhere near a target, so they are rejected in blocks: bits 16
 * to 47 of a word are the four bytes at its address + 2, and four of those at a time
 * are compared with the same bits of [target_min, target_min + target_span].
 * A block may pass for nothing; it must never fail to pass.
 */
#define BLOCK 64

typedef uint32_t lanes __attribute__((vector_size(16)));

struct block_filter {
	uint32_t min;
	uint32_t span;
	bool usable; /* targets above 48 bits: no block may be rejected */
};

static struct block_filter block_filter(const struct search *s)
{
	uintptr_t max = s->target_min + s->target_span;

	return (struct block_filter){
		.min = (uint32_t)(s->target_min >> 16),
		.span = (uint32_t)(max >> 16) - (uint32_t)(s->target_min >> 16),
		.usable = max >> 48 == 0,
	};
}

/* Could a word that begins in the block, at a multiple of the stride, point at a target? */
static inline bool block_passes(struct block_filter f, const unsigned char *at, size_t stride)
{
	lanes min = {f.min, f.min, f.min, f.min};
	lanes span = {f.span, f.span, f.span, f.span};
	lanes found = {0, 0, 0, 0};
	uint64_t halves[2];

	for (size_t phase = 0; phase < sizeof(uint32_t); phase += stride) {
		for (size_t i = 0; i < BLOCK; i += sizeof(lanes)) {
			lanes middle;

			memcpy(&middle, at + 2 + phase + i, sizeof(middle));
			found |= (lanes)(middle - min <= span);
		}
	}
	memcpy(halves, &found, sizeof(halves));
	return halves[0] | halves[1];
}

/* A copy for each stride, so that the compiler knows it. */
static inline __attribute__((always_inline)) int scan_by(struct search *s,
							 const struct owner *owner,
							 const unsigned char *bytes, size_t length,
							 uintptr_t address, const size_t stride)
{
	struct block_filter f = block_filter(s);
	size_t at = -address & (stride - 1);
	int r = 0;

	while (at + sizeof(uint64_t) <= length && !r) {
		size_t end = length - sizeof(uint64_t) + 1; /* words begin before it */

		if (end > BLOCK && at < end - BLOCK) {
			end = at + BLOCK;
			if (f.usable && !block_passes(f, bytes + at, stride)) {
				at = end;
				continue;
			}
		}
		for (; at < end && !r; at += stride)
			r = look_at_word(s, owner, bytes + at, address + at);
	}
	return r;
}

static int scan_bytes(struct search *s, const struct owner *owner, const unsigned char *bytes,
		      size_t length, uintptr_t address)
{
	s->scanned_bytes += length;
	if (s->stride == 1)
		return scan_by(s, owner, bytes, length, address, 1);
	if (s->stride == 4)
		return scan_by(s, owner, bytes, length, address, 4);
	return scan_by(s, owner, bytes, length, address, 8);
}

static int check_time(struct search *s)
{
	if (leakgc_now() > s->e->deadline_ns)
		return stop_because(s, STRAND_CAUSE_TIME_BUDGET, s->scanned_bytes);
	if (leakgc_clock(CLOCK_PROCESS_CPUTIME_ID) > s->yield_after_ns) {
		struct sched_param zero = {0};

		s->yield_after_ns = INT64_MAX;
		LEAKGC_SYS3(SYS_sched_setscheduler, 0, SCHED_IDLE, &zero);
	}
	return 0;
}

/*
 * Scan [lo, hi), owner by owner. @bytes holds it already, or is NULL: then each
 * piece that counts is read on its own.
 */
static int scan_owners(struct search *s, const unsigned char *bytes, uintptr_t lo, uintptr_t hi)
{
	size_t index = leakgc_cover_find(&s->owners, lo);
	uintptr_t at = lo;
	int r = 0;

	while (at < hi && !r) {
		struct segment g = segment_at(&s->owners, index);
		struct owner owner = {g.members, g.member_count, STRAND_ROOT_MEMORY};
		uintptr_t end = g.hi < hi ? g.hi : hi;
		const unsigned char *piece = bytes ? bytes + (at - lo) : s->e->chunk;

		if (!is_ignored(&g)) {
			if (!bytes &&
			    leakgc_memory_read(s->e->memory, at, s->e->chunk, end - at) < 0)
				return stop_because(s, STRAND_CAUSE_UNREADABLE_MEMORY, at);
			r = scan_bytes(s, &owner, piece, end - at, at);
		}
		at = end;
		index = index == LEAKGC_COVER_NONE ? 0 : index + 1;
	}
	return r;
}

/* Where a masked stretch that is worth not reading begins or ends, from an address on. */
static uintptr_t next_stretch(const struct search *s, uintptr_t at, uintptr_t hi, bool *ret_skip)
{
	size_t index = leakgc_cover_find(&s->owners, at);
	uintptr_t lo = at;

	*ret_skip = false;
	while (lo < hi) {
		struct segment g = segment_at(&s->owners, index);
		uintptr_t end = g.hi < hi ? g.hi : hi;

		if (is_ignored(&g) && (end - lo >= MASKED_SKIP || end == hi)) {
			*ret_skip = lo == at;
			return *ret_skip ? end : lo;
		}
		lo = end;
		index = index == LEAKGC_COVER_NONE ? 0 : index + 1;
	}
	return hi;
}

/* Scan memory [lo, hi), all of which holds data. */
static int scan_live(struct search *s, uintptr_t lo, uintptr_t hi)
{
	int r = 0;

	while (lo < hi && !r) {
		uintptr_t limit = hi - lo > LEAKGC_CHUNK ? lo + LEAKGC_CHUNK : hi;
		bool skip;
		uintptr_t end = next_stretch(s, lo, limit, &skip);

		if (skip) {
			lo = end;
			continue;
		}
		if (leakgc_memory_read(s->e->memory, lo, s->e->chunk, end - lo) == 0)
			r = scan_owners(s, s->e->chunk, lo, end);
		else /* a guard page in masked memory must not spoil its neighbours */
			r = scan_owners(s, NULL, lo, end);
		if (!r)
			r = check_time(s);
		/* Words that begin in this chunk and end in the next one. */
		lo = end < hi && end == limit ? end - sizeof(uint64_t) + s->stride : end;
	}
	return r;
}

static int scan_copies(struct search *s)
{
	for (size_t i = 0; i < s->w->copy_count; i++) {
		const struct leakgc_copy *copy = &s->w->copies[i];
		int r = scan_owners(s, copy->bytes, copy->address, copy->address + copy->length);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Registers of the stopped threads: roots even where their stack is masked. */
static int scan_registers(struct search *s)
{
	struct owner root = {.kind = STRAND_ROOT_MEMORY};

	for (size_t i = 0; i < s->w->root_range_count; i++) {
		uintptr_t lo = s->w->root_ranges[i].lo, hi = s->w->root_ranges[i].hi;
		int r;

		if (hi < lo || hi - lo > LEAKGC_CHUNK ||
		    leakgc_memory_read(s->e->memory, lo, s->e->chunk, hi - lo) < 0)
			return stop_because(s, STRAND_CAUSE_UNREADABLE_MEMORY, lo);
		r = scan_bytes(s, &root, s->e->chunk, hi - lo, lo);
		if (r < 0)
			return r;
	}
	return 0;
}

static int scan_kernel_words(struct search *s)
{
	struct owner kernel = {.kind = STRAND_ROOT_KERNEL};
	int r = 0;

	for (size_t i = 0; i < s->w->kernel_word_count && !r; i++) {
		const struct leakgc_kernel_word *k = &s->w->kernel_words[i];

		if (may_hit(s, k->word))
			r = hit(s, &kernel, k->word, k->root);
	}
	return r;
}

/* Join runs of pages that touch, so that a word across their border is seen. */
struct run {
	uintptr_t lo;
	uintptr_t hi;
};

static int scan_run(struct search *s, struct run *pending, uintptr_t lo, uintptr_t hi)
{
	int r = 0;

	if (pending->hi == lo) {
		pending->hi = hi;
		return 0;
	}
	if (pending->lo < pending->hi)
		r = scan_live(s, pending->lo, pending->hi);
	*pending = (struct run){lo, hi};
	return r;
}

static int scan_region(struct search *s, const struct scan_region *region, struct run *pending)
{
	uintptr_t at = region->lo;

	while (at < region->hi) {
		int n = leakgc_memory_runs(s->e->memory, &at, region->hi, region->files);

		if (n < 0)
			return stop_because(s, STRAND_CAUSE_SYSTEM, (uint64_t)-n);
		for (int i = 0; i < n; i++) {
			const struct leakgc_page_run *run = &s->e->memory->runs[i];

			if (scan_run(s, pending, run->lo, run->hi) < 0)
				return -ECANCELED;
		}
		leakgc_world_propagate(s->w);
		if (!s->w->candidates_open)
			return 0;
	}
	return check_time(s);
}

static int pass(struct search *s, size_t stride)
{
	struct run pending = {0, 0};
	int r;

	s->stride = stride;
	r = build_targets(s);
	if (r < 0 || !s->targets.count)
		return r;
	r = scan_kernel_words(s);
	if (r == 0)
		r = scan_registers(s);
	if (r == 0)
		r = scan_copies(s);
	leakgc_world_propagate(s->w);
	for (size_t i = 0; i < s->region_count && s->w->candidates_open && r == 0; i++)
		r = scan_region(s, &s->regions[i], &pending);
	if (r == 0 && s->w->candidates_open)
		r = scan_run(s, &pending, 0, 0);
	leakgc_world_propagate(s->w);
	return r;
}

/* ---- the search ------------------------------------------------------------------ */

static int describe(struct search *s)
{
	const struct leakgc_examination *e = s->e;
	int r = leakgc_world_begin(s->w);

	if (r == 0)
		r = e->runtime->describe(e->runtime->context, s->w, e->threads, e->thread_count);
	if (r == 0)
		r = leakgc_world_seal(s->w);
	if (r == -ENOMEM)
		return out_of_memory(s);
	if (r == -EBUSY)
		return stop_because(s, STRAND_CAUSE_RUNTIME_BUSY, 0);
	return r < 0 ? stop_because(s, STRAND_CAUSE_SYSTEM, (uint64_t)-r) : 0;
}

static int search(struct search *s)
{
	bool unaligned = !leakgc_without(s->w, LEAKGC_WITHOUT_UNALIGNED);
	uintptr_t mark;
	int r = describe(s);

	if (r == 0)
		r = read_regions(s);
	if (leakgc_without(s->w, LEAKGC_WITHOUT_TAG_MASK))
		s->address_mask = UINT64_MAX;
	if (r == 0)
		r = build_owners(s);
	if (r == 0)
		r = place_nodes(s);
	if (r < 0)
		return r;
	leakgc_world_propagate(s->w);
	mark = s->w->arena.next;
	if (s->w->candidates_open)
		r = pass(s, unaligned ? 4 : 8);
	s->w->arena.next = mark;
	if (r == 0 && unaligned && s->w->candidates_open)
		r = pass(s, 1);
	return r;
}

static void write_verdicts(struct search *s, struct leakgc_findings *f, size_t room)
{
	for (uint32_t i = 0; i < s->w->node_count; i++) {
		const struct leakgc_node_info *info = &s->w->nodes[i];
		bool live =
			info->flags & LEAKGC_NODE_LIVE && !(info->flags & LEAKGC_NODE_UNWAKEABLE);

		f->tasks += !!(info->flags & LEAKGC_NODE_TASK);
		if (!(info->flags & LEAKGC_NODE_CANDIDATE))
			continue;
		if (f->verdict_count == room) {
			out_of_memory(s);
			return;
		}
		f->candidates++;
		f->leaked += !live;
		f->verdicts[f->verdict_count++] = (struct leakgc_verdict){
			.task = info->id,
			.generation = info->generation,
			.object_name = info->object_name,
			.verdict = live ? STRAND_VERDICT_LIVE : STRAND_VERDICT_LEAKED,
			.root_kind = live ? info->root_kind : STRAND_ROOT_NONE,
			.root = live ? info->root : 0,
		};
	}
}

void leakgc_examine(const struct leakgc_examination *e, struct leakgc_findings *ret_findings,
		    size_t room)
{
	struct search s = {
		.e = e,
		.w = e->world,
		.address_mask = (1ULL << 48) - 1,
		.yield_after_ns = e->yield_cpu ? YIELD_AFTER_NS : INT64_MAX,
	};
	struct leakgc_findings *f = ret_findings;
	int r = leakgc_memory_open(e->memory);

	if (r < 0)
		stop_because(&s, STRAND_CAUSE_SYSTEM, (uint64_t)-r);
	else
		r = search(&s);
	leakgc_memory_close(e->memory);
	if (r == 0)
		write_verdicts(&s, f, room);
	if (s.cause) {
		f->leaked = 0;
		f->verdict_count = 0;
	}
	f->scanned_bytes = s.scanned_bytes;
	f->cause = s.cause;
	f->cause_detail = s.detail;
	f->complete = LEAKGC_FINDINGS_COMPLETE;
}

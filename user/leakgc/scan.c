/* SPDX-License-Identifier: MIT */
/* One pass over memory: which words point at a target, and who holds them? */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "leakgc/state.h"
#include "leakgc/stop.h"
#include "leakgc/syscall.h"

/* The filter has at most 2^26 bits (8 MB): it should stay near the caches. */
#define FILTER_BITS_MAX  (1ULL << 26)
#define FILTER_SHIFT_MIN 4

/* A masked stretch shorter than this is read along with its neighbours. */
#define MASKED_SKIP      16384

/* Who holds the words that are being scanned. */
struct owner {
	const uint32_t *nodes;
	size_t node_count; /* 0: a root, or a heap block */
	enum strand_root_kind kind;
	bool is_root; /* whatever lies there: registers and the kernel's words */
	bool masked;
};

/* ---- targets -------------------------------------------------------------------- */

static void add_target(const struct leakgc_state *s, struct leakgc_extent *x, size_t *n,
		       struct leakgc_range range, uint32_t node)
{
	uintptr_t padding = leakgc_without(s->w, LEAKGC_WITHOUT_PADDING) ? 0 : 1;

	if (range.lo < range.hi || (range.lo && !(s->w->nodes[node].flags & LEAKGC_NODE_TASK)))
		x[(*n)++] = (struct leakgc_extent){range.lo & s->address_mask,
						   (range.hi & s->address_mask) + padding, node};
}

static int build_filter(struct leakgc_state *s)
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
		return leakgc_out_of_memory(s);
	memset(s->filter, 0, size);
	for (size_t i = 0; i + 1 < t->count; i++) {
		uint64_t bit = (t->start[i] - s->target_min) >> s->filter_shift;
		uint64_t last = (t->start[i + 1] - 1 - s->target_min) >> s->filter_shift;

		for (; t->first[i] != t->first[i + 1] && bit <= last; bit++)
			s->filter[bit / 64] |= 1ULL << bit % 64;
	}
	return 0;
}

/* Of what it points at, is anything not LIVE? */
static bool points_at_open(const struct leakgc_world *w, const struct leakgc_node_info *info)
{
	for (uint32_t i = info->first_edge; i != LEAKGC_NO_EDGE;) {
		const struct leakgc_edge *edge = leakgc_world_edge(w, i);

		if (!leakgc_world_is_live(w, edge->to))
			return true;
		i = edge->next;
	}
	return false;
}

static bool may_be_target(const struct leakgc_world *w, const struct leakgc_node_info *info)
{
	if (info->flags & LEAKGC_NODE_LIVE)
		return false;
	/*
	 * A pointer into a candidate's stack does not wake it, but whatever that
	 * stack refers to is reachable through it: so it counts as LIVE.
	 */
	if (info->flags & LEAKGC_NODE_TASK)
		return !leakgc_without(w, LEAKGC_WITHOUT_STACK_TARGETS);
	/* An object that nobody waits for and that holds nothing may be whatever it is. */
	return points_at_open(w, info) ||
	       (!(info->flags & LEAKGC_NODE_BLOCK) && info->content.lo < info->content.hi);
}

bool leakgc_is_target(const struct leakgc_world *w, uint32_t node)
{
	const struct leakgc_node_info *info = &w->nodes[node];

	return !(info->flags & LEAKGC_NODE_SOUGHT) && may_be_target(w, info);
}

/* A block whose end is cut off is for tests alone: interior pointers go unseen. */
static struct leakgc_range body_of(const struct leakgc_state *s,
				   const struct leakgc_node_info *info)
{
	struct leakgc_range body = info->body;

	if (info->flags & LEAKGC_NODE_BLOCK && leakgc_without(s->w, LEAKGC_WITHOUT_INTERIOR))
		body.hi = body.lo + 1;
	return body;
}

static int build_targets(struct leakgc_state *s)
{
	struct leakgc_world *w = s->w;
	size_t n = 0;
	struct leakgc_extent *x =
		leakgc_arena_take(&w->arena, 2 * (size_t)w->node_count * sizeof(*x));

	if (!x)
		return leakgc_out_of_memory(s);
	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct leakgc_node_info *info = &w->nodes[i];

		if (s->again ? !may_be_target(w, info) : !leakgc_is_target(w, i))
			continue;
		add_target(s, x, &n, body_of(s, info), i);
		if (info->content.lo < info->content.hi)
			add_target(s, x, &n, info->content, i);
	}
	if (leakgc_cover_build(&w->arena, x, n, &s->targets) < 0)
		return leakgc_out_of_memory(s);
	return s->targets.count ? build_filter(s) : 0;
}

/* ---- words ---------------------------------------------------------------------- */

/* What holds one word: found out only when it matters. */
struct holder {
	bool known;
	enum leakgc_heap_holder holder;
	uint32_t block;
};

static void find_holder(struct leakgc_state *s, const struct owner *owner, uint64_t location,
			struct holder *holder)
{
	holder->known = true;
	if (owner->is_root)
		holder->holder = LEAKGC_HOLDER_ROOT;
	else if (owner->masked)
		holder->holder = LEAKGC_HOLDER_NOBODY;
	else
		holder->holder = leakgc_holder_of(s, location, &holder->block);
}

static int hit_node(struct leakgc_state *s, const struct owner *owner, struct holder *holder,
		    uint32_t target, uint64_t location)
{
	if (leakgc_world_is_live(s->w, target))
		return 0;
	if (!holder->known)
		find_holder(s, owner, location, holder);
	if (holder->holder == LEAKGC_HOLDER_BLOCK && leakgc_connect(s, holder->block, target) < 0)
		return -ECANCELED;
	/* Content outside of masked memory: place.c has seen to its node. */
	if (holder->holder == LEAKGC_HOLDER_ROOT && !owner->node_count)
		leakgc_world_mark_live(s->w, target, owner->kind, location);
	for (size_t i = 0; i < owner->node_count; i++)
		if (leakgc_connect(s, owner->nodes[i], target) < 0)
			return -ECANCELED;
	return 0;
}

static bool may_hit(const struct leakgc_state *s, uint64_t word)
{
	uint64_t offset = (word & s->address_mask) - s->target_min;
	uint64_t bit = offset >> s->filter_shift;

	return offset <= s->target_span && (s->filter[bit / 64] >> bit % 64 & 1);
}

static int hit(struct leakgc_state *s, const struct owner *owner, uint64_t word, uint64_t location)
{
	size_t index = leakgc_cover_find(&s->targets, word & s->address_mask);
	struct holder holder = {.known = false};
	struct leakgc_segment g;
	int r = 0;

	if (index == LEAKGC_COVER_NONE)
		return 0;
	g = leakgc_segment_at(&s->targets, index);
	for (size_t i = 0; i < g.member_count && !r; i++)
		r = hit_node(s, owner, &holder, g.members[i], location);
	return r;
}

static int look_at_word(struct leakgc_state *s, const struct owner *owner, const unsigned char *at,
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

static struct block_filter block_filter(const struct leakgc_state *s)
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
static inline __attribute__((always_inline)) int scan_by(struct leakgc_state *s,
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

/*
 * glibc hides what longjmp() and atexit() use: rol(pointer ^ guard, 17) on x86-64. A jmp_buf
 * holds the register rbp like that, which may be the only pointer to anything. An address
 * has no bits from the 47th up, so the low bits of a hidden one are known.
 */
#define MANGLE_ROTATION 17
#define MANGLE_TAG_MASK ((1u << MANGLE_ROTATION) - 1)

static inline uint64_t demangle(uint64_t word, uint64_t guard)
{
	return (word >> MANGLE_ROTATION | word << (64 - MANGLE_ROTATION)) ^ guard;
}

/* Could an aligned word in the block be a hidden address? Odd lanes are upper halves: noise. */
static inline bool block_may_be_mangled(uint32_t tag, const unsigned char *at)
{
	lanes tags = {tag, tag, tag, tag};
	lanes mask = {MANGLE_TAG_MASK, MANGLE_TAG_MASK, MANGLE_TAG_MASK, MANGLE_TAG_MASK};
	lanes found = {0, 0, 0, 0};
	uint64_t halves[2];

	for (size_t i = 0; i < BLOCK; i += sizeof(lanes)) {
		lanes words;

		memcpy(&words, at + i, sizeof(words));
		found |= (lanes)((words & mask) == tags);
	}
	memcpy(halves, &found, sizeof(halves));
	return halves[0] | halves[1];
}

/* Every aligned word, taken as a hidden address. */
static int scan_mangled(struct leakgc_state *s, const struct owner *owner,
			const unsigned char *bytes, size_t length, uintptr_t address)
{
	bool usable = (s->target_min + s->target_span) >> 47 == 0;
	uint32_t tag = (uint32_t)(s->pointer_guard >> (64 - MANGLE_ROTATION));
	size_t at = -address & (sizeof(uint64_t) - 1);
	int r = 0;

	while (at + sizeof(uint64_t) <= length && !r) {
		size_t end = length - sizeof(uint64_t) + 1;

		if (end > BLOCK && at < end - BLOCK) {
			end = at + BLOCK;
			if (usable && !block_may_be_mangled(tag, bytes + at)) {
				at = end;
				continue;
			}
		}
		for (; at < end && !r; at += sizeof(uint64_t)) {
			uint64_t word;

			memcpy(&word, bytes + at, sizeof(word));
			word = demangle(word, s->pointer_guard);
			if (may_hit(s, word))
				r = hit(s, owner, word, address + at);
		}
	}
	return r;
}

static int scan_bytes(struct leakgc_state *s, const struct owner *owner, const unsigned char *bytes,
		      size_t length, uintptr_t address)
{
	int r;

	s->scanned_bytes += length;
	if (s->stride == 1)
		r = scan_by(s, owner, bytes, length, address, 1);
	else if (s->stride == 4)
		r = scan_by(s, owner, bytes, length, address, 4);
	else
		r = scan_by(s, owner, bytes, length, address, 8);
	return r == 0 && s->pointer_guard ? scan_mangled(s, owner, bytes, length, address) : r;
}

static int check_time(struct leakgc_state *s)
{
	int64_t now = leakgc_now();

	if (s->may_give_up && now > s->expand_until_ns) {
		s->gave_up = true;
		return -ECANCELED;
	}
	if (now > s->e->deadline_ns)
		return leakgc_stop_because(s, STRAND_CAUSE_TIME_BUDGET, s->scanned_bytes);
	if (leakgc_clock(CLOCK_PROCESS_CPUTIME_ID) > s->yield_after_ns) {
		struct sched_param zero = {0};

		s->yield_after_ns = INT64_MAX;
		LEAKGC_SYS3(SYS_sched_setscheduler, 0, SCHED_IDLE, &zero);
	}
	return 0;
}

/* Live memory that cannot be read now: it is looked at again when the world stands still. */
static int put_off(struct leakgc_state *s, uintptr_t lo, uintptr_t hi)
{
	if (s->e->memory->kind != LEAKGC_MEMORY_LIVE || s->stopped ||
	    s->put_off_count == LEAKGC_PUT_OFF_MAX)
		return leakgc_stop_because(s, STRAND_CAUSE_UNREADABLE_MEMORY, lo);
	s->put_off[s->put_off_count++] = (struct leakgc_range){lo, hi};
	return 0;
}

/*
 * Scan [lo, hi), owner by owner. @bytes holds it already, or is NULL: then each
 * piece that counts is read on its own.
 */
int leakgc_scan_owners(struct leakgc_state *s, const unsigned char *bytes, uintptr_t lo,
		       uintptr_t hi)
{
	size_t index = leakgc_cover_find(&s->owners, lo);
	uintptr_t at = lo;
	int r = 0;

	while (at < hi && !r) {
		struct leakgc_segment g = leakgc_segment_at(&s->owners, index);
		struct owner owner = {.nodes = g.members,
				      .node_count = g.member_count,
				      .kind = STRAND_ROOT_MEMORY,
				      .masked = g.masked};
		uintptr_t end = g.hi < hi ? g.hi : hi;
		const unsigned char *piece = bytes ? bytes + (at - lo) : s->e->chunk;

		if (!leakgc_segment_is_ignored(&g)) {
			if (!bytes &&
			    leakgc_memory_read(s->e->memory, at, s->e->chunk, end - at) < 0)
				r = put_off(s, at, end);
			else
				r = scan_bytes(s, &owner, piece, end - at, at);
		}
		at = end;
		index = index == LEAKGC_COVER_NONE ? 0 : index + 1;
	}
	return r;
}

/* Where a masked stretch that is worth not reading begins or ends, from an address on. */
static uintptr_t next_stretch(const struct leakgc_state *s, uintptr_t at, uintptr_t hi,
			      bool *ret_skip)
{
	size_t index = leakgc_cover_find(&s->owners, at);
	uintptr_t lo = at;

	*ret_skip = false;
	while (lo < hi) {
		struct leakgc_segment g = leakgc_segment_at(&s->owners, index);
		uintptr_t end = g.hi < hi ? g.hi : hi;

		if (leakgc_segment_is_ignored(&g) && (end - lo >= MASKED_SKIP || end == hi)) {
			*ret_skip = lo == at;
			return *ret_skip ? end : lo;
		}
		lo = end;
		index = index == LEAKGC_COVER_NONE ? 0 : index + 1;
	}
	return hi;
}

/* Scan memory [lo, hi), all of which holds data. */
int leakgc_scan_memory(struct leakgc_state *s, uintptr_t lo, uintptr_t hi)
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
			r = leakgc_scan_owners(s, s->e->chunk, lo, end);
		else /* a guard page in masked memory must not spoil its neighbours */
			r = leakgc_scan_owners(s, NULL, lo, end);
		if (!r)
			r = check_time(s);
		/* Words that begin in this chunk and end in the next one. */
		lo = end < hi && end == limit ? end - sizeof(uint64_t) + s->stride : end;
	}
	return r;
}

static int scan_copies(struct leakgc_state *s)
{
	for (size_t i = 0; i < s->w->copy_count; i++) {
		const struct leakgc_copy *copy = &s->w->copies[i];
		int r = leakgc_scan_owners(s, copy->bytes, copy->address,
					   copy->address + copy->length);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Registers of the stopped threads: roots even where their stack is masked. */
static int scan_registers(struct leakgc_state *s)
{
	struct owner root = {.kind = STRAND_ROOT_MEMORY, .is_root = true};

	for (size_t i = 0; i < s->w->root_range_count; i++) {
		uintptr_t lo = s->w->root_ranges[i].lo, hi = s->w->root_ranges[i].hi;
		int r;

		if (hi < lo || hi - lo > LEAKGC_CHUNK ||
		    leakgc_memory_read(s->e->memory, lo, s->e->chunk, hi - lo) < 0)
			return leakgc_stop_because(s, STRAND_CAUSE_UNREADABLE_MEMORY, lo);
		r = scan_bytes(s, &root, s->e->chunk, hi - lo, lo);
		if (r < 0)
			return r;
	}
	return 0;
}

static int scan_kernel_words(struct leakgc_state *s)
{
	struct owner kernel = {.kind = STRAND_ROOT_KERNEL, .is_root = true};
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

static int scan_run(struct leakgc_state *s, struct run *pending, uintptr_t lo, uintptr_t hi)
{
	int r = 0;

	if (pending->hi == lo) {
		pending->hi = hi;
		return 0;
	}
	if (pending->lo < pending->hi)
		r = leakgc_scan_memory(s, pending->lo, pending->hi);
	*pending = (struct run){lo, hi};
	return r;
}

static int scan_region(struct leakgc_state *s, const struct leakgc_scan_region *region,
		       struct run *pending)
{
	uintptr_t at = region->lo;

	while (at < region->hi) {
		int n = leakgc_memory_runs(s->e->memory, &at, region->hi, region->files);

		if (n < 0)
			return leakgc_stop_because(s, STRAND_CAUSE_SYSTEM, (uint64_t)-n);
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

int leakgc_scan_outside(struct leakgc_state *s)
{
	int r = scan_kernel_words(s);

	if (r == 0)
		r = scan_registers(s);
	if (r == 0)
		r = scan_copies(s);
	leakgc_world_propagate(s->w);
	return r;
}

static int scan_all(struct leakgc_state *s)
{
	struct run pending = {0, 0};
	int r = leakgc_scan_outside(s);

	for (size_t i = 0; i < s->region_count && s->w->candidates_open && r == 0; i++)
		r = scan_region(s, &s->regions[i], &pending);
	if (r == 0 && s->w->candidates_open)
		r = scan_run(s, &pending, 0, 0);
	return r;
}

static void begin_seeking(struct leakgc_world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++)
		if (leakgc_is_target(w, i))
			w->nodes[i].flags |= LEAKGC_NODE_SEEKING;
}

static void end_seeking(struct leakgc_world *w, bool complete)
{
	for (uint32_t i = 0; i < w->node_count; i++) {
		struct leakgc_node_info *info = &w->nodes[i];

		if (complete && info->flags & LEAKGC_NODE_SEEKING)
			info->flags |= LEAKGC_NODE_SOUGHT;
		info->flags &= (uint8_t)~LEAKGC_NODE_SEEKING;
	}
}

int leakgc_scan_pass(struct leakgc_state *s, size_t stride)
{
	uintptr_t mark = s->w->arena.next;
	int r;

	s->stride = stride;
	r = build_targets(s);
	if (r == 0 && s->targets.count) {
		begin_seeking(s->w);
		r = scan_all(s);
		leakgc_world_propagate(s->w);
		end_seeking(s->w, r == 0);
		r = r < 0 ? r : 1;
	}
	s->w->arena.next = mark;
	return r;
}

int leakgc_scan_again(struct leakgc_state *s, size_t stride)
{
	s->stride = stride;
	s->again = true;
	return build_targets(s);
}

int leakgc_scan_root(struct leakgc_state *s, const unsigned char *bytes, uintptr_t lo, uintptr_t hi)
{
	struct owner root = {.kind = STRAND_ROOT_MEMORY, .is_root = true};

	return scan_bytes(s, &root, bytes, hi - lo, lo);
}

/* SPDX-License-Identifier: MIT */
/*
 * glibc's heap in a snapshot: arenas that verify, their blocks, and mapped chunks.
 *
 * I1. An arena is trusted only if no thread was inside of it (its mutex is free) and if
 *     all its memory is accounted for: its heaps are linked, add up to what it says it
 *     has, and each is one unbroken run of chunks (chunks.c). Else it is not known here
 *     and every word in it is a root. The control thread exists, so malloc takes locks.
 * I2. A mapping counts as blocks only if it is filled from end to end by mapped chunks.
 * I3. Nothing is masked but malloc's own fields in arenas that are trusted, and a block
 *     that holds nothing but links to freed blocks (is_thread_cache).
 * I4. The walk must see the blocks that were allocated at start as just these blocks,
 *     unless their arena is not trusted this time: else nothing is trusted.
 */
#include "leakgc/heap.h"

#include <errno.h>
#include <string.h>

#include "leakgc/heap_known.h"
#include "leakgc/search.h"

#define HEAP_MAX        ((uintptr_t)64 << 20) /* of thread arenas: their heaps are aligned to it */
#define ARENAS_MAX      4096
#define RUNS_MAX        16384
#define MAPPED_MAX      16384
#define MAPPED_RUN_MAX  4096 /* chunks in one mapping: more are a root */

#define PAGE            4096
#define IS_MMAPPED      2u
#define FLAGS           7u
#define CACHE_BLOCK     (sizeof(struct leakgc_thread_cache) + 8) /* with the next prev_size */
#define CACHE_COUNT_MAX 7 /* heap_known.c refuses other settings */
#define FIRST_HEAP_SKIP (sizeof(struct leakgc_heap_info) + sizeof(struct leakgc_malloc_state))

bool leakgc_heap_is_known(void)
{
	return leakgc_heap_known()->known;
}

static int read_memory(void *memory, uintptr_t address, void *buffer, size_t length)
{
	return leakgc_memory_read(memory, address, buffer, length);
}

/* ---- arenas ------------------------------------------------------------------------ */

/* A run, not in its place yet. NULL: no memory, or too many. */
static int add_run(struct leakgc_heap *h, const struct leakgc_chunks *run)
{
	struct leakgc_chunk_reader reader = {.read = read_memory,
					     .context = h->memory,
					     .window = h->buffer,
					     .window_size = LEAKGC_CHUNK};
	struct leakgc_chunks *c;
	uintptr_t mark = h->world->arena.next;
	int r;

	if (h->run_count == h->run_room)
		return -EINVAL;
	c = &h->runs[h->run_count];
	*c = *run;
	if (c->limit <= c->lo)
		return -EINVAL;
	c->first_in_page = leakgc_arena_take(&h->world->arena,
					     leakgc_chunks_pages(c) * sizeof(*c->first_in_page));
	if (!c->first_in_page)
		return -ENOMEM;
	r = leakgc_chunks_check(c, &reader);
	if (r < 0) {
		h->world->arena.next = mark;
		return r;
	}
	h->run_count++;
	return 0;
}

/* The brk heap: one run, whatever lies before and behind it. */
static int add_main_arena(struct leakgc_heap *h, const struct leakgc_malloc_state *m)
{
	struct leakgc_chunks run = {.ends = LEAKGC_CHUNKS_TOP, .main_arena = true, .top = m->top};
	uint64_t start;

	if (m->flags & LEAKGC_MALLOC_NONCONTIGUOUS ||
	    leakgc_memory_read(h->memory, leakgc_heap_known()->brk_start_at, &start,
			       sizeof(start)) < 0)
		return -EINVAL;
	run.lo = (start + 15) & ~15ULL;
	run.limit = start + m->system_mem;
	return add_run(h, &run);
}

/* The first chunk of a heap of a thread arena. */
static uintptr_t first_chunk(uintptr_t heap, bool holds_arena)
{
	return (heap + (holds_arena ? FIRST_HEAP_SKIP : sizeof(struct leakgc_heap_info)) + 15) &
	       ~(uintptr_t)15;
}

/* All heaps of a thread arena, from the newest, which has the top, to the one of the arena. */
static int add_thread_arena(struct leakgc_heap *h, uintptr_t arena,
			    const struct leakgc_malloc_state *m)
{
	uintptr_t oldest = arena - sizeof(struct leakgc_heap_info), at = m->top & ~(HEAP_MAX - 1);
	struct leakgc_chunks run = {.ends = LEAKGC_CHUNKS_TOP, .top = m->top};
	struct leakgc_heap_info info;
	uint64_t total = 0;

	if (oldest % HEAP_MAX)
		return -EINVAL;
	for (;;) {
		int r = leakgc_memory_read(h->memory, at, &info, sizeof(info));

		if (r < 0 || info.arena != arena || info.size > HEAP_MAX || info.size % PAGE ||
		    (at == oldest) != (info.previous == 0))
			return -EINVAL;
		run.lo = first_chunk(at, at == oldest);
		run.limit = at + info.size;
		r = add_run(h, &run);
		if (r < 0)
			return r;
		total += info.size;
		if (at == oldest)
			break;
		at = info.previous;
		run = (struct leakgc_chunks){.ends = LEAKGC_CHUNKS_FENCE};
		if (!at || at % HEAP_MAX)
			return -EINVAL;
	}
	return total == m->system_mem ? 0 : -EINVAL;
}

/* What points at free chunks, whose headers lie where the user memory before them ends. */
static int mask_arena(struct leakgc_heap *h, uintptr_t arena)
{
	if (leakgc_without(h->world, LEAKGC_WITHOUT_ARENA_MASK))
		return 0;
	return leakgc_world_mask(h->world, arena + offsetof(struct leakgc_malloc_state, fast_bins),
				 arena + offsetof(struct leakgc_malloc_state, bin_map));
}

/* Take in an arena, or nothing of it. Returns 0 or -ENOMEM; the next arena of the ring. */
static int look_at_arena(struct leakgc_heap *h, uintptr_t arena, uintptr_t *ret_next)
{
	size_t run_count = h->run_count;
	uintptr_t mark = h->world->arena.next;
	struct leakgc_malloc_state m;
	int r;

	*ret_next = 0;
	if (leakgc_memory_read(h->memory, arena, &m, sizeof(m)) < 0)
		return 0;
	*ret_next = m.next;
	if (m.mutex && !leakgc_without(h->world, LEAKGC_WITHOUT_ARENA_LOCK))
		return 0;
	if (arena == leakgc_heap_known()->main_arena)
		r = add_main_arena(h, &m);
	else
		r = add_thread_arena(h, arena, &m);
	if (r == 0)
		return mask_arena(h, arena);
	h->run_count = run_count;
	h->world->arena.next = mark;
	return r == -ENOMEM ? r : 0;
}

/* Insertion sort: there are few runs, and the newest heap tends to be the highest. */
static void sort_runs(struct leakgc_heap *h)
{
	for (size_t i = 1; i < h->run_count; i++) {
		struct leakgc_chunks run = h->runs[i];
		size_t at = i;

		for (; at && h->runs[at - 1].lo > run.lo; at--)
			h->runs[at] = h->runs[at - 1];
		h->runs[at] = run;
	}
}

int leakgc_heap_look(struct leakgc_heap *h, struct leakgc_world *w, struct leakgc_memory *memory,
		     unsigned char *buffer)
{
	uintptr_t main_arena = leakgc_heap_known()->main_arena, at = main_arena;
	int r = 0;

	*h = (struct leakgc_heap){.world = w, .memory = memory, .buffer = buffer};
	if (!leakgc_heap_is_known() || leakgc_without(w, LEAKGC_WITHOUT_HEAP))
		return 0;
	h->run_room = RUNS_MAX;
	h->mapped_room = MAPPED_MAX;
	h->runs = leakgc_arena_take(&w->arena, h->run_room * sizeof(*h->runs));
	h->mapped = leakgc_arena_take(&w->arena, h->mapped_room * sizeof(*h->mapped));
	if (!h->runs || !h->mapped)
		return -ENOMEM;
	for (int i = 0; i < ARENAS_MAX && at && r == 0; i++) {
		r = look_at_arena(h, at, &at);
		if (at == main_arena)
			break;
	}
	sort_runs(h);
	h->reader = (struct leakgc_chunk_reader){.read = read_memory,
						 .context = memory,
						 .window = h->window,
						 .window_size = sizeof(h->window)};
	h->usable = true;
	return r;
}

/* ---- mapped chunks ------------------------------------------------------------------- */

/* The mapped chunk that begins at an address: its end. 0: there is none. */
static uintptr_t mapped_chunk_end(struct leakgc_heap *h, uintptr_t at, uintptr_t limit)
{
	uint64_t header[2]; /* prev_size, which tells of alignment; size */
	uint64_t size;

	if (limit - at < PAGE || leakgc_memory_read(h->memory, at, header, sizeof(header)) < 0)
		return 0;
	size = header[1] & ~(uint64_t)FLAGS;
	if (header[0] || (header[1] & FLAGS) != IS_MMAPPED || !size || size % PAGE ||
	    size > limit - at)
		return 0;
	return at + size;
}

int leakgc_heap_add_region(struct leakgc_heap *h, uintptr_t lo, uintptr_t hi)
{
	uintptr_t at = lo;

	if (!h->usable || h->mapped_count == h->mapped_room)
		return 0;
	for (int i = 0; at < hi; i++) {
		at = mapped_chunk_end(h, at, hi);
		if (!at || i == MAPPED_RUN_MAX)
			return 0;
	}
	h->mapped[h->mapped_count++] = (struct leakgc_heap_region){lo, hi};
	return 0;
}

static enum leakgc_heap_holder find_mapped(struct leakgc_heap *h, uintptr_t address,
					   struct leakgc_chunk *ret_block)
{
	size_t low = 0, high = h->mapped_count;
	uintptr_t at, end;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (h->mapped[middle].lo <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || address >= h->mapped[low - 1].hi)
		return LEAKGC_HOLDER_ROOT;
	at = h->mapped[low - 1].lo;
	while ((end = mapped_chunk_end(h, at, h->mapped[low - 1].hi)) && end <= address)
		at = end;
	if (!end)
		return LEAKGC_HOLDER_ROOT;
	if (address < at + LEAKGC_CHUNK_HEADER)
		return LEAKGC_HOLDER_NOBODY;
	*ret_block = (struct leakgc_chunk){at + LEAKGC_CHUNK_HEADER, end};
	return LEAKGC_HOLDER_BLOCK;
}

/* ---- blocks ---------------------------------------------------------------------------- */

static const struct leakgc_chunks *run_of(const struct leakgc_heap *h, uintptr_t address)
{
	size_t low = 0, high = h->run_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (h->runs[middle].lo <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low && address < h->runs[low - 1].limit ? &h->runs[low - 1] : NULL;
}

/*
 * A thread cache names freed blocks, which look as if they were in use. Every word of the
 * block is checked, so even a block of the program that looked the same could be ignored:
 * it would hold nothing but pointers to blocks that were freed, which the key proves.
 */
static bool is_thread_cache(struct leakgc_heap *h, const struct leakgc_chunk *block)
{
	uint64_t key = leakgc_heap_known()->cache_key;
	struct leakgc_thread_cache cache;
	unsigned used = 0;

	if (!key || block->hi - block->lo != CACHE_BLOCK ||
	    leakgc_without(h->world, LEAKGC_WITHOUT_CACHE_MASK) ||
	    leakgc_memory_read(h->memory, block->lo, &cache, sizeof(cache)) < 0)
		return false;
	for (unsigned i = 0; i < LEAKGC_CACHE_BINS; i++) {
		uint64_t words[2];

		if (cache.counts[i] > CACHE_COUNT_MAX || !cache.counts[i] != !cache.entries[i])
			return false;
		if (!cache.entries[i])
			continue;
		if (cache.entries[i] % 16 || !run_of(h, cache.entries[i]) ||
		    leakgc_memory_read(h->memory, cache.entries[i], words, sizeof(words)) < 0 ||
		    words[1] != key)
			return false;
		used++;
	}
	return used;
}

enum leakgc_heap_holder leakgc_heap_find(struct leakgc_heap *h, uintptr_t address,
					 struct leakgc_chunk *ret_block)
{
	const struct leakgc_chunks *run;

	if (!h->usable)
		return LEAKGC_HOLDER_ROOT;
	run = run_of(h, address);
	if (!run)
		return find_mapped(h, address, ret_block);
	switch (leakgc_chunks_find(run, &h->reader, address, ret_block)) {
	case LEAKGC_CHUNK_FREE:
		return LEAKGC_HOLDER_NOBODY;
	case LEAKGC_CHUNK_IN_USE:
		if (address - ret_block->lo < sizeof(struct leakgc_thread_cache) &&
		    is_thread_cache(h, ret_block))
			return LEAKGC_HOLDER_NOBODY;
		return LEAKGC_HOLDER_BLOCK;
	case LEAKGC_CHUNK_UNKNOWN:
		break;
	}
	return LEAKGC_HOLDER_ROOT;
}

/* A witness in an arena that is not trusted this time tells nothing. */
void leakgc_heap_self_test(struct leakgc_heap *h)
{
	const struct leakgc_heap_known *k = leakgc_heap_known();

	for (int i = 0; h->usable && i < LEAKGC_WITNESSES; i++) {
		uintptr_t lo = (uintptr_t)k->witness[i];
		struct leakgc_chunk block;
		enum leakgc_heap_holder holder = leakgc_heap_find(h, lo, &block);

		if (holder == LEAKGC_HOLDER_ROOT && !run_of(h, lo))
			continue;
		h->usable = holder == LEAKGC_HOLDER_BLOCK && block.lo == lo &&
			    block.hi - lo >= k->witness_size[i] &&
			    block.hi - lo < k->witness_size[i] + 32;
	}
}

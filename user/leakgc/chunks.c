/* SPDX-License-Identifier: MIT */
/*
 * Walk the chunks of glibc's malloc from outside of it.
 *
 *       lo             +size                            top           limit
 *       | prev_size size | user memory ... | prev_size size | ... | top chunk |
 *
 * A chunk's user memory reaches over the next chunk's prev_size, which malloc uses
 * only while the chunk is free. Bit 0 of a size says whether the chunk before is in use.
 *
 * I1. Sizes come from memory that a program may have overwritten: an address is
 *     computed from one only after it was found to lie in the run.
 * I2. A run is trusted as a whole or not at all: it must begin at a chunk, end exactly
 *     at its top or its fence, and each free chunk must be told the same by its
 *     neighbours (size, both bits, no two free ones side by side).
 * I3. Blocks in the thread caches and the fast bins have the bit of those in use, and
 *     count as that. Nobody points to them, but if somebody does, they are scanned.
 */
#include "leakgc/chunks.h"

#include <errno.h>
#include <string.h>

#define PREV_INUSE     1u
#define IS_MMAPPED     2u
#define NON_MAIN_ARENA 4u
#define FLAGS          7u

#define ALIGNMENT      16
#define SIZE_MIN       32
#define FENCE_POST     16 /* size of the first of the two; the second has none */

/* The unit of the index; any would do, whatever the machine's pages are. */
#define PAGE_SHIFT     12
#define PAGE           ((uintptr_t)1 << PAGE_SHIFT)

struct header {
	uint64_t prev_size;
	uint64_t size;
};

static int read_header(const struct leakgc_chunks *c, struct leakgc_chunk_reader *reader,
		       uintptr_t at, struct header *ret_header)
{
	if (at < reader->window_lo || at + sizeof(*ret_header) > reader->window_hi) {
		size_t length = c->limit - at;
		int r;

		if (length > reader->window_size)
			length = reader->window_size;
		reader->window_lo = reader->window_hi = 0;
		r = reader->read(reader->context, at, reader->window, length);
		if (r < 0)
			return r;
		reader->window_lo = at;
		reader->window_hi = at + length;
	}
	memcpy(ret_header, reader->window + (at - reader->window_lo), sizeof(*ret_header));
	return 0;
}

static size_t page_of(const struct leakgc_chunks *c, uintptr_t address)
{
	return (address >> PAGE_SHIFT) - (c->lo >> PAGE_SHIFT);
}

size_t leakgc_chunks_pages(const struct leakgc_chunks *c)
{
	return page_of(c, c->limit) + 1;
}

/* ---- checking ------------------------------------------------------------------ */

struct walk {
	uintptr_t at;
	uintptr_t previous;      /* 0: at the first chunk */
	bool previous_after_use; /* the chunk before the previous one is in use */
};

/* What the header at w->at says about the chunk before it must be so. */
static bool agrees_with_previous(const struct walk *w, const struct header *h)
{
	if (h->size & PREV_INUSE)
		return true;
	return w->previous && w->previous_after_use && h->prev_size == w->at - w->previous;
}

/* The end of the run, if this is it: 1. Else 0, or -EINVAL. */
static int is_end(const struct leakgc_chunks *c, struct leakgc_chunk_reader *reader,
		  const struct walk *w, const struct header *h)
{
	uint64_t size = h->size & ~(uint64_t)FLAGS;
	struct header next;
	int r;

	if (c->ends == LEAKGC_CHUNKS_TOP) {
		if (w->at != c->top)
			return 0;
		return size == c->limit - w->at && h->size & PREV_INUSE ? 1 : -EINVAL;
	}
	if (w->at == c->limit - FENCE_POST)
		return h->size == PREV_INUSE ? 1 : -EINVAL;
	if (w->at != c->limit - 2 * FENCE_POST || size != FENCE_POST)
		return 0;
	r = read_header(c, reader, w->at + FENCE_POST, &next);
	if (r < 0)
		return r;
	return next.size == PREV_INUSE ? 1 : -EINVAL;
}

static bool is_chunk(const struct leakgc_chunks *c, uintptr_t at, const struct header *h)
{
	uintptr_t end = c->ends == LEAKGC_CHUNKS_TOP ? c->top : c->limit - FENCE_POST;
	uint64_t size = h->size & ~(uint64_t)FLAGS;

	if (h->size & IS_MMAPPED || (c->main_arena && h->size & NON_MAIN_ARENA))
		return false;
	return size >= SIZE_MIN && size % ALIGNMENT == 0 && size <= end - at;
}

static void note_chunk(const struct leakgc_chunks *c, uintptr_t at)
{
	uint16_t *first = &c->first_in_page[page_of(c, at)];

	if (!*first)
		*first = (uint16_t)(1 + (at & (PAGE - 1)) / ALIGNMENT);
}

static bool is_run(const struct leakgc_chunks *c)
{
	if (c->lo % ALIGNMENT || c->limit % ALIGNMENT || c->limit < c->lo ||
	    c->limit - c->lo < 2 * FENCE_POST)
		return false;
	if (c->ends == LEAKGC_CHUNKS_FENCE)
		return true;
	return c->top % ALIGNMENT == 0 && c->top >= c->lo && c->top <= c->limit - SIZE_MIN;
}

int leakgc_chunks_check(struct leakgc_chunks *c, struct leakgc_chunk_reader *reader)
{
	struct walk w = {.at = c->lo};

	if (!is_run(c))
		return -EINVAL;
	memset(c->first_in_page, 0, leakgc_chunks_pages(c) * sizeof(*c->first_in_page));
	reader->window_lo = reader->window_hi = 0;
	for (;;) {
		struct header h;
		int r = read_header(c, reader, w.at, &h);

		if (r == 0 && !agrees_with_previous(&w, &h))
			return -EINVAL;
		if (r == 0)
			r = is_end(c, reader, &w, &h);
		if (r < 0)
			return r;
		if (r > 0)
			break;
		if (!is_chunk(c, w.at, &h))
			return -EINVAL;
		note_chunk(c, w.at);
		w.previous = w.at;
		w.previous_after_use = h.size & PREV_INUSE;
		w.at += h.size & ~(uint64_t)FLAGS;
	}
	c->end = w.at;
	return 0;
}

/* ---- finding ------------------------------------------------------------------- */

/* A chunk that begins at or before an address of the run. */
static uintptr_t chunk_before(const struct leakgc_chunks *c, uintptr_t address)
{
	size_t page = page_of(c, address);
	uintptr_t base = c->lo & ~(PAGE - 1);

	for (;; page--) {
		uintptr_t first = c->first_in_page[page];

		if (first) {
			uintptr_t at = base + page * PAGE + (first - 1) * ALIGNMENT;

			if (at <= address)
				return at;
		}
		if (page == 0)
			return c->lo;
	}
}

enum leakgc_chunk_use leakgc_chunks_find(const struct leakgc_chunks *c,
					 struct leakgc_chunk_reader *reader, uintptr_t address,
					 struct leakgc_chunk *ret_chunk)
{
	/* User memory is shifted by 8: from here on, chunks and it begin alike. */
	uintptr_t inside = address - sizeof(uint64_t), at, next;
	struct header h;

	if (address < c->lo + LEAKGC_CHUNK_HEADER || inside >= c->end)
		return address >= c->lo && address < c->limit ? LEAKGC_CHUNK_FREE
							      : LEAKGC_CHUNK_UNKNOWN;
	at = chunk_before(c, inside);
	for (;;) {
		if (read_header(c, reader, at, &h) < 0 || !is_chunk(c, at, &h))
			return LEAKGC_CHUNK_UNKNOWN;
		next = at + (h.size & ~(uint64_t)FLAGS);
		if (inside < next)
			break;
		at = next;
	}
	if (read_header(c, reader, next, &h) < 0)
		return LEAKGC_CHUNK_UNKNOWN;
	if (address < at + LEAKGC_CHUNK_HEADER || !(h.size & PREV_INUSE))
		return LEAKGC_CHUNK_FREE;
	*ret_chunk = (struct leakgc_chunk){at + LEAKGC_CHUNK_HEADER, next + sizeof(uint64_t)};
	return LEAKGC_CHUNK_IN_USE;
}

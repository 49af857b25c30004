/* SPDX-License-Identifier: MIT */
/* A run of malloc chunks as glibc lays them out: check it once, then find an address's chunk. */
#ifndef LEAKGC_CHUNKS_H
#define LEAKGC_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEAKGC_CHUNK_HEADER 16 /* prev_size and size; user memory follows */

/* Where the chunks are read from. */
struct leakgc_chunk_reader {
	int (*read)(void *context, uintptr_t address, void *buffer, size_t length); /* or -errno */
	void *context;
	unsigned char *window; /* working memory */
	size_t window_size;
	uintptr_t window_lo, window_hi; /* what the window holds; equal: nothing */
};

enum leakgc_chunks_end {
	LEAKGC_CHUNKS_TOP,   /* the top chunk, which is free and ends at the limit */
	LEAKGC_CHUNKS_FENCE, /* the fence posts of a heap that was full */
};

struct leakgc_chunks {
	uintptr_t lo;    /* first chunk */
	uintptr_t top;   /* with a top: its header */
	uintptr_t limit; /* end of the memory */
	enum leakgc_chunks_end ends;
	bool main_arena;
	uintptr_t end;           /* out: what comes after the last chunk */
	uint16_t *first_in_page; /* where in each page a chunk first begins, 1 + offset / 16 */
};

enum leakgc_chunk_use {
	LEAKGC_CHUNK_UNKNOWN, /* not in a chunk, or not readable */
	LEAKGC_CHUNK_FREE,    /* free, or a header: the program keeps nothing there */
	LEAKGC_CHUNK_IN_USE,
};

struct leakgc_chunk { /* its user memory, [lo, hi) */
	uintptr_t lo;
	uintptr_t hi;
};

/* How many elements first_in_page must have. */
size_t leakgc_chunks_pages(const struct leakgc_chunks *c);

/*
 * leakgc_chunks_check - walk all chunks; fills end and first_in_page.
 * Returns 0, or -EINVAL if anything at all is not as malloc keeps it, or the
 * reader's error: then no chunk of the run is to be trusted.
 */
int leakgc_chunks_check(struct leakgc_chunks *c, struct leakgc_chunk_reader *reader);

/* Whose user memory is the address? @ret_chunk is written if it is IN_USE. */
enum leakgc_chunk_use leakgc_chunks_find(const struct leakgc_chunks *c,
					 struct leakgc_chunk_reader *reader, uintptr_t address,
					 struct leakgc_chunk *ret_chunk);

#endif

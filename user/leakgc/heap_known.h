/* SPDX-License-Identifier: MIT */
/* What is known of the process's malloc since its start. */
#ifndef LEAKGC_HEAP_KNOWN_H
#define LEAKGC_HEAP_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* glibc's malloc/malloc.c and malloc/arena.c, 2.35 to 2.41, 64 bits. */
struct leakgc_malloc_state {
	uint32_t mutex;
	uint32_t flags;
	uint32_t have_fastchunks;
	uint32_t padding;
	uint64_t fast_bins[10];
	uint64_t top;
	uint64_t last_remainder;
	uint64_t bins[254]; /* fd and bk of 127 lists; an empty one points to itself */
	uint32_t bin_map[4];
	uint64_t next;
	uint64_t next_free;
	uint64_t attached_threads;
	uint64_t system_mem;
	uint64_t max_system_mem;
};

#define LEAKGC_MALLOC_NONCONTIGUOUS 2u

struct leakgc_heap_info {
	uint64_t arena;
	uint64_t previous;
	uint64_t size;
	uint64_t mprotect_size;
	uint64_t page_size;
	uint64_t padding;
};

/* A thread's cache lies in a block of its own. */
#define LEAKGC_CACHE_BINS 64

struct leakgc_thread_cache {
	uint16_t counts[LEAKGC_CACHE_BINS];
	uint64_t entries[LEAKGC_CACHE_BINS]; /* user memory; its second word is the key */
};

#define LEAKGC_WITNESSES 6

struct leakgc_heap_known {
	bool known;
	uintptr_t main_arena;   /* struct leakgc_malloc_state */
	uintptr_t brk_start_at; /* the variable that holds where the brk heap began */
	uint64_t cache_key;     /* in each block of a thread cache; 0: not known */
	unsigned char *witness[LEAKGC_WITNESSES]; /* never freed: each walk has to see them */
	size_t witness_size[LEAKGC_WITNESSES];
};

const struct leakgc_heap_known *leakgc_heap_known(void);

#endif

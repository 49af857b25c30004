/* SPDX-License-Identifier: MIT */
/* glibc's heap in a snapshot: which block holds an address? */
#ifndef LEAKGC_HEAP_H
#define LEAKGC_HEAP_H

#include "leakgc/chunks.h"
#include "leakgc/memory.h"
#include "leakgc/world.h"

#define LEAKGC_HEAP_WINDOW 4096 /* bytes read around a chunk that is looked for */

/* A run of private memory without a file; consecutive ones are apart. */
struct leakgc_heap_region {
	uintptr_t lo;
	uintptr_t hi;
};

/* The heap of one search. All of it lies in memory of the search. */
struct leakgc_heap {
	struct leakgc_world *world;
	struct leakgc_memory *memory;
	unsigned char *buffer;      /* LEAKGC_CHUNK bytes; free between calls */
	bool usable;                /* something was found that is to be trusted */
	struct leakgc_chunks *runs; /* of arenas that were checked, by address */
	size_t run_count, run_room;
	struct leakgc_heap_region *mapped; /* regions that are nothing but mapped chunks */
	size_t mapped_count, mapped_room;
	struct leakgc_chunk_reader reader; /* of single chunks */
	unsigned char window[LEAKGC_HEAP_WINDOW];
};

enum leakgc_heap_holder {
	LEAKGC_HOLDER_ROOT,   /* not in a heap that is understood */
	LEAKGC_HOLDER_NOBODY, /* free memory, or malloc's own */
	LEAKGC_HOLDER_BLOCK,
};

/* Is there a heap at all that this process's searches can understand? */
bool leakgc_heap_is_known(void);

/*
 * leakgc_heap_look - check the arenas of the snapshot, and mask their own fields.
 * Returns 0 also when none of them is to be trusted; -ENOMEM.
 */
int leakgc_heap_look(struct leakgc_heap *h, struct leakgc_world *w, struct leakgc_memory *memory,
		     unsigned char *buffer);

/* A private mapping without a file: may be blocks that malloc mapped one by one. -ENOMEM. */
int leakgc_heap_add_region(struct leakgc_heap *h, uintptr_t lo, uintptr_t hi);

/* Does the walk see what is known to be there? If not, the heap is not used. */
void leakgc_heap_self_test(struct leakgc_heap *h);

/* Who holds what lies at an address? @ret_block is written if it is a block. */
enum leakgc_heap_holder leakgc_heap_find(struct leakgc_heap *h, uintptr_t address,
					 struct leakgc_chunk *ret_block);

#endif

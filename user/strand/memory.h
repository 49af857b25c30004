/* SPDX-License-Identifier: MIT */
/*
 * The runtime's own memory: large mappings, each known to the leak search.
 *
 * What lies here holds no pointers of the user's but those that the search is
 * told of (a task's live stack and argument, a channel's elements): the rest is
 * masked. So the runtime's own lists never keep a task's wait object alive.
 */
#ifndef STRAND_MEMORY_H
#define STRAND_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include "strand/lock.h"

struct memory_region {
	uintptr_t lo, hi;
};

/* All regions of one runtime. Zeroed is empty. */
struct memory {
	struct lock lock;
	struct memory_region *regions; /* itself in a mapping of its own, which is regions[0] */
	size_t count, room;
};

/*
 * memory_map - map size bytes (rounded up to pages), zeroed and writable.
 * Returns NULL if there is no memory.
 */
void *memory_map(struct memory *m, size_t size);

/* Unmap a whole mapping of memory_map. */
void memory_unmap(struct memory *m, void *address, size_t size);

/* Unmap everything. */
void memory_done(struct memory *m);

size_t memory_page_size(void);
size_t memory_round_up(size_t size, size_t unit); /* unit: a power of two */

#endif

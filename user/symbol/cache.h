/* SPDX-License-Identifier: MIT */
/*
 * Locations that were found before, by place in a binary.
 */
#ifndef STRANDED_SYMBOL_CACHE_H
#define STRANDED_SYMBOL_CACHE_H

#include "symbol/symbol.h"

#define CACHE_ENTRIES 8192 /* a newer one takes the place of an older one with the same hash */

struct cache_key {
	uint64_t module; /* a number that is never given twice */
	uint64_t position;
	bool executable, is_return;
};

struct cache_entry {
	struct cache_key key;
	struct symbol_location location; /* without the name of the module */
	bool used;
};

struct cache {
	struct cache_entry entries[CACHE_ENTRIES];
};

/* NULL: not there. The location belongs to the cache, and is valid until the next cache_put. */
const struct symbol_location *cache_get(const struct cache *c, const struct cache_key *key);

/* Takes function and file of location, also on failure. */
void cache_put(struct cache *c, const struct cache_key *key, struct symbol_location *location);

void cache_done(struct cache *c);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A direct-mapped table of locations: bounded, and right without invalidation, as
 * the number of a module is never given to another one.
 */
#include "symbol/cache.h"

static size_t slot(const struct cache_key *key)
{
	uint64_t hash = key->position * 0x9e3779b97f4a7c15ULL;

	hash ^= key->module * 0xc2b2ae3d27d4eb4fULL;
	hash ^= (uint64_t)key->is_return << 40 | (uint64_t)key->executable << 41;
	hash ^= hash >> 29;
	hash *= 0xbf58476d1ce4e5b9ULL;
	return (hash >> 40) % CACHE_ENTRIES;
}

static bool equal(const struct cache_key *a, const struct cache_key *b)
{
	return a->module == b->module && a->position == b->position &&
	       a->executable == b->executable && a->is_return == b->is_return;
}

const struct symbol_location *cache_get(const struct cache *c, const struct cache_key *key)
{
	const struct cache_entry *e = &c->entries[slot(key)];

	return e->used && equal(&e->key, key) ? &e->location : NULL;
}

void cache_put(struct cache *c, const struct cache_key *key, struct symbol_location *location)
{
	struct cache_entry *e = &c->entries[slot(key)];

	symbol_location_done(&e->location);
	*e = (struct cache_entry){.key = *key, .location = *location, .used = true};
	*location = (struct symbol_location){0};
}

void cache_done(struct cache *c)
{
	for (size_t i = 0; i < CACHE_ENTRIES; i++)
		symbol_location_done(&c->entries[i].location);
}

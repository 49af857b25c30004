/* SPDX-License-Identifier: MIT */
/* Slabs of wait objects. */
#include "strand/object.h"

#include <string.h>

#define CHUNK_SIZE     ((size_t)256 << 10)
#define CLASS_MIN_SIZE ((size_t)128)

static unsigned class_of(size_t size)
{
	unsigned class = 0;

	while (class < OBJECT_CLASSES && (CLASS_MIN_SIZE << class) < size)
		class ++;
	return class;
}

/* Slots lie at the end of the mapping, headers and the node table before them. */
static struct object_chunk *chunk_new(struct object_pool *pool, size_t slot_size, size_t slots)
{
	size_t header = memory_round_up(sizeof(struct object_chunk) + slots * sizeof(uint32_t), 64);
	size_t size = memory_round_up(header + slots * slot_size, memory_page_size());
	struct object_chunk *chunk = memory_map(&pool->memory, size);

	if (!chunk)
		return NULL;
	chunk->pool = pool;
	chunk->slot_size = slot_size;
	chunk->slots = slots;
	chunk->mapped = size;
	chunk->nodes = (uint32_t *)(chunk + 1);
	for (size_t i = 0; i < slots; i++)
		object_slot(chunk, i)->chunk = chunk;
	chunk->next = pool->chunks;
	chunk->prev_next = &pool->chunks;
	if (chunk->next)
		chunk->next->prev_next = &chunk->next;
	pool->chunks = chunk;
	return chunk;
}

static void refill(struct object_pool *pool, unsigned class)
{
	size_t slot_size = CLASS_MIN_SIZE << class;
	size_t slots =
		(CHUNK_SIZE - sizeof(struct object_chunk) - 64) / (slot_size + sizeof(uint32_t));
	struct object_chunk *chunk = chunk_new(pool, slot_size, slots);

	for (size_t i = chunk ? slots : 0; i-- > 0;) {
		struct object *o = object_slot(chunk, i);

		o->next_free = pool->free[class];
		pool->free[class] = o;
	}
}

static struct object *object_new_large(struct object_pool *pool, size_t size)
{
	struct object_chunk *chunk = chunk_new(pool, memory_round_up(size, 64), 1);

	return chunk ? object_slot(chunk, 0) : NULL;
}

struct object *object_new(struct object_pool *pool, size_t size)
{
	unsigned class = class_of(size);
	struct object *o;

	lock_take(&pool->lock);
	if (class == OBJECT_CLASSES) {
		o = object_new_large(pool, size);
	} else {
		if (!pool->free[class])
			refill(pool, class);
		o = pool->free[class];
		if (o)
			pool->free[class] = o->next_free;
	}
	lock_release(&pool->lock);
	return o;
}

static void chunk_free(struct object_chunk *chunk)
{
	if (chunk->pool->leak_next == chunk)
		chunk->pool->leak_next = chunk->next;
	*chunk->prev_next = chunk->next;
	if (chunk->next)
		chunk->next->prev_next = chunk->prev_next;
	memory_unmap(&chunk->pool->memory, chunk, chunk->mapped);
}

void object_free(struct object *o)
{
	struct object_chunk *chunk = o->chunk;
	struct object_pool *pool = chunk->pool;
	unsigned class = class_of(chunk->slot_size);

	atomic_store_explicit(&o->kind, OBJECT_FREE, memory_order_release);
	lock_take(&pool->lock);
	if (class == OBJECT_CLASSES) {
		chunk_free(chunk);
	} else {
		/* Cleared, so that no stale pointer in it keeps something else alive. */
		memset(o, 0, chunk->slot_size);
		o->chunk = chunk;
		o->next_free = pool->free[class];
		pool->free[class] = o;
	}
	lock_release(&pool->lock);
}

/* It lies in its own memory, and so is masked like all of it. */
struct object_pool *object_pool_get(void)
{
	static struct object_pool *_Atomic the_pool;
	static struct lock making;
	struct object_pool *pool = atomic_load_explicit(&the_pool, memory_order_acquire);

	if (pool)
		return pool;
	lock_take(&making);
	pool = atomic_load(&the_pool);
	if (!pool) {
		struct memory memory = {0};

		pool = memory_map(&memory, sizeof(*pool));
		if (pool) {
			pool->memory = memory;
			atomic_store_explicit(&the_pool, pool, memory_order_release);
		}
	}
	lock_release(&making);
	return pool;
}

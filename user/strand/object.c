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
static struct object_chunk *chunk_new(struct object_pool *pool, struct memory *m, size_t slot_size,
				      size_t slots)
{
	size_t header = memory_round_up(sizeof(struct object_chunk) + slots * sizeof(uint32_t), 64);
	size_t size = memory_round_up(header + slots * slot_size, memory_page_size());
	struct object_chunk *chunk = memory_map(m, size);

	if (!chunk)
		return NULL;
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

static void refill(struct object_pool *pool, struct memory *m, unsigned class)
{
	size_t slot_size = CLASS_MIN_SIZE << class;
	size_t slots =
		(CHUNK_SIZE - sizeof(struct object_chunk) - 64) / (slot_size + sizeof(uint32_t));
	struct object_chunk *chunk = chunk_new(pool, m, slot_size, slots);

	for (size_t i = chunk ? slots : 0; i-- > 0;) {
		struct object *o = object_slot(chunk, i);

		o->next_free = pool->free[class];
		pool->free[class] = o;
	}
}

static struct object *object_new_large(struct object_pool *pool, struct memory *m, size_t size)
{
	struct object_chunk *chunk = chunk_new(pool, m, memory_round_up(size, 64), 1);

	return chunk ? object_slot(chunk, 0) : NULL;
}

struct object *object_new(struct object_pool *pool, struct memory *m, size_t size)
{
	unsigned class = class_of(size);
	struct object *o;

	lock_take(&pool->lock);
	if (class == OBJECT_CLASSES) {
		o = object_new_large(pool, m, size);
	} else {
		if (!pool->free[class])
			refill(pool, m, class);
		o = pool->free[class];
		if (o)
			pool->free[class] = o->next_free;
	}
	lock_release(&pool->lock);
	return o;
}

static void chunk_free(struct memory *m, struct object_chunk *chunk)
{
	*chunk->prev_next = chunk->next;
	if (chunk->next)
		chunk->next->prev_next = chunk->prev_next;
	memory_unmap(m, chunk, chunk->mapped);
}

void object_free(struct object_pool *pool, struct memory *m, struct object *o)
{
	struct object_chunk *chunk = o->chunk;
	unsigned class = class_of(chunk->slot_size);

	lock_take(&pool->lock);
	if (class == OBJECT_CLASSES) {
		chunk_free(m, chunk);
	} else {
		/* Cleared, so that no stale pointer in it keeps something else alive. */
		memset(o, 0, chunk->slot_size);
		o->chunk = chunk;
		o->next_free = pool->free[class];
		pool->free[class] = o;
	}
	lock_release(&pool->lock);
}

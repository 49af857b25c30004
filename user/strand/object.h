/* SPDX-License-Identifier: MIT */
/*
 * Wait objects: slabs of equal slots, so that the leak search knows each object
 * exactly: where it begins, where it ends, and which part is the user's data.
 *
 * Objects outlive the runtime: a program may drop its last references, or threads may still
 * wait, after strand_main has returned. So there is one pool for the whole process.
 */
#ifndef STRAND_OBJECT_H
#define STRAND_OBJECT_H

#include <stddef.h>
#include <stdint.h>
#include "strand/object_lock.h"
#include "strand/memory.h"

enum object_kind {
	OBJECT_FREE = 0, /* also: handed out, but not yet ready to be waited on */
	OBJECT_CHAN,
	OBJECT_HANDLE,
	OBJECT_SCOPE,
};

/* Every object starts with this. */
struct object {
	_Atomic uint32_t kind;   /* set last when made, cleared first when freed */
	struct object_lock lock; /* held while the object changes */
	struct object_chunk *chunk;
	struct object *next_free;
};

#define OBJECT_CLASSES 8 /* 128 B to 16 KiB; larger objects have a mapping of their own */

struct object_chunk { /* at the start of its mapping */
	struct object_pool *pool;
	struct object_chunk *next, **prev_next;
	size_t slot_size;
	size_t slots;
	size_t mapped;
	uint32_t *nodes; /* for the leak search: its node of each slot */
};

struct object_pool {
	struct lock lock;
	struct memory memory;
	struct object *free[OBJECT_CLASSES];
	struct object_chunk *chunks;
	struct object_chunk *leak_next; /* the chunk that the leak search will describe next */
};

/* The pool of the process; NULL if there is no memory for it. */
struct object_pool *object_pool_get(void);

/* A zeroed object of kind OBJECT_FREE; the caller sets the kind when it is complete. */
struct object *object_new(struct object_pool *pool, size_t size);

/* Marks it OBJECT_FREE first. */
void object_free(struct object *object);

static inline struct object *object_slot(const struct object_chunk *chunk, size_t i)
{
	return (struct object *)((char *)chunk + chunk->mapped -
				 (chunk->slots - i) * chunk->slot_size);
}

static inline size_t object_index(const struct object *object)
{
	return ((uintptr_t)object - (uintptr_t)object_slot(object->chunk, 0)) /
	       object->chunk->slot_size;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The memory of one search: a mapping made before anything is stopped, taken
 * from the bottom for arrays and from the top for edges. Pages that were never
 * touched cost nothing. Nothing is freed but by going back to a mark.
 */
#ifndef LEAKGC_ARENA_H
#define LEAKGC_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct leakgc_arena {
	uintptr_t next; /* first free byte; grows */
	uintptr_t top;  /* first byte that is not free; shrinks */
};

#define LEAKGC_ARENA_ALIGN 16

/* Take size bytes from the bottom, not zeroed. NULL: the memory budget is used up. */
static inline void *leakgc_arena_take(struct leakgc_arena *a, size_t size)
{
	uintptr_t at = (a->next + LEAKGC_ARENA_ALIGN - 1) & ~(uintptr_t)(LEAKGC_ARENA_ALIGN - 1);

	if (at > a->top || size > a->top - at)
		return NULL;
	a->next = at + size;
	return (void *)at;
}

/* Append right behind what was taken last, without alignment: an array that grows. */
static inline void *leakgc_arena_append(struct leakgc_arena *a, size_t size)
{
	uintptr_t at = a->next;

	if (size > a->top - at)
		return NULL;
	a->next = at + size;
	return (void *)at;
}

/* Take from the top, downwards. */
static inline void *leakgc_arena_take_top(struct leakgc_arena *a, size_t size)
{
	if (a->top < a->next || size > a->top - a->next)
		return NULL;
	a->top -= size;
	return (void *)a->top;
}

#endif

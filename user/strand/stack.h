/* SPDX-License-Identifier: MIT */
/*
 * Stacks: slabs of equal stacks in few large mappings, each stack with a guard at its low end.
 *
 * Guards, the best that works:
 *   madvise   the page faults and costs no mapping of its own (Linux 6.13)
 *   mprotect  the page faults, but splits the mapping: a budget of them
 *   canary    no fault: a pattern, looked at when the task parks or ends
 */
#ifndef STRAND_STACK_H
#define STRAND_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include "strand/memory.h"

/*
 * 64 KiB: page tables cost 128 B a stack, against 4 KiB for 2 MiB stacks, and printf with
 * its callees fits well.
 */
#define STACK_DEFAULT_SIZE ((size_t)64 << 10)
#define STACK_MAX_SIZE     ((size_t)1 << 30)

/*
 * A guard by mprotect splits the mapping in two. The default vm.max_map_count is 65530; the
 * program needs some for itself, so beyond this number stacks get canaries.
 */
#define STACK_MPROTECT_MAX 16384

/* What an overflow writes over: large frames may leave a few words of it alone, not all. */
#define STACK_CANARY_SIZE  ((size_t)256)

enum stack_guard { STACK_GUARD_MADVISE, STACK_GUARD_MPROTECT, STACK_GUARD_CANARY };

struct stack {
	char *base; /* lowest byte; a guard page is [base, base + page) */
	size_t size;
	enum stack_guard guard;
	unsigned valgrind_id;
};

static inline char *stack_top(const struct stack *s)
{
	return s->base + s->size;
}

/* The lowest byte that a task may use. */
static inline char *stack_floor(const struct stack *s)
{
	return s->base + (s->guard == STACK_GUARD_CANARY ? STACK_CANARY_SIZE : memory_page_size());
}

struct stack_pool {
	struct lock lock;
	char *slab; /* stacks of the default size that were never handed out */
	size_t slab_left;
	size_t slab_stacks;           /* of the newest slab */
	enum stack_guard best;        /* worse ones may be asked for, to test them */
	unsigned guards_by_mprotect;  /* each costs two mappings of vm.max_map_count */
	size_t made;                  /* of the default size */
	size_t special, special_size; /* in use, of other sizes: how many, and their bytes */
};

/*
 * stack_new - a stack of at least size bytes of use, 0 for the default.
 * Stacks of the default size come from slabs and are never unmapped: a task keeps
 * its stack when it is recycled. Returns 0 or -ENOMEM.
 */
int stack_new(struct stack_pool *pool, struct memory *m, size_t size, struct stack *ret_stack);

/* Give back a stack that is not of the default size. */
void stack_free(struct stack_pool *pool, struct memory *m, struct stack *stack);

/* Give the memory of a stack that nobody uses back to the system; it reads as zeros again. */
void stack_trim(const struct stack *stack);

/* A stack with a canary: has nobody written below its floor? */
bool stack_is_intact(const struct stack *stack);

/*
 * The bytes that were used since the stack was made or trimmed, at most: everything above the
 * lowest word that is not zero.
 */
size_t stack_used(const struct stack *stack);

/* Valgrind forgets it. Its memory is about to be unmapped. */
void stack_forget(struct stack *stack);

#endif

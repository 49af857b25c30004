/* SPDX-License-Identifier: MIT */
/*
 * Stacks: slabs of equal stacks in few large mappings, each stack with a guard
 * page at its low end.
 */
#ifndef STRAND_STACK_H
#define STRAND_STACK_H

#include <stddef.h>
#include "strand/memory.h"

/*
 * 64 KiB: page tables cost 128 B a stack, against 4 KiB for 2 MiB stacks, and printf with
 * its callees fits well.
 */
#define STACK_DEFAULT_SIZE ((size_t)64 << 10)
#define STACK_MAX_SIZE     ((size_t)1 << 30)

struct stack {
	char *base; /* lowest byte; the guard page is [base, base + page) */
	size_t size;
};

static inline char *stack_top(const struct stack *s)
{
	return s->base + s->size;
}

struct stack_pool {
	struct lock lock;
	char *slab; /* stacks of the default size that were never handed out */
	size_t slab_left;
	unsigned guards_by_mprotect; /* each costs two mappings of vm.max_map_count */
};

/*
 * stack_new - a stack of at least size bytes of use, 0 for the default.
 * Stacks of the default size come from slabs and are never unmapped: a task keeps
 * its stack when it is recycled. Returns 0 or -ENOMEM.
 */
int stack_new(struct stack_pool *pool, struct memory *m, size_t size, struct stack *ret_stack);

/* Give back a stack that is not of the default size. */
void stack_free(struct memory *m, struct stack *stack);

#endif

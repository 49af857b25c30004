/* SPDX-License-Identifier: MIT */
/* Stacks and their guard pages. */
#include "strand/stack.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

/* 256 stacks a mapping: 16 MiB of address space, one mmap per 256 spawns that find no free task. */
#define SLAB_STACKS         ((size_t)256)

/*
 * A guard by mprotect splits the mapping in two. The default vm.max_map_count is 65530; the
 * program needs some for itself, so beyond this number stacks go without a guard page.
 */
#define MPROTECT_GUARDS_MAX 16384

/* MADV_GUARD_INSTALL makes the page fault without a mapping of its own. */
static void install_guard(struct stack_pool *pool, char *base)
{
	size_t page = memory_page_size();

	if (madvise(base, page, MADV_GUARD_INSTALL) == 0)
		return;
	if (pool->guards_by_mprotect >= MPROTECT_GUARDS_MAX)
		return;
	if (mprotect(base, page, PROT_NONE) == 0)
		pool->guards_by_mprotect++;
}

static int stack_from_slab(struct stack_pool *pool, struct memory *m, struct stack *ret_stack)
{
	lock_take(&pool->lock);
	if (!pool->slab_left) {
		pool->slab = memory_map(m, SLAB_STACKS * STACK_DEFAULT_SIZE);
		pool->slab_left = pool->slab ? SLAB_STACKS : 0;
	}
	if (!pool->slab_left) {
		lock_release(&pool->lock);
		return -ENOMEM;
	}
	ret_stack->base = pool->slab;
	ret_stack->size = STACK_DEFAULT_SIZE;
	pool->slab += STACK_DEFAULT_SIZE;
	pool->slab_left--;
	install_guard(pool, ret_stack->base);
	lock_release(&pool->lock);
	return 0;
}

int stack_new(struct stack_pool *pool, struct memory *m, size_t size, struct stack *ret_stack)
{
	if (size == 0)
		return stack_from_slab(pool, m, ret_stack);

	size_t page = memory_page_size();

	size = memory_round_up(size, page) + page;
	if (size == STACK_DEFAULT_SIZE)
		size += page; /* the size tells slab stacks from others */

	char *base = memory_map(m, size);

	if (!base)
		return -ENOMEM;
	lock_take(&pool->lock);
	install_guard(pool, base);
	lock_release(&pool->lock);
	*ret_stack = (struct stack){base, size};
	return 0;
}

void stack_free(struct memory *m, struct stack *stack)
{
	memory_unmap(m, stack->base, stack->size);
	*stack = (struct stack){0};
}

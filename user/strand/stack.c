/* SPDX-License-Identifier: MIT */
/* Stacks and their guards. */
#include "strand/stack.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include "strand/sanitizers.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

/*
 * Stacks of a slab: 16 MiB of address space at first, one mmap per 256 spawns that find no
 * free task. Each slab is twice as large, up to 4 GiB, so that a million stacks are a few dozen
 * regions for the leak search and not thousands.
 */
#define SLAB_STACKS_MIN ((size_t)256)
#define SLAB_STACKS_MAX ((size_t)65536)

/* ---- guards ---------------------------------------------------------------------- */

static uintptr_t canary_word(const uintptr_t *at)
{
	return (uintptr_t)at ^ (uintptr_t)0x5ca1ab1e0ddba11aULL;
}

static void write_canary(const struct stack *stack)
{
	uintptr_t *words = (uintptr_t *)stack->base;

	for (size_t i = 0; i < STACK_CANARY_SIZE / sizeof(*words); i++)
		words[i] = canary_word(&words[i]);
}

__attribute__((no_sanitize("address"))) bool stack_is_intact(const struct stack *stack)
{
	const uintptr_t *words = (const uintptr_t *)stack->base;

	for (size_t i = 0; i < STACK_CANARY_SIZE / sizeof(*words); i++) {
		if (words[i] != canary_word(&words[i]))
			return false;
	}
	return true;
}

/* MADV_GUARD_INSTALL makes the page fault without a mapping of its own. */
static void install_guard(struct stack_pool *pool, struct stack *stack)
{
	size_t page = memory_page_size();

	stack->guard = STACK_GUARD_MADVISE;
	if (pool->best <= STACK_GUARD_MADVISE &&
	    madvise(stack->base, page, MADV_GUARD_INSTALL) == 0)
		return;
	stack->guard = STACK_GUARD_MPROTECT;
	if (pool->best <= STACK_GUARD_MPROTECT && pool->guards_by_mprotect < STACK_MPROTECT_MAX &&
	    mprotect(stack->base, page, PROT_NONE) == 0) {
		pool->guards_by_mprotect++;
		return;
	}
	stack->guard = STACK_GUARD_CANARY;
	write_canary(stack);
}

static void register_stack(struct stack *stack)
{
	stack->valgrind_id = 0;
#ifdef STRAND_VALGRIND
	stack->valgrind_id = VALGRIND_STACK_REGISTER(stack->base, stack_top(stack) - 1);
#endif
}

void stack_forget(struct stack *stack)
{
	(void)stack;
#ifdef STRAND_VALGRIND
	if (stack->base)
		VALGRIND_STACK_DEREGISTER(stack->valgrind_id);
#endif
}

/* ---- making and freeing ------------------------------------------------------------ */

/* Called with the pool's lock held. */
static bool add_slab(struct stack_pool *pool, struct memory *m)
{
	size_t stacks = pool->slab_stacks ? pool->slab_stacks * 2 : SLAB_STACKS_MIN;

	if (stacks > SLAB_STACKS_MAX)
		stacks = SLAB_STACKS_MAX;
	pool->slab = memory_map(m, stacks * STACK_DEFAULT_SIZE);
	if (!pool->slab) {
		stacks = SLAB_STACKS_MIN;
		pool->slab = memory_map(m, stacks * STACK_DEFAULT_SIZE);
	}
	if (!pool->slab)
		return false;
	pool->slab_stacks = pool->slab_left = stacks;
	return true;
}

static int stack_from_slab(struct stack_pool *pool, struct memory *m, struct stack *ret_stack)
{
	lock_take(&pool->lock);
	if (!pool->slab_left && !add_slab(pool, m)) {
		lock_release(&pool->lock);
		return -ENOMEM;
	}
	*ret_stack = (struct stack){.base = pool->slab, .size = STACK_DEFAULT_SIZE};
	pool->slab += STACK_DEFAULT_SIZE;
	pool->slab_left--;
	pool->made++;
	install_guard(pool, ret_stack);
	lock_release(&pool->lock);
	register_stack(ret_stack);
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
	*ret_stack = (struct stack){.base = base, .size = size};
	lock_take(&pool->lock);
	install_guard(pool, ret_stack);
	pool->special++;
	pool->special_size += size;
	lock_release(&pool->lock);
	register_stack(ret_stack);
	return 0;
}

void stack_free(struct stack_pool *pool, struct memory *m, struct stack *stack)
{
	lock_take(&pool->lock);
	pool->special--;
	pool->special_size -= stack->size;
	if (stack->guard == STACK_GUARD_MPROTECT)
		pool->guards_by_mprotect--;
	lock_release(&pool->lock);
	stack_forget(stack);
	memory_unmap(m, stack->base, stack->size);
	*stack = (struct stack){0};
}

void stack_trim(const struct stack *stack)
{
	size_t page = memory_page_size();

	/* Not the first page: a guard there stays, and so does a canary. */
	madvise(stack->base + page, stack->size - page, MADV_DONTNEED);
}

__attribute__((no_sanitize("address"))) size_t stack_used(const struct stack *stack)
{
	const char *at = stack_floor(stack), *top = stack_top(stack);

	while (at < top && !*(const volatile uintptr_t *)at)
		at += sizeof(uintptr_t);
	return (size_t)(top - at);
}

/* SPDX-License-Identifier: MIT */
/*
 * What the sanitizers and Valgrind have to be told of stacks that they did not make.
 *
 * AddressSanitizer keeps the bounds of the current stack, ThreadSanitizer a history of
 * calls for each flow of control: both are told of every switch. In builds without them
 * a struct fiber is empty and these functions are nothing. Valgrind only has to know where
 * stacks are: a few instructions when one is made, which do nothing outside of Valgrind.
 *
 * LeakSanitizer looks into the stack of the task that exits and, as a root region, into those
 * of the workers. Not into those of parked tasks: it reads /proc/self/maps once for each root
 * region, which took 27 s with ten thousand. So what only a task holds that is parked when the
 * program exits is a leak to it, which it is to us as well.
 */
#ifndef STRAND_SANITIZERS_H
#define STRAND_SANITIZERS_H

#include <stdbool.h>
#include <stddef.h>
#include "strand/memory.h"
#include "strand/stack.h"

#if defined(__SANITIZE_ADDRESS__)
#define STRAND_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define STRAND_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STRAND_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define STRAND_TSAN 1
#endif
#endif

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define STRAND_VALGRIND 1
#endif
#endif

#ifdef STRAND_ASAN
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#ifdef STRAND_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* Does Valgrind translate this process? */
static inline bool runs_on_valgrind(void)
{
#ifdef STRAND_VALGRIND
	return RUNNING_ON_VALGRIND;
#else
	return false;
#endif
}

/* A flow of control: of a task, or of a worker's own loop. */
struct fiber {
#ifdef STRAND_ASAN
	void *fake_stack;   /* while it is left */
	const void *bottom; /* of its stack */
	size_t size;
#endif
#ifdef STRAND_TSAN
	void *context;
#endif
};

#ifdef STRAND_ASAN
static inline void fiber_asan_thread(struct fiber *fiber)
{
	pthread_attr_t attr;
	void *bottom = NULL;

	if (pthread_getattr_np(pthread_self(), &attr))
		return;
	pthread_attr_getstack(&attr, &bottom, &fiber->size);
	fiber->bottom = bottom;
	pthread_attr_destroy(&attr);
	__lsan_register_root_region(fiber->bottom, fiber->size); /* not looked at from a task */
}
#endif

/* The calling thread, on its own stack. */
static inline void fiber_of_thread(struct fiber *fiber)
{
	*fiber = (struct fiber){};
#ifdef STRAND_ASAN
	fiber_asan_thread(fiber);
#endif
#ifdef STRAND_TSAN
	fiber->context = __tsan_get_current_fiber();
#endif
}

static inline void fiber_of_thread_done(const struct fiber *fiber)
{
	(void)fiber;
#ifdef STRAND_ASAN
	if (fiber->size)
		__lsan_unregister_root_region(fiber->bottom, fiber->size);
#endif
}

/* A new task on this stack. */
static inline void fiber_new(struct fiber *fiber, const struct stack *stack)
{
	*fiber = (struct fiber){};
	(void)stack;
#ifdef STRAND_ASAN
	fiber->bottom = stack->base + memory_page_size();
	fiber->size = stack->size - memory_page_size();
#endif
#ifdef STRAND_TSAN
	fiber->context = __tsan_create_fiber(0);
#endif
}

/* Memory is about to be unmapped: its red zones are not those of what comes next. */
static inline void sanitizers_unmapped(const void *address, size_t size)
{
	(void)address, (void)size;
#ifdef STRAND_ASAN
	ASAN_UNPOISON_MEMORY_REGION(address, size);
#endif
}

/* A task has ended and its stack will be used by another. Not on that stack. */
static inline void fiber_done(struct fiber *fiber)
{
	(void)fiber;
#ifdef STRAND_ASAN
	ASAN_UNPOISON_MEMORY_REGION(fiber->bottom, fiber->size); /* frames that never returned */
#endif
#ifdef STRAND_TSAN
	__tsan_destroy_fiber(fiber->context);
#endif
}

/* Immediately before a switch; for_ever: nobody will come back to from. */
static inline void fiber_leave(struct fiber *from, const struct fiber *to, int for_ever)
{
	(void)from, (void)to, (void)for_ever;
#ifdef STRAND_ASAN
	__sanitizer_start_switch_fiber(for_ever ? NULL : &from->fake_stack, to->bottom, to->size);
#endif
#ifdef STRAND_TSAN
	__tsan_switch_to_fiber(to->context, 0);
#endif
}

/* First thing after a switch, on the stack that was switched to. */
static inline void fiber_arrive(const struct fiber *self)
{
	(void)self;
#ifdef STRAND_ASAN
	__sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
#endif
}

#endif

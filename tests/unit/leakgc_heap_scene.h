/* SPDX-License-Identifier: MIT */
/*
 * Scenes on glibc's heap, run once in the main arena and once in the arena of a thread. A
 * program defines run() and calls heap_main().
 */
#ifndef LEAKGC_HEAP_SCENE_H
#define LEAKGC_HEAP_SCENE_H

#include "leakgc_scene.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leakgc/heap.h"
#include "leakgc/heap_known.h"

#define HUGE_BLOCK (1u << 20)   /* above the threshold of mmap */
#define HEAP_ONCE  (256u << 10) /* more than the heap's first size */
#define HEAP_PAD   (16 << 20)   /* more than the tests need */

static void *volatile global_root; /* an application's global variable */
static uintptr_t hidden;           /* the complement of a block: no reference to it */
static bool is_main_arena;

static inline void hide(void *block)
{
	hidden = ~(uintptr_t)block;
}

static uintptr_t hidden_highest = UINTPTR_MAX; /* the complement of the highest block so far */

/*
 * A block where none has been: there may be old pointers to others on the main thread's
 * stack. To be called on the thread that searches, whose stack and registers do not count.
 */
static inline void *fresh(size_t size)
{
	void *volatile gap = malloc(16384); /* where that thread has had and freed a block */
	uintptr_t block, next;

	(void)gap;
	do
		block = (uintptr_t)calloc(1, size);
	while (size < HUGE_BLOCK && block < ~hidden_highest && ~hidden_highest - block < 1u << 26);
	if (size >= HUGE_BLOCK)
		return (void *)block;
	do /* the lists of free chunks name the end of a block before a free one */
		next = (uintptr_t)malloc(1);
	while (next < block && block - next < 1u << 26);
	hidden_highest = ~next;
	return (void *)block;
}

static inline void *block_with_object(size_t size)
{
	char *block = fresh(size);

	scene_put((uintptr_t)block + size / 2 / 8 * 8, scene_object(0));
	hide(block);
	return block;
}

/*
 * The block of the last search, or test, names the object no more: it might be reachable by now,
 * as the main thread's stack may know where the top was right behind it.
 */
static inline void forget_hidden(void)
{
	if (hidden)
		memset((void *)~hidden, 0, malloc_usable_size((void *)~hidden));
	hidden = 0;
}

static inline int heap_setup(void **state)
{
	global_root = NULL;
	forget_hidden();
	return scene_setup(state);
}

/* Another malloc, or another machine: every block is a root. */
#if defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__)
#define IS_KNOWN false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_KNOWN false
#endif
#endif
#ifndef IS_KNOWN
#define IS_KNOWN true
#endif

static inline int heap_group_setup(void **state)
{
	if (is_main_arena)
		mallopt(M_ARENA_MAX, 1);
	/* The main thread's stack may know of freed blocks, and where the heap once ended. */
	mallopt(M_TOP_PAD, HEAP_PAD);
	for (size_t done = 0; done < HEAP_ONCE; done += HEAP_ONCE / 4)
		hidden_highest = ~(uintptr_t)malloc(HEAP_ONCE / 4);
	leakgc_heap_init();
	if (leakgc_heap_is_known() != IS_KNOWN) {
		print_error("this libc's malloc is %sknown\n", IS_KNOWN ? "not " : "");
		return -1;
	}
	return scene_group_setup(state);
}

/* The number of arenas is settled once a process. */
static inline int heap_main(int (*run)(void))
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		is_main_arena = true;
		exit(run());
	}
	waitpid(child, &status, 0);
	return run() || status;
}

#endif

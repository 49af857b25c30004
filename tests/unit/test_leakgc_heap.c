/* SPDX-License-Identifier: MIT */
/*
 * The search through glibc's heap: blocks that nobody holds keep nothing alive, all
 * others do, and an arena that is not as it should be is a root. Every test runs in
 * the main arena and in the arena of a thread.
 */
#include "leakgc_scene.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leakgc/heap.h"
#include "leakgc/heap_known.h"

#define CHAIN_SHORT 5
#define CHAIN_LONG  40
#define HUGE_BLOCK  (1u << 20) /* above the threshold of mmap */

static void *volatile global_root; /* an application's global variable */
static uintptr_t hidden;           /* the complement of a block: no reference to it */
static size_t block_size = 100;
static bool is_main_arena;

static void hide(void *block)
{
	hidden = ~(uintptr_t)block;
}

static uintptr_t hidden_highest = UINTPTR_MAX; /* the complement of the highest block so far */

/*
 * A block where none has been: there may be old pointers to others on the main thread's
 * stack. To be called on the thread that searches, whose stack and registers do not count.
 */
static void *fresh(size_t size)
{
	uintptr_t block;

	do
		block = (uintptr_t)calloc(1, size);
	while (size < HUGE_BLOCK && block < ~hidden_highest && ~hidden_highest - block < 1u << 26);
	if (size < HUGE_BLOCK) /* the lists of free chunks name the end of this one */
		hidden_highest = ~(uintptr_t)malloc(1);
	return (void *)block;
}

static void *block_with_object(size_t size)
{
	char *block = fresh(size);

	scene_put((uintptr_t)block + size / 2 / 8 * 8, scene_object(0));
	hide(block);
	return block;
}

/* On the thread that searches. */
static void free_hidden(void)
{
	if (hidden)
		free((void *)~hidden);
	hidden = 0;
}

static int heap_setup(void **state)
{
	global_root = NULL;
	hidden = 0;
	block_size = 100;
	return scene_setup(state);
}

/* ---- one block ------------------------------------------------------------------- */

static void lost_block(void)
{
	free_hidden();
	block_with_object(block_size);
}

static void block_in_global(void)
{
	global_root = block_with_object(block_size);
}

static void test_lost_block(void **state)
{
	static const size_t sizes[] = {16, 24, 100, 648, 5000, 100000, HUGE_BLOCK, 5 * HUGE_BLOCK};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		block_size = sizes[i];
		scene_expect(scene_run(lost_block, 0), 0, STRAND_VERDICT_LEAKED);
		scene_expect(scene_run(lost_block, LEAKGC_WITHOUT_HEAP), 0, STRAND_VERDICT_LIVE);
		scene_expect(scene_run(block_in_global, 0), 0, STRAND_VERDICT_LIVE);
		global_root = NULL;
		hidden = 0;
	}
}

static void block_in_live_task(void)
{
	scene_put(scene_sp(1) + 8, (uintptr_t)block_with_object(100));
}

static void test_block_in_live_task(void **state)
{
	(void)state;
	scene_add_task(1, -1);
	scene.tasks[1].live = true;
	scene_expect(scene_run(block_in_live_task, 0), 0, STRAND_VERDICT_LIVE);
	scene.tasks[1].live = false;
	scene_expect(scene_run(block_in_live_task, 0), 0, STRAND_VERDICT_LEAKED);
}

static void block_in_leaked_task(void)
{
	scene_put(scene_sp(0) + 8, (uintptr_t)block_with_object(100));
}

static void test_block_in_leaked_task(void **state)
{
	(void)state;
	scene_expect(scene_run(block_in_leaked_task, 0), 0, STRAND_VERDICT_LEAKED);
}

static void interior_pointer(void)
{
	global_root = (char *)block_with_object(block_size) + block_size - 1;
}

static void test_interior_pointer(void **state)
{
	(void)state;
	scene_expect_hole(interior_pointer, LEAKGC_WITHOUT_INTERIOR, 0);
	block_size = HUGE_BLOCK;
	scene_expect_hole(interior_pointer, LEAKGC_WITHOUT_INTERIOR, 0);
}

static void one_past_the_end(void)
{
	char *block = block_with_object(24);

	global_root = block + malloc_usable_size(block);
}

static void test_one_past_the_end(void **state)
{
	(void)state;
	scene_expect_hole(one_past_the_end, LEAKGC_WITHOUT_PADDING, 0);
}

/* It has been moved as a whole, so its mapping has another address or size. */
static void moved_block(void)
{
	char *block = block_with_object(HUGE_BLOCK);

	block = realloc(block, 16 * HUGE_BLOCK);
	hide(block);
	global_root = block_size == HUGE_BLOCK ? block : NULL;
}

static void test_moved_block(void **state)
{
	(void)state;
	scene_expect(scene_run(moved_block, 0), 0, STRAND_VERDICT_LEAKED);
	block_size = HUGE_BLOCK;
	scene_expect(scene_run(moved_block, 0), 0, STRAND_VERDICT_LIVE);
}

/* ---- freed blocks ------------------------------------------------------------------ */

/* The freed block is referred to: what it held is not looked at, as nobody may read it. */
static void freed_block(void)
{
	void *block = block_with_object(5000), *next = fresh(100);

	free(block);
	global_root = next;
	hidden = 0;
}

static void test_freed_block(void **state)
{
	(void)state;
	scene_expect(scene_run(freed_block, 0), 0, STRAND_VERDICT_LEAKED);
}

/* ---- many blocks ------------------------------------------------------------------- */

static unsigned chain_length;

static void *make_chain(void)
{
	void *block = block_with_object(64);

	for (unsigned i = 1; i < chain_length; i++) {
		void **next = fresh(64);

		next[i % 8] = block;
		block = next;
	}
	hide(block);
	return block;
}

static void lost_chain(void)
{
	make_chain();
}

static void chain_in_global(void)
{
	global_root = make_chain();
}

static void chain_in_live_task(void)
{
	scene_put(scene_sp(1) + 8, (uintptr_t)make_chain());
}

static void test_chain(void **state)
{
	(void)state;
	chain_length = CHAIN_SHORT;
	scene_expect(scene_run(lost_chain, 0), 0, STRAND_VERDICT_LEAKED);
	scene_expect(scene_run(chain_in_global, 0), 0, STRAND_VERDICT_LIVE);
	global_root = NULL;
	scene_add_task(1, 0);
	scene_expect(scene_run(chain_in_live_task, 0), 0, STRAND_VERDICT_LEAKED);
	scene.tasks[1].live = true;
	scene_expect(scene_run(chain_in_live_task, 0), 0, STRAND_VERDICT_LIVE);
}

/* More blocks than are followed: whoever holds the last of them counts as live. */
static void test_long_chain(void **state)
{
	(void)state;
	chain_length = CHAIN_LONG;
	scene_expect_hole(chain_in_global, LEAKGC_WITHOUT_GIVING_UP, 0);
	global_root = NULL;
	scene_expect(scene_run(lost_chain, 0), 0, STRAND_VERDICT_LIVE);
}

static void ring(void)
{
	void **one = block_with_object(64), **two = fresh(64);

	one[0] = two;
	two[1] = one;
	hide(two);
}

static void test_ring(void **state)
{
	(void)state;
	scene_expect(scene_run(ring, 0), 0, STRAND_VERDICT_LEAKED);
	global_root = (void *)~hidden;
	scene_expect(scene_run(NULL, 0), 0, STRAND_VERDICT_LIVE);
}

/* Words that straddle alignment, as in packed structures. */
static void packed_chain(void)
{
	char *outer = fresh(64), *inner = fresh(64);

	scene_put((uintptr_t)inner + 13, scene_object(0));
	scene_put((uintptr_t)outer + 27, (uintptr_t)inner);
	hide(outer);
	global_root = block_size == 1 ? outer : NULL;
}

static void test_packed(void **state)
{
	(void)state;
	scene_expect(scene_run(packed_chain, 0), 0, STRAND_VERDICT_LEAKED);
	block_size = 1;
	scene_expect_hole(packed_chain, LEAKGC_WITHOUT_UNALIGNED, 0);
}

/* ---- objects in blocks --------------------------------------------------------------- */

static void lost_object_in_block(void)
{
	scene.objects[0].not_at = ~((uintptr_t)fresh(1000) + 200);
}

static void object_in_held_block(void)
{
	lost_object_in_block();
	global_root = (void *)(scene_object(0) - 200);
}

static void test_object_in_block(void **state)
{
	(void)state;
	scene_expect(scene_run(lost_object_in_block, 0), 0, STRAND_VERDICT_LEAKED);
	scene_expect_hole(object_in_held_block, LEAKGC_WITHOUT_EMBEDDING, 0);
}

/* Over the end of its block: nothing is understood of that. */
static void object_across_blocks(void)
{
	void *block = malloc(SCENE_OBJECT);
	void *volatile next = malloc(SCENE_OBJECT);

	(void)next;
	scene.objects[0].not_at = ~((uintptr_t)block + 64);
}

static void test_object_across_blocks(void **state)
{
	(void)state;
	scene_expect(scene_run(object_across_blocks, 0), 0, STRAND_VERDICT_LIVE);
}

/* ---- arenas that are not to be trusted --------------------------------------------------- */

static struct leakgc_malloc_state *arena_of(uintptr_t block)
{
	if (is_main_arena)
		return (struct leakgc_malloc_state *)leakgc_heap_known()->main_arena;
	return *(struct leakgc_malloc_state **)(block & ~(uintptr_t)((64 << 20) - 1));
}

/* All of these run in the snapshot: the process keeps its heap. */
static void lock_arena(void)
{
	arena_of(~hidden)->mutex = 1;
}

/* A thread is about to take the block from a free list. */
static void lock_arena_and_take_block(void)
{
	uint64_t *header = (uint64_t *)(~hidden - 16);
	uint64_t size = header[1] & ~7ULL;

	lock_arena();
	header[1] |= 1;
	header[size / 8] = size;
	header[size / 8 + 1] &= ~1ULL;
}

static void test_locked_arena(void **state)
{
	(void)state;
	scene.describe_hook = lock_arena;
	scene_expect(scene_run(lost_block, 0), 0, STRAND_VERDICT_LIVE);
	scene.describe_hook = lock_arena_and_take_block;
	scene_expect_hole(block_in_global, LEAKGC_WITHOUT_ARENA_LOCK, 0);
}

static unsigned damage;

static void damage_header(void)
{
	static const uint64_t sizes[] = {0,    1,          8,     17,         0x71 + 16,
					 0x73, 0x7ffffff1, ~0ULL, 1ULL << 63, 0x4141414141414141};
	uint64_t *header = (uint64_t *)(~hidden - 16);

	header[1] = sizes[damage];
}

static void damage_top(void)
{
	arena_of(~hidden)->top += 16;
}

static void damage_total(void)
{
	arena_of(~hidden)->system_mem += 4096;
}

static void test_damaged_arena(void **state)
{
	(void)state;
	scene.describe_hook = damage_header;
	for (damage = 0; damage < 10; damage++)
		scene_expect(scene_run(lost_block, 0), 0, STRAND_VERDICT_LIVE);
	scene.describe_hook = damage_top;
	scene_expect(scene_run(lost_block, 0), 0, STRAND_VERDICT_LIVE);
	scene.describe_hook = damage_total;
	scene_expect(scene_run(lost_block, 0), 0, STRAND_VERDICT_LIVE);
}

/* A mapping of the program that begins like a mapped chunk, but is larger. */
static void not_a_mapped_chunk(void)
{
	uint64_t *page =
		mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	page[1] = 4096 | 2;
	scene_put((uintptr_t)page + 64, scene_object(0));
	hide(page);
}

static void test_not_a_mapped_chunk(void **state)
{
	(void)state;
	scene_expect(scene_run(not_a_mapped_chunk, 0), 0, STRAND_VERDICT_LIVE);
	munmap((void *)~hidden, 3 * 4096);
}

/* ---- a thread whose stack is a block ------------------------------------------------------- */

static _Atomic int guest_state;

static void *guest(void *unused)
{
	volatile uintptr_t pointer = scene_object(0);

	atomic_store(&guest_state, 1);
	while (atomic_load(&guest_state) != 2)
		usleep(1000);
	return pointer ? unused : NULL;
}

static void test_stack_in_block(void **state)
{
	pthread_attr_t attributes;
	pthread_t thread;
	char *stack = malloc(256u << 10);

	(void)state;
	atomic_store(&guest_state, 0);
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, stack, 256u << 10);
	assert_int_equal(pthread_create(&thread, &attributes, guest, NULL), 0);
	hide(stack);
	stack = NULL;
	while (!atomic_load(&guest_state))
		sched_yield();
	scene_expect(scene_run(NULL, 0), 0, STRAND_VERDICT_LIVE);
	atomic_store(&guest_state, 2);
	pthread_join(thread, NULL);
}

/* ---- threads in malloc ------------------------------------------------------------------- */

#define CHURNERS 3
#define SEARCHES 8

static _Atomic bool churn_end;

static void *churner(void *seed)
{
	void *blocks[256] = {NULL};
	unsigned random = (unsigned)(uintptr_t)seed;

	while (!atomic_load(&churn_end)) {
		void **block;

		random = random * 1103515245 + 12345;
		block = &blocks[random >> 16 & 255];
		free(*block);
		*block = malloc(random >> 8 & (random & 64 ? 0x3fff : 0x1ff));
	}
	for (int i = 0; i < 256; i++)
		free(blocks[i]);
	return NULL;
}

/* Task 1 waits for what a lost block holds, task 2 for what a block of a global holds. */
static void both(void)
{
	char *lost, *held;

	if (hidden)
		return;
	lost = fresh(100);
	held = fresh(100);
	scene_put((uintptr_t)lost + 48, scene_object(2) + 8);
	scene_put((uintptr_t)held + 48, scene_object(4) + 8);
	global_root = held;
	hide(lost);
}

static void test_threads_in_malloc(void **state)
{
	pthread_t threads[CHURNERS];
	unsigned wrong = 0, proved = 0;

	(void)state;
	scene_add_object(2);
	scene_add_task(1, 2);
	scene_add_object(4);
	scene_add_task(2, 4);
	atomic_store(&churn_end, false);
	for (uintptr_t i = 0; i < CHURNERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churner, (void *)(i + 1)), 0);
	for (int i = 0; i < SEARCHES; i++) {
		struct leakgc_result r = scene_run(both, 0);
		const struct leakgc_verdict *held = scene_verdict(&r, 2);
		const struct leakgc_verdict *lost = scene_verdict(&r, 1);

		wrong += held && held->verdict == STRAND_VERDICT_LEAKED;
		proved += lost && lost->verdict == STRAND_VERDICT_LEAKED;
		leakgc_result_done(&r);
	}
	atomic_store(&churn_end, true);
	for (int i = 0; i < CHURNERS; i++)
		pthread_join(threads[i], NULL);
	print_message("%d searches beside malloc: %u proofs\n", SEARCHES, proved);
	assert_int_equal(wrong, 0);
	assert_in_range(proved, is_main_arena ? 0 : 1, SEARCHES); /* main: all share one lock */
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

static void test_unknown_malloc(void **state)
{
	(void)state;
	assert_false(leakgc_heap_is_known());
	scene_expect(scene_run(lost_block, 0), 0, STRAND_VERDICT_LIVE);
}

static int group_setup(void **state)
{
	if (is_main_arena)
		mallopt(M_ARENA_MAX, 1);
	leakgc_heap_init();
	if (leakgc_heap_is_known() != IS_KNOWN) {
		print_error("this libc's malloc is %sknown\n", IS_KNOWN ? "not " : "");
		return -1;
	}
	return scene_group_setup(state);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_lost_block, heap_setup),
		cmocka_unit_test_setup(test_block_in_live_task, heap_setup),
		cmocka_unit_test_setup(test_block_in_leaked_task, heap_setup),
		cmocka_unit_test_setup(test_interior_pointer, heap_setup),
		cmocka_unit_test_setup(test_one_past_the_end, heap_setup),
		cmocka_unit_test_setup(test_moved_block, heap_setup),
		cmocka_unit_test_setup(test_freed_block, heap_setup),
		cmocka_unit_test_setup(test_chain, heap_setup),
		cmocka_unit_test_setup(test_ring, heap_setup),
		cmocka_unit_test_setup(test_packed, heap_setup),
		cmocka_unit_test_setup(test_object_in_block, heap_setup),
		cmocka_unit_test_setup(test_object_across_blocks, heap_setup),
		cmocka_unit_test_setup(test_locked_arena, heap_setup),
		cmocka_unit_test_setup(test_damaged_arena, heap_setup),
		cmocka_unit_test_setup(test_not_a_mapped_chunk, heap_setup),
		cmocka_unit_test_setup(test_stack_in_block, heap_setup),
		/* Late: its blocks stay, and are too many to follow. */
		cmocka_unit_test_setup(test_long_chain, heap_setup),
		cmocka_unit_test_setup(test_threads_in_malloc, heap_setup),
	};

	const struct CMUnitTest unknown[] = {
		cmocka_unit_test_setup(test_unknown_malloc, heap_setup),
	};

	if (!IS_KNOWN)
		return cmocka_run_group_tests_name("unknown malloc", unknown, group_setup, NULL);
	return cmocka_run_group_tests_name(is_main_arena ? "main arena" : "thread arenas", tests,
					   group_setup, NULL);
}

/* The number of arenas is settled once a process. */
int main(void)
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

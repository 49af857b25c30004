/* SPDX-License-Identifier: MIT */
/*
 * The search through glibc's heap: blocks that nobody holds keep nothing alive, all
 * others do, and an arena that is not as it should be is a root. Every test runs in
 * the main arena and in the arena of a thread.
 */
#include "leakgc_heap_scene.h"

#include <stdatomic.h>

#define CHAIN_SHORT 5
#define CHAIN_LONG  40

static size_t block_size = 100;

/* On the thread that searches. */
static void free_hidden(void)
{
	if (hidden)
		free((void *)~hidden);
	hidden = 0;
}

static int setup(void **state)
{
	block_size = 100;
	return heap_setup(state);
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

/* C's own rule: what points elsewhere, and is brought back by arithmetic, is no pointer to it. */
static void outside_of_block(void)
{
	char *block = block_with_object(24);

	global_root = block_size == 1 ? block - 1 : block + malloc_usable_size(block) + 1;
}

static void test_outside_of_block(void **state)
{
	(void)state;
	scene_expect(scene_run(outside_of_block, 0), 0, STRAND_VERDICT_LEAKED);
	block_size = 1;
	scene_expect(scene_run(outside_of_block, 0), 0, STRAND_VERDICT_LEAKED);
}

/* It has been moved as a whole, so its mapping has another address or size. */
static void moved_block(void)
{
	char *block = block_with_object(HUGE_BLOCK);

	block = realloc(block, 2 * HUGE_BLOCK);
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

/* ---- mappings that are not to be trusted ------------------------------------------------ */

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
	hidden = 0;
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

static void test_unknown_malloc(void **state)
{
	(void)state;
	assert_false(leakgc_heap_is_known());
	scene_expect(scene_run(lost_block, 0), 0, STRAND_VERDICT_LIVE);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_lost_block, setup),
		cmocka_unit_test_setup(test_block_in_live_task, setup),
		cmocka_unit_test_setup(test_block_in_leaked_task, setup),
		cmocka_unit_test_setup(test_interior_pointer, setup),
		cmocka_unit_test_setup(test_one_past_the_end, setup),
		cmocka_unit_test_setup(test_outside_of_block, setup),
		cmocka_unit_test_setup(test_moved_block, setup),
		cmocka_unit_test_setup(test_freed_block, setup),
		cmocka_unit_test_setup(test_chain, setup),
		cmocka_unit_test_setup(test_ring, setup),
		cmocka_unit_test_setup(test_packed, setup),
		cmocka_unit_test_setup(test_object_in_block, setup),
		cmocka_unit_test_setup(test_object_across_blocks, setup),
		cmocka_unit_test_setup(test_not_a_mapped_chunk, setup),
		cmocka_unit_test_setup(test_stack_in_block, setup),
		/* Late: its blocks stay, and are too many to follow. */
		cmocka_unit_test_setup(test_long_chain, setup),
	};

	const struct CMUnitTest unknown[] = {
		cmocka_unit_test_setup(test_unknown_malloc, setup),
	};

	if (!IS_KNOWN)
		return cmocka_run_group_tests_name("unknown malloc", unknown, heap_group_setup,
						   NULL);
	return cmocka_run_group_tests_name(is_main_arena ? "main arena" : "thread arenas", tests,
					   heap_group_setup, NULL);
}

int main(void)
{
	return heap_main(run);
}

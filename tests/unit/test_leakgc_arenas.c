/* SPDX-License-Identifier: MIT */
/*
 * Arenas of glibc's heap: malloc's own pointers keep nothing alive, what only looks like them
 * does, and an arena that a thread is changing, or that is not as it should be, is a root.
 */
#include "leakgc_heap_scene.h"

#include <stdatomic.h>

static void lost_block(void)
{
	block_with_object(100);
}

static void block_in_global(void)
{
	global_root = block_with_object(100);
}

/* ---- malloc's own pointers ------------------------------------------------------------ */

/*
 * A lost block, and the one right behind it. malloc's own pointers to that, once it is free,
 * are into the last word of the lost one.
 */
static void *lost_and_next(size_t size)
{
	char *block, *next = NULL;

	forget_hidden();
	fresh(1);
	do {
		block = next ? next : malloc(size);
		next = malloc(size);
	} while (next != block + malloc_usable_size(block) + 8 || block < (char *)~hidden_highest);
	memset(block, 0, size);
	scene_put((uintptr_t)block + size / 2 / 8 * 8, scene_object(0));
	hide(block);
	return next;
}

#define CACHED_BLOCKS 7 /* of a size in a thread cache; further ones go to the fast bins */

static void before_fast_bin(void)
{
	void *volatile full[CACHED_BLOCKS]; /* or a compiler would leave them out */
	void *next;

	for (int i = 0; i < CACHED_BLOCKS; i++)
		full[i] = malloc(88);
	next = lost_and_next(88);
	for (int i = 0; i < CACHED_BLOCKS; i++)
		free(full[i]);
	free(next);
}

static void before_bin(void)
{
	void *next = lost_and_next(5000);
	void *volatile beyond = malloc(1); /* else it would become a part of the top */

	(void)beyond;
	free(next);
}

static void before_top(void)
{
	free(lost_and_next(5000));
}

static void test_free_lists(void **state)
{
	static void (*const arrange[])(void) = {before_fast_bin, before_bin, before_top};

	(void)state;
	for (size_t i = 0; i < sizeof(arrange) / sizeof(arrange[0]); i++) {
		scene_expect(scene_run(arrange[i], 0), 0, STRAND_VERDICT_LEAKED);
		scene_expect(scene_run(arrange[i], LEAKGC_WITHOUT_ARENA_MASK), 0,
			     STRAND_VERDICT_LIVE);
	}
}

/* A thread cache, as far as can be seen, with one freed block that still holds the object. */
static struct leakgc_thread_cache *make_cache(void)
{
	struct leakgc_thread_cache *cache = fresh(sizeof(*cache));
	uint64_t *freed = fresh(100);

	freed[1] = leakgc_heap_known()->cache_key;
	freed[6] = scene_object(0);
	cache->counts[3] = 1;
	cache->entries[3] = (uintptr_t)freed;
	global_root = cache;
	return cache;
}

static void thread_cache(void)
{
	make_cache();
}

/* Blocks of the program that come close to one: what they point to is alive. */
static void cache_without_key(void)
{
	struct leakgc_thread_cache *cache = make_cache();

	((uint64_t *)cache->entries[3])[1]++;
}

static void cache_without_count(void)
{
	make_cache()->counts[3] = 0;
}

static void cache_with_more(void)
{
	make_cache()->entries[5] = 1;
}

static void test_thread_cache(void **state)
{
	(void)state;
	assert_int_not_equal(leakgc_heap_known()->cache_key, 0);
	scene_expect(scene_run(thread_cache, 0), 0, STRAND_VERDICT_LEAKED);
	scene_expect(scene_run(thread_cache, LEAKGC_WITHOUT_CACHE_MASK), 0, STRAND_VERDICT_LIVE);
	scene_expect(scene_run(cache_without_key, 0), 0, STRAND_VERDICT_LIVE);
	scene_expect(scene_run(cache_without_count, 0), 0, STRAND_VERDICT_LIVE);
	scene_expect(scene_run(cache_with_more, 0), 0, STRAND_VERDICT_LIVE);
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

static void test_no_arenas(void **state)
{
	(void)state;
	print_message("no arenas: another malloc, or another machine\n");
	skip();
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_free_lists, heap_setup),
		cmocka_unit_test_setup(test_thread_cache, heap_setup),
		cmocka_unit_test_setup(test_locked_arena, heap_setup),
		cmocka_unit_test_setup(test_damaged_arena, heap_setup),
		cmocka_unit_test_setup(test_threads_in_malloc, heap_setup),
	};
	const struct CMUnitTest skipped[] = {
		cmocka_unit_test(test_no_arenas),
	};

	if (!IS_KNOWN)
		return cmocka_run_group_tests_name("no arenas", skipped, NULL, NULL);
	return cmocka_run_group_tests_name(is_main_arena ? "main arena" : "thread arenas", tests,
					   heap_group_setup, NULL);
}

int main(void)
{
	return heap_main(run);
}

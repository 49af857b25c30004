/* SPDX-License-Identifier: MIT */
/* What a program declares for the leak search: pins, and regions of its own allocators. */
#include <sys/mman.h>
#include "strand_test.h"

#define REGION_SIZE ((size_t)64 << 10)
#define BLOCK_SIZE  ((size_t)256)
#define MANY        5000

static uintptr_t hidden;           /* the complement of a channel: no reference to it */
static char *base;                 /* of a region; an allocator knows where its memory begins */
static const char *volatile known; /* the program's pointer to one of its blocks */

static __attribute__((noinline)) struct strand_chan *the_channel(void)
{
	return (struct strand_chan *)~hidden;
}

static void receive(void *arg)
{
	strand_chan_recv(arg, STRAND_FOREVER, NULL);
}

/* A task that waits for a channel which it alone knows. */
static __attribute__((noinline)) void start_waiter(void)
{
	struct strand_chan *chan;

	expect_eq(strand_chan_new(0, 0, &chan), 0);
	expect_eq(strand_go(receive, chan), 0);
	hidden = ~(uintptr_t)chan;
}

/* How many tasks are leaked. Again while inconclusive: on a busy machine threads stop late. */
static int leaked(void)
{
	strand_time end = strand_now() + 60 * STRAND_SECOND;
	int r;

	do
		r = strand_leaks(0, NULL, NULL, NULL);
	while (r == -EAGAIN && strand_now() < end);
	return r;
}

static int run_all(int (*fn)(void *))
{
	start_waiter();
	strand_sleep(strand_now() + STRAND_MILLISECOND);
	return fn(NULL); /* and it stays leaked */
}

/* ---- pins ------------------------------------------------------------------------ */

static int pin(void *arg)
{
	(void)arg;
	expect_eq(leaked(), 1);
	expect_eq(strand_leak_pin(the_channel()), 0);
	expect_eq(strand_leak_pin(the_channel()), 0);
	expect_eq(leaked(), 0);
	expect_eq(strand_leak_unpin(the_channel()), 0);
	expect_eq(leaked(), 0);
	expect_eq(strand_leak_unpin(the_channel()), 0);
	expect_eq(leaked(), 1);
	expect_eq(strand_leak_unpin(the_channel()), -ENOENT);
	return 0;
}

static int pin_task(void *arg)
{
	(void)arg;
	return run_all(pin);
}

static void test_pin(void **state)
{
	(void)state;
	run_tasks_with(2, pin_task, NULL);
}

/* More than one page of them; in any order; also without a runtime. */
static void test_many_pins(void **state)
{
	char *objects = malloc(MANY);

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(strand_leak_pin(objects + i), 0);
	for (size_t i = 0; i < MANY; i += 2)
		assert_int_equal(strand_leak_unpin(objects + i), 0);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(strand_leak_unpin(objects + i), i % 2 ? 0 : -ENOENT);
	assert_int_equal(strand_leak_pin(NULL), -EINVAL);
	assert_int_equal(strand_leak_unpin(NULL), -EINVAL);
	free(objects);
}

/* ---- regions ---------------------------------------------------------------------- */

static __attribute__((noinline)) void store_in_block(size_t block, size_t offset)
{
	*(struct strand_chan **)(base + block * BLOCK_SIZE + offset) = the_channel();
}

static int region(void *arg)
{
	(void)arg;
	store_in_block(3, 40);
	expect_eq(leaked(), 0); /* it is not understood */
	expect_eq(strand_leak_region(base, REGION_SIZE, BLOCK_SIZE), 0);
	expect_eq(leaked(), 1);
	known = base + 3 * BLOCK_SIZE + 17;
	expect_eq(leaked(), 0);
	known = base + 4 * BLOCK_SIZE; /* the next one; and one past the end */
	expect_eq(leaked(), 0);
	known = base + 4 * BLOCK_SIZE + 1;
	expect_eq(leaked(), 1);
	*(char **)(base + 4 * BLOCK_SIZE) = base + 3 * BLOCK_SIZE; /* by way of another block */
	expect_eq(leaked(), 0);
	known = NULL;
	expect_eq(leaked(), 1);
	expect_eq(strand_leak_region_end(base), 0);
	expect_eq(leaked(), 0);
	expect_eq(strand_leak_region(base, REGION_SIZE, 0), 0); /* one block, and it is known */
	expect_eq(leaked(), 0);
	expect_eq(strand_leak_region_end(base), 0);
	return 0;
}

static int region_task(void *arg)
{
	(void)arg;
	return run_all(region);
}

static void test_region(void **state)
{
	(void)state;
	base = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(base, MAP_FAILED);
	run_tasks_with(2, region_task, NULL);
	munmap(base, REGION_SIZE);
}

static void test_region_misuse(void **state)
{
	char *at = (char *)(1 << 20);

	(void)state;
	assert_int_equal(strand_leak_region(NULL, 64, 16), -EINVAL);
	assert_int_equal(strand_leak_region(at, 0, 0), -EINVAL);
	assert_int_equal(strand_leak_region(at, 64, 65), -EINVAL);
	assert_int_equal(strand_leak_region(at, SIZE_MAX, 16), -EINVAL);
	assert_int_equal(strand_leak_region(at, 64, 16), 0);
	assert_int_equal(strand_leak_region(at, 64, 16), -EEXIST);
	assert_int_equal(strand_leak_region(at - 1, 2, 1), -EEXIST);
	assert_int_equal(strand_leak_region(at + 63, 64, 1), -EEXIST);
	assert_int_equal(strand_leak_region(at - 64, 192, 1), -EEXIST);
	assert_int_equal(strand_leak_region(at + 64, 64, 16), 0);
	assert_int_equal(strand_leak_region(at - 64, 64, 16), 0);
	assert_int_equal(strand_leak_region_end(at + 1), -ENOENT);
	for (int i = -1; i <= 1; i++)
		assert_int_equal(strand_leak_region_end(at + i * 64), 0);
	assert_int_equal(strand_leak_region_end(at), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_pins),
		cmocka_unit_test(test_pin),
		cmocka_unit_test(test_region),
		cmocka_unit_test(test_region_misuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

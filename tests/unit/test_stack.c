/* SPDX-License-Identifier: MIT */
/* Stacks: sizes, guards, and that an overflow ends the process before it reaches anything else. */
#include "strand_test.h"

#include <sys/mman.h>
#include "strand/stack.h"

static struct memory memory;
static struct stack_pool pool;

static int set_up(void **state)
{
	(void)state;
	memory = (struct memory){0};
	pool = (struct stack_pool){0};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	memory_done(&memory);
	return 0;
}

static struct stack make(size_t size)
{
	struct stack s = {0};

	assert_int_equal(stack_new(&pool, &memory, size, &s), 0);
	assert_non_null(s.base);
	assert_int_equal((uintptr_t)stack_top(&s) % 16, 0);
	return s;
}

/* All but the guard page may be written. */
static void use(const struct stack *s, int byte)
{
	memset(s->base + memory_page_size(), byte, s->size - memory_page_size());
}

static bool is_filled(const struct stack *s, int byte)
{
	for (const char *p = s->base + memory_page_size(); p < stack_top(s); p++)
		if (*p != (char)byte)
			return false;
	return true;
}

static struct stack victim;

static int touch_guard_top(void)
{
	((volatile char *)victim.base)[memory_page_size() - 1] = 1;
	return 0;
}

static int touch_guard_bottom(void)
{
	((volatile char *)victim.base)[0] = 1;
	return 0;
}

static int touch_lowest_byte(void)
{
	((volatile char *)victim.base)[memory_page_size()] = 1;
	return 0;
}

/* What a fault looks like from outside: a sanitizer turns it into an exit. */
static bool died(int status)
{
#if defined(__SANITIZE_ADDRESS__)
	return status != 0;
#else
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
#endif
}

static void expect_guard(const struct stack *s)
{
	victim = *s;
	assert_true(died(run_child(touch_guard_top)));
	assert_true(died(run_child(touch_guard_bottom)));
	assert_int_equal(run_child(touch_lowest_byte), 0);
}

static void test_default_size(void **state)
{
	struct stack s = make(0);

	(void)state;
	assert_int_equal(s.size, STACK_DEFAULT_SIZE);
	use(&s, 1);
	expect_guard(&s);
}

/* At least as much as was asked for, however odd. */
static void test_special_sizes(void **state)
{
	size_t page = memory_page_size();
	const size_t sizes[] = {1,
				page - 1,
				page,
				page + 1,
				60 << 10,
				(60 << 10) - 1,
				(64 << 10) - page,
				STACK_DEFAULT_SIZE,
				(64 << 10) + 1,
				1 << 20,
				8 << 20};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t regions = memory.count;
		struct stack s = make(sizes[i]);

		assert_true(s.size - page >= sizes[i]);
		assert_true(s.size - page < sizes[i] + 3 * page);
		assert_true(s.size != STACK_DEFAULT_SIZE); /* or it would be taken for a slab's */
		use(&s, 2);
		expect_guard(&s);
		stack_free(&pool, &memory, &s);
		assert_null(s.base);
		assert_int_equal(s.size, 0);
		if (regions)
			assert_int_equal(memory.count, regions);
	}
}

#define STACKS 600 /* more than two slabs */

static void test_slabs(void **state)
{
	static struct stack s[STACKS];

	(void)state;
	for (int i = 0; i < STACKS; i++) {
		s[i] = make(0);
		use(&s[i], i % 100 + 1);
	}
	for (int i = 0; i < STACKS; i++)
		assert_true(is_filled(&s[i], i % 100 + 1)); /* no two overlap */
	assert_true(memory.count <= 1 + (STACKS + 255) / 256);
	expect_guard(&s[0]);
	expect_guard(&s[255]);
	expect_guard(&s[256]);
	expect_guard(&s[STACKS - 1]);
}

static void test_no_memory(void **state)
{
	struct stack s = {0};

	(void)state;
	assert_int_equal(stack_new(&pool, &memory, (size_t)1 << 62, &s), -ENOMEM);
	assert_null(s.base);
	make(0);
}

/* ---- in tasks ------------------------------------------------------------------------- */

static __attribute__((noinline)) int recurse(int depth)
{
	volatile char frame[512];

	frame[0] = (char)depth;
	frame[511] = (char)depth;
	return depth ? recurse(depth - 1) + frame[0] + frame[511] : 0;
}

static struct strand_chan *done;
static size_t overflowing_size;

static void overflow(void *arg)
{
	(void)arg;
	recurse(1 << 30);
}

static void bystander(void *arg)
{
	(void)arg;
	await_chan(done, 1);
}

static int overflow_main(void *arg)
{
	struct strand_task_options options = {.size = sizeof(options),
					      .stack_size = overflowing_size};

	(void)arg;
	done = new_chan(0, 0);
	for (int i = 0; i < 20; i++) {
		expect_eq(strand_go(bystander, NULL), 0);
		if (i == 10)
			expect_eq(strand_go_with(&options, overflow, NULL), 0);
	}
	await_chan(done, 1); /* for ever: the overflow comes first */
	return 0;
}

static int overflow_child(void)
{
	return strand_main(overflow_main, NULL);
}

static void test_overflow_dies(void **state)
{
	static const size_t sizes[] = {0, 16 << 10, 1 << 20};

	(void)state;
	for (int workers = 1; workers <= 4; workers *= 2)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			set_workers(workers);
			overflowing_size = sizes[i];
			assert_true(died(run_child(overflow_child)));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_default_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_special_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_slabs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
		cmocka_unit_test(test_overflow_dies),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

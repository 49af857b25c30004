/* SPDX-License-Identifier: MIT */
/* Tasks keep each promise of strand.h: starting, ending, names, ids and stacks. */
#include "strand_test.h"

#include <alloca.h>
#include <sched.h>

/* ---- strand_main ----------------------------------------------------------------- */

static int return_number(void *arg)
{
	static uint64_t last; /* ids are never reused, in a later runtime neither */

	expect_true(strand_task_id() > last);
	last = strand_task_id();
	return *(int *)arg;
}

static void test_main_returns_result(void **state)
{
	int results[] = {0, 1, 42, -1, -EBUSY, INT32_MAX, INT32_MIN};

	(void)state;
	for (int workers = 1; workers <= 4; workers *= 2) {
		set_workers(workers);
		for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
			assert_int_equal(strand_main(return_number, &results[i]), results[i]);
	}
	assert_int_equal(test_failures, 0);
}

/* One after the other, as often as one likes: nothing that a process has few of is used up. */
static void test_main_again_and_again(void **state)
{
	int zero = 0;

	(void)state;
	set_workers(2);
	for (int i = 0; i < 100; i++)
		assert_int_equal(strand_main(return_number, &zero), 0);
}

static int must_not_run(void *arg)
{
	++*(int *)arg;
	return 7;
}

static void *second_runtime(void *arg)
{
	expect_eq(strand_main(must_not_run, arg), -EBUSY);
	return NULL;
}

static int main_within_main(void *arg)
{
	pthread_t thread;

	(void)arg;
	expect_eq(strand_main(must_not_run, arg), -EBUSY);
	start_thread(&thread, second_runtime, arg);
	pthread_join(thread, NULL);
	return 0;
}

static void test_main_only_once_at_a_time(void **state)
{
	int calls = 0;

	(void)state;
	run_tasks(main_within_main, &calls);
	assert_int_equal(calls, 0);
}

/* The end of the main task ends all: the others never run again. */
struct ended {
	struct strand_chan *started;
	long steps; /* atomic */
};

static void never_end(void *arg)
{
	struct ended *e = arg;

	signal_chan(e->started);
	for (;;) {
		__atomic_add_fetch(&e->steps, 1, __ATOMIC_SEQ_CST);
		strand_yield();
	}
}

static void park_for_ever(void *arg)
{
	struct ended *e = arg;
	struct strand_chan *nobody = new_chan(0, 0);

	signal_chan(e->started);
	strand_chan_recv(nobody, STRAND_FOREVER, NULL);
	__atomic_add_fetch(&e->steps, 1000000, __ATOMIC_SEQ_CST);
}

static int leave_others_behind(void *arg)
{
	struct ended *e = arg;

	e->started = new_chan(0, 0);
	for (int i = 0; i < 3; i++) {
		expect_eq(strand_go(never_end, e), 0);
		expect_eq(strand_go(park_for_ever, e), 0);
	}
	await_chan(e->started, 6);
	return 0;
}

static int yield_a_lot(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000; i++)
		strand_yield();
	return 0;
}

static void test_main_ends_all(void **state)
{
	(void)state;
	for (int workers = 1; workers <= 4; workers *= 2) {
		struct ended e = {NULL, 0};
		long steps;

		run_tasks_with(workers, leave_others_behind, &e);
		steps = __atomic_load_n(&e.steps, __ATOMIC_SEQ_CST);
		run_tasks_with(workers, yield_a_lot, NULL); /* the old tasks are not in here */
		assert_int_equal(__atomic_load_n(&e.steps, __ATOMIC_SEQ_CST), steps);
		assert_true(steps < 1000000);
	}
}

static void test_main_leaves_no_thread_or_descriptor(void **state)
{
	size_t threads, descriptors;

	(void)state;
	run_tasks(yield_a_lot, NULL); /* what is made once is made now */
	threads = count_entries("/proc/self/task");
	descriptors = count_entries("/proc/self/fd");
	for (int i = 0; i < 10; i++) {
		struct ended e = {NULL, 0};

		run_tasks(leave_others_behind, &e);
		while (count_entries("/proc/self/task") > threads)
			sched_yield(); /* joined, but the kernel is not done with it */
		assert_int_equal(count_entries("/proc/self/fd"), descriptors);
	}
}

static int count_fds(void *arg)
{
	*(size_t *)arg = count_entries("/proc/self/fd");
	return 0;
}

static void test_observe_switch(void **state)
{
	size_t outside = count_entries("/proc/self/fd"), observed, hidden;

	(void)state;
	run_tasks_with(1, count_fds, &observed);
	setenv("STRAND_OBSERVE", "0", 1);
	run_tasks_with(1, count_fds, &hidden);
	unsetenv("STRAND_OBSERVE");
	assert_int_equal(count_entries("/proc/self/fd"), outside);
	assert_true(hidden < observed);
}

/* ---- strand_go --------------------------------------------------------------------- */

static void nothing(void *arg)
{
	(void)arg;
}

static int refuse_options(void *arg)
{
	struct strand_task_options options = {.size = sizeof(options)};

	(void)arg;
	expect_eq(strand_go(NULL, NULL), -EINVAL);
	expect_eq(strand_go_with(NULL, NULL, NULL), -EINVAL);
	expect_eq(strand_go_with(&options, NULL, NULL), -EINVAL);
	options.stack_size = ((size_t)1 << 30) + 1;
	expect_eq(strand_go_with(&options, nothing, NULL), -EINVAL);
	options.stack_size = SIZE_MAX;
	expect_eq(strand_go_with(&options, nothing, NULL), -EINVAL);
	options.stack_size = SIZE_MAX - 4096;
	expect_eq(strand_go_with(&options, nothing, NULL), -EINVAL);
	return 0;
}

static void test_go_refuses(void **state)
{
	(void)state;
	run_tasks(refuse_options, NULL);
}

static void test_go_without_runtime(void **state)
{
	struct strand_task_options options = {.size = sizeof(options)};

	(void)state;
	assert_int_equal(strand_go(nothing, NULL), -ENXIO);
	assert_int_equal(strand_go_with(&options, nothing, NULL), -ENXIO);
	run_tasks(yield_a_lot, NULL);
	assert_int_equal(strand_go(nothing, NULL), -ENXIO);
}

struct grown {
	struct strand_chan *done;
	uint64_t born; /* atomic */
	int depth;
};

struct seedling {
	struct grown *tree;
	int depth;
};

#if defined(__SANITIZE_ADDRESS__)
/* The main task returns when the leaves have reported: some tasks never get to free theirs. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:grow\n";
}
#endif

/* Each task starts two more: a tree of 2^depth leaves that all report. */
static void grow(void *arg)
{
	struct seedling *s = arg;

	__atomic_add_fetch(&s->tree->born, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; s->depth > 0 && i < 2; i++) {
		struct seedling *child = malloc(sizeof(*child));

		*child = (struct seedling){s->tree, s->depth - 1};
		expect_eq(strand_go(grow, child), 0);
	}
	if (s->depth == 0)
		signal_chan(s->tree->done);
	free(s);
}

static int grow_tree(void *arg)
{
	struct grown tree = {new_chan(0, 0), 0, 11};
	struct seedling *root = malloc(sizeof(*root));

	(void)arg;
	*root = (struct seedling){&tree, tree.depth};
	expect_eq(strand_go(grow, root), 0);
	await_chan(tree.done, (size_t)1 << tree.depth);
	expect_eq(tree.born, (2 << tree.depth) - 1);
	strand_chan_unref(tree.done);
	return 0;
}

static void test_tasks_start_tasks(void **state)
{
	(void)state;
	run_tasks(grow_tree, NULL);
}

#define CROWD 10000

struct roll {
	struct strand_chan *present, *go, *done;
	uint64_t *ids;
	uint64_t next; /* atomic */
};

static void answer_roll(void *arg)
{
	struct roll *r = arg;

	r->ids[__atomic_fetch_add(&r->next, 1, __ATOMIC_SEQ_CST)] = strand_task_id();
	signal_chan(r->present);
	expect_eq(strand_chan_recv(r->go, STRAND_FOREVER, NULL), -EPIPE);
	signal_chan(r->done);
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Ten thousand at once, twice: no id is used again, 0 and 1 belong to others. */
static int call_roll(void *arg)
{
	struct roll r = {new_chan(0, 0), NULL, new_chan(0, 0), NULL, 0};

	(void)arg;
	r.ids = calloc(2 * CROWD, sizeof(*r.ids));
	for (int round = 0; round < 2; round++) {
		r.go = new_chan(0, 0);
		for (int i = 0; i < CROWD; i++)
			expect_eq(strand_go(answer_roll, &r), 0);
		await_chan(r.present, CROWD);
		expect_eq(strand_chan_close(r.go), 0);
		await_chan(r.done, CROWD);
		strand_chan_unref(r.go);
	}
	expect_eq(r.next, 2 * CROWD);
	qsort(r.ids, 2 * CROWD, sizeof(*r.ids), compare_ids);
	expect_true(r.ids[0] > 1);
	for (int i = 1; i < 2 * CROWD; i++)
		expect_true(r.ids[i] != r.ids[i - 1]);
	free(r.ids);
	strand_chan_unref(r.present);
	strand_chan_unref(r.done);
	return 0;
}

static void test_many_tasks_unique_ids(void **state)
{
	(void)state;
	run_tasks(call_roll, NULL);
}

/* Stacks of ended tasks are used again: many short lives need little memory. */
static int many_short_lives(void *arg)
{
	struct strand_chan *done = new_chan(0, 0);
	size_t before = 0;

	(void)arg;
	for (int i = 0; i < 20000; i++) {
		expect_eq(strand_go(signal_task, done), 0);
		await_chan(done, 1);
		if (i == 1000)
			before = status_kib("VmRSS");
	}
	expect_true(status_kib("VmRSS") < before + 32 * 1024); /* 4 KiB each would be 76 MiB */
	strand_chan_unref(done);
	return 0;
}

static void test_stacks_are_used_again(void **state)
{
	(void)state;
	run_tasks(many_short_lives, NULL);
}

/* ---- stacks ------------------------------------------------------------------------- */

struct stack_use {
	struct strand_chan *done;
	size_t bytes;
};

static void use_stack(void *arg)
{
	struct stack_use *u = arg;
	volatile unsigned char *area = alloca(u->bytes);

	for (size_t i = 0; i < u->bytes; i += 512)
		area[i] = (unsigned char)(i >> 9);
	strand_yield(); /* and it is still there afterwards */
	for (size_t i = 0; i < u->bytes; i += 512)
		expect_eq(area[i], (unsigned char)(i >> 9));
	signal_chan(u->done);
}

static int use_stacks(void *arg)
{
	static const struct {
		size_t stack_size, bytes;
	} sizes[] = {
		{0, 56 << 10},
		{64 << 10, 56 << 10},
		{128 << 10, 120 << 10},
		{(1 << 20) + 1, 1000 << 10},
		{8 << 20, (8 << 20) - (8 << 10)},
		{64 << 20, 63 << 20},
		{(size_t)1 << 30, 1 << 20},
	};
	struct strand_chan *done = new_chan(0, 0);

	(void)arg;
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			struct strand_task_options options = {.size = sizeof(options),
							      .stack_size = sizes[i].stack_size};
			struct stack_use use = {done, sizes[i].bytes};

			expect_eq(strand_go_with(&options, use_stack, &use), 0);
			await_chan(done, 1);
		}
	strand_chan_unref(done);
	return 0;
}

static void test_stack_sizes(void **state)
{
	(void)state;
	run_tasks(use_stacks, NULL);
}

static void set_flag(void *arg)
{
	__atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
}

/*
 * A size below a page is rounded up to one: enough for a leaf function. The runtime does its own
 * work (timers, sweeps) on the stack of whoever runs, every now and then: on these, too.
 */
static int tiny_stacks(void *arg)
{
	struct strand_task_options options = {.size = sizeof(options)};
	static const size_t sizes[] = {1, 4095, 4096, 4097};

	(void)arg;
	for (int i = 0; i < 2000; i++) {
		int flag = 0;

		options.stack_size = sizes[i % 4];
		expect_eq(strand_go_with(&options, set_flag, &flag), 0);
		while (!__atomic_load_n(&flag, __ATOMIC_SEQ_CST))
			strand_yield();
	}
	return 0;
}

static void test_tiny_stacks(void **state)
{
	(void)state;
	run_tasks(tiny_stacks, NULL);
}

/* The entry function finds the stack aligned as after a call: SSE code in libc relies on it. */
static void print_doubles(void *arg)
{
	struct strand_chan *done = arg;
	char text[64];
	volatile double x = 2.5;
	__attribute__((aligned(16))) char aligned[16];
	uintptr_t address;

	__asm__("" : "=r"(address) : "0"(aligned));
	expect_eq(address % 16, 0);
	snprintf(text, sizeof(text), "%.3f %g", x * 1.5, x / 4);
	expect_eq(strcmp(text, "3.750 0.625"), 0);
	signal_chan(done);
}

static int aligned_stacks(void *arg)
{
	struct strand_task_options options = {.size = sizeof(options)};
	struct strand_chan *done = new_chan(0, 0);

	(void)arg;
	for (size_t size = 64 << 10; size < 66 << 10; size += 40) { /* any size, even odd ones */
		options.stack_size = size;
		expect_eq(strand_go_with(&options, print_doubles, done), 0);
		await_chan(done, 1);
	}
	strand_chan_unref(done);
	return 0;
}

static void test_stack_alignment(void **state)
{
	(void)state;
	run_tasks(aligned_stacks, NULL);
}

/* ---- names ---------------------------------------------------------------------------- */

struct naming {
	struct strand_chan *done;
	const char *wanted;
	int flag; /* the options may be gone once this task runs; atomic */
};

static void check_name(void *arg)
{
	struct naming *n = arg;

	while (!__atomic_load_n(&n->flag, __ATOMIC_SEQ_CST))
		strand_yield();
	if (strcmp(strand_task_name(), n->wanted) != 0)
		dprintf(STDERR_FILENO, "'%s', not '%s'\n", strand_task_name(), n->wanted);
	expect_eq(strcmp(strand_task_name(), n->wanted), 0);
	signal_chan(n->done);
}

static void check_child(struct strand_chan *done, const char *name, const char *wanted)
{
	struct naming n = {done, wanted, 0};
	struct strand_task_options options = {.size = sizeof(options)};
	char *copy = name ? strdup(name) : NULL;

	options.name = copy;
	expect_eq(strand_go_with(&options, check_name, &n), 0);
	if (copy)
		memset(copy, '!', strlen(copy)); /* it was copied */
	free(copy);
	memset(&options, 0xff, sizeof(options));
	__atomic_store_n(&n.flag, 1, __ATOMIC_SEQ_CST);
	await_chan(done, 1);
}

static int names(void *arg)
{
	struct strand_chan *done = new_chan(0, 0);

	(void)arg;
	expect_eq(strand_task_set_name(NULL), -EINVAL);
	expect_eq(strand_task_set_name("creator"), 0);
	expect_eq(strcmp(strand_task_name(), "creator"), 0);
	check_child(done, NULL, "creator");
	check_child(done, "child", "child");
	check_child(done, "", "");
	check_child(done, "12345678901234567890123", "12345678901234567890123");
	check_child(done, "123456789012345678901234", "12345678901234567890123");
	check_child(done, "1234567890123456789012345678901234567890", "12345678901234567890123");
	expect_eq(strand_task_set_name("abcdefghijklmnopqrstuvwxyz"), 0);
	expect_eq(strcmp(strand_task_name(), "abcdefghijklmnopqrstuvw"), 0);
	expect_eq(strand_task_set_name(strand_task_name() + 3), 0); /* a part of itself */
	expect_eq(strcmp(strand_task_name(), "defghijklmnopqrstuvw"), 0);
	expect_eq(strand_task_set_name("x"), 0);
	expect_eq(strcmp(strand_task_name(), "x"), 0);
	check_child(done, NULL, "x");
	expect_eq(strand_task_set_name(""), 0);
	check_child(done, NULL, "");
	strand_chan_unref(done);
	return 0;
}

static void test_names(void **state)
{
	(void)state;
	run_tasks(names, NULL);
}

static void test_outside_of_tasks(void **state)
{
	(void)state;
	assert_int_equal(strand_task_id(), 0);
	assert_string_equal(strand_task_name(), "");
	assert_int_equal(strand_task_set_name("x"), -ENXIO);
	assert_int_equal(strand_task_set_name(NULL), -EINVAL);
	strand_yield();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_main_returns_result),
		cmocka_unit_test(test_main_again_and_again),
		cmocka_unit_test(test_main_only_once_at_a_time),
		cmocka_unit_test(test_main_ends_all),
		cmocka_unit_test(test_main_leaves_no_thread_or_descriptor),
		cmocka_unit_test(test_observe_switch),
		cmocka_unit_test(test_go_refuses),
		cmocka_unit_test(test_go_without_runtime),
		cmocka_unit_test(test_tasks_start_tasks),
		cmocka_unit_test(test_many_tasks_unique_ids),
		cmocka_unit_test(test_stacks_are_used_again),
		cmocka_unit_test(test_stack_sizes),
		cmocka_unit_test(test_tiny_stacks),
		cmocka_unit_test(test_stack_alignment),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_outside_of_tasks),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

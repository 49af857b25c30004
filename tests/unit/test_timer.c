/* SPDX-License-Identifier: MIT */
/* The heap of deadlines against a plain array that is searched. */
#include "strand_test.h"

#include "strand/timer.h"

#define TASKS 3000

struct heap_test {
	struct memory memory;
	struct timers timers;
	struct task tasks[TASKS];
	uint64_t seed;
	size_t count;
};

static uint64_t random_number(struct heap_test *h)
{
	h->seed = h->seed * 6364136223846793005 + 1442695040888963407;
	return h->seed >> 33;
}

static int set_up(void **state)
{
	struct heap_test *h = calloc(1, sizeof(*h));

	h->timers.memory = &h->memory;
	h->seed = 1;
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct heap_test *h = *state;

	memory_done(&h->memory);
	free(h);
	return 0;
}

static strand_time soonest(const struct heap_test *h)
{
	strand_time first = STRAND_FOREVER;

	for (size_t i = 0; i < TASKS; i++)
		if (h->tasks[i].timer_index && h->tasks[i].deadline < first)
			first = h->tasks[i].deadline;
	return first;
}

static void check(const struct heap_test *h)
{
	timers_check(&h->timers);
	assert_int_equal(h->timers.count, h->count);
	if (!h->count) {
		assert_null(timers_first(&h->timers));
		return;
	}
	assert_non_null(timers_first(&h->timers));
	assert_int_equal(timers_first(&h->timers)->deadline, soonest(h));
}

static void add(struct heap_test *h, struct task *task, strand_time deadline)
{
	task->deadline = deadline;
	assert_int_equal(timers_reserve(&h->timers), 0);
	timers_add(&h->timers, task);
	assert_true(task->timer_index > 0);
	h->count++;
}

static void drop(struct heap_test *h, struct task *task)
{
	timers_remove(&h->timers, task);
	assert_int_equal(task->timer_index, 0);
	h->count--;
}

static void test_empty(void **state)
{
	check(*state);
}

static void test_one(void **state)
{
	struct heap_test *h = *state;

	for (int i = 0; i < 3; i++) {
		add(h, &h->tasks[0], 100 - i);
		check(h);
		assert_ptr_equal(timers_first(&h->timers), &h->tasks[0]);
		drop(h, &h->tasks[0]);
		check(h);
	}
}

/* Ascending, descending and all equal: the worst cases of the sifts. */
static void test_ordered(void **state)
{
	struct heap_test *h = *state;

	for (int kind = 0; kind < 3; kind++) {
		for (int i = 0; i < TASKS; i++)
			add(h, &h->tasks[i], kind == 0 ? i : kind == 1 ? TASKS - i : 7);
		check(h);
		for (strand_time last = 0; h->count;) {
			struct task *first = timers_first(&h->timers);

			assert_true(first->deadline >= last);
			last = first->deadline;
			drop(h, first);
			if (h->count % 97 == 0)
				check(h);
		}
		check(h);
	}
}

/* Extreme deadlines compare rightly: no difference is computed that could overflow. */
static void test_extremes(void **state)
{
	struct heap_test *h = *state;
	static const strand_time extremes[] = {STRAND_FOREVER - 1, 1, INT64_MIN, 0, -1};

	for (size_t i = 0; i < 5; i++)
		add(h, &h->tasks[i], extremes[i]);
	check(h);
	assert_int_equal(timers_first(&h->timers)->deadline, INT64_MIN);
	drop(h, timers_first(&h->timers));
	assert_int_equal(timers_first(&h->timers)->deadline, -1);
	while (h->count > 1)
		drop(h, timers_first(&h->timers));
	assert_int_equal(timers_first(&h->timers)->deadline, STRAND_FOREVER - 1);
}

/* Any member may be removed, not only the first. */
static void test_random(void **state)
{
	struct heap_test *h = *state;

	for (int i = 0; i < 40000; i++) {
		struct task *task = &h->tasks[random_number(h) % TASKS];
		/* grows in one phase, shrinks in the next */
		bool want_add = random_number(h) % 10 < (i / 8000 % 2 ? 3 : 7);

		if (!task->timer_index && want_add)
			add(h, task, (strand_time)(random_number(h) % 500));
		else if (task->timer_index && !want_add)
			drop(h, task);
		if (i % 61 == 0)
			check(h);
	}
	while (h->count) {
		drop(h, timers_first(&h->timers));
		if (h->count % 61 == 0)
			check(h);
	}
	check(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_empty, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ordered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_extremes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_random, set_up, tear_down),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

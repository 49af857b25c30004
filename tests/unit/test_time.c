/* SPDX-License-Identifier: MIT */
/* The clock and sleeping, as strand.h promises them. No check depends on how fast a machine is. */
#include "strand_test.h"

#include <time.h>

static strand_time clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * STRAND_SECOND + t.tv_nsec;
}

static void check_clock(void)
{
	strand_time last = strand_now();

	for (int i = 0; i < 10000; i++) {
		strand_time before = clock_ns(), now = strand_now(), after = clock_ns();

		expect_true(before <= now && now <= after);
		expect_true(now >= last);
		last = now;
	}
}

static int check_clock_task(void *arg)
{
	(void)arg;
	check_clock();
	return 0;
}

static void test_now(void **state)
{
	(void)state;
	test_failures = 0;
	check_clock(); /* anywhere: without a runtime, too */
	assert_int_equal(test_failures, 0);
	run_tasks(check_clock_task, NULL);
}

static void sleep_in_past(void)
{
	const strand_time past[] = {0, 1, -1, INT64_MIN, strand_now()};

	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++)
		expect_eq(strand_sleep(past[i]), 0);
}

static void sleep_a_little(void)
{
	static const strand_time length[] = {1, 100, STRAND_MICROSECOND, 100 * STRAND_MICROSECOND,
					     2 * STRAND_MILLISECOND};

	for (size_t i = 0; i < sizeof(length) / sizeof(length[0]); i++) {
		strand_time until = strand_now() + length[i];

		expect_eq(strand_sleep(until), 0);
		expect_true(strand_now() >= until);
	}
}

static void bump(void *arg)
{
	++*(int *)arg;
}

static int sleep_tasks(void *arg)
{
	(void)arg;
	sleep_in_past();
	sleep_a_little();
	return 0;
}

static void test_sleep(void **state)
{
	(void)state;
	run_tasks(sleep_tasks, NULL);
}

/* In the past: only yields, so with one worker all that is ready runs. */
static int sleep_yields(void *arg)
{
	int count = 0;

	(void)arg;
	for (int i = 1; i <= 5; i++) {
		expect_eq(strand_go(bump, &count), 0);
		expect_eq(strand_sleep(i % 2 ? 0 : strand_now()), 0);
		expect_eq(count, i);
	}
	return 0;
}

static void test_sleep_in_past_yields(void **state)
{
	(void)state;
	run_tasks_with(1, sleep_yields, NULL);
}

static void *sleep_thread(void *arg)
{
	(void)arg;
	sleep_in_past();
	sleep_a_little();
	return NULL;
}

static int sleep_beside(void *arg)
{
	pthread_t thread;

	(void)arg;
	start_thread(&thread, sleep_thread, NULL);
	sleep_a_little();
	pthread_join(thread, NULL);
	return 0;
}

static void test_sleep_in_thread(void **state)
{
	(void)state;
	test_failures = 0;
	sleep_thread(NULL); /* without a runtime */
	assert_int_equal(test_failures, 0);
	run_tasks(sleep_beside, NULL);
}

struct sleepers {
	struct strand_chan *done;
	strand_time start;
	int next; /* atomic */
};

static void sleep_and_tell(void *arg)
{
	struct sleepers *s = arg;
	int me = __atomic_fetch_add(&s->next, 1, __ATOMIC_SEQ_CST);

	for (int i = 0; i < 3; i++) {
		/* scattered, with many equal ones */
		strand_time until = s->start + (me * 37 % 100 + i * 100) * 50 * STRAND_MICROSECOND;

		expect_eq(strand_sleep(until), 0);
		expect_true(strand_now() >= until);
	}
	signal_chan(s->done);
}

static int many_sleepers(void *arg)
{
	struct sleepers s = {new_chan(0, 0), strand_now(), 0};

	(void)arg;
	for (int i = 0; i < 1000; i++)
		expect_eq(strand_go(sleep_and_tell, &s), 0);
	await_chan(s.done, 1000);
	strand_chan_unref(s.done);
	return 0;
}

static void test_many_sleepers(void **state)
{
	(void)state;
	run_tasks(many_sleepers, NULL);
}

static void sleep_then_set(void *arg)
{
	expect_eq(strand_sleep(strand_now() + STRAND_MILLISECOND), 0);
	__atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
}

/* A worker that never runs out of ready tasks still wakes its sleepers. */
static int busy_worker_wakes(void *arg)
{
	int woken = 0;

	(void)arg;
	expect_eq(strand_go(sleep_then_set, &woken), 0);
	while (!__atomic_load_n(&woken, __ATOMIC_SEQ_CST))
		strand_yield();
	return 0;
}

static void test_busy_worker_wakes_sleepers(void **state)
{
	(void)state;
	run_tasks(busy_worker_wakes, NULL);
}

static void sleep_for_ever(void *arg)
{
	signal_chan(arg);
	strand_sleep(STRAND_FOREVER);
	expect_true(!"an endless sleep ended");
}

static int leave_sleeper(void *arg)
{
	struct strand_chan *asleep = new_chan(0, 0);

	(void)arg;
	for (int i = 0; i < 3; i++)
		expect_eq(strand_go(sleep_for_ever, asleep), 0);
	await_chan(asleep, 3);
	expect_eq(strand_sleep(strand_now() + 3 * STRAND_MILLISECOND), 0);
	return 0;
}

static void test_sleep_for_ever(void **state)
{
	(void)state;
	run_tasks(leave_sleeper, NULL);
}

/* The longest deadline that is not for ever: no overflow makes it come at once. */
static void receive_until_far_future(void *arg)
{
	struct strand_chan **c = arg;

	signal_chan(c[0]);
	expect_eq(strand_chan_recv(c[1], STRAND_FOREVER - 1, NULL), 0);
	signal_chan(c[0]);
}

static int far_deadline(void *arg)
{
	struct strand_chan *c[2] = {new_chan(0, 0), new_chan(0, 0)};

	(void)arg;
	expect_eq(strand_go(receive_until_far_future, c), 0);
	await_chan(c[0], 1);
	expect_eq(strand_sleep(strand_now() + STRAND_MILLISECOND), 0); /* timers are looked at */
	signal_chan(c[1]);
	await_chan(c[0], 1);
	strand_chan_unref(c[0]);
	strand_chan_unref(c[1]);
	return 0;
}

static void test_far_deadline(void **state)
{
	(void)state;
	run_tasks(far_deadline, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_now),
		cmocka_unit_test(test_sleep),
		cmocka_unit_test(test_sleep_in_past_yields),
		cmocka_unit_test(test_sleep_in_thread),
		cmocka_unit_test(test_many_sleepers),
		cmocka_unit_test(test_busy_worker_wakes_sleepers),
		cmocka_unit_test(test_sleep_for_ever),
		cmocka_unit_test(test_far_deadline),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

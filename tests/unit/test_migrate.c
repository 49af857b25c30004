/* SPDX-License-Identifier: MIT */
/* STRAND_MIGRATE: started tasks that may go on elsewhere, and options that are growable. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "strand_test.h"

#define TASKS  64
#define ROUNDS 2000

static struct strand_chan *requests, *replies;

static struct strand_task_options migrating(void)
{
	return (struct strand_task_options){.size = sizeof(struct strand_task_options),
					    .flags = STRAND_MIGRATE};
}

/* Reads the thread anew at each call: this very code is what must not cache thread-locals. */
static __attribute__((noinline)) pthread_t thread_here(void)
{
	__asm__ volatile("");
	return pthread_self();
}

static int echo(void *arg)
{
	long value;

	(void)arg;
	while (strand_chan_recv(requests, STRAND_FOREVER, &value) == 0) {
		if (strand_chan_send(replies, &value, STRAND_FOREVER) < 0)
			return -1;
	}
	return 0;
}

static void send_all(void *arg)
{
	for (long i = 0; i < ROUNDS; i++)
		expect_eq(strand_chan_send(requests, &i, STRAND_FOREVER), 0);
	(void)arg;
}

/* Nothing is lost or doubled while tasks change threads; joins return. */
static int exchange(void *arg)
{
	struct strand_task_options options = migrating();
	struct strand_task *tasks[TASKS];
	long sum = 0, value;
	int result;

	(void)arg;
	expect_eq(strand_chan_new(sizeof(long), 0, &requests), 0);
	expect_eq(strand_chan_new(sizeof(long), 4, &replies), 0);
	for (int i = 0; i < TASKS; i++)
		expect_eq(strand_spawn(&options, echo, NULL, &tasks[i]), 0);
	expect_eq(strand_go(send_all, NULL), 0);
	for (long i = 0; i < ROUNDS; i++) {
		expect_eq(strand_chan_recv(replies, STRAND_FOREVER, &value), 0);
		sum += value;
	}
	expect_eq(sum, (long)ROUNDS * (ROUNDS - 1) / 2);
	strand_chan_close(requests);
	for (int i = 0; i < TASKS; i++) {
		expect_eq(strand_join(tasks[i], STRAND_FOREVER, &result), 0);
		expect_eq(result, 0);
		strand_task_unref(tasks[i]);
	}
	strand_chan_unref(requests);
	strand_chan_unref(replies);
	return 0;
}

static void test_exchange(void **state)
{
	(void)state;
	run_tasks(exchange, NULL);
}

static struct strand_chan *started, *go;
static _Atomic bool has_moved;

static int move_when_told(void *arg)
{
	pthread_t here = thread_here();
	bool told;

	(void)arg;
	expect_eq(strand_chan_send(started, &here, STRAND_FOREVER), 0);
	expect_eq(strand_chan_recv(go, STRAND_FOREVER, &told), 0);
	if (told && !pthread_equal(here, thread_here()))
		atomic_store(&has_moved, true);
	return 0;
}

/*
 * Two workers. Who wakes the task does not give way afterwards: the task can only go on
 * by moving to the other worker. It must have started on the waker's, so that is tried
 * until it has.
 */
static int move(void *arg)
{
	struct strand_task_options options = migrating();
	struct strand_task *task;
	pthread_t there;
	bool same = false;

	(void)arg;
	expect_eq(strand_chan_new(sizeof(pthread_t), 0, &started), 0);
	expect_eq(strand_chan_new(sizeof(bool), 0, &go), 0);
	while (!same) {
		expect_eq(strand_spawn(&options, move_when_told, NULL, &task), 0);
		expect_eq(strand_chan_recv(started, STRAND_FOREVER, &there), 0);
		same = pthread_equal(there, thread_here());
		strand_yield(); /* lets it park, if it is here */
		expect_eq(strand_chan_send(go, &same, STRAND_FOREVER), 0);
		while (same && !atomic_load(&has_moved))
			sched_yield();
		expect_eq(strand_join(task, STRAND_FOREVER, NULL), 0);
		strand_task_unref(task);
	}
	strand_chan_unref(started);
	strand_chan_unref(go);
	return 0;
}

static void test_move(void **state)
{
	(void)state;
	run_tasks_with(2, move, NULL);
}

static int wait_for_ever(void *arg)
{
	long value;

	(void)arg;
	return strand_chan_recv(requests, STRAND_FOREVER, &value);
}

/* A cancellation finds its task on whatever worker it is. */
static int cancel_on_the_move(void *arg)
{
	struct strand_task_options options = migrating();
	int result;

	(void)arg;
	expect_eq(strand_chan_new(sizeof(long), 0, &requests), 0);
	for (long round = 0; round < 500; round++) {
		struct strand_task *tasks[4];

		for (int i = 0; i < 4; i++)
			expect_eq(strand_spawn(&options, wait_for_ever, NULL, &tasks[i]), 0);
		strand_chan_send(requests, &round, 0); /* one of them may already be there */
		for (int i = 0; i < 4; i++)
			expect_eq(strand_cancel(tasks[i]), 0);
		for (int i = 0; i < 4; i++) {
			expect_eq(strand_join(tasks[i], STRAND_FOREVER, &result), 0);
			expect_true(result == 0 || result == -ECANCELED);
			strand_task_unref(tasks[i]);
		}
	}
	strand_chan_unref(requests);
	return 0;
}

static void test_cancel_on_the_move(void **state)
{
	(void)state;
	run_tasks(cancel_on_the_move, NULL);
}

static void nothing(void *arg)
{
	(void)arg;
}

static int options_are_checked(void *arg)
{
	struct strand_task_options options = {.size = 0};
	struct {
		struct strand_task_options known;
		long unknown;
	} newer = {.known = migrating(), .unknown = 1};

	(void)arg;
	expect_eq(strand_go_with(&options, nothing, NULL), -EINVAL);
	options.size = sizeof(options);
	options.flags = 1u << 31;
	expect_eq(strand_go_with(&options, nothing, NULL), -EINVAL);
	options.size = offsetof(struct strand_task_options, flags); /* an older program's */
	expect_eq(strand_go_with(&options, nothing, NULL), 0);
	newer.known.size = sizeof(newer);
	expect_eq(strand_go_with(&newer.known, nothing, NULL), 0);
	return 0;
}

static void test_options(void **state)
{
	(void)state;
	run_tasks(options_are_checked, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_cancel_on_the_move),
		cmocka_unit_test(test_options),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Cases of leaks: the main task sets a scene of other tasks, searches, and compares verdicts.
 *
 * Each case runs in a child of its own, for what is leaked stays, with 1, 2 and 4 workers.
 */
#ifndef LEAK_CASE_H
#define LEAK_CASE_H

#include "leak_verdict.h"

#define CASE_TASKS 8

static uint64_t ids[CASE_TASKS]; /* of the tasks of a case that have said i_am */
static int step;                 /* atomic: the order of a case */

static inline void reach(int number)
{
	__atomic_store_n(&step, number, __ATOMIC_SEQ_CST);
}

static inline void await_step(int number)
{
	while (__atomic_load_n(&step, __ATOMIC_SEQ_CST) < number)
		strand_yield();
}

/* The caller is task number n of the case. */
static inline void i_am(int n)
{
	ids[n] = strand_task_id();
}

static inline void go(void (*fn)(void *))
{
	expect_eq(strand_go(fn, NULL), 0);
}

/*
 * Search; as many are leaked, and of those that have said i_am exactly these (a bit each).
 * A worker that is just about to sleep may still have an old pointer in a register: what is
 * not proved is searched for again. What is wrongly proved fails at once.
 */
static inline void expect_leaked(size_t count, uint64_t leaked)
{
	search_for_leaks();
	for (int i = 0; i < 20 && verdicts.leaked < count; i++) {
		strand_sleep(strand_now() + STRAND_MILLISECOND);
		search_for_leaks();
	}
	expect_eq(verdicts.leaked, count);
	for (size_t i = 0; i < CASE_TASKS; i++)
		expect_eq(ids[i] && verdict_of(ids[i]) == STRAND_VERDICT_LEAKED, leaked >> i & 1);
}

/* Far beyond the test, but it will come. */
static inline strand_time some_day(void)
{
	return strand_now() + 1000 * STRAND_SECOND;
}

static int (*the_case)(void *);

static inline int run_the_case(void)
{
	return strand_main(the_case, NULL) || test_failures;
}

static inline void run_case(void **state)
{
	the_case = (int (*)(void *)) * state;
	for (size_t i = 0; i < sizeof(test_worker_counts) / sizeof(test_worker_counts[0]); i++) {
		int status;

		set_workers(test_worker_counts[i]);
		status = run_child(run_the_case);
		if (status)
			print_error("with %d workers: status %x\n", test_worker_counts[i], status);
		assert_int_equal(status, 0);
	}
}

#define leak_case(fn)                                                             \
	{                                                                         \
		.name = #fn, .test_func = run_case, .initial_state = (void *)(fn) \
	}

#endif

/* SPDX-License-Identifier: MIT */
/* The rules of suspicion, their limits and their hysteresis. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "observe/suspects.h"

#define SECOND INT64_C(1000000000)
#define NOW    (1000 * SECOND)

static const struct suspect_rules rules = {.age_ns = 60 * SECOND, .crowd = 1000, .growing = 3};

/* 1000 waits have ended there, all of about a second but one in a hundred of 64. */
static struct site busy_site(void)
{
	struct site s = {.key = {.reason = STRAND_WAIT_CHAN_RECEIVE},
			 .stats = {.waiting = 20, .ended = 1000}};

	s.stats.slots[20] = 990; /* less than 2^30 ns */
	s.stats.slots[26] = 10;
	return s;
}

static struct waiting_task waits_since(int64_t since)
{
	return (struct waiting_task){.host_since_ns = (uint64_t)since,
				     .reason = STRAND_WAIT_CHAN_RECEIVE};
}

static void age_is_over_the_limit_and_over_most_waits_there(void **state)
{
	struct waiting_task task = waits_since(NOW - 61 * SECOND);
	struct site s = busy_site();

	(void)state;
	assert_int_equal(suspects_task(&rules, &s, &task, NOW), MODEL_SUSPECT_AGE);
	task = waits_since(NOW - 59 * SECOND);
	assert_int_equal(suspects_task(&rules, &s, &task, NOW), 0);
	task = waits_since(NOW - 61 * SECOND);
	s.stats.slots[26] = 11; /* now more than one in a hundred is as long */
	s.stats.slots[20] = 989;
	assert_int_equal(suspects_task(&rules, &s, &task, NOW), 0);
	task = waits_since(NOW - 69 * SECOND);
	assert_int_equal(suspects_task(&rules, &s, &task, NOW), MODEL_SUSPECT_AGE);
}

/* A server's main loop waits for ever, and that is what it is for. */
static void where_no_wait_ends_age_says_nothing(void **state)
{
	struct waiting_task task = waits_since(1);
	struct site s = {.stats = {.waiting = 1, .ended = 99}};

	(void)state;
	s.stats.slots[3] = 99;
	assert_int_equal(suspects_task(&rules, &s, &task, NOW), 0);
	s.stats.ended = s.stats.slots[3] = 100;
	assert_int_equal(suspects_task(&rules, &s, &task, NOW), MODEL_SUSPECT_AGE);
}

static void who_wakes_by_itself_is_no_suspect(void **state)
{
	struct waiting_task task = waits_since(1);
	struct site s = busy_site();

	(void)state;
	task.has_deadline = 1;
	assert_int_equal(suspects_task(&rules, &s, &task, NOW), 0);
	task.has_deadline = 0;
	task.reason = STRAND_WAIT_IO_WAIT;
	assert_int_equal(suspects_task(&rules, &s, &task, NOW), 0);
	s.key.reason = STRAND_WAIT_SLEEP;
	s.stats.waiting = 1000000;
	suspects_judge_site(&rules, &s);
	assert_int_equal(s.rules, 0);
}

static unsigned judged(struct site *s, uint64_t waiting)
{
	s->stats.waiting = waiting;
	suspects_judge_site(&rules, s);
	return s->rules;
}

static void a_crowd_begins_at_the_limit_and_ends_below_it(void **state)
{
	struct site s = busy_site();

	(void)state;
	assert_int_equal(judged(&s, 999), 0);
	assert_int_equal(judged(&s, 1000), MODEL_SUSPECT_CROWD);
	assert_int_equal(judged(&s, 750), MODEL_SUSPECT_CROWD);
	assert_int_equal(judged(&s, 749), 0);
	assert_int_equal(judged(&s, 999), 0);
}

static unsigned sampled(struct site_table *t, uint64_t waiting)
{
	judged(t->sites, waiting);
	site_table_sample(t);
	return judged(t->sites, waiting);
}

static void growth_is_seen_over_samples(void **state)
{
	struct site s = busy_site();
	struct site_table t = {.sites = &s, .count = 1};

	(void)state;
	s.sample = 20;
	assert_int_equal(sampled(&t, 21), 0);
	assert_int_equal(sampled(&t, 22), 0);
	assert_int_equal(sampled(&t, 22), 0); /* not more: begins anew */
	assert_int_equal(sampled(&t, 23), 0);
	assert_int_equal(sampled(&t, 24), 0);
	assert_int_equal(sampled(&t, 25), MODEL_SUSPECT_GROWING);
	assert_int_equal(sampled(&t, 25), MODEL_SUSPECT_GROWING); /* a pause is no end */
	assert_int_equal(judged(&s, 24), 0);
	assert_int_equal(sampled(&t, 9), 0);
	for (uint64_t i = 1; i < 9; i++)
		assert_int_equal(sampled(&t, i), 0); /* few */
}

static void no_rules_no_suspects(void **state)
{
	const struct suspect_rules none = {0};
	struct waiting_task task = waits_since(1);
	struct site s = busy_site();

	(void)state;
	s.stats.waiting = UINT64_MAX;
	s.grown = 1000;
	suspects_judge_site(&none, &s);
	assert_int_equal(s.rules, 0);
	assert_int_equal(suspects_task(&none, &s, &task, NOW), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(age_is_over_the_limit_and_over_most_waits_there),
		cmocka_unit_test(where_no_wait_ends_age_says_nothing),
		cmocka_unit_test(who_wakes_by_itself_is_no_suspect),
		cmocka_unit_test(a_crowd_begins_at_the_limit_and_ends_below_it),
		cmocka_unit_test(growth_is_seen_over_samples),
		cmocka_unit_test(no_rules_no_suspects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

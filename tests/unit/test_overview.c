/* SPDX-License-Identifier: MIT */
/*
 * The overview: counted by the kernel, told apart by the census. Against tests/e2e/fake_runtime,
 * which says "ok" when its probe was hit; observed alone, so other observers do no harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include "observe/watch.h"
#include "fake_process.h"

#define SECOND   1000000000LL
#define PATIENCE (20 * SECOND)

struct fixture {
	struct fake_process fake;
	struct observer *o;
	struct model m;
};

static int set_up(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return !*state;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	model_done(&f->m);
	observer_free(f->o);
	if (f->fake.pid)
		fake_stop(&f->fake);
	free(f);
	return 0;
}

static struct fixture *begin(void **state, struct suspect_rules rules)
{
	struct observer_options options = {
		.threshold_ns = 10000000, .stacks = true, .suspects = rules};
	struct fixture *f = *state;
	char *error = NULL;

	if (geteuid())
		skip();
	f->fake = fake_start(NULL);
	options.scope.pid = f->fake.pid;
	if (observer_new(&options, &f->o, &error))
		fail_msg("%s", error);
	return f;
}

static const struct model_process *look(struct fixture *f)
{
	model_done(&f->m);
	assert_int_equal(observer_overview(f->o, &f->m), 0);
	assert_int_equal(f->m.process_count, 1);
	return &f->m.processes[0];
}

static void search(struct fixture *f)
{
	assert_int_equal(observer_search(f->o, f->fake.pid, PATIENCE), 1);
}

static void test_a_crowd_is_one_task_that_stands_for_all(void **state)
{
	struct fixture *f = begin(state, (struct suspect_rules){0});
	const struct model_process *p;

	fake_tell(&f->fake, "crowd 20000");
	p = look(f);
	assert_int_equal(p->task_count, 1);
	assert_int_equal(p->tasks[0].stands_for, 20000);
	assert_int_equal(p->counts.tasks[MODEL_WAITING], 20000);
	assert_int_equal(p->wait_count, 1);
	assert_int_equal(p->waits[0].waiting, 20000);
	assert_int_equal(p->waits[0].ended, 0);
	fake_tell(&f->fake, "park 7 1 5000"); /* the oldest */
	p = look(f);
	assert_int_equal(p->counts.tasks[MODEL_WAITING], 20001);
	assert_int_equal(p->tasks[0].id, 7);
}

static void test_ended_waits_are_counted_by_length(void **state)
{
	struct fixture *f = begin(state, (struct suspect_rules){0});
	const struct model_wait *w;

	fake_tell(&f->fake, "park 7 1 100"); /* at least so many ms ago */
	fake_tell(&f->fake, "park 8 1 0");
	fake_tell(&f->fake, "unpark 7 1");
	w = look(f)->waits;
	assert_int_equal(w->waiting, 1);
	assert_int_equal(w->ended, 1);
	assert_true(w->ended_ns >= 100000000);
	assert_true(w->waiting_ns > 0 && w->waiting_ns < w->ended_ns);
	for (unsigned i = 0; i < MODEL_WAIT_SLOTS; i++)
		assert_int_equal(w->slots[i], i > 0 && w->ended_ns >> (i + 9) == 1);
	fake_tell(&f->fake, "exit 8");
	w = look(f)->waits;
	assert_int_equal(w->waiting, 0);
	assert_int_equal(look(f)->task_count, 0);
}

/* The kernel only knows that the oldest has gone; who is the oldest then is looked up. */
static void test_the_oldest_is_found_after_the_oldest_has_gone(void **state)
{
	struct fixture *f = begin(state, (struct suspect_rules){0});
	const struct model_process *p;

	fake_tell(&f->fake, "park 7 1 5000");
	fake_tell(&f->fake, "park 8 1 0");
	fake_tell(&f->fake, "park 9 1 0");
	assert_int_equal(look(f)->tasks[0].id, 7);
	fake_tell(&f->fake, "unpark 7 1");
	f->o->census_due_ns = 0;
	p = look(f);
	assert_int_equal(p->task_count, 1);
	assert_int_equal(p->tasks[0].id, 8);
	assert_int_equal(p->tasks[0].stands_for, 2);
	assert_true(p->tasks[0].since_ns > p->waits[0].oldest_since_ns);
}

static void test_leaked_ones_are_told_apart(void **state)
{
	struct fixture *f = begin(state, (struct suspect_rules){0});
	const struct model_process *p;

	fake_tell(&f->fake, "crowd 500");
	fake_tell(&f->fake, "park 7 1 5");
	fake_tell(&f->fake, "leak 7");
	search(f);
	p = look(f);
	assert_int_equal(p->counts.tasks[MODEL_LEAKED], 1);
	assert_int_equal(p->counts.tasks[MODEL_WAITING], 500);
	assert_int_equal(p->task_count, 2);
	assert_int_equal(p->tasks[0].id, 7);
	assert_int_equal(p->tasks[0].state, MODEL_LEAKED);
	assert_int_equal(p->tasks[1].stands_for, 500);
	fake_tell(&f->fake, "park 8 1 5");
	p = look(f);
	assert_int_equal(p->counts.tasks[MODEL_WAITING], 501);
	assert_int_equal(p->counts.tasks[MODEL_LEAKED], 1);
}

static void test_a_leak_has_a_past(void **state)
{
	struct fixture *f = begin(state, (struct suspect_rules){0});
	const struct model_process *p;
	int64_t first_seen;

	fake_tell(&f->fake, "park 7 1 5");
	assert_int_equal(look(f)->past_count, 0);
	fake_tell(&f->fake, "leak 7");
	search(f);
	p = look(f);
	assert_int_equal(p->past_count, 1);
	assert_int_equal(p->pasts[0].fingerprint, p->waits[0].fingerprint);
	assert_int_equal(p->pasts[0].searches_seen, 1);
	first_seen = p->pasts[0].first_seen_ns;
	search(f);
	p = look(f);
	assert_int_equal(p->pasts[0].searches_seen, 2);
	assert_int_equal(p->pasts[0].first_seen_ns, first_seen);
	assert_true(p->pasts[0].last_seen_ns > first_seen);
	assert_int_equal(p->pasts[0].retracted, 0);
}

/* Its runtime said for ever, and then it woke. */
static void test_a_leak_that_ends_is_retracted(void **state)
{
	struct fixture *f = begin(state, (struct suspect_rules){0});
	const struct model_process *p;

	fake_tell(&f->fake, "park 7 1 5");
	fake_tell(&f->fake, "park 8 1 5");
	fake_tell(&f->fake, "leak 7");
	search(f);
	look(f);
	fake_tell(&f->fake, "unpark 7 1");
	f->o->census_wanted = true;
	p = look(f);
	assert_int_equal(p->counts.tasks[MODEL_LEAKED], 0);
	assert_int_equal(p->counts.tasks[MODEL_WAITING], 1);
	assert_int_equal(p->past_count, 1);
	assert_int_equal(p->pasts[0].retracted, 1);
	f->o->census_wanted = true;
	assert_int_equal(look(f)->pasts[0].retracted, 1); /* once */
}

static void test_suspects_are_shown_apart(void **state)
{
	struct fixture *f = begin(state, (struct suspect_rules){.crowd = 400});
	const struct model_process *p;

	fake_tell(&f->fake, "park 7 1 5");
	fake_tell(&f->fake, "leak 7");
	fake_tell(&f->fake, "crowd 398");
	search(f);
	p = look(f);
	assert_int_equal(p->counts.tasks[MODEL_SUSPECT], 0);
	fake_tell(&f->fake, "park 8 1 5");
	p = look(f);
	assert_int_equal(p->counts.tasks[MODEL_SUSPECT], 399);
	assert_int_equal(p->counts.tasks[MODEL_WAITING], 0);
	assert_int_equal(p->counts.tasks[MODEL_LEAKED], 1);
	assert_int_equal(p->tasks[1].suspect_rules, MODEL_SUSPECT_CROWD);
}

/* A map that was too small for a moment: all is announced again, and then nothing is missing. */
static void test_losses_heal(void **state)
{
	struct observer_options options = {.threshold_ns = 10000000, .waiting_quota = 50};
	struct fixture *f = *state;
	const struct model_process *p;
	int64_t give_up;
	char *error = NULL;
	char command[32];

	if (geteuid())
		skip();
	f->fake = fake_start(NULL);
	options.scope.pid = f->fake.pid;
	assert_int_equal(observer_new(&options, &f->o, &error), 0);
	fake_tell(&f->fake, "wait-hello"); /* or it would announce, and lose, once more */
	fake_tell(&f->fake, "crowd 60");
	p = look(f);
	assert_int_equal(p->counts.tasks[MODEL_WAITING], 50);
	assert_int_equal(p->losses.map_full, 10);
	assert_false(model_process_complete(p));
	for (unsigned id = 1000; id < 1020; id++) {
		snprintf(command, sizeof(command), "unpark %u 1", id);
		fake_tell(&f->fake, command);
	}
	give_up = observe_now_ns() + PATIENCE;
	while (look(f)->losses.map_full && observe_now_ns() < give_up)
		assert_int_equal(observer_run(f->o, observe_now_ns() + SECOND / 10), 0);
	p = look(f);
	assert_int_equal(p->losses.map_full, 0);
	assert_int_equal(p->counts.tasks[MODEL_WAITING], 40);
}

/* Every task and the overview say the same. */
static void test_the_snapshot_counts_the_same(void **state)
{
	struct fixture *f = begin(state, (struct suspect_rules){.crowd = 100});
	struct model_counts overview;

	fake_tell(&f->fake, "crowd 300");
	fake_tell(&f->fake, "park 7 1 5");
	fake_tell(&f->fake, "leak 7");
	search(f);
	overview = look(f)->counts;
	model_done(&f->m);
	assert_int_equal(observer_snapshot(f->o, &f->m), 0);
	assert_int_equal(f->m.processes[0].task_count, 301);
	for (unsigned i = 0; i < MODEL_TASK_STATES; i++) {
		assert_int_equal(f->m.processes[0].counts.tasks[i], overview.tasks[i]);
		assert_int_equal(f->m.processes[0].counts.oldest_since_ns[i],
				 overview.oldest_since_ns[i]);
	}
}

#define OBSERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OBSERVED(test_a_crowd_is_one_task_that_stands_for_all),
		OBSERVED(test_ended_waits_are_counted_by_length),
		OBSERVED(test_the_oldest_is_found_after_the_oldest_has_gone),
		OBSERVED(test_leaked_ones_are_told_apart),
		OBSERVED(test_a_leak_has_a_past),
		OBSERVED(test_a_leak_that_ends_is_retracted),
		OBSERVED(test_suspects_are_shown_apart),
		OBSERVED(test_the_snapshot_counts_the_same),
		OBSERVED(test_losses_heal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

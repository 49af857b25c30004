/* SPDX-License-Identifier: MIT */
/*
 * The whole observer against tests/e2e/fake_runtime: kernel, maps, control, reports, model.
 *
 * The fake answers "ok" after its probe was hit, so the maps are up to date then and
 * nothing here waits for a time to pass. All of it needs root; without, the tests skip.
 * Semaphores are compared with 0: no other observer may run on the machine meanwhile.
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
#define PATIENCE (20 * SECOND) /* of a test that fails; one that passes needs none of it */

struct broken_case;

struct fixture {
	const struct broken_case *broken; /* of a test that is run for several */
	struct fake_process fake;
	struct observer *o;
	struct model m;
};

static struct observer *start_observer(bool stacks)
{
	struct observer_options options = {.threshold_ns = 10000000, .stacks = stacks};
	struct observer *o = NULL;
	char *error = NULL;
	int result;

	if (geteuid())
		skip();
	result = observer_new(&options, &o, &error);
	if (result)
		fail_msg("%s", error);
	return o;
}

static struct model_process *process_of(struct fixture *f)
{
	for (size_t i = 0; i < f->m.process_count; i++)
		if (f->m.processes[i].pid == f->fake.pid)
			return &f->m.processes[i];
	return NULL;
}

/* A fresh snapshot; its process of the fake, or NULL. */
static struct model_process *look(struct fixture *f)
{
	model_done(&f->m);
	assert_int_equal(observer_snapshot(f->o, &f->m), 0);
	return process_of(f);
}

static struct model_process *look_for(struct fixture *f, enum model_process_status status)
{
	struct model_process *p = look(f);

	assert_non_null(p);
	if (p->status != status)
		fail_msg("status %d: %s", p->status, p->status_text);
	return p;
}

static struct fixture *begin(void **state, const char *option, bool stacks)
{
	struct fixture *f = *state;

	if (geteuid())
		skip();
	f->fake = fake_start(option);
	f->o = start_observer(stacks);
	return f;
}

/* *state is what the list of tests gives the test: its case, or NULL. */
static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->broken = *state;
	*state = f;
	return 0;
}

/* Also after a failure: an observer left behind would keep its probes in the next test's fake. */
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

/* Let the observer work until the condition holds. */
static void run_until(struct fixture *f, bool (*condition)(struct fixture *f))
{
	int64_t give_up = observe_now_ns() + PATIENCE;

	while (!condition(f)) {
		assert_true(observe_now_ns() < give_up);
		assert_int_equal(observer_run(f->o, observe_now_ns() + SECOND / 100), 0);
	}
}

static size_t entries_of(struct fixture *f, pid_t pid)
{
	struct collected c;
	size_t count = 0;

	assert_int_equal(collect_read(&f->o->maps, &c), 0);
	for (size_t i = 0; i < c.task_count; i++)
		count += c.tasks[i].key.tgid == (uint32_t)pid;
	collect_done(&c);
	return count;
}

/* ---- parks --------------------------------------------------------------- */

static void test_a_park_is_seen_and_its_end(void **state)
{
	struct fixture *f = begin(state, NULL, false);
	struct model_process *p;

	fake_tell(&f->fake, "park 7 3 5000");
	p = look_for(f, MODEL_OBSERVED);
	assert_int_equal(p->task_count, 1);
	assert_int_equal(p->tasks[0].id, 7);
	assert_int_equal(p->tasks[0].generation, 3);
	assert_int_equal(p->tasks[0].reason, STRAND_WAIT_CHAN_RECEIVE);
	assert_string_equal(p->tasks[0].name, "fake-7");
	assert_string_equal(p->runtime, "fake");
	fake_tell(&f->fake, "unpark 7 3");
	assert_int_equal(look(f)->task_count, 0);
	assert_int_equal(entries_of(f, f->fake.pid), 0);
}

static void test_an_age_is_not_before_the_process(void **state)
{
	struct fixture *f = begin(state, NULL, false);
	struct model_process *p;
	int64_t since;

	fake_tell(&f->fake, "park 1 1 0");
	fake_tell(&f->fake, "park 2 1 100000000"); /* more than a day */
	p = look_for(f, MODEL_OBSERVED);
	assert_int_equal(p->task_count, 2);
	since = p->tasks[0].since_ns;
	assert_in_range(since, f->m.now_ns - PATIENCE, f->m.now_ns);
	assert_in_range(p->tasks[1].since_ns, f->m.now_ns - PATIENCE, since);
}

static void test_an_old_unpark_does_not_end_a_new_park(void **state)
{
	struct fixture *f = begin(state, NULL, false);
	struct model_process *p;

	fake_tell(&f->fake, "park 7 5 0");
	fake_tell(&f->fake, "unpark 7 4");
	p = look(f);
	assert_int_equal(p->task_count, 1);
	assert_int_equal(p->tasks[0].generation, 5);
	fake_tell(&f->fake, "park 7 4 0"); /* overtaken on the way */
	assert_int_equal(look(f)->tasks[0].generation, 5);
	fake_tell(&f->fake, "unpark 7 6"); /* its own unpark was lost */
	assert_int_equal(look(f)->task_count, 0);
}

static void test_the_end_of_a_task_ends_its_park(void **state)
{
	struct fixture *f = begin(state, NULL, false);

	fake_tell(&f->fake, "park 7 1 0");
	fake_tell(&f->fake, "exit 7");
	assert_int_equal(look(f)->task_count, 0);
}

static void test_a_crowd_arrives_whole(void **state)
{
	struct fixture *f = begin(state, NULL, false);
	struct model_process *p;

	fake_tell(&f->fake, "crowd 20000");
	p = look(f);
	assert_int_equal(p->task_count, 20000);
	assert_int_equal(p->losses.map_full, 0);
	assert_int_equal(p->losses.bad_record, 0);
}

static void test_what_was_parked_before_is_announced_anew(void **state)
{
	struct fixture *f = *state;

	if (geteuid())
		skip();
	f->fake = fake_start(NULL);
	fake_tell(&f->fake, "park 7 3 50"); /* nobody watches */
	f->o = start_observer(false);
	fake_tell(&f->fake, "wait-hello");
	assert_int_equal(look(f)->task_count, 1);
}

static void test_bad_records_are_counted_and_nothing_else(void **state)
{
	struct fixture *f = begin(state, NULL, false);
	struct model_process *p;

	fake_tell(&f->fake, "park 7 1 0");
	fake_tell(&f->fake, "bad-records");
	p = look(f);
	assert_int_equal(p->task_count, 1);
	assert_int_equal(p->losses.bad_record, 5);
}

/* ---- life and death ------------------------------------------------------ */

static bool is_watched(struct fixture *f)
{
	return look(f) != NULL;
}

static bool is_forgotten(struct fixture *f)
{
	return !is_watched(f) && !entries_of(f, f->fake.pid);
}

/* Two processes of one program: the one outside the scope is neither shown nor slowed. */
static void test_a_scope_leaves_others_alone(void **state)
{
	struct observer_options options = {.threshold_ns = 10000000};
	struct fixture *f = *state;
	struct fake_process other;
	char *error = NULL;
	int before;

	if (geteuid())
		skip();
	f->fake = fake_start(NULL);
	other = fake_start(NULL);
	before = fake_semaphore(&other);
	options.scope.pid = f->fake.pid;
	assert_int_equal(observer_new(&options, &f->o, &error), 0);
	assert_int_equal(fake_semaphore(&other), before);
	fake_tell(&f->fake, "park 7 1 100");
	fake_tell(&other, "park 7 1 100");
	assert_int_equal(look_for(f, MODEL_OBSERVED)->task_count, 1);
	assert_int_equal(f->m.process_count, 1);
	fake_stop(&other);
}

static void test_a_process_started_later_is_found(void **state)
{
	struct fixture *f = *state;

	f->o = start_observer(false);
	f->fake = fake_start(NULL);
	run_until(f, is_watched);
	fake_tell(&f->fake, "wait-probes");
	fake_tell(&f->fake, "park 7 1 0");
	assert_int_equal(look(f)->task_count, 1);
}

static void test_a_dead_process_leaves_nothing(void **state)
{
	struct fixture *f = begin(state, NULL, false);

	fake_tell(&f->fake, "crowd 100");
	assert_int_equal(look(f)->task_count, 100);
	kill(f->fake.pid, SIGKILL);
	run_until(f, is_forgotten);
	assert_int_equal(f->o->discovery.target_count, f->o->watch_count);
}

static void test_an_exec_ends_the_parks_of_the_program_before(void **state)
{
	struct fixture *f = begin(state, NULL, false);

	fake_tell(&f->fake, "crowd 100");
	fake_send(&f->fake, "exec");
	fake_expect(&f->fake, "ready");
	run_until(f, is_watched);
	fake_tell(&f->fake, "wait-probes");
	fake_tell(&f->fake, "park 1 1 0");
	assert_int_equal(look(f)->task_count, 1);
	assert_int_equal(entries_of(f, f->fake.pid), 1);
}

static void test_probes_are_gone_with_the_observer(void **state)
{
	struct fixture *f = begin(state, NULL, false);

	assert_int_equal(fake_semaphore(&f->fake), STRAND_PROBE_COUNT);
	observer_free(f->o);
	f->o = NULL;
	assert_int_equal(fake_semaphore(&f->fake), 0);
}

/* A kill gives it no chance to clean up: the kernel must. */
static void test_probes_are_gone_with_a_killed_observer(void **state)
{
	struct fixture *f = *state;
	int64_t give_up = observe_now_ns() + PATIENCE;
	pid_t observer;

	if (geteuid())
		skip();
	f->fake = fake_start(NULL);
	observer = fork();
	if (!observer) {
		start_observer(false);
		for (;;)
			pause();
	}
	fake_tell(&f->fake, "wait-probes");
	kill(observer, SIGKILL);
	waitpid(observer, NULL, 0);
	while (fake_semaphore(&f->fake)) /* the kernel frees links in the background */
		assert_true(observe_now_ns() < give_up);
}

/* ---- searches ------------------------------------------------------------ */

static void test_a_leak_is_marked_until_its_park_ends(void **state)
{
	struct fixture *f = begin(state, NULL, false);
	struct model_process *p;

	fake_tell(&f->fake, "park 7 1 100");
	fake_tell(&f->fake, "park 8 1 100");
	fake_tell(&f->fake, "leak 7");
	assert_int_equal(observer_search(f->o, f->fake.pid, PATIENCE), 1);
	p = look_for(f, MODEL_OBSERVED);
	assert_true(p->search.asked && p->search.answered);
	assert_int_equal(p->search.status, STRAND_SEARCH_DONE);
	assert_int_equal(p->search.leaked, 1);
	assert_null(p->search.error);
	assert_int_equal(p->tasks[0].state, MODEL_LEAKED);
	assert_int_equal(p->tasks[1].state, MODEL_WAITING);
	assert_true(model_process_complete(p));
	/* The next park of the same task is another one. */
	fake_tell(&f->fake, "unpark 7 1");
	fake_tell(&f->fake, "park 7 2 0");
	p = look(f);
	assert_int_equal(p->tasks[0].id, 7);
	assert_int_equal(p->tasks[0].state, MODEL_WAITING);
}

static void test_a_search_waits_for_late_announcements(void **state)
{
	struct fixture *f = begin(state, NULL, false);
	struct model_process *p;

	fake_tell(&f->fake, "hide 7 1");
	fake_tell(&f->fake, "leak 7");
	assert_int_equal(look(f)->task_count, 0);
	assert_int_equal(observer_search(f->o, f->fake.pid, PATIENCE), 1);
	p = look(f);
	assert_int_equal(p->task_count, 1);
	assert_int_equal(p->tasks[0].state, MODEL_LEAKED);
}

static void test_a_park_after_the_search_began_has_no_verdict(void **state)
{
	struct collected_task from = {.key.task = 7, .task = {.generation = 3, .since_ns = 500}};
	struct search_verdict verdict = {
		.task = 7, .generation = 3, .verdict = STRAND_VERDICT_LEAKED};
	struct search s = {.verdicts = &verdict, .verdict_count = 1, .stopped_ns = 500};

	(void)state;
	from.task.since_ns = 500 + SECOND;
	assert_null(search_find(&s, &from));
	from.task.since_ns = 500;
	assert_ptr_equal(search_find(&s, &from), &verdict);
	from.task.generation++;
	assert_null(search_find(&s, &from));
}

static void test_a_search_of_an_unknown_pid_is_refused(void **state)
{
	struct fixture *f = begin(state, NULL, false);

	assert_int_equal(observer_search(f->o, 1, PATIENCE), -ESRCH);
}

struct broken_case {
	const char *option;
	bool answered;
	enum model_process_status status;
	const char *error; /* a part of model_search.error */
};

static const struct broken_case broken_cases[] = {
	{"--report=garbage", false, MODEL_UNTRUSTED, "report: the report has no magic"},
	{"--report=truncated", false, MODEL_UNTRUSTED, "report: "},
	{"--report=unsealed", false, MODEL_UNTRUSTED, "report: not a sealed memfd"},
	{"--report=pipe", false, MODEL_UNTRUSTED, "report: not a sealed memfd"},
	{"--report=other-request", false, MODEL_UNTRUSTED, "report: the report answers another"},
	{"--report=inconclusive", true, MODEL_OBSERVED, "inconclusive: time budget used up"},
	{"--report=refused", true, MODEL_OBSERVED, "refused: rate limit"},
	{"--no-pipe", false, MODEL_NO_CONTROL, "control"},
	{"--close-pipe", false, MODEL_UNTRUSTED, "control pipe"},
	{"--no-answer", false, MODEL_HUNG, "no answer within"},
};

static struct fake_process start_neighbour(void)
{
	if (geteuid())
		skip();
	return fake_start(NULL);
}

/* Whatever it answers: no task is leaked, the reason is named, and its neighbour is served. */
static void test_a_broken_answer_is_named_and_harms_no_other(void **state)
{
	const struct broken_case *broken = ((struct fixture *)*state)->broken;
	struct fake_process good = start_neighbour();
	struct fixture *f = begin(state, broken->option, false);
	struct model_process *p;

	fake_tell(&f->fake, "park 7 1 100");
	fake_tell(&f->fake, "leak 7");
	assert_int_equal(observer_search(f->o, f->fake.pid, SECOND / 2), broken->answered);
	p = look_for(f, broken->status);
	assert_int_equal(p->task_count, 1);
	assert_int_equal(p->tasks[0].state, MODEL_WAITING);
	assert_true(p->search.asked);
	assert_int_equal(p->search.answered, broken->answered);
	assert_false(model_process_complete(p));
	assert_non_null(p->search.error);
	if (!strstr(p->search.error, broken->error))
		fail_msg("%s gave: %s", broken->option, p->search.error);
	assert_int_equal(observer_search(f->o, good.pid, PATIENCE), 1);
	fake_stop(&good);
}

static void test_another_abi_version_is_not_attached(void **state)
{
	struct fixture *f = begin(state, "--abi=9", false);
	struct model_process *p = look_for(f, MODEL_UNSUPPORTED_ABI);

	assert_int_equal(p->abi_major, 9);
	assert_int_equal(fake_semaphore(&f->fake), 0);
}

/* A file without a name (as after an upgrade) is attached through its mapping. */
static void test_a_deleted_binary_is_attached(void **state)
{
	struct fixture *f = begin(state, "--abi=1", false);

	assert_int_equal(fake_semaphore(&f->fake), STRAND_PROBE_COUNT);
	fake_tell(&f->fake, "park 7 1 0");
	assert_int_equal(look_for(f, MODEL_OBSERVED)->task_count, 1);
}

/* Answers that nobody asked for never reach the ring buffer. */
static void test_a_flood_of_answers_is_stopped_in_the_kernel(void **state)
{
	struct fixture *f = begin(state, NULL, false);

	fake_tell(&f->fake, "flood 20000 1"); /* 20000 events would not fit */
	assert_int_equal(look(f)->task_count, 0);
	assert_int_equal(f->m.losses.ring_full, 0);
	assert_int_equal(observer_search(f->o, f->fake.pid, PATIENCE), 1);
}

/* ---- stacks -------------------------------------------------------------- */

static bool has_function(const struct model_stack *stack, const char *name)
{
	for (size_t i = 0; i < stack->count; i++)
		if (stack->frames[i].function && !strcmp(stack->frames[i].function, name))
			return true;
	return false;
}

static void test_a_stack_is_read_and_named(void **state)
{
	struct fixture *f = begin(state, NULL, true);
	struct model_process *p;
	struct model_task *t;

	fake_tell(&f->fake, "park 7 1 100");
	fake_tell(&f->fake, "crowd 1000"); /* several chunks */
	p = look_for(f, MODEL_OBSERVED);
	assert_int_equal(p->task_count, 1001);
	assert_int_equal(p->losses.unread, 0);
	for (size_t i = 0; i < p->task_count; i += 100) {
		t = &p->tasks[i];
		assert_true(t->stack.count >= 2);
		assert_non_null(t->stack.frames[0].function);
		assert_string_equal(t->stack.frames[0].function, "fake_waits_here");
		assert_true(has_function(&t->stack, "fake_task_entry"));
		assert_string_equal(t->entry.function, "fake_task_entry");
		assert_string_equal(t->created_by.function, "fake_creator");
	}
}

/* The generation in its memory has moved on, the unpark is still on its way. */
static void test_a_stack_of_an_ended_park_is_not_shown(void **state)
{
	struct fixture *f = begin(state, NULL, true);
	struct model_process *p;

	fake_tell(&f->fake, "park 7 1 100");
	fake_tell(&f->fake, "move-on 7");
	p = look(f);
	assert_int_equal(p->task_count, 1);
	assert_int_equal(p->tasks[0].id, 7);
	assert_int_equal(p->losses.unread, 1);
	assert_true(p->tasks[0].stack.truncated);
}

#define BROKEN(i)                                                                                  \
	cmocka_unit_test_prestate_setup_teardown(test_a_broken_answer_is_named_and_harms_no_other, \
						 set_up, tear_down, (void *)&broken_cases[i])
#define OBSERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OBSERVED(test_a_park_is_seen_and_its_end),
		OBSERVED(test_an_age_is_not_before_the_process),
		OBSERVED(test_an_old_unpark_does_not_end_a_new_park),
		OBSERVED(test_the_end_of_a_task_ends_its_park),
		OBSERVED(test_a_crowd_arrives_whole),
		OBSERVED(test_what_was_parked_before_is_announced_anew),
		OBSERVED(test_bad_records_are_counted_and_nothing_else),
		OBSERVED(test_a_scope_leaves_others_alone),
		OBSERVED(test_a_process_started_later_is_found),
		OBSERVED(test_a_dead_process_leaves_nothing),
		OBSERVED(test_an_exec_ends_the_parks_of_the_program_before),
		OBSERVED(test_probes_are_gone_with_the_observer),
		OBSERVED(test_probes_are_gone_with_a_killed_observer),
		OBSERVED(test_a_leak_is_marked_until_its_park_ends),
		OBSERVED(test_a_search_waits_for_late_announcements),
		OBSERVED(test_a_park_after_the_search_began_has_no_verdict),
		OBSERVED(test_a_search_of_an_unknown_pid_is_refused),
		BROKEN(0),
		BROKEN(1),
		BROKEN(2),
		BROKEN(3),
		BROKEN(4),
		BROKEN(5),
		BROKEN(6),
		BROKEN(7),
		BROKEN(8),
		BROKEN(9),
		OBSERVED(test_another_abi_version_is_not_attached),
		OBSERVED(test_a_deleted_binary_is_attached),
		OBSERVED(test_a_flood_of_answers_is_stopped_in_the_kernel),
		OBSERVED(test_a_stack_is_read_and_named),
		OBSERVED(test_a_stack_of_an_ended_park_is_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* strand_leaks: what a program can prove of itself. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "strand_test.h"

struct seen {
	size_t count;
	uint64_t task[16];
	char reason[16][32], name[16][24];
	void (*entry[16])(void *);
	size_t stack_count[16];
};

static void see(const struct strand_leak *leak, void *arg)
{
	struct seen *seen = arg;
	size_t i = seen->count++;

	if (i >= 16)
		return;
	seen->task[i] = leak->task;
	strncpy(seen->reason[i], leak->reason, sizeof(seen->reason[i]) - 1);
	strncpy(seen->name[i], leak->name, sizeof(seen->name[i]) - 1);
	seen->entry[i] = leak->entry;
	seen->stack_count[i] = leak->stack_count;
}

/* Again while inconclusive: on a busy machine threads do not stop in time. */
static int search(strand_time min_age, void (*callback)(const struct strand_leak *leak, void *arg),
		  void *arg, struct strand_leaks_result *ret_result)
{
	strand_time end = strand_now() + 60 * STRAND_SECOND;
	int r;

	do
		r = strand_leaks(min_age, callback, arg, ret_result);
	while (r == -EAGAIN && strand_now() < end);
	return r;
}

static void receive(void *arg)
{
	strand_chan_recv(arg, STRAND_FOREVER, NULL);
}

static void receive_from_nil(void *arg)
{
	(void)arg;
	strand_chan_recv(NULL, STRAND_FOREVER, NULL);
}

static void select_nothing(void *arg)
{
	(void)arg;
	strand_select(NULL, 0, STRAND_FOREVER);
}

static void select_one(void *arg)
{
	struct strand_case cases[2] = {{STRAND_CASE_RECV, arg, NULL, 0},
				       {STRAND_CASE_SEND, NULL, NULL, 0}};

	strand_select(cases, 2, STRAND_FOREVER);
}

static int join_it(void *arg)
{
	return strand_join(arg, STRAND_FOREVER, NULL);
}

static int receive_as_spawned(void *arg)
{
	return strand_chan_recv(arg, STRAND_FOREVER, NULL);
}

/* All in tasks that end, so that no live frame holds a channel or a handle. */
static void leak_each(void *arg)
{
	struct strand_task_options named = {.size = sizeof(named), .name = "receiver"};
	struct strand_chan *chan;
	struct strand_task *target, *joiner;

	(void)arg;
	strand_chan_new(0, 0, &chan);
	expect_eq(strand_go_with(&named, receive, chan), 0);
	strand_chan_new(0, 0, &chan);
	expect_eq(strand_go(select_one, chan), 0);
	expect_eq(strand_go(receive_from_nil, NULL), 0);
	expect_eq(strand_go(select_nothing, NULL), 0);
	strand_chan_new(0, 0, &chan);
	expect_eq(strand_spawn(NULL, receive_as_spawned, chan, &target), 0);
	expect_eq(strand_spawn(NULL, join_it, target, &joiner), 0);
	strand_task_unref(joiner);
}

/* Calls that give way to all tasks that are ready, until they have parked. */
static void settle(void)
{
	strand_sleep(strand_now() + 20 * STRAND_MILLISECOND);
}

static size_t count_reason(const struct seen *seen, const char *reason)
{
	size_t n = 0;

	for (size_t i = 0; i < seen->count; i++)
		n += !strcmp(seen->reason[i], reason);
	return n;
}

/*
 * The first test: channels have addresses that were never used before, so no dead word on the
 * main thread's stack happens to name one.
 */
static int each_reason(void *arg)
{
	struct strand_leaks_result result;
	struct seen seen = {0};

	(void)arg;
	expect_eq(strand_go(leak_each, NULL), 0);
	settle();
	for (int i = 0; i < 2; i++) {
		memset(&seen, 0, sizeof(seen));
		expect_eq(search(0, see, &seen, &result), 6);
		expect_eq(seen.count, 6);
		expect_eq(count_reason(&seen, "chan receive"), 2);
		expect_eq(count_reason(&seen, "chan receive (nil chan)"), 1);
		expect_eq(count_reason(&seen, "select"), 1);
		expect_eq(count_reason(&seen, "select (no cases)"), 1);
		expect_eq(count_reason(&seen, "join"), 1);
		expect_eq(result.leaked, 6);
		expect_eq(result.candidates, 6);
		expect_true(result.cause[0] == '\0');
		expect_true(result.pause > 0 && result.total >= result.pause);
	}
	for (size_t i = 0; i < seen.count; i++) {
		expect_true(seen.stack_count[i] >= 1);
		if (seen.entry[i] == receive)
			expect_true(!strcmp(seen.name[i], "receiver"));
	}
	return 0;
}

static void test_each_reason(void **state)
{
	(void)state;
	run_tasks_with(2, each_reason, NULL);
}

/* Keep a pointer where no search finds it. */
static void hide(void *pointer)
{
	*(uintptr_t *)pointer = ~*(uintptr_t *)pointer;
}

static struct strand_chan *global;

/* A global, a live frame, a handle that is held, a deadline: none of these is leaked. */
static int nothing_leaked(void *arg)
{
	struct strand_chan *local;
	struct strand_task *held;
	struct seen seen = {0};

	(void)arg;
	expect_eq(strand_chan_new(0, 0, &global), 0);
	expect_eq(strand_chan_new(0, 0, &local), 0);
	expect_eq(strand_go(receive, global), 0);
	expect_eq(strand_go(select_one, local), 0);
	expect_eq(strand_spawn(NULL, receive_as_spawned, NULL, &held), 0);
	settle();
	expect_eq(search(0, see, &seen, NULL), 0);
	expect_eq(seen.count, 0);
	expect_eq(strand_cancel(held), 0);
	expect_eq(strand_join(held, STRAND_FOREVER, NULL), 0);
	strand_task_unref(held);
	strand_chan_close(local);
	strand_chan_close(global);
	strand_yield();
	return 0;
}

static void test_nothing_leaked(void **state)
{
	(void)state;
	run_tasks(nothing_leaked, NULL);
}

static int young_ones(void *arg)
{
	struct strand_leaks_result result;

	(void)arg;
	expect_eq(strand_go(receive_from_nil, NULL), 0);
	settle();
	expect_eq(search(3600 * STRAND_SECOND, NULL, NULL, &result), 0);
	expect_eq(result.candidates, 0);
	expect_eq(search(0, NULL, NULL, NULL), 1);
	return 0;
}

/* ---- cancelled, but not awake yet -------------------------------------------------- */

static _Atomic int asked;

static void *ask_from_outside(void *arg)
{
	(void)arg;
	atomic_store(&asked, 1 + search(0, NULL, NULL, NULL));
	return NULL;
}

/*
 * The task's worker is busy, so the cancellation waits on its list: nothing in memory points to
 * the task any more, and yet it is going to wake.
 */
static int cancelled_but_parked(void *arg)
{
	struct strand_chan *chan;
	struct strand_task *task;
	pthread_t thread;
	int result;

	(void)arg;
	expect_eq(strand_chan_new(0, 0, &chan), 0);
	expect_eq(strand_spawn(NULL, receive_as_spawned, chan, &task), 0);
	settle();
	expect_eq(strand_cancel(task), 0);
	strand_task_ref(task);
	hide(&task);
	hide(&chan);
	atomic_store(&asked, 0);
	expect_eq(pthread_create(&thread, NULL, ask_from_outside, NULL), 0);
	while (!atomic_load(&asked))
		; /* and never give way */
	expect_eq(atomic_load(&asked), 1);
	hide(&task);
	hide(&chan);
	expect_eq(strand_join(task, STRAND_FOREVER, &result), 0);
	expect_eq(result, -ECANCELED);
	pthread_join(thread, NULL);
	strand_task_unref(task);
	strand_task_unref(task);
	strand_chan_unref(chan);
	return 0;
}

static void test_cancelled_but_parked(void **state)
{
	(void)state;
	run_tasks_with(1, cancelled_but_parked, NULL);
}

/* ---- task-locals -------------------------------------------------------------------- */

static int key = -1;

static void keep_in_local(void *arg)
{
	expect_eq(strand_local_set(key, arg), 0);
	strand_sleep(strand_now() + 3600 * STRAND_SECOND);
}

static void hold_in_local(void *arg)
{
	struct strand_chan *chan;

	(void)arg;
	expect_eq(strand_chan_new(0, 0, &chan), 0);
	expect_eq(strand_go(keep_in_local, chan), 0);
	expect_eq(strand_go(receive, chan), 0);
}

static int locals_are_live(void *arg)
{
	(void)arg;
	if (key < 0)
		key = strand_local_new(NULL);
	expect_eq(strand_go(hold_in_local, NULL), 0);
	settle();
	expect_eq(search(0, NULL, NULL, NULL), 0);
	return 0;
}

static void test_locals_are_live(void **state)
{
	(void)state;
	run_tasks(locals_are_live, NULL);
}

static void test_young_ones(void **state)
{
	(void)state;
	run_tasks(young_ones, NULL);
}

static void test_unobserved(void **state)
{
	(void)state;
	setenv("STRAND_OBSERVE", "0", 1);
	run_tasks(young_ones, NULL);
	unsetenv("STRAND_OBSERVE");
}

/* ---- text, and at exit ----------------------------------------------------------------- */

static int leak_one(void *arg)
{
	(void)arg;
	expect_eq(strand_go(receive_from_nil, NULL), 0);
	return 0;
}

static int leak_none(void *arg)
{
	(void)arg;
	return 0;
}

/* What strand_main prints and returns with STRAND_LEAKS set. */
static int run_at_exit(const char *setting, int (*fn)(void *), char *text, size_t room)
{
	int saved = dup(STDERR_FILENO), fds[2], result;
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	setenv("STRAND_LEAKS", setting, 1);
	result = strand_main(fn, NULL);
	unsetenv("STRAND_LEAKS");
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[1]);
	n = read(fds[0], text, room - 1);
	text[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	return result;
}

static void test_at_exit(void **state)
{
	char text[4096];

	(void)state;
	assert_int_equal(run_at_exit("exit", leak_none, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	assert_int_equal(run_at_exit("exit", leak_one, text, sizeof(text)), 1);
	assert_non_null(strstr(text, " [chan receive (nil chan) (leaked)]:\n"));
	assert_non_null(strstr(text, "\ncreated by "));
	assert_non_null(strstr(text, "strand: 1 leaked task at exit\n"));
	assert_int_equal(run_at_exit("exit,status=42", leak_one, text, sizeof(text)), 42);
	assert_int_equal(run_at_exit("", leak_one, text, sizeof(text)), 0);
	assert_string_equal(text, "");
}

static void test_without_runtime(void **state)
{
	(void)state;
	assert_int_equal(strand_leaks(0, NULL, NULL, NULL), -ENXIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_reason),     cmocka_unit_test(test_nothing_leaked),
		cmocka_unit_test(test_young_ones),      cmocka_unit_test(test_unobserved),
		cmocka_unit_test(test_without_runtime), cmocka_unit_test(test_cancelled_but_parked),
		cmocka_unit_test(test_locals_are_live), cmocka_unit_test(test_at_exit),
	};

	int failed;

	alarm(60);
	failed = cmocka_run_group_tests_name("as it fits", tests, NULL, NULL);
	setenv("STRAND_SEARCH", "tracking", 1); /* the live memory; needs Linux 6.7 */
	return failed + cmocka_run_group_tests_name("tracking", tests, NULL, NULL);
}

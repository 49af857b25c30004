/* SPDX-License-Identifier: MIT */
/*
 * fork() in a process that runs tasks: the child is an ordinary process with one
 * plain thread. It holds nothing of the parent's runtime, may start its own, and
 * the parent goes on as if nothing had happened.
 */
#include "strand_test.h"

#include <fcntl.h>
#include "strand/probes.h"

static int expect_child_ok(int status)
{
	if (status != 0)
		dprintf(STDERR_FILENO, "child: wait status %#x\n", (unsigned)status);
	expect_eq(status, 0);
	return status;
}

/* ---- what the child finds ---------------------------------------------------------- */

static int child_is_plain(void)
{
	struct strand_chan *chan = NULL;

	expect_eq(strand_task_id(), 0);
	expect_eq(strcmp(strand_task_name(), ""), 0);
	expect_eq(strand_task_set_name("x"), -ENXIO);
	expect_eq(strand_go(signal_task, NULL), -ENXIO);
	expect_eq(strand_chan_new(8, 0, &chan), -ENXIO);
	expect_eq(strand_sleep(strand_now() + STRAND_MILLISECOND), 0);
	expect_eq(strand_chan_recv(NULL, 0, NULL), -ETIMEDOUT);
	strand_yield();
	return test_failures != 0;
}

/* It must not be taken for a process whose runtime runs: the control pipe is the parent's. */
static int child_is_hidden(void)
{
	expect_eq(strand_descriptor.pid, 0);
	expect_eq(strand_descriptor.control_fd, -1);
	return test_failures != 0;
}

static int add_up(void *arg)
{
	struct strand_chan *chan = new_chan(0, 0);

	expect_eq(strand_descriptor.pid, getpid());
	for (int i = 0; i < 100; i++)
		expect_eq(strand_go(signal_task, chan), 0);
	await_chan(chan, 100);
	strand_chan_unref(chan);
	return *(int *)arg;
}

static int child_runs_its_own(void)
{
	int result = 5;

	expect_eq(strand_main(add_up, &result), 5);
	expect_eq(strand_main(add_up, &result), 5);
	return test_failures != 0;
}

static int (*const children[])(void) = {child_is_plain, child_is_hidden, child_runs_its_own};

#define CHILDREN (sizeof(children) / sizeof(children[0]))

struct forking {
	struct strand_chan *work, *done;
};

static void work_on(void *arg)
{
	struct forking *f = arg;

	while (!strand_chan_recv(f->work, STRAND_FOREVER, NULL))
		signal_chan(f->done);
}

static void fork_in_task(void *arg)
{
	struct forking *f = arg;

	for (size_t i = 0; i < CHILDREN; i++)
		expect_child_ok(run_child(children[i]));
	signal_chan(f->done);
}

/* Forks in the main task and in another, while others work. */
static int fork_beside_work(void *arg)
{
	struct strand_task_options options = {.size = sizeof(options), .stack_size = 1 << 20};
	static struct forking f; /* not on this stack: the workers may run on when it has gone */
	int pipe_before = strand_descriptor.control_fd;

	(void)arg;
	f = (struct forking){new_chan(0, 0), new_chan(0, 100)};
	for (int i = 0; i < 4; i++)
		expect_eq(strand_go(work_on, &f), 0);
	for (size_t i = 0; i < CHILDREN; i++) {
		signal_chan(f.work);
		expect_child_ok(run_child(children[i]));
	}
	await_chan(f.done, CHILDREN);
	expect_eq(strand_go_with(&options, fork_in_task, &f), 0);
	await_chan(f.done, 1);
	expect_eq(strand_descriptor.pid, getpid());
	expect_eq(strand_descriptor.control_fd, pipe_before);
	expect_true(fcntl(pipe_before, F_GETFD) >= 0);
	signal_chan(f.work);
	await_chan(f.done, 1);
	expect_eq(strand_chan_close(f.work), 0);
	return 0;
}

static void test_fork_in_tasks(void **state)
{
	(void)state;
	run_tasks(fork_beside_work, NULL);
}

static void *fork_in_thread(void *arg)
{
	struct forking *f = arg;

	for (size_t i = 0; i < CHILDREN; i++)
		expect_child_ok(run_child(children[i]));
	signal_chan(f->done);
	return NULL;
}

static int fork_beside_tasks(void *arg)
{
	static struct forking f;
	pthread_t thread;

	(void)arg;
	f = (struct forking){new_chan(0, 0), new_chan(0, 0)};
	expect_eq(strand_go(work_on, &f), 0);
	start_thread(&thread, fork_in_thread, &f);
	await_chan(f.done, 1);
	pthread_join(thread, NULL);
	signal_chan(f.work);
	await_chan(f.done, 1);
	return 0;
}

static void test_fork_in_threads(void **state)
{
	(void)state;
	run_tasks(fork_beside_tasks, NULL);
}

static void test_fork_without_runtime(void **state)
{
	(void)state;
	test_failures = 0;
	for (size_t i = 0; i < CHILDREN; i++)
		expect_child_ok(run_child(children[i]));
	assert_int_equal(test_failures, 0);
}

/* ---- descriptors ---------------------------------------------------------------------- */

static int wanted_fds; /* bit i: descriptor i is open, for i below 31 */

static int open_fds(void)
{
	int set = 0;

	for (int i = 0; i < 31; i++)
		if (fcntl(i, F_GETFD) >= 0)
			set |= 1 << i;
	return set;
}

static int child_holds_wanted(void)
{
	if (open_fds() != wanted_fds)
		dprintf(STDERR_FILENO, "open: %#x, wanted: %#x\n", open_fds(), wanted_fds);
	return open_fds() != wanted_fds;
}

static int fork_and_compare(void *arg)
{
	(void)arg;
	expect_child_ok(run_child(child_holds_wanted));
	return 0;
}

/* The child has what the program has opened, and nothing of the runtime's. */
static void test_descriptors_of_child(void **state)
{
	(void)state;
	if (fcntl(STDIN_FILENO, F_GETFD) < 0)
		assert_int_equal(open("/dev/null", O_RDONLY), STDIN_FILENO);
	wanted_fds = open_fds();
	run_tasks(fork_and_compare, NULL);
}

static void test_descriptors_of_child_unobserved(void **state)
{
	(void)state;
	if (fcntl(STDIN_FILENO, F_GETFD) < 0)
		assert_int_equal(open("/dev/null", O_RDONLY), STDIN_FILENO);
	wanted_fds = open_fds();
	setenv("STRAND_OBSERVE", "0", 1);
	run_tasks(fork_and_compare, NULL);
	unsetenv("STRAND_OBSERVE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fork_without_runtime),
		cmocka_unit_test(test_fork_in_tasks),
		cmocka_unit_test(test_fork_in_threads),
		cmocka_unit_test(test_descriptors_of_child),
		cmocka_unit_test(test_descriptors_of_child_unobserved),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* strand_block: results, waiting for a thread, deadlines, the pool's size, stopping and fork. */
#include "strand_test.h"

#include <sys/resource.h>
#include "strand/runtime.h"

/* Calls that block until the test opens the gate. */
static struct gate {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	int inside, most_inside;
	bool open;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, false};

static void set_gate(bool open)
{
	pthread_mutex_lock(&gate.mutex);
	gate.open = open;
	if (!open)
		gate.most_inside = 0;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.mutex);
}

static int pass_gate(void *arg)
{
	pthread_mutex_lock(&gate.mutex);
	if (++gate.inside > gate.most_inside)
		gate.most_inside = gate.inside;
	pthread_cond_broadcast(&gate.changed);
	while (!gate.open)
		pthread_cond_wait(&gate.changed, &gate.mutex);
	gate.inside--;
	pthread_mutex_unlock(&gate.mutex);
	return (int)(intptr_t)arg;
}

static int inside_now(void)
{
	pthread_mutex_lock(&gate.mutex);
	int inside = gate.inside;
	pthread_mutex_unlock(&gate.mutex);
	return inside;
}

static void await_inside(int count)
{
	while (inside_now() != count)
		strand_yield();
}

struct call {
	strand_time deadline;
	struct strand_chan *done;
	int r, result;
};

static int block_task(void *arg)
{
	struct call *c = arg;

	c->r = strand_block(pass_gate, (void *)42, c->deadline, &c->result);
	signal_chan(c->done);
	return 0;
}

static void start_call(struct call *c, strand_time deadline, struct strand_task **ret_task)
{
	*c = (struct call){deadline, new_chan(0, 1), 4711, 4711};
	expect_eq(strand_spawn(NULL, block_task, c, ret_task), 0);
}

static void expect_end(struct call *c, struct strand_task *task, int r)
{
	await_chan(c->done, 1);
	expect_eq(c->r, r);
	expect_eq(c->result, r ? 4711 : 42);
	expect_eq(strand_join(task, STRAND_FOREVER, NULL), 0);
	strand_task_unref(task);
	strand_chan_unref(c->done);
}

static size_t calls_queued(void)
{
	struct block_pool *pool = &runtime_get()->blocking;

	object_lock_take(&pool->lock);
	size_t count = pool->call_count;
	object_lock_release(&pool->lock);
	return count;
}

static unsigned threads_now(void)
{
	struct block_pool *pool = &runtime_get()->blocking;

	object_lock_take(&pool->lock);
	unsigned count = pool->threads;
	object_lock_release(&pool->lock);
	return count;
}

static void await_queued(size_t count)
{
	while (calls_queued() != count)
		strand_yield();
}

/* ---- results ----------------------------------------------------------------------- */

static pthread_t caller;

static int fail_with_errno(void *arg)
{
	*(int *)arg = !pthread_equal(caller, pthread_self()) && strand_task_id() == 0;
	errno = ENOTTY;
	return -3;
}

static int return_seven(void *arg)
{
	(void)arg;
	return 7;
}

static int results(void *arg)
{
	int elsewhere = 0, result = 0;

	(void)arg;
	caller = pthread_self();
	errno = 4242;
	expect_eq(strand_block(fail_with_errno, &elsewhere, STRAND_FOREVER, &result), 0);
	expect_eq(errno, ENOTTY);
	expect_eq(result, -3);
	expect_eq(elsewhere, 1);
	expect_eq(strand_block(return_seven, NULL, STRAND_FOREVER, NULL), 0);
	expect_eq(errno, 0); /* not what the call before has left */
	errno = 4242;
	expect_eq(strand_block(NULL, NULL, STRAND_FOREVER, &result), -EINVAL);
	expect_eq(strand_block(return_seven, NULL, 0, &result), 0); /* a thread is free */
	expect_eq(result, 7);
	return 0;
}

static void test_results(void **state)
{
	(void)state;
	run_tasks(results, NULL);
}

static void *block_in_thread(void *arg)
{
	int result = 0, elsewhere = 1;

	(void)arg;
	caller = pthread_self();
	expect_eq(strand_block(fail_with_errno, &elsewhere, 0, &result), 0);
	expect_eq(errno, ENOTTY);
	expect_eq(result, -3);
	expect_eq(elsewhere, 0); /* called here */
	return NULL;
}

static int beside_thread(void *arg)
{
	pthread_t thread;

	(void)arg;
	start_thread(&thread, block_in_thread, NULL);
	pthread_join(thread, NULL);
	expect_eq(threads_now(), 0);
	return 0;
}

static void test_plain_thread(void **state)
{
	(void)state;
	block_in_thread(NULL);
	run_tasks(beside_thread, NULL);
}

/* ---- threads ------------------------------------------------------------------------ */

#define CALLS 30

/* Other tasks run meanwhile, and each call has its thread up to the limit. */
static int many_calls(void *arg)
{
	int threads = *(int *)arg;
	struct strand_task *tasks[CALLS];
	struct call calls[CALLS];

	set_gate(false);
	for (int i = 0; i < CALLS; i++)
		start_call(&calls[i], STRAND_FOREVER, &tasks[i]);
	await_inside(threads < CALLS ? threads : CALLS);
	await_queued(threads < CALLS ? (size_t)(CALLS - threads) : 0);
	expect_eq(threads_now(), threads < CALLS ? threads : CALLS);
	set_gate(true);
	for (int i = 0; i < CALLS; i++)
		expect_end(&calls[i], tasks[i], 0);
	expect_eq(gate.most_inside, threads < CALLS ? threads : CALLS);
	expect_eq(calls_queued(), 0);
	/* The threads that there are are used again. */
	for (int i = 0; i < 100; i++)
		expect_eq(strand_block(return_seven, NULL, STRAND_FOREVER, NULL), 0);
	expect_eq(threads_now(), threads < CALLS ? threads : CALLS);
	return 0;
}

static void test_threads(void **state)
{
	int limits[] = {1, 3, 64};

	(void)state;
	for (int i = 0; i < 3; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", limits[i]);
		setenv("STRAND_BLOCKING_THREADS", text, 1);
		run_tasks(many_calls, &limits[i]);
	}
	unsetenv("STRAND_BLOCKING_THREADS");
	run_tasks(many_calls, &limits[2]);
}

static int one_after_another(void *arg)
{
	struct strand_chan *done = arg;
	int result = 0;

	for (int i = 0; i < 200; i++) {
		expect_eq(strand_block(return_seven, NULL, STRAND_FOREVER, &result), 0);
		expect_eq(result, 7);
	}
	signal_chan(done);
	return 0;
}

static int short_calls(void *arg)
{
	struct strand_chan *done = new_chan(0, 0);
	struct strand_task *tasks[20];

	(void)arg;
	for (int i = 0; i < 20; i++)
		expect_eq(strand_spawn(NULL, one_after_another, done, &tasks[i]), 0);
	await_chan(done, 20);
	for (int i = 0; i < 20; i++) { /* a task that has not ended keeps the runtime's memory */
		expect_eq(strand_join(tasks[i], STRAND_FOREVER, NULL), 0);
		strand_task_unref(tasks[i]);
	}
	expect_eq(calls_queued(), 0);
	strand_chan_unref(done);
	return 0;
}

static void test_short_calls(void **state)
{
	(void)state;
	run_tasks(short_calls, NULL);
	setenv("STRAND_BLOCKING_THREADS", "2", 1);
	run_tasks(short_calls, NULL);
	unsetenv("STRAND_BLOCKING_THREADS");
}

/* A thread ends when it has had nothing to do for long, and calls after that get a new one. */
static int threads_end(void *arg)
{
	(void)arg;
	expect_eq(runtime_get()->blocking.idle_limit, 10 * STRAND_SECOND);
	runtime_get()->blocking.idle_limit = STRAND_MILLISECOND;
	for (int i = 0; i < 5; i++) {
		expect_eq(strand_block(return_seven, NULL, STRAND_FOREVER, NULL), 0);
		while (threads_now())
			strand_sleep(strand_now() + STRAND_MILLISECOND);
	}
	/* Calls that come just when threads end are not lost. */
	runtime_get()->blocking.idle_limit = 20 * STRAND_MICROSECOND;
	return short_calls(NULL);
}

static void test_threads_end(void **state)
{
	(void)state;
	run_tasks(threads_end, NULL);
}

/* ---- deadlines and cancellation --------------------------------------------------------- */

static int too_late(void *arg)
{
	struct strand_task *running, *queued[3];
	struct call holder, calls[3];
	int result = 0;

	(void)arg;
	set_gate(false);
	start_call(&holder, STRAND_FOREVER, &running); /* the only thread */
	await_inside(1);
	start_call(&calls[0], strand_now() + 2 * STRAND_MILLISECOND, &queued[0]);
	start_call(&calls[1], STRAND_FOREVER, &queued[1]);
	start_call(&calls[2], STRAND_FOREVER, &queued[2]);
	expect_eq(strand_block(return_seven, NULL, 0, &result), -ETIMEDOUT);
	expect_end(&calls[0], queued[0], -ETIMEDOUT);
	await_queued(2);
	strand_cancel(queued[1]);
	while (calls_queued() != 1)
		strand_yield();
	set_gate(true);
	expect_end(&holder, running, 0);
	expect_end(&calls[2], queued[2], 0);
	expect_eq(strand_join(queued[1], STRAND_FOREVER, NULL), 0);
	expect_eq(calls[1].r, -ECANCELED);
	expect_eq(result, 0);
	strand_task_unref(queued[1]);
	return 0;
}

static void test_too_late(void **state)
{
	(void)state;
	setenv("STRAND_BLOCKING_THREADS", "1", 1);
	run_tasks(too_late, NULL);
	unsetenv("STRAND_BLOCKING_THREADS");
}

static int cancelled_meanwhile(void *arg)
{
	struct call *c = arg;
	strand_time patience = STRAND_MILLISECOND;

	do { /* on a busy machine a thread may take longer to begin */
		c->deadline = strand_now() + patience;
		patience *= 2;
		c->r = strand_block(pass_gate, (void *)42, c->deadline, &c->result);
	} while (c->r == -ETIMEDOUT);
	expect_eq(strand_sleep(STRAND_FOREVER), -ECANCELED); /* the next call tells */
	expect_eq(strand_block(return_seven, NULL, STRAND_FOREVER, NULL), -ECANCELED);
	return 5;
}

/* Once begun, neither deadline nor cancellation tears the call from its task. */
static int begun_is_awaited(void *arg)
{
	struct call c = {.r = 4711, .result = 4711};
	struct strand_task *task;
	int result;

	(void)arg;
	set_gate(false);
	expect_eq(strand_spawn(NULL, cancelled_meanwhile, &c, &task), 0);
	await_inside(1);
	strand_cancel(task);
	expect_eq(strand_join(task, c.deadline + STRAND_MILLISECOND, NULL), -ETIMEDOUT);
	expect_eq(c.result, 4711);
	set_gate(true);
	expect_eq(strand_join(task, STRAND_FOREVER, &result), 0);
	expect_eq(result, 5);
	expect_eq(c.r, 0);
	expect_eq(c.result, 42);
	strand_task_unref(task);
	return 0;
}

static void test_begun_is_awaited(void **state)
{
	(void)state;
	run_tasks(begun_is_awaited, NULL);
}

/* ---- failures --------------------------------------------------------------------------- */

static int no_threads(void *arg)
{
	struct rlimit limit;
	int result = 4711;

	(void)arg;
	getrlimit(RLIMIT_NPROC, &limit);
	limit.rlim_cur = 0;
	setrlimit(RLIMIT_NPROC, &limit);
	int r = strand_block(return_seven, NULL, STRAND_FOREVER, &result);
	expect_eq(r, -EAGAIN);
	expect_eq(result, 4711);
	expect_eq(threads_now(), 0);
	expect_eq(calls_queued(), 0);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NPROC, &limit);
	expect_eq(strand_block(return_seven, NULL, STRAND_FOREVER, &result), 0);
	expect_eq(result, 7);

	/* With one thread that there is, calls queue for it. */
	limit.rlim_cur = 0;
	setrlimit(RLIMIT_NPROC, &limit);
	short_calls(NULL);
	expect_eq(threads_now(), 1);
	return 0;
}

static int become_nobody(void *arg)
{
	if (geteuid() == 0) /* root has as many threads as it likes */
		expect_eq(setuid(65534), 0);
	return no_threads(arg);
}

static int no_threads_in_child(void)
{
	set_workers(1);
	return strand_main(become_nobody, NULL) != 0 || test_failures != 0;
}

static void test_no_threads(void **state)
{
	(void)state;
	assert_int_equal(run_child(no_threads_in_child), 0);
}

/* ---- the end ------------------------------------------------------------------------------ */

static int fill_stack(void *arg)
{
	volatile char *on_stack = arg;

	pass_gate(NULL);
	for (int i = 0; i < 1000; i++) /* of a task that is no more */
		on_stack[i] = (char)i;
	pthread_mutex_lock(&gate.mutex);
	gate.most_inside = -1;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.mutex);
	return 0;
}

static void block_with_stack(void *arg)
{
	char on_stack[1000];

	(void)arg;
	strand_block(fill_stack, on_stack, STRAND_FOREVER, NULL);
	expect_true(!"a task ran on after the end");
}

static int leave_one_running(void *arg)
{
	(void)arg;
	set_gate(false);
	expect_eq(strand_go(block_with_stack, NULL), 0);
	await_inside(1);
	expect_eq(strand_block(return_seven, NULL, STRAND_FOREVER, NULL), 0);
	return 0;
}

/* strand_main returns although a call runs, and what the call uses stays. */
static int end_before_call(void)
{
	for (int i = 0; i < 3; i++) {
		set_workers(test_worker_counts[i]);
		expect_eq(strand_main(leave_one_running, NULL), 0);
		expect_eq(strand_main(results, NULL), 0); /* another runtime, meanwhile */
		set_gate(true);
		pthread_mutex_lock(&gate.mutex);
		while (gate.most_inside != -1)
			pthread_cond_wait(&gate.changed, &gate.mutex);
		pthread_mutex_unlock(&gate.mutex);
	}
	return test_failures != 0;
}

static void test_end_before_call(void **state)
{
	(void)state;
	assert_int_equal(run_child(end_before_call), 0);
}

/* All is given back when nothing runs any more. */
static void test_nothing_stays(void **state)
{
	pthread_attr_t before, small;
	size_t threads, size;

	(void)state;
	/* Threads that still end leave stacks to others: a few of these are less than a runtime. */
	pthread_getattr_default_np(&before);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, UNDER_TSAN ? 2 << 20 : 256 << 10);
	pthread_setattr_default_np(&small);
	run_tasks(short_calls, NULL);
	threads = count_entries("/proc/self/task");
	size = status_kib("VmSize");
	for (int i = 0; i < 10; i++)
		run_tasks_with(2, short_calls, NULL);
	while (count_entries("/proc/self/task") > threads)
		sched_yield();
	assert_true(status_kib("VmSize") < size + (100 << 10)); /* a runtime that stays: 20 MiB */
	pthread_setattr_default_np(&before);
	pthread_attr_destroy(&before);
	pthread_attr_destroy(&small);
}

/* ---- fork --------------------------------------------------------------------------------- */

/* The child ends without what the program does at its end, such as looking for lost memory. */
static void exit_plainly(void)
{
	_exit(0);
}

static int fork_here(void *arg)
{
	pid_t pid = fork();
	int status = 0;

	(void)arg;
	if (pid == 0) {
		atexit(exit_plainly);
		return 0; /* the child has this thread only, whose task is the parent's */
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

static int fork_in_calls(void *arg)
{
	int result = 4711;

	(void)arg;
	for (int i = 0; i < 5; i++) {
		expect_eq(strand_block(fork_here, NULL, STRAND_FOREVER, &result), 0);
		expect_eq(result, 0);
	}
	return 0;
}

static void test_fork_in_call(void **state)
{
	(void)state;
	run_tasks(fork_in_calls, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results),          cmocka_unit_test(test_plain_thread),
		cmocka_unit_test(test_threads),          cmocka_unit_test(test_short_calls),
		cmocka_unit_test(test_threads_end),      cmocka_unit_test(test_too_late),
		cmocka_unit_test(test_begun_is_awaited), cmocka_unit_test(test_no_threads),
		cmocka_unit_test(test_end_before_call),  cmocka_unit_test(test_nothing_stays),
		cmocka_unit_test(test_fork_in_call),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

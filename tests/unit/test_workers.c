/* SPDX-License-Identifier: MIT */
/* Who runs where and when: workers, new tasks for idle ones, yielding, fairness. */
#include "strand_test.h"

#include <sys/syscall.h>
#include "strand/lock.h"

static pid_t thread_id(void)
{
	return (pid_t)syscall(SYS_gettid);
}

/* ---- workers ---------------------------------------------------------------------- */

struct meeting {
	int wanted, arrived; /* atomic */
	pid_t thread[4];
	struct strand_chan *done;
};

/* Spins until all are there: they can only meet if each has a worker of its own. */
static void meet(void *arg)
{
	struct meeting *m = arg;
	int me = __atomic_fetch_add(&m->arrived, 1, __ATOMIC_SEQ_CST);

	m->thread[me] = thread_id();
	while (__atomic_load_n(&m->arrived, __ATOMIC_SEQ_CST) < m->wanted)
		sched_yield();
	signal_chan(m->done);
}

static int workers_meet(void *arg)
{
	struct meeting m = {.wanted = *(int *)arg, .done = new_chan(0, 0)};

	for (int i = 0; i < m.wanted; i++)
		expect_eq(strand_go(meet, &m), 0);
	await_chan(m.done, m.wanted);
	for (int i = 0; i < m.wanted; i++)
		for (int k = 0; k < i; k++)
			expect_true(m.thread[i] != m.thread[k]);
	strand_chan_unref(m.done);
	return 0;
}

static void test_workers_are_parallel(void **state)
{
	(void)state;
	for (int workers = 1; workers <= 4; workers++)
		run_tasks_with(workers, workers_meet, &workers);
}

static void set_flag(void *arg)
{
	__atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
}

/* Starts a task and computes on, without a call into the runtime, until another worker ran it. */
static int start_and_compute(void *arg)
{
	static int flag;
	unsigned pause = 1;

	(void)arg;
	for (int i = 0; i < 300000; i++) {
		flag = 0;
		expect_eq(strand_go(set_flag, &flag), 0);
		for (unsigned spins = 1; !__atomic_load_n(&flag, __ATOMIC_SEQ_CST); spins++)
			if (spins % 10000 == 0)
				sched_yield();
			else
				cpu_relax();
		/* a moment of its own each time, so that the worker falls asleep just before */
		pause = pause * 1664525 + 1013904223;
		for (volatile unsigned k = (pause >> 16) % 3000; k; k--)
			;
	}
	return 0;
}

static int compute_beside_idle_worker(void)
{
	alarm(10);
	set_workers(2);
	return strand_main(start_and_compute, NULL) || test_failures;
}

/* A new task wakes a worker that is just falling asleep: it does not wait for the busy one. */
static void test_new_task_wakes_a_worker(void **state)
{
	(void)state;
	SKIP_UNDER_TSAN("a forked child that starts threads does not get through TSan");
	assert_int_equal(run_child(compute_beside_idle_worker), 0);
}

static int caller_is_worker(void *arg)
{
	expect_eq(thread_id(), *(pid_t *)arg);
	return 0;
}

static void test_one_worker_if_unset(void **state)
{
	pid_t me = thread_id();

	(void)state;
	unsetenv("STRAND_WORKERS");
	assert_int_equal(strand_main(caller_is_worker, &me), 0);
	run_tasks_with(1, caller_is_worker, &me);
}

struct traveller {
	struct strand_chan *tick, *done;
};

/* A task that has started stays on its thread: errno and thread-locals remain its own. */
static void stay(void *arg)
{
	struct traveller *t = arg;
	pid_t home = thread_id();

	for (int i = 0; i < 200; i++) {
		expect_eq(strand_chan_recv(t->tick, STRAND_FOREVER, NULL), 0);
		expect_eq(thread_id(), home);
		strand_yield();
		expect_eq(thread_id(), home);
		if (i % 50 == 0)
			strand_sleep(strand_now() + 50 * STRAND_MICROSECOND);
		expect_eq(thread_id(), home);
	}
	signal_chan(t->done);
}

static int stay_home(void *arg)
{
	struct traveller t = {new_chan(0, 0), new_chan(0, 16)};

	(void)arg;
	for (int i = 0; i < 16; i++)
		expect_eq(strand_go(stay, &t), 0);
	for (int i = 0; i < 16 * 200; i++)
		signal_chan(t.tick);
	await_chan(t.done, 16);
	strand_chan_unref(t.tick);
	strand_chan_unref(t.done);
	return 0;
}

static void test_tasks_stay_on_their_worker(void **state)
{
	(void)state;
	run_tasks(stay_home, NULL);
}

/* ---- yielding ---------------------------------------------------------------------------- */

static void bump(void *arg)
{
	++*(int *)arg;
}

/*
 * One worker: a yield lets other ready tasks run, at least one of them, and nobody is passed
 * over for ever: after as many yields as there are tasks, all have run.
 */
static int yield_lets_others_run(void *arg)
{
	int count = 0;

	(void)arg;
	for (int round = 1; round <= 20; round++) {
		int before = count;

		for (int i = 0; i < 50; i++)
			expect_eq(strand_go(bump, &count), 0);
		expect_eq(count, before); /* the caller goes on */
		strand_yield();
		expect_true(count > before);
		for (int i = 1; i < 50; i++)
			strand_yield();
		expect_eq(count, round * 50);
	}
	return 0;
}

static void test_yield(void **state)
{
	(void)state;
	run_tasks_with(1, yield_lets_others_run, NULL);
}

struct pair {
	int turns[2]; /* atomic */
	bool stop;
};

static void take_turns(void *arg)
{
	struct pair *p = arg;

	while (!__atomic_load_n(&p->stop, __ATOMIC_SEQ_CST)) {
		p->turns[0]++;
		strand_yield();
	}
	p->turns[1] = 1;
}

/* Two that yield to one another alternate: nobody is passed over. */
static int yield_alternates(void *arg)
{
	struct pair p = {{0, 0}, false};

	(void)arg;
	expect_eq(strand_go(take_turns, &p), 0);
	for (int i = 1; i <= 1000; i++) {
		strand_yield();
		expect_eq(p.turns[0], i);
	}
	p.stop = true;
	strand_yield();
	expect_eq(p.turns[1], 1);
	return 0;
}

static void test_yield_alternates(void **state)
{
	(void)state;
	run_tasks_with(1, yield_alternates, NULL);
}

/* Two tasks that wake one another all the time do not starve a third. */
struct pingpong {
	struct strand_chan *ping, *pong;
};

static void ping_pong(void *arg)
{
	struct pingpong *p = arg;

	while (!strand_chan_recv(p->ping, STRAND_FOREVER, NULL))
		if (strand_chan_send(p->pong, NULL, STRAND_FOREVER))
			break;
}

static void third(void *arg)
{
	strand_chan_close(arg);
}

static int no_starvation(void *arg)
{
	static struct pingpong p, q; /* not on this stack: the pair may outlive it for a moment */
	struct strand_chan *end = new_chan(0, 0);

	(void)arg;
	p = (struct pingpong){new_chan(0, 0), new_chan(0, 0)};
	q = (struct pingpong){p.pong, p.ping};
	expect_eq(strand_go(ping_pong, &p), 0);
	expect_eq(strand_go(ping_pong, &q), 0);
	signal_chan(p.ping);
	expect_eq(strand_go(third, end), 0);
	expect_eq(strand_chan_recv(end, STRAND_FOREVER, NULL), -EPIPE);
	return 0;
}

static void test_no_starvation(void **state)
{
	(void)state;
	run_tasks(no_starvation, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workers_are_parallel),
		cmocka_unit_test(test_new_task_wakes_a_worker),
		cmocka_unit_test(test_one_worker_if_unset),
		cmocka_unit_test(test_tasks_stay_on_their_worker),
		cmocka_unit_test(test_yield),
		cmocka_unit_test(test_yield_alternates),
		cmocka_unit_test(test_no_starvation),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* strand_stats(), the use of stacks, tasks that never yield, and memory given back. */
#include "strand_test.h"

#include <strand/abi.h>
#include "strand/runtime.h"
#include "strand/task_pool.h"

static struct strand_stats stats;

static void take_stats(void)
{
	stats = (struct strand_stats){.size = sizeof(stats)};
	expect_eq(strand_stats(&stats), 0);
}

static struct strand_chan *chan, *done;

static void receive(void *arg)
{
	(void)arg;
	strand_chan_recv(chan, STRAND_FOREVER, NULL);
	signal_chan(done);
}

static void doze(void *arg)
{
	(void)arg;
	strand_sleep(strand_now() + 1000 * STRAND_SECOND);
}

static int counters(void *arg)
{
	struct strand_task_options options = {.size = sizeof(options), .stack_size = 1 << 20};
	uint64_t spawned, exited, switches;

	(void)arg;
	chan = new_chan(0, 0);
	done = new_chan(0, 0);
	take_stats();
	spawned = stats.tasks_spawned;
	exited = stats.tasks_exited;
	switches = stats.switches;
	expect_eq(stats.tasks_alive, 1);
	expect_eq(stats.tasks_running, 1);
	expect_eq(stats.stacks_used, 1);
	expect_eq(stats.workers, 1);
	for (int i = 0; i < 10; i++)
		expect_eq(strand_go(receive, NULL), 0);
	expect_eq(strand_go_with(&options, doze, NULL), 0);
	take_stats();
	expect_eq(stats.tasks_ready, 11);
	let_others_run();
	take_stats();
	expect_eq(stats.tasks_alive, 12);
	expect_eq(stats.tasks_spawned - spawned, 11);
	expect_eq(stats.tasks_parked, 11);
	expect_eq(stats.parked_by_reason[STRAND_WAIT_CHAN_RECEIVE], 10);
	expect_eq(stats.parked_by_reason[STRAND_WAIT_SLEEP], 1);
	expect_eq(stats.timers, 1);
	expect_eq(stats.stacks_used, 12);
	expect_true(stats.switches - switches >= 11);
	expect_true(stats.stack_bytes >= 10 * (64 << 10) + (1 << 20));
	expect_eq(strand_chan_close(chan), 0);
	await_chan(done, 10);
	let_others_run();
	take_stats();
	expect_eq(stats.tasks_exited - exited, 10);
	expect_eq(stats.tasks_alive, 2);
	expect_eq(stats.stacks_used, 2);
	expect_eq(stats.stacks_free, 10);
	return 0;
}

static void test_counters(void **state)
{
	(void)state;
	run_tasks_with(1, counters, NULL);
}

/* Woken by a thread, so through the inbox. */
static void *close_chan(void *arg)
{
	strand_chan_close(arg);
	return NULL;
}

static int remote(void *arg)
{
	pthread_t thread;

	(void)arg;
	chan = new_chan(0, 0);
	take_stats();
	expect_eq(stats.remote_wakes, 0);
	start_thread(&thread, close_chan, chan);
	expect_eq(strand_chan_recv(chan, STRAND_FOREVER, NULL), -EPIPE);
	pthread_join(thread, NULL);
	take_stats();
	expect_true(stats.remote_wakes <= 1); /* 0: it was closed before the wait */
	strand_chan_unref(chan);
	return 0;
}

static void test_remote_wakes(void **state)
{
	(void)state;
	run_tasks_with(1, remote, NULL);
}

static int sizes(void *arg)
{
	struct {
		struct strand_stats stats;
		uint64_t more;
	} larger = {.stats.size = sizeof(larger), .more = 77};
	struct strand_stats smaller = {.size = offsetof(struct strand_stats, tasks_exited),
				       .tasks_exited = 88};

	(void)arg;
	expect_eq(strand_stats(NULL), -EINVAL);
	stats.size = 0;
	expect_eq(strand_stats(&stats), -EINVAL);
	expect_eq(strand_stats(&larger.stats), 0);
	expect_eq(larger.stats.size, sizeof(larger.stats)); /* what the library knows */
	expect_eq(larger.more, 77);
	expect_eq(strand_stats(&smaller), 0);
	expect_eq(smaller.tasks_alive, 1);
	expect_eq(smaller.tasks_exited, 88);
	return 0;
}

static void test_sizes(void **state)
{
	(void)state;
	stats.size = sizeof(stats);
	assert_int_equal(strand_stats(&stats), -ENXIO);
	run_tasks_with(1, sizes, NULL);
}

/* ---- stacks -------------------------------------------------------------------------------- */

static size_t used;

__attribute__((noinline)) static void use_bytes(size_t bytes)
{
	volatile char buffer[bytes];

	buffer[0] = 1;
	buffer[bytes - 1] = buffer[0];
}

static void use_stack(void *arg)
{
	use_bytes((size_t)arg);
	used = strand_task_stack_used();
	signal_chan(done);
}

static int high_water(void *arg)
{
	(void)arg;
	done = new_chan(0, 0);
	for (size_t kib = 4; kib <= 48; kib += 4) {
		expect_eq(strand_go(use_stack, (void *)(kib << 10)), 0);
		await_chan(done, 1);
		let_others_run(); /* it ends: the next one gets its stack */
		expect_true(used >= kib << 10);
		expect_true(used < (kib + 10) << 10);
	}
	expect_eq(strand_go(use_stack, (void *)1024), 0);
	await_chan(done, 1);
	expect_true(used >= 48 << 10); /* of the tasks before it */
	return 0;
}

static void test_high_water(void **state)
{
	(void)state;
	assert_int_equal(strand_task_stack_used(), 0);
	run_tasks_with(1, high_water, NULL);
	setenv("STRAND_GUARD", "canary", 1);
	run_tasks_with(1, high_water, NULL);
	unsetenv("STRAND_GUARD");
}

#define BURST 2000

static int burst(void *arg)
{
	struct runtime *rt = runtime_get();
	strand_time now = strand_now() + 3600 * STRAND_SECOND;
	size_t before;

	(void)arg;
	/* By the worker's own clock no interval ends during the test, however slow it is. */
	rt->tasks.trim_started = now - 10 * STRAND_SECOND;
	chan = new_chan(0, 0);
	done = new_chan(0, BURST);
	for (int i = 0; i < BURST; i++)
		expect_eq(strand_go(receive, NULL), 0);
	let_others_run();
	expect_eq(strand_chan_close(chan), 0);
	await_chan(done, BURST);
	let_others_run();
	take_stats();
	expect_eq(stats.stacks_free, BURST);
	expect_eq(stats.stacks_trimmed, 0);

	before = status_kib("VmRSS");
	task_pool_trim(rt, now, 0); /* an interval begins */
	expect_eq(task_pool_trim(rt, now + STRAND_MILLISECOND, BURST), now + STRAND_SECOND);
	take_stats();
	expect_eq(stats.stacks_trimmed, 0); /* it is not over: they may be needed again */
	expect_true(task_pool_trim(rt, now + STRAND_SECOND, BURST / 2) > 0);
	take_stats();
	expect_eq(stats.stacks_trimmed, BURST / 2);
	expect_eq(task_pool_trim(rt, now + STRAND_SECOND, BURST), STRAND_FOREVER);
	take_stats();
	expect_true(stats.stacks_trimmed >= BURST - 100);
	expect_eq(stats.stacks_free, BURST);
	expect_true(before - status_kib("VmRSS") >= stats.stacks_trimmed * 4 / 2);

	/* All of them can be used again. */
	chan = new_chan(0, 0);
	for (int i = 0; i < BURST; i++)
		expect_eq(strand_go(receive, NULL), 0);
	let_others_run();
	take_stats();
	expect_eq(stats.stacks_free, 0);
	expect_eq(stats.stacks_trimmed, 0);
	expect_eq(strand_chan_close(chan), 0);
	await_chan(done, BURST);
	return 0;
}

static void test_memory_goes_back(void **state)
{
	(void)state;
	run_tasks_with(1, burst, NULL);
}

/* ---- tasks that never yield ------------------------------------------------------------------ */

static _Atomic bool stop;
static _Atomic uint64_t computing; /* id of the task */

static void compute(void *arg)
{
	(void)arg;
	computing = strand_task_id();
	while (!atomic_load(&stop))
		;
}

static void *look_from_outside(void *arg)
{
	strand_time start = strand_now();

	(void)arg;
	do {
		take_stats();
	} while (stats.longest_run_ns < 20 * STRAND_MILLISECOND &&
		 strand_now() - start < 20 * STRAND_SECOND);
	expect_true(stats.longest_run_ns >= 20 * STRAND_MILLISECOND);
	expect_true(stats.longest_run_ns <= strand_now() - start + STRAND_SECOND);
	expect_eq(stats.longest_run_task, computing);
	atomic_store(&stop, true);
	return NULL;
}

static int hog(void *arg)
{
	pthread_t thread;

	(void)arg;
	atomic_store(&stop, false);
	expect_eq(strand_go(compute, NULL), 0);
	start_thread(&thread, look_from_outside, NULL);
	strand_yield(); /* to come back when it has been seen */
	pthread_join(thread, NULL);
	return 0;
}

static void test_never_yields(void **state)
{
	(void)state;
	run_tasks_with(1, hog, NULL);
}

static void *look_at_well_behaved(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000; i++) {
		take_stats();
		expect_true(stats.longest_run_ns < 10 * STRAND_SECOND);
	}
	atomic_store(&stop, true);
	return NULL;
}

/* However long it runs: a task that yields is not one. Its switches are seen to go on. */
static int polite(void *arg)
{
	uint64_t before;
	pthread_t thread;

	(void)arg;
	atomic_store(&stop, false);
	take_stats();
	before = stats.switches;
	start_thread(&thread, look_at_well_behaved, NULL);
	do {
		strand_yield();
	} while (!atomic_load(&stop));
	pthread_join(thread, NULL);
	take_stats();
	expect_true(stats.switches > before);
	return 0;
}

static void test_yields(void **state)
{
	(void)state;
	run_tasks_with(1, polite, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_remote_wakes),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_high_water),
		cmocka_unit_test(test_memory_goes_back),
		cmocka_unit_test(test_never_yields),
		cmocka_unit_test(test_yields),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

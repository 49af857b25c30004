/* SPDX-License-Identifier: MIT */
/* Plain threads call in: every primitive works for them as for tasks, and between the two. */
#include "strand_test.h"

#define MESSAGES 2000
#define ROUNDS   (sizeof(roles) / sizeof(roles[0]))

/* ---- both sides ------------------------------------------------------------------- */

struct link {
	struct strand_chan *chan, *done;
	uint64_t sum; /* atomic */
};

static void send_all(void *arg)
{
	struct link *l = arg;

	for (uint64_t i = 1; i <= MESSAGES; i++)
		expect_eq(strand_chan_send(l->chan, &i, STRAND_FOREVER), 0);
	signal_chan(l->done);
}

static void receive_all(void *arg)
{
	struct link *l = arg;
	uint64_t v = 0;

	while (!strand_chan_recv(l->chan, STRAND_FOREVER, &v))
		__atomic_add_fetch(&l->sum, v, __ATOMIC_SEQ_CST);
	signal_chan(l->done);
}

static void *send_all_thread(void *arg)
{
	expect_eq(strand_task_id(), 0);
	expect_eq(strcmp(strand_task_name(), ""), 0);
	expect_eq(strand_task_set_name("no"), -ENXIO);
	send_all(arg);
	return NULL;
}

static void *receive_all_thread(void *arg)
{
	receive_all(arg);
	return NULL;
}

/* How many of each send and receive. */
static const struct {
	int task_senders, thread_senders, task_receivers, thread_receivers;
} roles[] = {{1, 0, 0, 1}, {0, 1, 1, 0}, {0, 1, 0, 1}, {3, 3, 3, 3}, {0, 4, 0, 4}};

static int link_main(void *arg)
{
	size_t *round = arg;
	struct link l = {new_chan(8, *round % 2 ? 5 : 0), new_chan(0, 0), 0};
	int senders = roles[*round].task_senders + roles[*round].thread_senders;
	int receivers = roles[*round].task_receivers + roles[*round].thread_receivers;
	pthread_t threads[8];
	int count = 0;

	for (int i = 0; i < roles[*round].task_senders; i++)
		expect_eq(strand_go(send_all, &l), 0);
	for (int i = 0; i < roles[*round].task_receivers; i++)
		expect_eq(strand_go(receive_all, &l), 0);
	for (int i = 0; i < roles[*round].thread_senders; i++)
		start_thread(&threads[count++], send_all_thread, &l);
	for (int i = 0; i < roles[*round].thread_receivers; i++)
		start_thread(&threads[count++], receive_all_thread, &l);
	await_chan(l.done, senders);
	expect_eq(strand_chan_close(l.chan), 0);
	await_chan(l.done, receivers);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	expect_eq(l.sum, (uint64_t)senders * MESSAGES * (MESSAGES + 1) / 2);
	strand_chan_unref(l.chan);
	strand_chan_unref(l.done);
	return 0;
}

static void test_threads_and_tasks(void **state)
{
	(void)state;
	for (size_t round = 0; round < ROUNDS; round++)
		run_tasks(link_main, &round);
}

/* ---- life of channels and tasks ------------------------------------------------------ */

static void answer_task(void *arg)
{
	struct link *l = arg;

	expect_true(strand_task_id() > 1);
	signal_chan(l->chan);
}

/* Makes a channel, starts tasks and waits for them, all from outside of the workers. */
static void *use_everything(void *arg)
{
	struct link *outer = arg;
	struct link l = {new_chan(0, 3), NULL, 0};
	struct strand_task_options options = {.size = sizeof(options), .name = "from thread"};
	strand_time until;

	for (int i = 0; i < 200; i++) {
		expect_eq(strand_go(answer_task, &l), 0);
		expect_eq(strand_go_with(&options, answer_task, &l), 0);
		await_chan(l.chan, 2);
	}
	expect_eq(strand_chan_recv(l.chan, 0, NULL), -ETIMEDOUT);
	until = strand_now() + 2 * STRAND_MILLISECOND;
	expect_eq(strand_chan_recv(l.chan, until, NULL), -ETIMEDOUT);
	expect_true(strand_now() >= until);
	until = strand_now() + 2 * STRAND_MILLISECOND;
	expect_eq(strand_chan_send(NULL, NULL, until), -ETIMEDOUT);
	expect_eq(strand_chan_recv(NULL, until, NULL), -ETIMEDOUT);
	expect_true(strand_now() >= until);
	expect_eq(strand_sleep(strand_now() + STRAND_MILLISECOND), 0);
	strand_yield();
	expect_eq(strand_chan_close(l.chan), 0);
	expect_eq(strand_chan_close(l.chan), -EPIPE);
	expect_eq(strand_chan_recv(l.chan, STRAND_FOREVER, NULL), -EPIPE);
	expect_true(strand_chan_ref(l.chan) == l.chan);
	strand_chan_unref(l.chan);
	strand_chan_unref(l.chan);
	signal_chan(outer->done);
	return NULL;
}

static int threads_use_everything(void *arg)
{
	struct link l = {NULL, new_chan(0, 0), 0};
	pthread_t threads[3];

	(void)arg;
	for (int i = 0; i < 3; i++)
		start_thread(&threads[i], use_everything, &l);
	await_chan(l.done, 3);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	strand_chan_unref(l.done);
	return 0;
}

static void test_threads_use_everything(void **state)
{
	(void)state;
	run_tasks(threads_use_everything, NULL);
}

/* A task that a thread has started has no creator whose name it could inherit. */
static void check_unnamed(void *arg)
{
	struct link *l = arg;

	expect_eq(strcmp(strand_task_name(), ""), 0);
	signal_chan(l->done);
}

static void *start_unnamed(void *arg)
{
	expect_eq(strand_go(check_unnamed, arg), 0);
	return NULL;
}

static int unnamed_main(void *arg)
{
	struct link l = {NULL, new_chan(0, 0), 0};
	struct strand_task_options named = {.size = sizeof(named),
					    .name = "abcdefghijklmnopqrstuv"};
	pthread_t thread;

	(void)arg;
	for (int i = 0; i < 20; i++) { /* so that structures with a name are used again */
		expect_eq(strand_go_with(&named, signal_task, l.done), 0);
		await_chan(l.done, 1);
		let_others_run();
		start_thread(&thread, start_unnamed, &l);
		await_chan(l.done, 1);
		pthread_join(thread, NULL);
	}
	strand_chan_unref(l.done);
	return 0;
}

static void test_no_name_to_inherit(void **state)
{
	(void)state;
	run_tasks(unnamed_main, NULL);
}

/* ---- closing under threads -------------------------------------------------------------- */

static void *wait_for_close(void *arg)
{
	struct link *l = arg;
	uint64_t v = 77;

	signal_chan(l->done);
	expect_eq(strand_chan_recv(l->chan, STRAND_FOREVER, &v), -EPIPE);
	expect_eq(v, 77);
	return NULL;
}

static void *send_until_closed(void *arg)
{
	struct link *l = arg;
	uint64_t v = 1;

	signal_chan(l->done);
	expect_eq(strand_chan_send(l->chan, &v, strand_now() + 50 * STRAND_SECOND), -EPIPE);
	return NULL;
}

static void close_under(void *(*fn)(void *))
{
	struct link l = {new_chan(8, 0), new_chan(0, 0), 0};
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		start_thread(&threads[i], fn, &l);
	await_chan(l.done, 4);
	strand_yield();
	expect_eq(strand_chan_close(l.chan), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	strand_chan_unref(l.chan);
	strand_chan_unref(l.done);
}

static int close_under_threads(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20; i++) {
		close_under(wait_for_close);
		close_under(send_until_closed);
	}
	return 0;
}

static void test_close_wakes_threads(void **state)
{
	(void)state;
	run_tasks(close_under_threads, NULL);
}

/* ---- starting tasks while a worker is busy ------------------------------------------------ */

struct busy {
	int started, seen; /* atomic */
	struct strand_chan *done;
};

static void count_me(void *arg)
{
	struct busy *b = arg;

	__atomic_add_fetch(&b->seen, 1, __ATOMIC_SEQ_CST);
}

static void *start_eight(void *arg)
{
	struct busy *b = arg;

	while (!__atomic_load_n(&b->started, __ATOMIC_SEQ_CST))
		sched_yield();
	for (int i = 0; i < 8; i++)
		expect_eq(strand_go(count_me, b), 0);
	return NULL;
}

/* Computes, without a call into the runtime, until all eight tasks have run on other workers. */
static int compute_meanwhile(void *arg)
{
	struct busy b = {0, 0, NULL};
	pthread_t thread;

	(void)arg;
	start_thread(&thread, start_eight, &b);
	__atomic_store_n(&b.started, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&b.seen, __ATOMIC_SEQ_CST) < 8)
		sched_yield();
	pthread_join(thread, NULL);
	return 0;
}

static int run_beside_busy_worker(void)
{
	alarm(5);
	set_workers(4);
	return strand_main(compute_meanwhile, NULL) || test_failures;
}

/* A new task does not wait for the one busy worker while three others have nothing to do. */
static void test_new_tasks_pass_a_busy_worker(void **state)
{
	(void)state;
	assert_int_equal(run_child(run_beside_busy_worker), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_and_tasks),
		cmocka_unit_test(test_threads_use_everything),
		cmocka_unit_test(test_no_name_to_inherit),
		cmocka_unit_test(test_close_wakes_threads),
		cmocka_unit_test(test_new_tasks_pass_a_busy_worker),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Channels: closing, deadlines and NULL, with tasks that wait, as strand.h promises them. */
#include "strand_test.h"

/* ---- closing -------------------------------------------------------------------- */

static int close_states(void *arg)
{
	struct strand_chan *chan = new_chan(sizeof(int), 2);
	int v = 7;

	(void)arg;
	expect_eq(strand_chan_close(NULL), -EINVAL);
	expect_eq(strand_chan_send(chan, &v, 0), 0);
	v = 8;
	expect_eq(strand_chan_send(chan, &v, 0), 0);
	expect_eq(strand_chan_close(chan), 0);
	expect_eq(strand_chan_close(chan), -EPIPE);
	expect_eq(strand_chan_send(chan, &v, 0), -EPIPE);
	expect_eq(strand_chan_send(chan, &v, strand_now() - 1), -EPIPE);
	expect_eq(strand_chan_send(chan, &v, STRAND_FOREVER), -EPIPE);
	expect_eq(strand_chan_len(chan), 2);
	expect_eq(strand_chan_recv(chan, 0, &v), 0);
	expect_eq(v, 7);
	expect_eq(strand_chan_recv(chan, STRAND_FOREVER, &v), 0);
	expect_eq(v, 8);
	for (int i = 0; i < 3; i++) { /* final */
		v = 99;
		expect_eq(strand_chan_recv(chan, i ? STRAND_FOREVER : 0, &v), -EPIPE);
		expect_eq(v, 99);
	}
	expect_eq(strand_chan_close(chan), -EPIPE);
	strand_chan_unref(chan);
	return 0;
}

static void test_close_states(void **state)
{
	(void)state;
	run_tasks(close_states, NULL);
}

struct closing {
	struct strand_chan *chan, *ready, *done;
	int refused; /* atomic: calls that ended with -EPIPE */
};

static void wait_to_receive(void *arg)
{
	struct closing *c = arg;
	int v = 4711;

	signal_chan(c->ready);
	expect_eq(strand_chan_recv(c->chan, STRAND_FOREVER, &v), -EPIPE);
	expect_eq(v, 4711);
	__atomic_add_fetch(&c->refused, 1, __ATOMIC_SEQ_CST);
	signal_chan(c->done);
}

static void wait_to_send(void *arg)
{
	struct closing *c = arg;
	int v = 1;

	signal_chan(c->ready);
	expect_eq(strand_chan_send(c->chan, &v, strand_now() + 60 * STRAND_SECOND), -EPIPE);
	__atomic_add_fetch(&c->refused, 1, __ATOMIC_SEQ_CST);
	signal_chan(c->done);
}

/* With one worker all wait when the channel closes; with more, some may still be on the way. */
static void close_with_waiters(void (*waiter)(void *), size_t fill_to)
{
	struct closing c = {new_chan(sizeof(int), fill_to), new_chan(0, 0), new_chan(0, 0), 0};
	int v;

	for (v = 0; v < (int)fill_to; v++)
		expect_eq(strand_chan_send(c.chan, &v, 0), 0);
	for (int i = 0; i < 20; i++)
		expect_eq(strand_go(waiter, &c), 0);
	await_chan(c.ready, 20);
	let_others_run();
	expect_eq(c.refused, 0);
	expect_eq(strand_chan_close(c.chan), 0);
	await_chan(c.done, 20);
	expect_eq(c.refused, 20);
	for (int i = 0; i < (int)fill_to; i++) { /* the waiting senders' elements are not there */
		expect_eq(strand_chan_recv(c.chan, 0, &v), 0);
		expect_eq(v, i);
	}
	expect_eq(strand_chan_recv(c.chan, 0, &v), -EPIPE);
	strand_chan_unref(c.chan);
	strand_chan_unref(c.ready);
	strand_chan_unref(c.done);
}

static int close_wakes_all(void *arg)
{
	(void)arg;
	for (int round = 0; round < 10; round++) {
		close_with_waiters(wait_to_receive, 0);
		close_with_waiters(wait_to_send, 0);
		close_with_waiters(wait_to_send, 3);
	}
	return 0;
}

static void test_close_wakes_all(void **state)
{
	(void)state;
	run_tasks(close_wakes_all, NULL);
}

/* Exactly one of many closers succeeds. */
static void race_to_close(void *arg)
{
	struct closing *c = arg;
	int r;

	signal_chan(c->ready);
	r = strand_chan_close(c->chan);
	expect_true(r == 0 || r == -EPIPE);
	if (r)
		__atomic_add_fetch(&c->refused, 1, __ATOMIC_SEQ_CST);
	signal_chan(c->done);
}

static int close_races(void *arg)
{
	(void)arg;
	for (int round = 0; round < 50; round++) {
		struct closing c = {new_chan(0, 0), new_chan(0, 8), new_chan(0, 8), 0};

		for (int i = 0; i < 8; i++)
			expect_eq(strand_go(race_to_close, &c), 0);
		await_chan(c.done, 8);
		expect_eq(c.refused, 7);
		strand_chan_unref(c.chan);
		strand_chan_unref(c.ready);
		strand_chan_unref(c.done);
	}
	return 0;
}

static void test_close_once(void **state)
{
	(void)state;
	run_tasks(close_races, NULL);
}

/* ---- deadlines ------------------------------------------------------------------- */

static void expect_timeout(struct strand_chan *chan, strand_time deadline, bool send)
{
	char element[8] = "element";
	int r = send ? strand_chan_send(chan, element, deadline)
		     : strand_chan_recv(chan, deadline, element);

	expect_eq(r, -ETIMEDOUT);
	expect_true(strand_now() >= deadline);
	expect_eq(strcmp(element, "element"), 0);
}

static void expect_all_timeouts(struct strand_chan *chan, bool send)
{
	expect_timeout(chan, 0, send);
	expect_timeout(chan, 1, send);
	expect_timeout(chan, -1, send);
	expect_timeout(chan, INT64_MIN, send);
	expect_timeout(chan, strand_now(), send);
	expect_timeout(chan, strand_now() + STRAND_MICROSECOND, send);
	expect_timeout(chan, strand_now() + 3 * STRAND_MILLISECOND, send);
}

static int deadlines(void *arg)
{
	struct strand_chan *unbuffered = new_chan(8, 0), *full = new_chan(8, 1);
	const char element[8] = "first";
	char got[8];

	(void)arg;
	expect_all_timeouts(NULL, true);
	expect_all_timeouts(NULL, false);
	expect_all_timeouts(unbuffered, true);
	expect_all_timeouts(unbuffered, false);
	expect_all_timeouts(full, false);
	expect_eq(strand_chan_send(full, element, 0), 0);
	expect_all_timeouts(full, true);

	/* Nothing stayed behind: no value, no waiter. */
	expect_eq(strand_chan_len(full), 1);
	expect_eq(strand_chan_recv(full, 0, got), 0);
	expect_eq(strcmp(got, "first"), 0);
	expect_timeout(full, 0, false);
	expect_eq(strand_chan_send(full, element, 0), 0);
	expect_eq(strand_chan_len(full), 1); /* not given to a receiver that left */
	expect_timeout(unbuffered, 0, true);
	expect_timeout(unbuffered, 0, false);
	strand_chan_unref(unbuffered);
	strand_chan_unref(full);
	return 0;
}

static void test_deadlines(void **state)
{
	(void)state;
	run_tasks(deadlines, NULL);
}

/* What is possible at once is done, however long the deadline is past. */
static int past_deadline_still_tries(void *arg)
{
	struct strand_chan *chan = new_chan(sizeof(int), 3);
	const strand_time past[] = {0, 1, strand_now() - STRAND_SECOND};
	int v;

	(void)arg;
	for (v = 0; v < 3; v++)
		expect_eq(strand_chan_send(chan, &v, past[v]), 0);
	for (int i = 0; i < 3; i++) {
		expect_eq(strand_chan_recv(chan, past[i], &v), 0);
		expect_eq(v, i);
	}
	strand_chan_unref(chan);
	return 0;
}

static void test_past_deadline(void **state)
{
	(void)state;
	run_tasks(past_deadline_still_tries, NULL);
}

static void block_on_nil_send(void *arg)
{
	signal_chan(arg);
	strand_chan_send(NULL, NULL, STRAND_FOREVER);
	expect_true(!"a send to NULL returned");
}

static void block_on_nil_recv(void *arg)
{
	signal_chan(arg);
	strand_chan_recv(NULL, STRAND_FOREVER, NULL);
	expect_true(!"a receive from NULL returned");
}

static int block_on_nil(void *arg)
{
	struct strand_chan *ready = new_chan(0, 0);

	(void)arg;
	expect_eq(strand_go(block_on_nil_send, ready), 0);
	expect_eq(strand_go(block_on_nil_recv, ready), 0);
	await_chan(ready, 2);
	for (int i = 0; i < 1000; i++)
		strand_yield();
	expect_eq(strand_chan_len(NULL), 0);
	expect_eq(strand_chan_cap(NULL), 0);
	return 0;
}

static void test_nil_blocks(void **state)
{
	(void)state;
	run_tasks(block_on_nil, NULL);
}

/* Deadlines that race with the partner: what one side counts as sent, the other received. */
struct race {
	struct strand_chan *chan, *done;
	uint64_t seed;
	uint64_t sent, sent_sum, received, received_sum, timeouts; /* atomic */
};

static strand_time soon(struct race *r)
{
	uint64_t x = __atomic_add_fetch(&r->seed, 0x9e3779b97f4a7c15, __ATOMIC_SEQ_CST);

	x = (x ^ (x >> 31)) * 0xbf58476d1ce4e5b9;
	return x % 4 ? strand_now() + (strand_time)(x % 20000) : 0;
}

static void race_send(void *arg)
{
	struct race *r = arg;

	for (uint64_t i = 1; i <= 1500; i++) {
		int e = strand_chan_send(r->chan, &i, soon(r));

		expect_true(e == 0 || e == -ETIMEDOUT);
		if (e) {
			__atomic_add_fetch(&r->timeouts, 1, __ATOMIC_SEQ_CST);
			strand_yield();
			continue;
		}
		__atomic_add_fetch(&r->sent, 1, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&r->sent_sum, i, __ATOMIC_SEQ_CST);
	}
	signal_chan(r->done);
}

static void race_receive(void *arg)
{
	struct race *r = arg;
	uint64_t v = 0;
	int e;

	while ((e = strand_chan_recv(r->chan, soon(r), &v)) != -EPIPE) {
		expect_true(e == 0 || e == -ETIMEDOUT);
		if (e) {
			__atomic_add_fetch(&r->timeouts, 1, __ATOMIC_SEQ_CST);
			strand_yield();
			continue;
		}
		__atomic_add_fetch(&r->received, 1, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&r->received_sum, v, __ATOMIC_SEQ_CST);
	}
	signal_chan(r->done);
}

static void *race_send_thread(void *arg)
{
	race_send(arg);
	return NULL;
}

static int race_main(void *arg)
{
	size_t capacity = *(size_t *)arg;
	struct race r = {new_chan(sizeof(uint64_t), capacity), new_chan(0, 16), 1, 0, 0, 0, 0, 0};
	pthread_t thread;

	for (int i = 0; i < 4; i++) {
		expect_eq(strand_go(race_send, &r), 0);
		expect_eq(strand_go(race_receive, &r), 0);
	}
	start_thread(&thread, race_send_thread, &r);
	await_chan(r.done, 5); /* the senders: receivers go on until the channel closes */
	expect_eq(strand_chan_close(r.chan), 0);
	await_chan(r.done, 4);
	pthread_join(thread, NULL);
	expect_eq(r.sent, r.received);
	expect_eq(r.sent_sum, r.received_sum);
	expect_true(r.sent > 0);
	expect_true(r.timeouts > 0);
	strand_chan_unref(r.chan);
	strand_chan_unref(r.done);
	return 0;
}

static void test_deadlines_lose_nothing(void **state)
{
	size_t capacities[] = {0, 2};

	(void)state;
	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++)
		run_tasks(race_main, &capacities[i]);
}

struct number {
	struct strand_chan *chan;
	int number;
};

/* A receiver whose deadline is long is served in time, and its timer does not strike later. */
static void answer(void *arg)
{
	struct number *q = arg;

	expect_eq(strand_chan_send(q->chan, &q->number, STRAND_FOREVER), 0);
}

static int served_before_deadline(void *arg)
{
	struct number q = {new_chan(sizeof(int), 0), 5};
	strand_time deadline = strand_now() + 20 * STRAND_MILLISECOND;
	int v = -1;

	(void)arg;
	expect_eq(strand_go(answer, &q), 0);
	/* In time on any machine that is not stalled; else the timeout is the right answer. */
	if (strand_chan_recv(q.chan, deadline, &v))
		expect_eq(strand_chan_recv(q.chan, STRAND_FOREVER, &v), 0);
	expect_eq(v, 5);
	/* Waits again, over the old deadline. */
	expect_eq(strand_chan_recv(q.chan, deadline + 5 * STRAND_MILLISECOND, &v), -ETIMEDOUT);
	expect_true(strand_now() >= deadline + 5 * STRAND_MILLISECOND);
	strand_chan_unref(q.chan);
	return 0;
}

static void test_served_before_deadline(void **state)
{
	(void)state;
	run_tasks(served_before_deadline, NULL);
}

/* ---- conventions ------------------------------------------------------------------- */

/* Calls that do not wait. */
static int errno_at_once(void *arg)
{
	struct strand_chan *chan = NULL;
	int v = 0;

	(void)arg;
	errno = 4242;
	expect_eq(strand_chan_new(65537, 0, &chan), -EINVAL);
	expect_true(strand_chan_new(8, SIZE_MAX / 16, &chan) < 0);
	expect_eq(errno, 4242);
	chan = new_chan(sizeof(int), 0);
	expect_eq(strand_chan_send(chan, &v, 0), -ETIMEDOUT);
	expect_eq(strand_chan_recv(chan, 0, &v), -ETIMEDOUT);
	expect_eq(strand_chan_close(NULL), -EINVAL);
	expect_eq(strand_chan_close(chan), 0);
	expect_eq(strand_chan_send(chan, &v, STRAND_FOREVER), -EPIPE);
	strand_chan_unref(chan);
	strand_yield();
	expect_eq(errno, 4242);
	return 0;
}

/* Calls that wait until there is nothing else to run: the worker itself sleeps meanwhile. */
static int errno_after_wait(void *arg)
{
	struct strand_chan *chan = new_chan(sizeof(int), 0);

	(void)arg;
	errno = 4242;
	expect_eq(strand_chan_recv(chan, strand_now() + 2 * STRAND_MILLISECOND, NULL), -ETIMEDOUT);
	expect_eq(errno, 4242);
	errno = 4243;
	expect_eq(strand_sleep(strand_now() + 2 * STRAND_MILLISECOND), 0);
	expect_eq(errno, 4243);
	strand_chan_unref(chan);
	return 0;
}

static void test_errno_untouched(void **state)
{
	(void)state;
	run_tasks(errno_at_once, NULL);
}

static void test_errno_untouched_by_waiting(void **state)
{
	(void)state;
	run_tasks(errno_after_wait, NULL);
}

/* ---- misuse ------------------------------------------------------------------------ */

/* The last reference goes while a task waits: it must not wait on freed memory. */
static int drop_under_waiter(void *arg)
{
	struct strand_chan *ready = new_chan(0, 0);

	(void)arg;
	for (int round = 0; round < 50; round++) {
		struct closing c = {new_chan(sizeof(int), 0), ready, ready, 0};

		expect_eq(strand_go(round % 2 ? wait_to_receive : wait_to_send, &c), 0);
		await_chan(ready, 1);
		let_others_run();
		strand_chan_unref(c.chan); /* a new channel in the same place would wake it */
		for (int i = 0; i < 20; i++) {
			struct strand_chan *other = new_chan(sizeof(int), 1);
			int v = 0x41414141;

			expect_true(other != c.chan);
			expect_eq(strand_chan_send(other, &v, 0), 0);
			expect_eq(strand_chan_close(other), 0);
			strand_chan_unref(other);
		}
		let_others_run();
		expect_eq(c.refused, 0);
	}
	return 0;
}

static void test_last_unref_with_waiter(void **state)
{
	(void)state;
	run_tasks_with(1, drop_under_waiter, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close_states),
		cmocka_unit_test(test_close_wakes_all),
		cmocka_unit_test(test_close_once),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_past_deadline),
		cmocka_unit_test(test_nil_blocks),
		cmocka_unit_test(test_deadlines_lose_nothing),
		cmocka_unit_test(test_served_before_deadline),
		cmocka_unit_test(test_errno_untouched),
		cmocka_unit_test(test_errno_untouched_by_waiting),
		cmocka_unit_test(test_last_unref_with_waiter),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

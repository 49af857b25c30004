/* SPDX-License-Identifier: MIT */
/* Channels: making, element sizes, order, capacity and references, as strand.h promises them. */
#include "strand_test.h"

#define ELEMENT_MAX 65536

/* ---- making ------------------------------------------------------------------ */

static int make_and_refuse(void *arg)
{
	struct strand_chan *const untouched = arg;
	const struct {
		size_t element_size, capacity;
		int error;
	} bad[] = {
		{ELEMENT_MAX + 1, 0, -EINVAL},
		{SIZE_MAX, 1, -EINVAL},
		{8, SIZE_MAX, -ENOMEM},
		{1, SIZE_MAX, -ENOMEM},
		{1, SIZE_MAX - 64, -ENOMEM},
		{2, SIZE_MAX / 2 + 1, -ENOMEM},    /* the product is 0 modulo 2^64 */
		{65536, (size_t)1 << 48, -ENOMEM}, /* this one, too */
		{24, SIZE_MAX / 24 + 2, -ENOMEM},  /* and this one is small */
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct strand_chan *chan = untouched;

		expect_eq(strand_chan_new(bad[i].element_size, bad[i].capacity, &chan),
			  bad[i].error);
		expect_true(chan == untouched);
	}
	return 0;
}

static void test_new_refuses(void **state)
{
	int marker;

	(void)state;
	run_tasks(make_and_refuse, &marker);
}

static void test_new_without_runtime(void **state)
{
	struct strand_chan *chan = (void *)&chan;

	(void)state;
	assert_int_equal(strand_chan_new(8, 0, &chan), -ENXIO);
	assert_ptr_equal(chan, &chan);
}

/* A signal channel needs no memory for its elements: either it is made, or it is refused. */
static int make_endless_signals(void *arg)
{
	struct strand_chan *chan = NULL;
	int r = strand_chan_new(0, SIZE_MAX, &chan);

	(void)arg;
	if (r) {
		expect_eq(r, -ENOMEM);
		return 0;
	}
	expect_true(strand_chan_cap(chan) == SIZE_MAX);
	for (int i = 0; i < 100; i++)
		expect_eq(strand_chan_send(chan, NULL, 0), 0);
	expect_eq(strand_chan_len(chan), 100);
	strand_chan_unref(chan);
	return 0;
}

static void test_new_endless_signals(void **state)
{
	(void)state;
	run_tasks(make_endless_signals, NULL);
}

/* ---- sizes and order ---------------------------------------------------------- */

struct stream {
	struct strand_chan *chan;
	size_t element_size;
	size_t count;
};

static void fill(unsigned char *element, size_t size, size_t number)
{
	for (size_t i = 0; i < size; i++)
		element[i] = (unsigned char)(number * 31 + i * 7 + (i >> 8));
}

static void send_stream(void *arg)
{
	const struct stream *s = arg;
	unsigned char *element = malloc(s->element_size + 1);

	for (size_t i = 0; i < s->count; i++) {
		fill(element, s->element_size, i);
		expect_eq(strand_chan_send(s->chan, s->element_size ? element : NULL,
					   STRAND_FOREVER),
			  0);
		memset(element, 0xa5, s->element_size); /* it was copied */
	}
	expect_eq(strand_chan_close(s->chan), 0);
	free(element);
}

/* Receives all with a canary behind the element: exactly element_size bytes are written. */
static void receive_stream(const struct stream *s)
{
	unsigned char *element = malloc(s->element_size + 8);
	unsigned char *wanted = malloc(s->element_size + 1);

	for (size_t i = 0; i < s->count; i++) {
		memset(element, 0x5a, s->element_size + 8);
		fill(wanted, s->element_size, i);
		expect_eq(strand_chan_recv(s->chan, STRAND_FOREVER, element), 0);
		expect_eq(memcmp(element, wanted, s->element_size), 0);
		for (size_t k = 0; k < 8; k++)
			expect_eq(element[s->element_size + k], 0x5a);
	}
	expect_eq(strand_chan_recv(s->chan, STRAND_FOREVER, element), -EPIPE);
	free(element);
	free(wanted);
}

static int stream_all_sizes(void *arg)
{
	static const size_t sizes[] = {0, 1, 3, 8, 24, 4096, ELEMENT_MAX};
	static const size_t capacities[] = {0, 1, 3, 16};

	(void)arg;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t k = 0; k < sizeof(capacities) / sizeof(capacities[0]); k++) {
			struct stream s = {new_chan(sizes[i], capacities[k]), sizes[i], 40};

			expect_eq(strand_chan_cap(s.chan), capacities[k]);
			expect_eq(strand_go(send_stream, &s), 0);
			receive_stream(&s);
			strand_chan_unref(s.chan);
		}
	return 0;
}

static void test_sizes(void **state)
{
	(void)state;
	run_tasks(stream_all_sizes, NULL);
}

static int buffer_in_order(void *arg)
{
	struct strand_chan *chan = new_chan(sizeof(int), 5);

	(void)arg;
	for (int round = 0; round < 7; round++) { /* the ring wraps at every position */
		int v = -1;

		for (int i = 0; i < 5; i++) {
			expect_eq(strand_chan_len(chan), i);
			v = round * 10 + i;
			expect_eq(strand_chan_send(chan, &v, 0), 0);
		}
		expect_eq(strand_chan_send(chan, &v, 0), -ETIMEDOUT);
		expect_eq(strand_chan_len(chan), 5);
		for (int i = 0; i < 3 + round % 3; i++) {
			expect_eq(strand_chan_recv(chan, 0, &v), 0);
			expect_eq(v, round * 10 + i);
		}
		while (!strand_chan_recv(chan, 0, NULL))
			;
		expect_eq(strand_chan_len(chan), 0);
	}
	strand_chan_unref(chan);
	return 0;
}

static void test_buffer_order(void **state)
{
	(void)state;
	run_tasks(buffer_in_order, NULL);
}

/* An unbuffered send returns only when the element has been taken. */
struct handoff {
	struct strand_chan *chan, *done;
	int taken; /* atomic: how many the receiver is about to have taken at most */
};

static void handoff_send(void *arg)
{
	struct handoff *h = arg;

	for (int i = 0; i < 200; i++) {
		expect_eq(strand_chan_send(h->chan, &i, STRAND_FOREVER), 0);
		expect_true(__atomic_load_n(&h->taken, __ATOMIC_SEQ_CST) > i);
	}
	signal_chan(h->done);
}

static int handoff_receive(void *arg)
{
	struct handoff h = {new_chan(sizeof(int), 0), new_chan(0, 0), 0};

	(void)arg;
	expect_eq(strand_go(handoff_send, &h), 0);
	for (int i = 0; i < 200; i++) {
		int v = -1;

		expect_eq(strand_chan_len(h.chan), 0);
		__atomic_store_n(&h.taken, i + 1, __ATOMIC_SEQ_CST);
		expect_eq(strand_chan_recv(h.chan, STRAND_FOREVER, &v), 0);
		expect_eq(v, i);
	}
	await_chan(h.done, 1);
	strand_chan_unref(h.chan);
	strand_chan_unref(h.done);
	return 0;
}

static void test_unbuffered_handoff(void **state)
{
	(void)state;
	run_tasks(handoff_receive, NULL);
}

/* ---- many to many --------------------------------------------------------------- */

#define PRODUCERS    8
#define CONSUMERS    6
#define PER_PRODUCER 600

struct item {
	uint32_t producer, number;
	uint64_t check;
};

struct crowd {
	struct strand_chan *chan, *produced, *consumed;
	uint32_t next_producer;
	uint64_t received; /* atomic */
	uint64_t sum;      /* atomic */
};

static void produce(void *arg)
{
	struct crowd *c = arg;
	uint32_t me = __atomic_fetch_add(&c->next_producer, 1, __ATOMIC_SEQ_CST);

	for (uint32_t i = 0; i < PER_PRODUCER; i++) {
		struct item item = {me, i, ~((uint64_t)me << 32 | i)};

		expect_eq(strand_chan_send(c->chan, &item, STRAND_FOREVER), 0);
	}
	signal_chan(c->produced);
}

static void consume(void *arg)
{
	struct crowd *c = arg;
	int64_t last[PRODUCERS];
	struct item item;

	memset(last, 0xff, sizeof(last));
	while (!strand_chan_recv(c->chan, STRAND_FOREVER, &item)) {
		expect_true(item.producer < PRODUCERS);
		expect_eq(item.check, ~((uint64_t)item.producer << 32 | item.number));
		expect_true(last[item.producer % PRODUCERS] < item.number);
		last[item.producer % PRODUCERS] = item.number;
		__atomic_add_fetch(&c->sum, item.number, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&c->received, 1, __ATOMIC_SEQ_CST);
	}
	signal_chan(c->consumed);
}

static int crowd_main(void *arg)
{
	struct crowd c = {new_chan(sizeof(struct item), *(size_t *)arg),
			  new_chan(0, 0),
			  new_chan(0, 0),
			  0,
			  0,
			  0};

	for (int i = 0; i < PRODUCERS; i++)
		expect_eq(strand_go(produce, &c), 0);
	for (int i = 0; i < CONSUMERS; i++)
		expect_eq(strand_go(consume, &c), 0);
	await_chan(c.produced, PRODUCERS);
	expect_eq(strand_chan_close(c.chan), 0);
	await_chan(c.consumed, CONSUMERS);
	expect_eq(c.received, PRODUCERS * PER_PRODUCER);
	expect_eq(c.sum, (uint64_t)PRODUCERS * PER_PRODUCER * (PER_PRODUCER - 1) / 2);
	strand_chan_unref(c.chan);
	strand_chan_unref(c.produced);
	strand_chan_unref(c.consumed);
	return 0;
}

static void test_many_to_many(void **state)
{
	size_t capacities[] = {0, 1, 7, 64};

	(void)state;
	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++)
		run_tasks(crowd_main, &capacities[i]);
}

/* With one worker the order of events is known: waiting senders are served first come first. */
struct queue_up {
	struct strand_chan *chan;
	int number;
};

static void send_number(void *arg)
{
	struct queue_up *q = arg;

	expect_eq(strand_chan_send(q->chan, &q->number, STRAND_FOREVER), 0);
}

static int senders_in_order(void *arg)
{
	size_t capacity = *(size_t *)arg;
	struct queue_up q[10];
	struct strand_chan *chan = new_chan(sizeof(int), capacity);

	for (int i = 0; i < 10; i++) {
		q[i] = (struct queue_up){chan, i};
		expect_eq(strand_go(send_number, &q[i]), 0);
		let_others_run();
	}
	expect_eq(strand_chan_len(chan), capacity);
	for (int i = 0; i < 10; i++) {
		int v = -1;

		expect_eq(strand_chan_recv(chan, 0, &v), 0); /* all are waiting already */
		expect_eq(v, i);
		/* a waiting sender moves up into the buffer at once */
		expect_eq(strand_chan_len(chan), 9 - i < (int)capacity ? 9 - i : (int)capacity);
	}
	expect_eq(strand_chan_recv(chan, 0, NULL), -ETIMEDOUT);
	let_others_run();
	strand_chan_unref(chan);
	return 0;
}

static void test_senders_in_order(void **state)
{
	size_t capacities[] = {0, 1, 4};

	(void)state;
	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++)
		run_tasks_with(1, senders_in_order, &capacities[i]);
}

struct receiver {
	struct strand_chan *chan;
	int value;
	int result;
};

static void receive_number(void *arg)
{
	struct receiver *r = arg;

	r->result = strand_chan_recv(r->chan, STRAND_FOREVER, &r->value);
}

static int receivers_in_order(void *arg)
{
	struct strand_chan *chan = new_chan(sizeof(int), *(size_t *)arg);
	struct receiver r[10];

	for (int i = 0; i < 10; i++) {
		r[i] = (struct receiver){chan, -1, 1};
		expect_eq(strand_go(receive_number, &r[i]), 0);
		let_others_run();
	}
	for (int i = 0; i < 10; i++) {
		expect_eq(strand_chan_send(chan, &i, 0), 0); /* each goes to a waiting receiver */
		expect_eq(strand_chan_len(chan), 0);
	}
	let_others_run();
	for (int i = 0; i < 10; i++) {
		expect_eq(r[i].result, 0);
		expect_eq(r[i].value, i);
	}
	strand_chan_unref(chan);
	return 0;
}

static void test_receivers_in_order(void **state)
{
	size_t capacities[] = {0, 4};

	(void)state;
	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++)
		run_tasks_with(1, receivers_in_order, &capacities[i]);
}

/* ---- references ------------------------------------------------------------------ */

static int references(void *arg)
{
	struct strand_chan *chan = new_chan(1, 1);

	(void)arg;
	expect_true(strand_chan_ref(NULL) == NULL);
	expect_true(strand_chan_unref(NULL) == NULL);
	for (int i = 0; i < 1000; i++)
		expect_true(strand_chan_ref(chan) == chan);
	for (int i = 0; i < 1000; i++)
		expect_true(strand_chan_unref(chan) == NULL);
	expect_eq(strand_chan_send(chan, "x", 0), 0); /* it lives: one reference is left */
	expect_true(strand_chan_unref(chan) == NULL);
	return 0;
}

static void test_references(void **state)
{
	(void)state;
	run_tasks(references, NULL);
}

/* The last unref gives back the memory, buffered elements included. */
static int churn(void *arg)
{
	char *element = calloc(1, ELEMENT_MAX);
	size_t before = 0, after;

	(void)arg;
	for (int i = 0; i < 6000; i++) {
		struct strand_chan *chan = new_chan(ELEMENT_MAX, 4), *small = new_chan(8, 3);

		if (i == 100)
			before = status_kib("VmRSS");
		for (int k = 0; k < 4; k++)
			expect_eq(strand_chan_send(chan, element, 0), 0);
		strand_chan_unref(chan);
		strand_chan_unref(small);
	}
	after = status_kib("VmRSS");
	expect_true(after < before + 64 * 1024); /* all of them would be 1.5 GiB */
	free(element);
	return 0;
}

static void test_unref_frees(void **state)
{
	(void)state;
	run_tasks_with(1, churn, NULL);
	run_tasks_with(2, churn, NULL);
}

struct shared {
	struct strand_chan *chan, *done;
};

/* Made by one task, freed by another, on whatever worker. */
static void unref_channels(void *arg)
{
	struct shared *c = arg;
	struct strand_chan *chan;

	while (!strand_chan_recv(c->chan, STRAND_FOREVER, &chan)) {
		expect_eq(strand_chan_send(chan, "abcdefgh", 0), 0);
		strand_chan_unref(chan);
	}
	signal_chan(c->done);
}

static int pass_channels(void *arg)
{
	struct shared c = {new_chan(sizeof(struct strand_chan *), 16), new_chan(0, 0)};

	(void)arg;
	for (int i = 0; i < 4; i++)
		expect_eq(strand_go(unref_channels, &c), 0);
	for (int i = 0; i < 5000; i++) {
		struct strand_chan *chan = new_chan(8, 1 + i % 5);

		expect_eq(strand_chan_send(c.chan, &chan, STRAND_FOREVER), 0);
	}
	expect_eq(strand_chan_close(c.chan), 0);
	await_chan(c.done, 4);
	strand_chan_unref(c.chan);
	strand_chan_unref(c.done);
	return 0;
}

static void test_channels_over_channels(void **state)
{
	(void)state;
	run_tasks(pass_channels, NULL);
}

/* Concurrent ref and unref: the count is exact, the channel works until the end. */
static void juggle_reference(void *arg)
{
	struct shared *c = arg;

	for (int i = 0; i < 2000; i++) {
		struct strand_chan *mine = strand_chan_ref(c->chan);

		expect_eq(strand_chan_cap(mine), 1);
		strand_chan_unref(mine);
		if (i % 64 == 0)
			strand_yield();
	}
	signal_chan(c->done);
}

static int juggle(void *arg)
{
	struct shared c = {new_chan(1, 1), new_chan(0, 0)};

	(void)arg;
	for (int i = 0; i < 8; i++)
		expect_eq(strand_go(juggle_reference, &c), 0);
	await_chan(c.done, 8);
	expect_eq(strand_chan_send(c.chan, "x", 0), 0);
	strand_chan_unref(c.chan);
	strand_chan_unref(c.done);
	return 0;
}

static void test_references_race(void **state)
{
	(void)state;
	run_tasks(juggle, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_refuses),
		cmocka_unit_test(test_new_without_runtime),
		cmocka_unit_test(test_new_endless_signals),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_buffer_order),
		cmocka_unit_test(test_unbuffered_handoff),
		cmocka_unit_test(test_many_to_many),
		cmocka_unit_test(test_senders_in_order),
		cmocka_unit_test(test_receivers_in_order),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_unref_frees),
		cmocka_unit_test(test_channels_over_channels),
		cmocka_unit_test(test_references_race),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Full tracing (threshold 0): every event of a small program, in order, with what each says. */
#include "strand_test.h"

#include "probe_observer.h"

#define EVENTS_MAX 200

/* One worker: the handlers run on it and need no lock. */
static struct event {
	enum strand_probe probe;
	union {
		struct strand_rec_header h;
		struct strand_rec_spawn spawn;
		struct strand_rec_exit exit;
		struct strand_rec_unpark unpark;
		struct strand_rec_chan chan;
	} record;
	struct strand_rec_park park; /* of the park probe: the only one of its batch */
} events[EVENTS_MAX];

static size_t event_count;

static void note(enum strand_probe probe, const void *record, size_t size)
{
	struct event *e = &events[event_count < EVENTS_MAX - 1 ? event_count++ : event_count];
	const struct strand_rec_header *h = record;

	expect_eq(h->abi_major, STRAND_ABI_MAJOR);
	expect_eq(h->probe, probe);
	expect_eq(h->count, 1);
	e->probe = probe;
	if (probe == STRAND_PROBE_PARK) {
		e->park = ((const struct strand_rec_park_batch *)record)->park[0];
		return;
	}
	expect_eq(h->size, size);
	memcpy(&e->record, record, size);
}

#define HANDLER(name, type, which)                        \
	static void name(const void *record)              \
	{                                                 \
		note(which, record, sizeof(struct type)); \
	}

HANDLER(on_spawn, strand_rec_spawn, STRAND_PROBE_SPAWN)
HANDLER(on_exit_task, strand_rec_exit, STRAND_PROBE_EXIT)
HANDLER(on_park, strand_rec_park_batch, STRAND_PROBE_PARK)
HANDLER(on_unpark, strand_rec_unpark, STRAND_PROBE_UNPARK)
HANDLER(on_chan, strand_rec_chan, STRAND_PROBE_CHAN)
HANDLER(on_send, strand_rec_chan, STRAND_PROBE_SEND)
HANDLER(on_recv, strand_rec_chan, STRAND_PROBE_RECV)

static int install(void **state)
{
	(void)state;
	observe_probe(STRAND_PROBE_SPAWN, on_spawn);
	observe_probe(STRAND_PROBE_EXIT, on_exit_task);
	observe_probe(STRAND_PROBE_PARK, on_park);
	observe_probe(STRAND_PROBE_UNPARK, on_unpark);
	observe_probe(STRAND_PROBE_CHAN, on_chan);
	observe_probe(STRAND_PROBE_SEND, on_send);
	observe_probe(STRAND_PROBE_RECV, on_recv);
	return 0;
}

static void trace(bool on)
{
	if (on)
		event_count = 0;
	strand_descriptor.threshold_ns = on ? 0 : 10 * STRAND_MILLISECOND;
	strand_probe_semaphore = on;
}

static void expect_probes(const enum strand_probe *wanted, size_t count)
{
	expect_eq(event_count, count);
	for (size_t i = 0; i < count && i < event_count; i++)
		expect_eq(events[i].probe, wanted[i]);
}

static void expect_chan_event(const struct event *e, uint32_t what, const void *chan, uint64_t task,
			      uint64_t queued)
{
	expect_eq(e->record.chan.event, what);
	expect_eq(e->record.chan.chan, (uintptr_t)chan);
	expect_eq(e->record.chan.task, task);
	expect_eq(e->record.chan.queued, queued);
	expect_eq(e->record.chan.element_size, 4);
	expect_eq(e->record.chan.capacity, 2);
	expect_true(e->record.chan.pc != 0);
}

/* ---- a channel's life ------------------------------------------------------------------ */

static int life_of_a_channel(void *arg)
{
	static const enum strand_probe wanted[] = {STRAND_PROBE_CHAN, STRAND_PROBE_SEND,
						   STRAND_PROBE_SEND, STRAND_PROBE_RECV,
						   STRAND_PROBE_CHAN, STRAND_PROBE_CHAN};
	struct strand_chan *chan;
	int v = 1;

	(void)arg;
	trace(true);
	chan = new_chan(sizeof(int), 2);
	expect_eq(strand_chan_send(chan, &v, 0), 0);
	expect_eq(strand_chan_send(chan, &v, 0), 0);
	expect_eq(strand_chan_recv(chan, 0, &v), 0);
	expect_eq(strand_chan_close(chan), 0);
	strand_chan_unref(chan);
	trace(false);
	expect_probes(wanted, sizeof(wanted) / sizeof(wanted[0]));
	expect_chan_event(&events[0], STRAND_CHAN_NEW, chan, 1, 0);
	/* queued: the elements after the operation */
	expect_chan_event(&events[1], STRAND_CHAN_XFER, chan, 1, 1);
	expect_chan_event(&events[2], STRAND_CHAN_XFER, chan, 1, 2);
	expect_chan_event(&events[3], STRAND_CHAN_XFER, chan, 1, 1);
	expect_chan_event(&events[4], STRAND_CHAN_CLOSE, chan, 1, 1);
	expect_chan_event(&events[5], STRAND_CHAN_FREE, chan, 1, 1);
	return 0;
}

static void test_channel(void **state)
{
	(void)state;
	run_tasks_with(1, life_of_a_channel, NULL);
}

/* What did not happen is not told: a try that fails, a closed channel. */
static int nothing_moves(void *arg)
{
	struct strand_chan *chan = new_chan(sizeof(int), 0);
	int v = 1;

	(void)arg;
	trace(true);
	expect_eq(strand_chan_send(chan, &v, 0), -ETIMEDOUT);
	expect_eq(strand_chan_recv(chan, 0, &v), -ETIMEDOUT);
	trace(false);
	expect_eq(event_count, 0);
	expect_eq(strand_chan_close(chan), 0);
	trace(true);
	expect_eq(strand_chan_send(chan, &v, 0), -EPIPE);
	expect_eq(strand_chan_recv(chan, 0, &v), -EPIPE);
	expect_eq(strand_chan_close(chan), -EPIPE);
	trace(false);
	expect_eq(event_count, 0);
	strand_chan_unref(chan);
	return 0;
}

static void test_no_transfer_no_event(void **state)
{
	(void)state;
	run_tasks_with(1, nothing_moves, NULL);
}

/* ---- a task's life ----------------------------------------------------------------------- */

static uint64_t task_id;

static void receive_one(void *arg)
{
	task_id = strand_task_id();
	expect_eq(strand_chan_recv(arg, STRAND_FOREVER, NULL), 0);
}

static const struct event *find(enum strand_probe probe)
{
	for (size_t i = 0; i < event_count; i++)
		if (events[i].probe == probe)
			return &events[i];
	expect_true(!"an event is missing");
	return &events[EVENTS_MAX - 1];
}

static int life_of_a_task(void *arg)
{
	struct strand_task_options options = {.size = sizeof(options), .name = "traced"};
	struct strand_chan *chan = new_chan(0, 0);
	const struct event *e;

	(void)arg;
	trace(true);
	expect_eq(strand_go_with(&options, receive_one, chan), 0);
	strand_yield(); /* it parks */
	signal_chan(chan);
	strand_yield(); /* it ends */
	trace(false);

	e = find(STRAND_PROBE_SPAWN);
	expect_eq(e->record.spawn.task, task_id);
	expect_eq(e->record.spawn.parent, strand_task_id());
	expect_eq(e->record.spawn.fn, (uintptr_t)receive_one);
	expect_eq(strcmp(e->record.spawn.name, "traced"), 0);
	expect_true(e->record.spawn.created_pc != 0);
	e = find(STRAND_PROBE_PARK);
	expect_eq(e->park.task, task_id);
	expect_eq(e->park.reason, STRAND_WAIT_CHAN_RECEIVE);
	expect_true(e < find(STRAND_PROBE_UNPARK));
	expect_eq(find(STRAND_PROBE_UNPARK)->record.unpark.generation, e->park.generation);
	e = find(STRAND_PROBE_UNPARK);
	expect_eq(e->record.unpark.task, task_id);
	expect_eq(e->record.unpark.waker, strand_task_id());
	expect_eq(e->record.unpark.object, (uintptr_t)chan);
	e = find(STRAND_PROBE_EXIT);
	expect_eq(e->record.exit.task, task_id);
	expect_true(e > find(STRAND_PROBE_UNPARK));
	strand_chan_unref(chan);
	return 0;
}

static void test_task(void **state)
{
	(void)state;
	run_tasks_with(1, life_of_a_task, NULL);
}

static void do_nothing(void *arg)
{
	(void)arg;
}

/* A name that is shorter than the one before it in the same place: the rest is zero. */
static int clean_names(void *arg)
{
	struct strand_task_options options = {.size = sizeof(options)};
	static const char zero[STRAND_NAME_MAX];
	const char *name;

	(void)arg;
	options.name = "abcdefghijklmnopqrstuvw";
	expect_eq(strand_go_with(&options, do_nothing, NULL), 0);
	let_others_run();
	options.name = "x";
	trace(true);
	expect_eq(strand_go_with(&options, do_nothing, NULL), 0);
	trace(false);
	name = find(STRAND_PROBE_SPAWN)->record.spawn.name;
	expect_eq(name[0], 'x');
	expect_eq(memcmp(name + 1, zero, sizeof(zero) - 1), 0);
	let_others_run();
	return 0;
}

static void test_names_are_clean(void **state)
{
	(void)state;
	run_tasks_with(1, clean_names, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_channel),
		cmocka_unit_test(test_no_transfer_no_event),
		cmocka_unit_test(test_task),
		cmocka_unit_test(test_names_are_clean),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, install, NULL);
}

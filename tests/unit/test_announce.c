/* SPDX-License-Identifier: MIT */
/*
 * Announcing: which parks the observer is told of, when, how often, and what the records say.
 *
 * One worker, whose main task raises the semaphore and calls the sweep itself, with a time of its
 * own making: no check depends on the clock.
 */
#include "strand_test.h"

#include "probe_observer.h"
#include "strand/sched.h"

#define PARKS_MAX 8192

/* What the probes said. Written on the one worker only, read there, too. */
static struct {
	size_t park_count, batch_count, unpark_count, other_count;
	bool bad_batch;
	struct strand_rec_park parks[PARKS_MAX];
	struct strand_rec_unpark unparks[PARKS_MAX];
} seen;

static void forget(void)
{
	memset(&seen, 0, sizeof(seen));
}

static void on_park(const void *record)
{
	const struct strand_rec_park_batch *b = record;

	seen.batch_count++;
	if (b->h.abi_major != STRAND_ABI_MAJOR || b->h.probe != STRAND_PROBE_PARK ||
	    b->h.size != sizeof(*b) || b->h.count < 1 || b->h.count > STRAND_PARK_BATCH ||
	    b->announced != strand_descriptor.announced)
		seen.bad_batch = true;
	for (size_t i = 0; i < b->h.count && seen.park_count < PARKS_MAX; i++)
		seen.parks[seen.park_count++] = b->park[i];
}

static void on_unpark(const void *record)
{
	const struct strand_rec_unpark *r = record;

	expect_eq(r->h.size, sizeof(*r));
	expect_eq(r->h.probe, STRAND_PROBE_UNPARK);
	if (seen.unpark_count < PARKS_MAX)
		seen.unparks[seen.unpark_count++] = *r;
}

static void on_other(const void *record)
{
	(void)record;
	seen.other_count++;
}

static int install(void **state)
{
	(void)state;
	observe_probe(STRAND_PROBE_PARK, on_park);
	observe_probe(STRAND_PROBE_UNPARK, on_unpark);
	observe_probe(STRAND_PROBE_SPAWN, on_other);
	observe_probe(STRAND_PROBE_EXIT, on_other);
	observe_probe(STRAND_PROBE_CHAN, on_other);
	observe_probe(STRAND_PROBE_SEND, on_other);
	observe_probe(STRAND_PROBE_RECV, on_other);
	return 0;
}

static void set_observer(bool on, strand_time threshold)
{
	strand_probe_semaphore = on;
	strand_descriptor.threshold_ns = (uint64_t)threshold;
}

/* An observer left: the worker notices in its next sweep. */
static void end_observation(void)
{
	set_observer(false, 10 * STRAND_MILLISECOND);
	announce_sweep(sched_this_worker, strand_now());
}

static strand_time sweep(strand_time now)
{
	return announce_sweep(sched_this_worker, now);
}

/* ---- parked tasks -------------------------------------------------------------------- */

struct crowd {
	struct strand_chan *gate;
	int count;
	uint64_t ids[PARKS_MAX];
};

static struct crowd crowd;

static __attribute__((noinline)) void wait_at_gate(struct strand_chan *gate)
{
	strand_chan_recv(gate, STRAND_FOREVER, NULL);
	__asm__ volatile(""); /* no tail call: this is the frame that waits */
}

static void visitor(void *arg)
{
	struct crowd *c = arg;

	c->ids[c->count++] = strand_task_id();
	wait_at_gate(c->gate);
	__asm__ volatile("");
}

/* So many tasks that wait, in the order of their ids. No sweep need have seen them yet. */
static __attribute__((noinline)) void park_unstamped(int count)
{
	struct strand_task_options options = {.size = sizeof(options), .name = "visitor"};

	crowd.gate = new_chan(0, 0);
	crowd.count = 0;
	for (int i = 0; i < count; i++)
		expect_eq(strand_go_with(&options, visitor, &crowd), 0);
	while (crowd.count < count)
		strand_yield();
	let_others_run();
}

/* The same, and each has the time of its park. */
static void park_crowd(int count)
{
	park_unstamped(count);
	sweep(strand_now());
}

static void release_crowd(void)
{
	expect_eq(strand_chan_close(crowd.gate), 0);
	let_others_run();
	strand_chan_unref(crowd.gate);
}

static size_t times_announced(uint64_t id)
{
	size_t times = 0;

	for (size_t i = 0; i < seen.park_count; i++)
		times += seen.parks[i].task == id;
	return times;
}

static void expect_each_announced(size_t times)
{
	for (int i = 0; i < crowd.count; i++)
		expect_eq(times_announced(crowd.ids[i]), times);
	expect_eq(seen.park_count, (size_t)crowd.count * times);
	expect_true(!seen.bad_batch);
}

/* ---- who is announced when ------------------------------------------------------------ */

static int nobody_watches(void *arg)
{
	(void)arg;
	forget();
	park_crowd(100);
	expect_eq(sweep(strand_now() + 10 * STRAND_SECOND), STRAND_FOREVER);
	set_observer(false, 0); /* a threshold alone is no observer */
	expect_eq(sweep(strand_now() + 10 * STRAND_SECOND), STRAND_FOREVER);
	release_crowd();
	expect_eq(seen.park_count + seen.unpark_count + seen.other_count, 0);
	end_observation();
	return 0;
}

static void test_unobserved(void **state)
{
	(void)state;
	run_tasks_with(1, nobody_watches, NULL);
}

static int exactly_at_threshold(void *arg)
{
	strand_time since;

	(void)arg;
	forget();
	park_crowd(1);
	since = list_entry(sched_this_worker->announcer.parked.prev, struct task, parked)->since;
	set_observer(true, 5 * STRAND_MILLISECOND);
	expect_eq(sweep(since), since + 5 * STRAND_MILLISECOND);
	expect_eq(sweep(since + 5 * STRAND_MILLISECOND - 1), since + 5 * STRAND_MILLISECOND);
	expect_eq(seen.park_count, 0);
	expect_eq(sweep(since + 5 * STRAND_MILLISECOND), STRAND_FOREVER);
	expect_each_announced(1);
	expect_eq(seen.parks[0].since_ns, since);
	sweep(since + 50 * STRAND_MILLISECOND); /* once is enough */
	expect_each_announced(1);
	expect_eq(seen.unpark_count, 0);
	release_crowd();
	expect_eq(seen.unpark_count, 1);
	expect_eq(seen.unparks[0].task, crowd.ids[0]);
	expect_eq(seen.unparks[0].generation, seen.parks[0].generation);
	expect_eq(seen.unparks[0].object, seen.parks[0].object);
	expect_eq(seen.unparks[0].waker, strand_task_id());
	expect_eq(seen.other_count, 0); /* no full tracing */
	end_observation();
	return 0;
}

static void test_threshold(void **state)
{
	(void)state;
	run_tasks_with(1, exactly_at_threshold, NULL);
}

/* Who was woken before the threshold is not heard of at all. */
static int short_parks(void *arg)
{
	(void)arg;
	forget();
	set_observer(true, STRAND_SECOND * 1000);
	park_crowd(50);
	sweep(strand_now());
	release_crowd();
	sweep(strand_now() + 5000 * STRAND_SECOND);
	expect_eq(seen.park_count, 0);
	expect_eq(seen.unpark_count, 0);
	end_observation();
	return 0;
}

static void test_short_parks(void **state)
{
	(void)state;
	run_tasks_with(1, short_parks, NULL);
}

static int late_observer(void *arg)
{
	strand_time later = strand_now() + 3600 * STRAND_SECOND;

	(void)arg;
	forget();
	park_crowd(100);
	sweep(later); /* unobserved: counts for nothing */
	set_observer(true, 10 * STRAND_MILLISECOND);
	sweep(later);
	expect_each_announced(1);
	expect_eq(seen.batch_count, 4); /* 32, 32, 32, 4 */
	sweep(later);
	expect_each_announced(1);

	/* It leaves and comes back: everything anew, when a sweep has seen it gone. */
	set_observer(false, 10 * STRAND_MILLISECOND);
	sweep(later);
	set_observer(true, 10 * STRAND_MILLISECOND);
	sweep(later);
	expect_each_announced(2);

	/* HELLO: everything anew. */
	atomic_fetch_add(&runtime_get()->announce_epoch, 1);
	expect_true(announce_is_due(sched_this_worker, sched_this_worker->announcer.last_sweep));
	sweep(later);
	expect_true(!announce_is_due(sched_this_worker, sched_this_worker->announcer.last_sweep));
	expect_each_announced(3);
	release_crowd();
	expect_eq(seen.unpark_count, 100);
	end_observation();
	return 0;
}

static void test_announced_anew(void **state)
{
	(void)state;
	run_tasks_with(1, late_observer, NULL);
}

/* A sweep stops after 1024, asks to be called again at once, and the next one goes on there. */
static int budget(void *arg)
{
	strand_time later = strand_now() + 3600 * STRAND_SECOND;
	uint64_t before;

	(void)arg;
	forget();
	park_crowd(2500);
	before = strand_descriptor.announced;
	set_observer(true, 10 * STRAND_MILLISECOND);
	expect_eq(sweep(later), later);
	expect_eq(seen.park_count, 1024);
	expect_eq(seen.batch_count, 32);
	expect_eq(sweep(later), later);
	expect_eq(seen.park_count, 2048);
	expect_eq(sweep(later), STRAND_FOREVER);
	expect_each_announced(1);
	expect_eq(strand_descriptor.announced, before + 2500);
	/* oldest first */
	for (size_t i = 1; i < seen.park_count; i++)
		expect_true(seen.parks[i].task > seen.parks[i - 1].task);
	release_crowd();
	end_observation();
	return 0;
}

static void test_budget_of_a_sweep(void **state)
{
	(void)state;
	run_tasks_with(1, budget, NULL);
}

/* Exactly at the border of a batch and of the budget: nothing is announced twice or forgotten. */
static int borders(void *arg)
{
	static const int counts[] = {1, 31, 32, 33, 64, 1023, 1024, 1025};
	strand_time later = strand_now() + 3600 * STRAND_SECOND;

	(void)arg;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		forget();
		park_crowd(counts[i]);
		set_observer(true, 10 * STRAND_MILLISECOND);
		sweep(later);
		sweep(later);
		expect_each_announced(1);
		expect_eq(seen.batch_count, (counts[i] + 31) / 32);
		set_observer(false, 10 * STRAND_MILLISECOND);
		release_crowd();
		end_observation();
	}
	return 0;
}

static void test_borders(void **state)
{
	(void)state;
	run_tasks_with(1, borders, NULL);
}

/* Those next in line are woken between two sweeps: the walk goes on with who is left. */
static int woken_in_line(void *arg)
{
	strand_time later = strand_now() + 3600 * STRAND_SECOND;

	(void)arg;
	forget();
	park_crowd(1100);
	set_observer(true, 10 * STRAND_MILLISECOND);
	sweep(later); /* 1024 are announced, the next is number 1024 */
	set_observer(false, 10 * STRAND_MILLISECOND);
	for (int i = 0; i < 1060; i++) /* the first 1060 go; the oldest waiter is served first */
		signal_chan(crowd.gate);
	let_others_run();
	set_observer(true, 10 * STRAND_MILLISECOND);
	atomic_store(&runtime_get()->announce_epoch, sched_this_worker->announcer.epoch);
	seen.park_count = 0;
	sweep(later);
	for (int i = 1060; i < 1100; i++)
		expect_eq(times_announced(crowd.ids[i]), 1);
	expect_eq(seen.park_count, 40);
	release_crowd();
	end_observation();
	return 0;
}

static void test_woken_in_line(void **state)
{
	(void)state;
	run_tasks_with(1, woken_in_line, NULL);
}

/* ---- odd thresholds ------------------------------------------------------------------- */

/* An endless threshold announces nothing, and asks for no sweep that is already due. */
static int endless_thresholds(void *arg)
{
	static const uint64_t thresholds[] = {INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};

	(void)arg;
	park_crowd(3);
	for (size_t i = 0; i < sizeof(thresholds) / sizeof(thresholds[0]); i++) {
		strand_time now = strand_now();

		forget();
		strand_probe_semaphore = 1;
		strand_descriptor.threshold_ns = thresholds[i];
		expect_true(sweep(now) > now);
		expect_eq(seen.park_count, 0);
		set_observer(false, 10 * STRAND_MILLISECOND);
		sweep(now);
	}
	release_crowd();
	end_observation();
	return 0;
}

static void test_endless_threshold(void **state)
{
	(void)state;
	run_tasks_with(1, endless_thresholds, NULL);
}

/* Full tracing begins while an unstamped park is on the list: its age is still not made up. */
static int tracing_over_unstamped(void *arg)
{
	strand_time start = strand_now();

	(void)arg;
	forget();
	park_unstamped(1); /* but for a sweep that came by: then there is nothing to see */
	set_observer(true, 0);
	crowd.count = 0;
	expect_eq(strand_go(visitor, &crowd), 0);
	while (!crowd.count)
		strand_yield();
	strand_yield();
	sweep(strand_now());
	expect_true(seen.park_count >= 2);
	for (size_t i = 0; i < seen.park_count; i++)
		expect_true(seen.parks[i].since_ns >= (uint64_t)start);
	set_observer(false, 0);
	release_crowd();
	end_observation();
	return 0;
}

static void test_tracing_over_unstamped(void **state)
{
	(void)state;
	run_tasks_with(1, tracing_over_unstamped, NULL);
}

/* ---- what a record says ------------------------------------------------------------------ */

/* Follows the frame pointers from the waiting frame: returns the frames, 0 if the walk is lost. */
static size_t walk(const struct strand_rec_park *r)
{
	uint64_t fp = r->fp, low = r->sp;
	size_t frames = 1;

	while (fp) {
		const uint64_t *frame = (const uint64_t *)(uintptr_t)fp;

		if (fp < low || fp + 16 > r->stack_hi)
			return 0;
		if (frame[1] == strand_descriptor.task_end_pc)
			return frame[0] == 0 ? frames : 0;
		low = fp + 16;
		fp = frame[0];
		frames++;
	}
	return 0;
}

static int record_of_a_park(void *arg)
{
	const struct strand_rec_park *r = &seen.parks[0];
	uint64_t generation;

	(void)arg;
	forget();
	expect_eq(strand_task_set_name("main of the test"), 0);
	park_crowd(1);
	set_observer(true, 0);
	sweep(strand_now());
	set_observer(false, 0);
	expect_eq(seen.park_count, 1);
	expect_eq(r->task, crowd.ids[0]);
	expect_eq(r->object, (uintptr_t)crowd.gate);
	expect_eq(r->reason, STRAND_WAIT_CHAN_RECEIVE);
	expect_eq(r->has_deadline, 0);
	expect_eq(r->worker, 0);
	expect_eq(r->parent, strand_task_id());
	expect_eq(r->fn, (uintptr_t)visitor);
	expect_eq(strcmp(r->name, "visitor"), 0);
	expect_true(r->created_pc > (uintptr_t)park_unstamped &&
		    r->created_pc < (uintptr_t)park_unstamped + 1024);
	expect_true(r->pc > (uintptr_t)wait_at_gate && r->pc < (uintptr_t)wait_at_gate + 128);
	expect_true(r->sp < r->stack_hi && r->stack_hi - r->sp < 4096);
	expect_eq(r->sp % 8, 0);
	expect_eq(walk(r), 2); /* wait_at_gate in visitor in the entry code */
	generation = r->generation;
	expect_eq(*(uint64_t *)(uintptr_t)r->generation_addr, generation);
	release_crowd();
	end_observation();
	return 0;
}

static void test_record(void **state)
{
	(void)state;
	run_tasks_with(1, record_of_a_park, NULL);
}

/* Each reason with and without a deadline. */
struct reason_case {
	int which;
	struct strand_chan *empty, *full;
	uint64_t id;
};

static void park_for_reason(void *arg)
{
	struct reason_case *c = arg;
	strand_time later = strand_now() + 1000 * STRAND_SECOND;
	strand_time deadline = c->which % 2 ? later : STRAND_FOREVER;

	c->id = strand_task_id();
	switch (c->which / 2) {
	case 0:
		strand_chan_recv(NULL, deadline, NULL);
		break;
	case 1:
		strand_chan_send(NULL, NULL, deadline);
		break;
	case 2:
		strand_chan_recv(c->empty, deadline, NULL);
		break;
	case 3:
		strand_chan_send(c->full, NULL, deadline);
		break;
	case 4:
		strand_sleep(later);
		break;
	}
	expect_true(!"the wait ended");
}

static int reasons(void *arg)
{
	static const uint8_t reason[] = {STRAND_WAIT_CHAN_RECEIVE_NIL, STRAND_WAIT_CHAN_SEND_NIL,
					 STRAND_WAIT_CHAN_RECEIVE, STRAND_WAIT_CHAN_SEND,
					 STRAND_WAIT_SLEEP};
	static struct reason_case cases[9];
	struct strand_chan *empty = new_chan(0, 0), *full = new_chan(0, 1);

	(void)arg;
	forget();
	signal_chan(full);
	for (int i = 0; i < 9; i++) {
		cases[i] = (struct reason_case){i, empty, full, 0};
		expect_eq(strand_go(park_for_reason, &cases[i]), 0);
	}
	for (int i = 0; i < 20; i++)
		strand_yield();
	set_observer(true, 0);
	sweep(strand_now());
	end_observation();
	expect_eq(seen.park_count, 9);
	for (size_t i = 0; i < 9 && i < seen.park_count; i++) {
		const struct strand_rec_park *r = &seen.parks[i];
		uintptr_t object = i / 2 == 2 ? (uintptr_t)empty : i / 2 == 3 ? (uintptr_t)full : 0;

		expect_eq(r->task, cases[i].id);
		expect_eq(r->reason, reason[i / 2]);
		expect_eq(r->has_deadline, i % 2 || i == 8);
		expect_eq(r->object, object);
		expect_eq(walk(r), 1);
	}
	return 0;
}

static void test_reasons(void **state)
{
	(void)state;
	run_tasks_with(1, reasons, NULL);
}

/* The generation grows with every park, and tells the record of one park from the next. */
static void wait_twice(void *arg)
{
	struct crowd *c = arg;

	c->ids[c->count++] = strand_task_id();
	wait_at_gate(c->gate);
	wait_at_gate(c->gate);
}

static int generations(void *arg)
{
	(void)arg;
	forget();
	crowd.gate = new_chan(0, 0);
	crowd.count = 0;
	set_observer(true, 0);
	expect_eq(strand_go(wait_twice, &crowd), 0);
	let_others_run();
	signal_chan(crowd.gate);
	let_others_run();
	set_observer(false, 0);
	expect_eq(seen.park_count, 2);
	expect_eq(seen.unpark_count, 1);
	expect_true(seen.parks[1].generation > seen.parks[0].generation);
	expect_eq(seen.parks[1].task, seen.parks[0].task);
	expect_eq(seen.unparks[0].generation, seen.parks[0].generation);
	expect_eq(*(uint64_t *)(uintptr_t)seen.parks[1].generation_addr, seen.parks[1].generation);
	signal_chan(crowd.gate);
	end_observation();
	return 0;
}

static void test_generations(void **state)
{
	(void)state;
	run_tasks_with(1, generations, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unobserved),
		cmocka_unit_test(test_threshold),
		cmocka_unit_test(test_short_parks),
		cmocka_unit_test(test_announced_anew),
		cmocka_unit_test(test_budget_of_a_sweep),
		cmocka_unit_test(test_borders),
		cmocka_unit_test(test_woken_in_line),
		cmocka_unit_test(test_endless_threshold),
		cmocka_unit_test(test_tracing_over_unstamped),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_generations),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, install, NULL);
}

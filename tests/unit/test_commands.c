/* SPDX-License-Identifier: MIT */
/*
 * The control pipe: commands are obeyed, and what is no command is counted and ignored.
 *
 * The control thread answers when it wants: each check waits for a counter to reach its value,
 * and alarm() ends a wait for what never comes.
 */
#include "strand_test.h"

#include <fcntl.h>
#include "probe_observer.h"
#include "strand/runtime.h"

static struct {
	int parks, scans, refused;  /* atomic */
	uint64_t scan_requests[64]; /* of each scan_done */
	uint64_t scan_statuses[64];
} seen;

static void on_park(const void *record)
{
	const struct strand_rec_park_batch *b = record;

	__atomic_add_fetch(&seen.parks, b->h.count, __ATOMIC_SEQ_CST);
}

static void on_scan_done(const void *record)
{
	const struct strand_rec_scan_done *r = record;
	int i = seen.scans;

	expect_eq(r->h.size, sizeof(*r));
	expect_eq(r->h.probe, STRAND_PROBE_SCAN_DONE);
	expect_true(i < 64);
	seen.scan_requests[i % 64] = r->request;
	seen.scan_statuses[i % 64] = r->status;
	if (r->status == STRAND_SEARCH_REFUSED) {
		expect_eq(r->cause, STRAND_CAUSE_RATE_LIMIT);
		seen.refused++;
	}
	__atomic_store_n(&seen.scans, i + 1, __ATOMIC_SEQ_CST);
}

static int install(void **state)
{
	(void)state;
	observe_probe(STRAND_PROBE_PARK, on_park);
	observe_probe(STRAND_PROBE_SCAN_DONE, on_scan_done);
	return 0;
}

/* ---- writing to the pipe -------------------------------------------------------------- */

static struct strand_command command(unsigned type)
{
	return (struct strand_command){
		.magic = STRAND_COMMAND_MAGIC,
		.abi_major = STRAND_ABI_MAJOR,
		.type = (uint16_t)type,
	};
}

/* Whole, as soon as there is room: the write end does not block. */
static void say(const void *bytes, size_t size)
{
	ssize_t n;

	do {
		n = write(strand_descriptor.control_fd, bytes, size);
	} while (n < 0 && errno == EAGAIN && (strand_yield(), true));
	expect_eq(n, size);
}

static uint64_t refused_now(void)
{
	return __atomic_load_n(&strand_descriptor.commands_refused, __ATOMIC_SEQ_CST);
}

static void await_refused(uint64_t count)
{
	while (refused_now() < count)
		strand_yield();
	expect_eq(refused_now(), count);
}

static void await_threshold(uint64_t threshold)
{
	while (__atomic_load_n(&strand_descriptor.threshold_ns, __ATOMIC_SEQ_CST) != threshold)
		strand_yield();
}

/* A command whose effect shows that all before it has been read. */
static void say_hello(uint64_t threshold)
{
	struct strand_command hello = command(STRAND_COMMAND_HELLO);

	hello.threshold_ns = threshold;
	say(&hello, sizeof(hello));
	await_threshold(threshold);
}

/* ---- HELLO ------------------------------------------------------------------------------ */

static struct strand_chan *ready, *end;

static void wait_for_end(void *arg)
{
	(void)arg;
	signal_chan(ready);
	strand_chan_recv(end, STRAND_FOREVER, NULL);
}

static int greet(void *arg)
{
	unsigned epoch = atomic_load(&runtime_get()->announce_epoch);
	uint64_t before = refused_now();

	(void)arg;
	ready = new_chan(0, 0);
	end = new_chan(0, 0);
	for (int i = 0; i < 40; i++)
		expect_eq(strand_go(wait_for_end, NULL), 0);
	await_chan(ready, 40);
	seen.parks = 0;
	strand_probe_semaphore = 1;
	say_hello(STRAND_MICROSECOND);
	/* All workers are woken, however idle, and announce what is parked there. */
	while (__atomic_load_n(&seen.parks, __ATOMIC_SEQ_CST) < 40)
		strand_yield();
	expect_true(atomic_load(&runtime_get()->announce_epoch) > epoch);
	strand_probe_semaphore = 0;
	say_hello(10 * STRAND_MILLISECOND);
	expect_eq(refused_now(), before);
	strand_chan_close(end);
	return 0;
}

static void test_hello(void **state)
{
	(void)state;
	run_tasks(greet, NULL);
}

/* ---- what is no command ------------------------------------------------------------------ */

static int say_nonsense(void *arg)
{
	struct strand_command bad[] = {
		command(0),
		command(STRAND_COMMAND_CANCEL + 1),
		command(0xffff),
		command(STRAND_COMMAND_HELLO),
		command(STRAND_COMMAND_HELLO),
		command(STRAND_COMMAND_HELLO),
		command(STRAND_COMMAND_SCAN),
		{0},
	};
	const size_t count = sizeof(bad) / sizeof(bad[0]);
	uint64_t before = refused_now();
	unsigned epoch = atomic_load(&runtime_get()->announce_epoch);

	(void)arg;
	bad[3].magic++;
	bad[4].abi_major++;
	bad[5].abi_major = 0;
	bad[6].magic = 0;
	for (size_t i = 0; i < count; i++) {
		bad[i].threshold_ns = 1234;
		say(&bad[i], sizeof(bad[i]));
		await_refused(before + i + 1);
	}
	say(bad, sizeof(bad)); /* many in one write */
	await_refused(before + 2 * count);
	expect_eq(strand_descriptor.threshold_ns, 10 * STRAND_MILLISECOND);
	expect_eq(atomic_load(&runtime_get()->announce_epoch), epoch);
	expect_eq(seen.scans, 0);
	say_hello(77); /* it still listens */
	expect_eq(refused_now(), before + 2 * count);
	return 0;
}

static void test_nonsense(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	run_tasks(say_nonsense, NULL);
}

/* Too short, each alone in the pipe. */
static int say_fragments(void *arg)
{
	struct strand_command hello = command(STRAND_COMMAND_HELLO);
	static const size_t sizes[] = {1, 2, 4, 8, 32, 63};
	uint64_t before = refused_now();

	(void)arg;
	hello.threshold_ns = 4321;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		say(&hello, sizes[i]);
		await_refused(before + i + 1);
	}
	expect_eq(strand_descriptor.threshold_ns, 10 * STRAND_MILLISECOND);
	say_hello(78);
	return 0;
}

static void test_fragments(void **state)
{
	(void)state;
	run_tasks(say_fragments, NULL);
}

/* Random bytes in random pieces, and then it still works. */
static int say_noise(void *arg)
{
	unsigned char noise[512];
	uint64_t seed = 42, before = refused_now();

	(void)arg;
	for (int i = 0; i < 500; i++) {
		size_t size = 1 + seed % sizeof(noise);

		for (size_t k = 0; k < size; k++) {
			seed = seed * 6364136223846793005 + 1442695040888963407;
			noise[k] = (unsigned char)(seed >> 56);
		}
		say(noise, size);
	}
	/* Fragments may have been read together with what followed: wait for silence. */
	while (refused_now() == before)
		strand_yield();
	for (bool heard = false; !heard;) {
		struct strand_command hello = command(STRAND_COMMAND_HELLO);
		strand_time until = strand_now() + 100 * STRAND_MILLISECOND;

		hello.threshold_ns = 79;
		say(&hello, sizeof(hello));
		while (!heard && strand_now() < until) {
			heard = strand_descriptor.threshold_ns == 79;
			strand_yield();
		}
	}
	return 0;
}

static void test_noise(void **state)
{
	(void)state;
	run_tasks(say_noise, NULL);
}

/* ---- SCAN ----------------------------------------------------------------------------------- */

/* Each request is answered once, with its number and in order; a flood is mostly refused. */
static int flood(void *arg)
{
	struct strand_command scans[20];
	uint64_t refused = refused_now(), searches = strand_descriptor.searches;
	int done;

	(void)arg;
	memset(&seen, 0, sizeof(seen));
	strand_probe_semaphore = 1;
	for (int i = 0; i < 20; i++) {
		scans[i] = command(STRAND_COMMAND_SCAN);
		scans[i].request = 1000 + (uint64_t)i;
	}
	say(scans, sizeof(scans)); /* in one piece: below PIPE_BUF */
	while ((done = __atomic_load_n(&seen.scans, __ATOMIC_SEQ_CST)) < 20)
		strand_yield();
	for (int i = 0; i < 20; i++)
		expect_eq(seen.scan_requests[i], 1000 + i);
	expect_eq(done, 20);
	expect_true(seen.scan_statuses[0] != STRAND_SEARCH_REFUSED);
	expect_true(seen.refused > 0);
	expect_eq(refused_now(), refused + (uint64_t)seen.refused);
	expect_eq(strand_descriptor.searches, searches + 20 - (uint64_t)seen.refused);
	strand_probe_semaphore = 0;
	return 0;
}

static void test_scan_flood(void **state)
{
	(void)state;
	run_tasks(flood, NULL);
}

/* ---- ending --------------------------------------------------------------------------------- */

/* The runtime ends although the pipe is full of commands. */
static int fill_pipe(void *arg)
{
	struct strand_command nothing = command(STRAND_COMMAND_CANCEL);
	int fd = strand_descriptor.control_fd;
	int flags = fcntl(fd, F_GETFL);

	(void)arg;
	expect_eq(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
	for (int i = 0; i < 100000; i++)
		if (write(fd, &nothing, sizeof(nothing)) < 0)
			break;
	return 0;
}

static void test_end_with_full_pipe(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++)
		run_tasks(fill_pipe, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),      cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_fragments),  cmocka_unit_test(test_noise),
		cmocka_unit_test(test_scan_flood), cmocka_unit_test(test_end_with_full_pipe),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, install, NULL);
}

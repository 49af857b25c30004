/* SPDX-License-Identifier: MIT */
/* Messages between workers; to be run with STRAND_WORKERS=2. */
#include "bench_strand.h"

#include <stdatomic.h>

#define PRODUCERS 1000

struct stream {
	struct strand_chan *chan;
	long count;
	_Atomic int started;
};

/* A task that never parks before the other has started keeps it off its worker. */
static void start_together(struct stream *s)
{
	atomic_fetch_add(&s->started, 1);
	while (atomic_load(&s->started) < 2)
		continue;
}

static int receiver(void *arg)
{
	struct stream *s = arg;
	long value = 0;

	start_together(s);
	for (long i = 0; i < s->count; i++)
		strand_chan_recv(s->chan, STRAND_FOREVER, &value);
	bench_need(value == s->count - 1, "receiving in order");
	return 0;
}

static void run_across(const char *name, long count, size_t capacity)
{
	struct stream s = {.chan = bench_chan(sizeof(long), capacity), .count = count};
	struct strand_task *to = bench_spawn(receiver, &s);

	start_together(&s);

	double start = bench_now_ns();

	for (long i = 0; i < count; i++)
		strand_chan_send(s.chan, &i, STRAND_FOREVER);
	bench_join(to);
	bench_report(name, (bench_now_ns() - start) / (double)count);
	strand_chan_unref(s.chan);
}

static void run_message(const char *name, long count)
{
	run_across(name, count, 0);
}

static void run_buffered(const char *name, long count)
{
	run_across(name, count, 128);
}

static int producer(void *arg)
{
	const struct stream *s = arg;

	for (long i = 0; i < s->count; i++)
		strand_chan_send(s->chan, &i, STRAND_FOREVER);
	return 0;
}

static void run_fan_in(const char *name, long count)
{
	struct stream s = {.chan = bench_chan(sizeof(long), 128), .count = count / PRODUCERS};
	struct strand_task *producers[PRODUCERS];
	long total = s.count * PRODUCERS;
	long sum = 0, value;
	double start = bench_now_ns();

	for (int i = 0; i < PRODUCERS; i++)
		producers[i] = bench_spawn(producer, &s);
	for (long i = 0; i < total; i++) {
		strand_chan_recv(s.chan, STRAND_FOREVER, &value);
		sum += value;
	}
	for (int i = 0; i < PRODUCERS; i++)
		bench_join(producers[i]);
	bench_report(name, (bench_now_ns() - start) / (double)total);
	bench_need(sum == s.count * (s.count - 1) / 2 * PRODUCERS, "receiving everything");
	strand_chan_unref(s.chan);
}

int main(int argc, char **argv)
{
	static const struct bench all[] = {
		{"message_2", run_message, 500000},
		{"buffered_2", run_buffered, 5000000},
		{"fan_in_2", run_fan_in, 2000000},
		{0},
	};

	return bench_strand_main(argc, argv, all);
}

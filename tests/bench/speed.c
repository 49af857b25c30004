/* SPDX-License-Identifier: MIT */
/* What one operation costs on one worker. */
#include "bench_strand.h"

#define SPAWN_BATCH 256

/* ---- switch: two tasks yield to each other ------------------------------------- */

static int yielder(void *arg)
{
	for (long n = *(long *)arg; n > 0; n--)
		strand_yield();
	return 0;
}

static void run_switch(const char *name, long count)
{
	long each = count / 2;
	double start = bench_now_ns();
	struct strand_task *a = bench_spawn(yielder, &each);
	struct strand_task *b = bench_spawn(yielder, &each);

	bench_join(a);
	bench_join(b);
	bench_report(name, (bench_now_ns() - start) / (double)count);
}

/* ---- messages: one task sends, another receives ---------------------------------- */

struct stream {
	struct strand_chan *chan[2];
	long count;
};

static int sender(void *arg)
{
	const struct stream *s = arg;

	for (long i = 0; i < s->count; i++)
		strand_chan_send(s->chan[0], &i, STRAND_FOREVER);
	return 0;
}

static int receiver(void *arg)
{
	const struct stream *s = arg;
	long value = 0;

	for (long i = 0; i < s->count; i++)
		strand_chan_recv(s->chan[0], STRAND_FOREVER, &value);
	bench_need(value == s->count - 1, "receiving in order");
	return 0;
}

static void run_messages(const char *name, long count, size_t capacity)
{
	struct stream s = {.chan = {bench_chan(sizeof(long), capacity)}, .count = count};
	double start = bench_now_ns();
	struct strand_task *from = bench_spawn(sender, &s);
	struct strand_task *to = bench_spawn(receiver, &s);

	bench_join(from);
	bench_join(to);
	bench_report(name, (bench_now_ns() - start) / (double)count);
	strand_chan_unref(s.chan[0]);
}

static void run_message(const char *name, long count)
{
	run_messages(name, count, 0);
}

static void run_buffered(const char *name, long count)
{
	run_messages(name, count, 128);
}

/* ---- spawn: start tasks that end at once, in batches ------------------------------- */

static void nothing(void *arg)
{
	--*(long *)arg;
}

static void spawn_batch(long *left)
{
	*left = SPAWN_BATCH;
	for (int i = 0; i < SPAWN_BATCH; i++)
		bench_need(strand_go(nothing, left) == 0, "strand_go");
	while (*(volatile long *)left)
		strand_yield();
}

static void run_spawn(const char *name, long count)
{
	long batches = (count + SPAWN_BATCH - 1) / SPAWN_BATCH;
	long left;

	spawn_batch(&left); /* makes the stacks; the batches below find them again */

	double start = bench_now_ns();

	for (long i = 0; i < batches; i++)
		spawn_batch(&left);
	bench_report(name, (bench_now_ns() - start) / (double)(batches * SPAWN_BATCH));
}

/* ---- select: one task sends on two channels in turn, another selects over both ------- */

static int alternating_sender(void *arg)
{
	const struct stream *s = arg;

	for (long i = 0; i < s->count; i++)
		strand_chan_send(s->chan[i & 1], &i, STRAND_FOREVER);
	return 0;
}

static int selecting_receiver(void *arg)
{
	const struct stream *s = arg;
	long value = 0;
	struct strand_case cases[] = {
		{STRAND_CASE_RECV, s->chan[0], &value, 0},
		{STRAND_CASE_RECV, s->chan[1], &value, 0},
	};

	for (long i = 0; i < s->count; i++)
		strand_select(cases, 2, STRAND_FOREVER);
	bench_need(value == s->count - 1, "receiving in order");
	return 0;
}

static void run_select(const char *name, long count)
{
	struct stream s = {{bench_chan(sizeof(long), 0), bench_chan(sizeof(long), 0)}, count};
	double start = bench_now_ns();
	struct strand_task *from = bench_spawn(alternating_sender, &s);
	struct strand_task *to = bench_spawn(selecting_receiver, &s);

	bench_join(from);
	bench_join(to);
	bench_report(name, (bench_now_ns() - start) / (double)count);
	strand_chan_unref(s.chan[0]);
	strand_chan_unref(s.chan[1]);
}

/* ---- mutex: an uncontended lock and unlock ------------------------------------------------ */

static void run_mutex(const char *name, long count)
{
	struct strand_mutex mutex = {0};
	double start = bench_now_ns();

	for (long i = 0; i < count; i++) {
		strand_mutex_lock(&mutex, STRAND_FOREVER);
		strand_mutex_unlock(&mutex);
	}
	bench_report(name, (bench_now_ns() - start) / (double)count);
	bench_need(strand_mutex_lock(&mutex, 0) == 0, "locking a free mutex");
	bench_need(strand_mutex_unlock(&mutex) == 0, "unlocking");
}

int main(int argc, char **argv)
{
	static const struct bench all[] = {
		{"switch", run_switch, 20000000},
		{"message", run_message, 10000000},
		{"buffered", run_buffered, 20000000},
		{"spawn", run_spawn, 5000000},
		{"select", run_select, 5000000},
		{"mutex", run_mutex, 20000000},
		{0},
	};

	return bench_strand_main(argc, argv, all);
}

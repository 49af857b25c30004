/* SPDX-License-Identifier: MIT */
/*
 * The benchmarks for State Threads. It has no channels, so they are made of its conditions, as
 * its users would: the best case, since only one thread ever runs. It has neither yield nor
 * select: `switch` is two threads that wake each other through conditions.
 */
#include <st.h>

#include "../bench_memory.h"

#define SPAWN_BATCH 256
#define STACK_SIZE  65536
#define RING        128

static st_thread_t start(void *(*fn)(void *), void *arg, int joinable)
{
	st_thread_t thread = st_thread_create(fn, arg, joinable, STACK_SIZE);

	bench_need(thread != NULL, "st_thread_create");
	return thread;
}

struct turns {
	st_cond_t cond[2];
	long count;
};

static void take_turns(struct turns *t, int me)
{
	for (long i = 0; i < t->count / 2; i++) {
		st_cond_signal(t->cond[!me]);
		st_cond_wait(t->cond[me]);
	}
	st_cond_signal(t->cond[!me]);
}

static void *other_turns(void *arg)
{
	take_turns(arg, 1);
	return NULL;
}

static void run_switch(const char *name, long count)
{
	struct turns t = {{st_cond_new(), st_cond_new()}, count};
	double begin = bench_now_ns();
	st_thread_t other = start(other_turns, &t, 1);

	take_turns(&t, 0);
	st_thread_join(other, NULL);
	bench_report(name, (bench_now_ns() - begin) / (double)count);
}

struct chan {
	long ring[RING];
	unsigned capacity, head, count;
	st_cond_t not_full, not_empty;
	long messages;
};

static void chan_send(struct chan *c, long value)
{
	while (c->count == c->capacity)
		st_cond_wait(c->not_full);
	c->ring[(c->head + c->count++) % RING] = value;
	st_cond_signal(c->not_empty);
}

static long chan_recv(struct chan *c)
{
	long value;

	while (!c->count)
		st_cond_wait(c->not_empty);
	value = c->ring[c->head];
	c->head = (c->head + 1) % RING;
	c->count--;
	st_cond_signal(c->not_full);
	return value;
}

static void *receiver(void *arg)
{
	struct chan *c = arg;
	long value = 0;

	for (long i = 0; i < c->messages; i++)
		value = chan_recv(c);
	bench_need(value == c->messages - 1, "receiving in order");
	return NULL;
}

static void run_messages(const char *name, long count, unsigned capacity)
{
	struct chan c = {.capacity = capacity,
			 .not_full = st_cond_new(),
			 .not_empty = st_cond_new(),
			 .messages = count};
	double begin = bench_now_ns();
	st_thread_t to = start(receiver, &c, 1);

	for (long i = 0; i < count; i++)
		chan_send(&c, i);
	st_thread_join(to, NULL);
	bench_report(name, (bench_now_ns() - begin) / (double)count);
}

static void run_message(const char *name, long count)
{
	run_messages(name, count, 1);
}

static void run_buffered(const char *name, long count)
{
	run_messages(name, count, RING);
}

struct batch {
	long left;
	st_cond_t done;
};

static void *end_at_once(void *arg)
{
	struct batch *b = arg;

	if (!--b->left)
		st_cond_signal(b->done);
	return NULL;
}

static void run_batch(struct batch *b)
{
	b->left = SPAWN_BATCH;
	for (int i = 0; i < SPAWN_BATCH; i++)
		start(end_at_once, b, 0);
	st_cond_wait(b->done);
}

static void run_spawn(const char *name, long count)
{
	struct batch b = {.done = st_cond_new()};
	long batches = (count + SPAWN_BATCH - 1) / SPAWN_BATCH;

	run_batch(&b);

	double begin = bench_now_ns();

	for (long i = 0; i < batches; i++)
		run_batch(&b);
	bench_report(name, (bench_now_ns() - begin) / (double)(batches * SPAWN_BATCH));
}

static void run_mutex(const char *name, long count)
{
	st_mutex_t mutex = st_mutex_new();
	double begin = bench_now_ns();

	for (long i = 0; i < count; i++) {
		st_mutex_lock(mutex);
		st_mutex_unlock(mutex);
	}
	bench_report(name, (bench_now_ns() - begin) / (double)count);
}

struct crowd {
	st_cond_t gate;
	long parked;
};

static void *wait_at_gate(void *arg)
{
	struct crowd *c = arg;

	c->parked++;
	st_cond_wait(c->gate);
	c->parked--;
	return NULL;
}

static void run_parked(const char *name, long count)
{
	struct crowd c = {.gate = st_cond_new()};
	struct bench_footprint before = bench_footprint_now();

	for (long i = 0; i < count; i++)
		start(wait_at_gate, &c, 0);
	while (c.parked < count)
		st_usleep(0);
	bench_report_footprint(name, before, count);
	st_cond_broadcast(c.gate);
	while (c.parked)
		st_usleep(0);
}

int main(int argc, char **argv)
{
	static const struct bench all[] = {
		{"switch", run_switch, 20000000},     {"message", run_message, 10000000},
		{"buffered", run_buffered, 20000000}, {"spawn", run_spawn, 2000000},
		{"mutex", run_mutex, 20000000},       {"parked_100k", run_parked, 100000},
		{"parked_1m", run_parked, 1000000},   {0},
	};
	struct bench bench = bench_choose(argc, argv, all);

	bench_need(st_init() == 0, "st_init");
	bench.run(bench.name, bench.count);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * What a leak search costs the program: 100,000 waiting tasks, of which 1,000 are leaked, a heap
 * of 64-byte blocks, and a plain thread that writes to a hot set at random all the time.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "bench_memory.h"
#include "bench_strand.h"

#define TASKS         100000
#define LEAKED_ONE_IN 100
#define BLOCK         64
#define HOT_SET       ((size_t)16 << 20)
#define QUIET_NS      500000000.0 /* the writer's speed is measured without a search for so long */

struct block {
	struct block *next;
	char rest[BLOCK - sizeof(struct block *)];
};

static struct block *heap;        /* all blocks, in one list */
static struct strand_chan **kept; /* of those who are not leaked */

/* ---- the graph --------------------------------------------------------------------- */

static void wait_for_ever(void *arg)
{
	struct strand_chan *chan = arg;

	strand_chan_recv(chan, STRAND_FOREVER, NULL);
	strand_chan_unref(chan);
}

/* A chain: each waits on a channel that only the next one holds; nobody holds the last one's. */
static struct strand_chan *chain_link;

static void wait_in_chain(void *arg)
{
	struct strand_chan *volatile held = arg;
	struct strand_chan *mine = chain_link;

	strand_chan_recv(mine, STRAND_FOREVER, NULL);
	strand_chan_unref(held);
}

static void make_heap(size_t bytes)
{
	for (size_t i = 0; i < bytes / BLOCK; i++) {
		struct block *b = malloc(sizeof(*b));

		bench_need(b != NULL, "malloc");
		memset(b->rest, 1, sizeof(b->rest));
		b->next = heap;
		heap = b;
	}
}

static void make_tasks(void)
{
	kept = calloc(TASKS, sizeof(struct strand_chan *));
	bench_need(kept != NULL, "calloc");
	for (int i = 0; i < TASKS; i++) {
		struct strand_chan *chan = bench_chan(sizeof(int), 0);

		if (i % LEAKED_ONE_IN)
			kept[i] = strand_chan_ref(chan);
		bench_need(strand_go(wait_for_ever, chan) == 0, "strand_go");
		if (i % 1000 == 0)
			strand_yield();
	}
	strand_yield();
}

/* In a task that ends: a stale pointer on a live stack would keep the whole chain alive. */
static int make_chain(void *arg)
{
	struct strand_chan *before = bench_chan(sizeof(int), 0);

	for (long i = *(long *)arg; i > 0; i--) {
		chain_link = bench_chan(sizeof(int), 0);
		bench_need(strand_go(wait_in_chain, before) == 0, "strand_go");
		strand_yield();
		before = chain_link;
	}
	chain_link = NULL;
	return 0;
}

/* ---- the writer ---------------------------------------------------------------------- */

static struct {
	uint64_t *words;
	_Atomic long writes;
	_Atomic double worst_ns;
	_Atomic bool ends;
} writer;

static void *write_at_random(void *unused)
{
	double last = bench_now_ns();
	uint64_t random = 1;

	while (!atomic_load_explicit(&writer.ends, memory_order_relaxed)) {
		double now;

		for (int i = 0; i < 64; i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			writer.words[(random >> 33) % (HOT_SET / sizeof(uint64_t))] = random | 1;
		}
		atomic_fetch_add_explicit(&writer.writes, 64, memory_order_relaxed);
		now = bench_now_ns();
		if (now - last > atomic_load_explicit(&writer.worst_ns, memory_order_relaxed))
			atomic_store(&writer.worst_ns, now - last);
		last = now;
	}
	return unused;
}

static double writes_per_ns(double since, long before)
{
	return (double)(atomic_load(&writer.writes) - before) / (bench_now_ns() - since);
}

static pthread_t start_writer(double *ret_speed)
{
	pthread_t thread;
	double began;
	long before;

	writer.words = malloc(HOT_SET);
	bench_need(writer.words != NULL, "malloc");
	memset(writer.words, 1, HOT_SET);
	bench_need(pthread_create(&thread, NULL, write_at_random, NULL) == 0, "pthread_create");
	began = bench_now_ns();
	before = atomic_load(&writer.writes);
	while (bench_now_ns() - began < QUIET_NS)
		strand_sleep(strand_now() + STRAND_MILLISECOND);
	*ret_speed = writes_per_ns(began, before);
	atomic_store(&writer.worst_ns, 0);
	return thread;
}

static void stop_writer(pthread_t thread)
{
	atomic_store(&writer.ends, true);
	pthread_join(thread, NULL);
}

/* ---- the search ------------------------------------------------------------------------ */

static void report(const char *name, const char *what, double value)
{
	char metric[64];

	snprintf(metric, sizeof(metric), "%s_%s", name, what);
	bench_report(metric, value);
}

static struct strand_leaks_result search(long leaked)
{
	struct strand_leaks_result result;
	int r = strand_leaks(0, NULL, NULL, &result);

	if (r < 0)
		fprintf(stderr, "bench: the search: %s\n", result.cause);
	bench_need(r >= 0, "strand_leaks");
	if (r < leaked)
		fprintf(stderr, "bench: %d of %ld leaks found\n", r, leaked);
	bench_need(r >= leaked * 99 / 100, "finding the leaks");
	return result;
}

static void search_beside_writer(const char *name, long megabytes)
{
	struct strand_leaks_result result;
	double speed, began;
	pthread_t thread;
	long before;

	make_heap((size_t)megabytes << 20);
	make_tasks();
	thread = start_writer(&speed);
	began = bench_now_ns();
	before = atomic_load(&writer.writes);
	result = search(TASKS / LEAKED_ONE_IN);
	report(name, "lost", 100 - 100 * writes_per_ns(began, before) / speed);
	report(name, "gap", atomic_load(&writer.worst_ns) / 1e6);
	report(name, "pause", (double)result.pause / 1e6);
	report(name, "total", (double)result.total / 1e6);
	stop_writer(thread);
}

static void search_chain(const char *name, long length)
{
	struct strand_leaks_result result;

	bench_join(bench_spawn(make_chain, &length));
	result = search(length);
	report(name, "total", (double)result.total / 1e6);
}

int main(int argc, char **argv)
{
	static const struct bench all[] = {
		{"leaks_tracking", search_beside_writer, 1024},
		{"leaks_clone", search_beside_writer, 1024},
		{"leaks_chain_10k", search_chain, 10000},
		{"leaks_chain_100k", search_chain, 100000},
		{NULL, NULL, 0},
	};

	if (argc > 1)
		setenv("STRAND_SEARCH", strstr(argv[1], "clone") ? "clone" : "tracking", 1);
	return bench_strand_main(argc, argv, all);
}

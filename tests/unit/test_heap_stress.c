/* SPDX-License-Identifier: MIT */
/*
 * Channels that are held by the heap alone, while threads never stop to move the pointers from
 * block to block and searches never stop either: no task that waits on one is ever leaked.
 */
#include <malloc.h>
#include <stdatomic.h>
#include <string.h>
#include "strand_test.h"

#define MOVERS          2
#define CHURNERS        2
#define CHANNELS        8 /* of each mover */
#define SECONDS_DEFAULT 3
#define SECONDS_ENV     "STRAND_STRESS_SECONDS"

static _Atomic bool the_end;
static _Atomic unsigned searches, conclusive, proofs;

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

/* ---- threads ------------------------------------------------------------------------- */

/* A block that holds a channel, somewhere in it. */
struct box {
	size_t words; /* behind this */
	void *word[];
};

struct mover {
	pthread_t thread;
	unsigned seed;
	struct box **boxes; /* a block of its own, which moves as well */
};

static _Thread_local struct box *in_thread_local;

static struct box *new_box(struct mover *m, void *content)
{
	size_t words = 1 + next_random(&m->seed) % (next_random(&m->seed) % 16 ? 60 : 5000);
	struct box *box = malloc(sizeof(*box) + words * sizeof(box->word[0]));

	if (!box)
		abort();
	box->words = words;
	memset(box->word, 0, words * sizeof(box->word[0]));
	box->word[next_random(&m->seed) % words] = content;
	return box;
}

static void *content_of(const struct box *box)
{
	for (size_t i = 0; i < box->words; i++)
		if (box->word[i])
			return box->word[i];
	return NULL;
}

/* From its block to a new one, or through a resized one, or by way of a thread-local. */
static void move(struct mover *m, unsigned i)
{
	struct box *old = m->boxes[i];

	switch (next_random(&m->seed) % 4) {
	case 0:
		in_thread_local = old;
		m->boxes[i] = NULL;
		m->boxes[i] = new_box(m, content_of(in_thread_local));
		free(in_thread_local);
		in_thread_local = NULL;
		break;
	case 1: /* grows, and maybe moves */
		m->boxes[i] = realloc(old, sizeof(*old) + (old->words + 64) * sizeof(old->word[0]));
		break;
	default:
		m->boxes[i] = new_box(m, content_of(old));
		free(old);
	}
}

static void move_table(struct mover *m)
{
	struct box **table = malloc((CHANNELS + next_random(&m->seed) % 100) * sizeof(*table));

	if (!table)
		abort();
	memcpy(table, m->boxes, CHANNELS * sizeof(*table));
	free(m->boxes);
	m->boxes = table;
}

static void *mover_main(void *arg)
{
	struct mover *m = arg;

	while (!atomic_load(&the_end)) {
		for (unsigned i = 0; i < CHANNELS; i++)
			move(m, i);
		move_table(m);
	}
	return NULL;
}

/* Blocks of all sizes, by all calls. */
static void *churner_main(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	void *blocks[128] = {NULL};

	while (!atomic_load(&the_end)) {
		void **block = &blocks[next_random(&seed) % 128];
		size_t size = next_random(&seed) % (next_random(&seed) % 64 ? 700 : 300000);

		switch (next_random(&seed) % 8) {
		case 0:
			*block = realloc(*block, size + 1);
			break;
		case 1:
			free(*block);
			*block = aligned_alloc(64, size / 64 * 64 + 64);
			break;
		case 2:
			free(*block);
			*block = calloc(1, size);
			break;
		case 3:
			if (next_random(&seed) % 1000 == 0)
				malloc_trim(0);
			break;
		default:
			free(*block);
			*block = malloc(size);
		}
	}
	for (size_t i = 0; i < 128; i++)
		free(blocks[i]);
	return NULL;
}

/* ---- tasks ----------------------------------------------------------------------------- */

static void receive(void *arg)
{
	strand_chan_recv(arg, STRAND_FOREVER, NULL);
	strand_chan_unref(arg);
}

/* What it waits for only a block that nobody knows could end. */
static void wait_in_vain(void *arg)
{
	strand_chan_recv(arg, STRAND_FOREVER, NULL);
}

static __attribute__((noinline)) void lose(void *unused)
{
	struct strand_chan **block = calloc(20, sizeof(*block));

	(void)unused;
	if (!block)
		abort();
	expect_eq(strand_chan_new(0, 0, &block[7]), 0);
	expect_eq(strand_go(wait_in_vain, block[7]), 0);
}

static void see(const struct strand_leak *leak, void *arg)
{
	(void)arg;
	if (leak->entry == wait_in_vain)
		atomic_fetch_add(&proofs, 1);
	else
		expect_true(!"a task that waits on a held channel is leaked");
}

static void search_until(strand_time end)
{
	while (strand_now() < end && !test_failures) {
		int r = strand_leaks(0, see, NULL, NULL);

		expect_true(r >= 0 || r == -EAGAIN);
		atomic_fetch_add(&searches, 1);
		atomic_fetch_add(&conclusive, r >= 0);
	}
}

static void start_mover(struct mover *m, unsigned number)
{
	m->seed = number + 1;
	m->boxes = calloc(CHANNELS, sizeof(struct box *));
	if (!m->boxes)
		abort();
	for (unsigned i = 0; i < CHANNELS; i++) {
		struct strand_chan *chan;

		expect_eq(strand_chan_new(0, 0, &chan), 0);
		expect_eq(strand_go(receive, strand_chan_ref(chan)), 0);
		m->boxes[i] = new_box(m, chan);
	}
	expect_eq(pthread_create(&m->thread, NULL, mover_main, m), 0);
}

/* The channels still are where they ought to be: everybody can be woken. */
static void end_mover(struct mover *m)
{
	pthread_join(m->thread, NULL);
	for (unsigned i = 0; i < CHANNELS; i++) {
		struct strand_chan *chan = content_of(m->boxes[i]);

		expect_eq(strand_chan_close(chan), 0);
		strand_chan_unref(chan);
		free(m->boxes[i]);
	}
	free(m->boxes);
}

static int stress(void *arg)
{
	const char *text = getenv(SECONDS_ENV);
	struct mover *movers = calloc(MOVERS, sizeof(*movers));
	pthread_t churners[CHURNERS];

	(void)arg;
	strand_go(lose, NULL);
	strand_yield();
	for (unsigned i = 0; i < MOVERS; i++)
		start_mover(&movers[i], i);
	for (uintptr_t i = 0; i < CHURNERS; i++)
		expect_eq(pthread_create(&churners[i], NULL, churner_main, (void *)(i + 1)), 0);
	search_until(strand_now() + (text ? atoi(text) : SECONDS_DEFAULT) * STRAND_SECOND);
	atomic_store(&the_end, true);
	for (unsigned i = 0; i < MOVERS; i++)
		end_mover(&movers[i]);
	for (unsigned i = 0; i < CHURNERS; i++)
		pthread_join(churners[i], NULL);
	free(movers);
	return 0;
}

static void test_moving_pointers(void **state)
{
	(void)state;
	run_tasks_with(2, stress, NULL);
	print_message("%u searches, %u conclusive, %u proofs\n", searches, conclusive, proofs);
	assert_true(conclusive > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moving_pointers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

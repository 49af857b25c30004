/* SPDX-License-Identifier: MIT */
/*
 * Tasks that wait for channels which only blocks of malloc hold, whatever malloc that is. Prints
 * how many leaks the search proves: "alone N, lost N, held N".
 *
 *   alone  channels that nobody holds but the task that waits: leaked, on any heap
 *   lost   held by blocks that nobody holds: leaked, where the heap is understood
 *   held   held by blocks that are reached from a global variable: never leaked
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <strand.h>

#define EACH         50
#define SIZE_MAX_LOG 21 /* blocks of 16 bytes to 1 MiB */

struct holder {
	struct holder *next;
	struct strand_chan *chan;
};

static struct holder **table; /* a block, too, which leads to every second holder */
static atomic_int alone, lost, held;

static void wait_alone(void *chan)
{
	strand_chan_recv(chan, STRAND_FOREVER, NULL);
}

static void wait_lost(void *chan)
{
	strand_chan_recv(chan, STRAND_FOREVER, NULL);
}

static void wait_held(void *chan)
{
	strand_chan_recv(chan, STRAND_FOREVER, NULL);
}

static struct strand_chan *waited_for(void (*fn)(void *))
{
	struct strand_chan *chan;

	if (strand_chan_new(0, 0, &chan) || strand_go(fn, chan))
		abort();
	return chan;
}

static struct holder *new_holder(int i, void (*fn)(void *))
{
	struct holder *holder = calloc(1, (size_t)16 << i % (SIZE_MAX_LOG - 4));

	if (!holder)
		abort();
	holder->chan = waited_for(fn);
	return holder;
}

/* A task of its own, so that no stack that is still in use has seen any of it. */
static void arrange(void *unused)
{
	(void)unused;
	table = calloc(EACH / 2, sizeof(struct holder *));
	if (!table)
		abort();
	for (int i = 0; i < EACH; i++) {
		struct holder *holder = new_holder(i, wait_held);

		holder->next = table[i / 2];
		table[i / 2] = holder;
		new_holder(i, wait_lost);
		waited_for(wait_alone);
	}
}

static void see(const struct strand_leak *leak, void *unused)
{
	(void)unused;
	atomic_fetch_add(leak->entry == wait_alone  ? &alone
			 : leak->entry == wait_lost ? &lost
						    : &held,
			 1);
}

static int search(void *unused)
{
	strand_time end = strand_now() + 30 * STRAND_SECOND;
	int r;

	(void)unused;
	strand_go(arrange, NULL);
	strand_sleep(strand_now() + 50 * STRAND_MILLISECOND);
	do
		r = strand_leaks(0, see, NULL, NULL);
	while (r == -EAGAIN && strand_now() < end);
	if (r < 0)
		return 1;
	printf("alone %d, lost %d, held %d\n", alone, lost, held);
	return 0;
}

int main(void)
{
	return strand_main(search, NULL) != 0;
}

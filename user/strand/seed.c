/* SPDX-License-Identifier: MIT */
/* Drawing from a seed, and the virtual clock. */
#include "strand/seed.h"

#include <stdlib.h>
#include <time.h>

/*
 * Upper bound of how far the clock goes with one look at it. Deadlines of some microseconds
 * then race with the tasks that would be in time; raising it makes all deadlines shorter.
 */
#define LOOK_MAX (1 * STRAND_MICROSECOND)

bool seed_is_in_use;

strand_time clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (strand_time)ts.tv_sec * STRAND_SECOND + ts.tv_nsec;
}

/* splitmix64: one word of state, and neighbouring seeds have nothing in common. */
static uint64_t draw(struct seed *seed)
{
	uint64_t x = seed->state += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

size_t seed_below(struct seed *seed, size_t n)
{
	return (size_t)(draw(seed) % n);
}

bool seed_begin(struct seed *seed)
{
	const char *text = getenv("STRAND_SEED");

	if (!text || !*text)
		return false;
	seed->state = strtoull(text, NULL, 0);
	seed->calls_per_yield = (size_t)1 << seed_below(seed, 5);
	seed->now = clock_now(); /* so that it is no other epoch than that of plain threads */
	seed_is_in_use = true;
	return true;
}

void seed_end(void)
{
	seed_is_in_use = false;
}

strand_time seed_now(struct seed *seed)
{
	seed->now += 1 + (strand_time)seed_below(seed, LOOK_MAX);
	return seed->now;
}

strand_time seed_real_time(const struct seed *seed, strand_time until)
{
	return until == STRAND_FOREVER ? until : clock_now() + (until - seed->now);
}

/* SPDX-License-Identifier: MIT */
/*
 * Runs that can be repeated: STRAND_SEED.
 *
 * With a seed there is one worker, and all that is else left to chance is drawn from the seed:
 * which of the tasks that can run runs next, where a task lets others run although it need not,
 * which ready case a select does, when the worker looks for deadlines and cancellations. So one
 * seed is one interleaving, and many seeds are many.
 *
 * Nor does the clock decide: time is virtual. It passes a little with each look at it, and jumps
 * to the next deadline when nothing can run. What comes from outside (descriptors, blocking
 * calls, plain threads, signals) is not drawn from the seed and comes when it comes.
 */
#ifndef STRAND_SEED_H
#define STRAND_SEED_H

#include <stdbool.h>
#include <stddef.h>
#include <strand.h>

/* Of a runtime; only its worker uses it. */
struct seed {
	uint64_t state;
	size_t calls_per_yield; /* on average; differs between seeds, as bugs differ in what they need */
	strand_time now;
};

/*
 * Is the process's runtime seeded? Apart, since public calls ask it before all else; and no
 * atomic, so that to ask is one instruction: a plain thread that still sees the old value of a
 * runtime that just starts or ends does as if it had asked before or after.
 */
extern bool seed_is_in_use __attribute__((visibility("hidden")));

static inline bool seed_in_use(void)
{
	return __builtin_expect(seed_is_in_use, 0);
}

/* Begin with the seed of the environment. False: there is none. */
bool seed_begin(struct seed *seed);
void seed_end(void);

/* A number below n, which is at least 1. */
size_t seed_below(struct seed *seed, size_t n);

/* What strand_now() is to a task. */
strand_time seed_now(struct seed *seed);

/* The real clock. */
strand_time clock_now(void);

/* When, on the real clock, it will be as late as `until` if time passes as usual. */
strand_time seed_real_time(const struct seed *seed, strand_time until);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Running a scenario over many interleavings: one for each seed of STRAND_SEED.
 *
 * A seed that fails, or hangs, is named; `STRAND_SEED=N PROGRAM` runs every scenario of the
 * program with that seed only.
 */
#ifndef INTERLEAVE_H
#define INTERLEAVE_H

#include "strand_test.h"

/* Instrumented builds are ten times slower, and look for other mistakes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INTERLEAVE_SEEDS 200
#else
#define INTERLEAVE_SEEDS 2000
#endif

/* Of real time. No scenario takes a millisecond, and time is virtual: whoever is late hangs. */
#define INTERLEAVE_LIMIT 20

static const char *interleave_only; /* the one seed to run, NULL: all */
static const char *interleave_name; /* of the running scenario */
static char interleave_text[24];    /* its seed */
static uint64_t interleave_state;   /* of draw() */

/* What a scenario decides by chance. The same for the same seed: there is one worker. */
static inline size_t draw(size_t n)
{
	interleave_state = interleave_state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)((interleave_state >> 33) % n);
}

/* A time that may come before or after what is waited for, or a try, or never. */
static inline strand_time draw_deadline(void)
{
	switch (draw(4)) {
	case 0:
		return 0;
	case 1:
		return STRAND_FOREVER;
	default:
		return strand_now() + (strand_time)draw(20 * STRAND_MICROSECOND);
	}
}

static inline void let_some_run(size_t most)
{
	for (size_t n = draw(most + 1); n > 0; n--)
		strand_yield();
}

static inline struct strand_task *start_task(int (*fn)(void *), void *arg)
{
	struct strand_task *task = NULL;

	expect_eq(strand_spawn(NULL, fn, arg, &task), 0);
	return task;
}

/* Returns its result. */
static inline int end_task(struct strand_task *task)
{
	int result = -1;

	expect_eq(strand_join(task, STRAND_FOREVER, &result), 0);
	strand_task_unref(task);
	return result;
}

static void interleave_hangs(int signal)
{
	(void)signal;
	dprintf(STDERR_FILENO, "%s hangs; again: STRAND_SEED=%s\n", interleave_name,
		interleave_text);
	_exit(1);
}

/* Run fn as the main task with this seed. Returns whether all went well. */
static inline bool interleave_once(const char *seed, int (*fn)(void *), void *arg)
{
	int r;

	snprintf(interleave_text, sizeof(interleave_text), "%s", seed);
	interleave_state = strtoull(seed, NULL, 0);
	setenv("STRAND_SEED", seed, 1);
	test_failures = 0;
	alarm(INTERLEAVE_LIMIT);
	r = strand_main(fn, arg);
	alarm(0);
	unsetenv("STRAND_SEED");
	return r == 0 && !test_failures;
}

static inline void over_seeds(const char *name, int (*fn)(void *), void *arg)
{
	unsigned long first = 1, last = INTERLEAVE_SEEDS;

	if (interleave_only)
		first = last = strtoul(interleave_only, NULL, 0);
	interleave_name = name;
	for (unsigned long seed = first; seed <= last; seed++) {
		char text[24];

		snprintf(text, sizeof(text), "%lu", seed);
		if (interleave_once(text, fn, arg))
			continue;
		print_error("%s fails; again: STRAND_SEED=%lu\n", name, seed);
		fail();
	}
}

/* To be called by main(). */
static inline void interleave_begin(void)
{
	interleave_only = getenv("STRAND_SEED");
	setenv("STRAND_OBSERVE", "0", 1); /* no control thread: only what the seed decides */
	crash_plainly();
	signal(SIGALRM, interleave_hangs);
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What all example programs do once they have leaked: say so and go on living, so
 * that an observer finds a process that works and has a leak, like a real service.
 */
#ifndef EXAMPLES_LIVE_ON_H
#define EXAMPLES_LIVE_ON_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <strand.h>

/* How long to live, from the first argument. */
static inline long life_seconds(int argc, char **argv)
{
	return argc > 1 ? strtol(argv[1], NULL, 10) : 60;
}

/* A task's share of honest work between two naps. */
static inline uint64_t work_a_little(uint64_t seed)
{
	for (int i = 0; i < 1000; i++)
		seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed;
}

/* Print "PID ready" and serve for the given time. Called by the main task. */
static inline int live_on(long seconds)
{
	strand_time end = strand_now() + seconds * STRAND_SECOND;
	volatile uint64_t result = 1;

	printf("%d ready\n", (int)getpid());
	fflush(stdout);
	while (strand_now() < end) {
		result = work_a_little(result);
		strand_sleep(strand_now() + 10 * STRAND_MILLISECOND);
	}
	return 0;
}

#endif

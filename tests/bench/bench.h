/* SPDX-License-Identifier: MIT */
/*
 * What all benchmark programs have in common, ours and the peers'; C and C++.
 *
 *     PROGRAM NAME [COUNT]
 *
 * runs one benchmark and prints a line `METRIC VALUE` for each thing that it measured. COUNT
 * is the number of operations; without it the benchmark's own, which takes about a second.
 * Status 2 means that the program has no such benchmark.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bench {
	const char *name;
	void (*run)(const char *name, long count);
	long count;
};

static inline double bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static inline void bench_report(const char *metric, double value)
{
	printf("%s %.3f\n", metric, value);
}

/* A step of a benchmark failed: a figure would be a lie. */
static inline void bench_need(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "bench: cannot measure: %s failed\n", what);
	exit(1);
}

/* The benchmark that the arguments name, with its count set; exits if there is none. */
static inline struct bench bench_choose(int argc, char **argv, const struct bench *all)
{
	struct bench chosen;

	if (argc < 2) {
		fprintf(stderr, "usage: %s NAME [COUNT]\n", argv[0]);
		exit(1);
	}
	for (; all->name; all++) {
		if (strcmp(all->name, argv[1]) != 0)
			continue;
		chosen = *all;
		if (argc > 2)
			chosen.count = atol(argv[2]);
		bench_need(chosen.count > 0, "reading COUNT");
		return chosen;
	}
	exit(2);
}

#endif

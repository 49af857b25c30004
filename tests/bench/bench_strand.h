/* SPDX-License-Identifier: MIT */
/* What our own benchmark programs have in common: they run inside the runtime. */
#ifndef BENCH_STRAND_H
#define BENCH_STRAND_H

#include <strand.h>

#include "bench.h"

static int bench_in_task(void *arg)
{
	const struct bench *bench = arg;

	bench->run(bench->name, bench->count);
	return 0;
}

static inline int bench_strand_main(int argc, char **argv, const struct bench *all)
{
	struct bench bench = bench_choose(argc, argv, all);

	bench_need(strand_main(bench_in_task, &bench) == 0, "strand_main");
	return 0;
}

static inline struct strand_task *bench_spawn(int (*fn)(void *), void *arg)
{
	struct strand_task *task = NULL;

	bench_need(strand_spawn(NULL, fn, arg, &task) == 0, "strand_spawn");
	return task;
}

static inline void bench_join(struct strand_task *task)
{
	bench_need(strand_join(task, STRAND_FOREVER, NULL) == 0, "strand_join");
	strand_task_unref(task);
}

static inline struct strand_chan *bench_chan(size_t element_size, size_t capacity)
{
	struct strand_chan *chan = NULL;

	bench_need(strand_chan_new(element_size, capacity, &chan) == 0, "strand_chan_new");
	return chan;
}

#endif

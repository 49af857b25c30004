/* SPDX-License-Identifier: MIT */
/* What parked tasks weigh, and what a deadline costs when very many wait with one. */
#include <errno.h>
#include <stdbool.h>

#include "bench_memory.h"
#include "bench_strand.h"

struct crowd {
	struct strand_chan *gate;
	strand_time deadline; /* of each wait: later by up to spread */
	strand_time spread;
	uint32_t seed;
	long parked;
};

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static strand_time some_deadline(struct crowd *c)
{
	if (!c->spread)
		return c->deadline;
	return c->deadline + (strand_time)next_random(&c->seed) * (c->spread >> 24);
}

static int wait_at_gate(void *arg)
{
	struct crowd *c = arg;

	c->parked++;
	return strand_chan_recv(c->gate, some_deadline(c), NULL) == -EPIPE ? 0 : -1;
}

static void gather(struct crowd *c, struct strand_task **tasks, long count)
{
	for (long i = 0; i < count; i++)
		tasks[i] = bench_spawn(wait_at_gate, c);
	while (*(volatile long *)&c->parked < count)
		strand_yield();
}

/* Wakes them all by closing the gate. */
static void dismiss(struct crowd *c, struct strand_task **tasks, long count)
{
	strand_chan_close(c->gate);
	for (long i = 0; i < count; i++) {
		int result = -1;

		bench_need(strand_join(tasks[i], STRAND_FOREVER, &result) == 0, "strand_join");
		bench_need(result == 0, "waking a parked task");
		strand_task_unref(tasks[i]);
	}
}

static struct strand_task **new_task_list(long count)
{
	struct strand_task **tasks = malloc((size_t)count * sizeof(struct strand_task *));

	bench_need(tasks != NULL, "malloc");
	memset(tasks, 0, (size_t)count * sizeof(struct strand_task *)); /* not counted as theirs */
	return tasks;
}

static void run_parked(const char *name, long count)
{
	struct crowd c = {.gate = bench_chan(0, 0), .deadline = STRAND_FOREVER};
	struct strand_task **tasks = new_task_list(count);
	struct bench_footprint before = bench_footprint_now();
	double start = bench_now_ns();
	char metric[128];

	gather(&c, tasks, count);
	snprintf(metric, sizeof(metric), "%s_create", name);
	bench_report(metric, (bench_now_ns() - start) / (double)count);
	bench_report_footprint(name, before, count);
	start = bench_now_ns();
	dismiss(&c, tasks, count);
	snprintf(metric, sizeof(metric), "%s_wake_and_join", name);
	bench_report(metric, (bench_now_ns() - start) / (double)count);
	snprintf(metric, sizeof(metric), "%s_peak_rss", name);
	bench_report(metric, bench_memory("VmHWM"));
	strand_chan_unref(c.gate);
	free(tasks);
}

/* ---- deadlines ----------------------------------------------------------------------- */

struct pair {
	struct crowd *crowd;
	struct strand_chan *chan;
	bool armed;
	long count;
};

static strand_time pair_deadline(struct pair *p)
{
	strand_time deadline = some_deadline(p->crowd); /* so that both runs pay for it */

	return p->armed ? deadline : STRAND_FOREVER;
}

static int send_all(void *arg)
{
	struct pair *p = arg;

	for (long i = 0; i < p->count; i++)
		bench_need(strand_chan_send(p->chan, NULL, pair_deadline(p)) == 0, "sending");
	return 0;
}

static double message_time(struct crowd *c, bool armed, long count)
{
	struct pair p = {c, bench_chan(0, 0), armed, count};
	double start = bench_now_ns();
	struct strand_task *from = bench_spawn(send_all, &p);

	for (long i = 0; i < count; i++)
		bench_need(strand_chan_recv(p.chan, pair_deadline(&p), NULL) == 0, "receiving");
	bench_join(from);
	strand_chan_unref(p.chan);
	return (bench_now_ns() - start) / (double)count;
}

/*
 * An unbuffered message parks once: twice for two messages, sender and receiver in turn. So
 * what a deadline adds to a message is arming and disarming once, the park itself taken off.
 */
static void run_deadline(const char *name, long armed)
{
	const long messages = 1000000;
	strand_time hour = 3600 * STRAND_SECOND;
	struct crowd c = {.gate = bench_chan(0, 0),
			  .deadline = strand_now() + hour,
			  .spread = hour,
			  .seed = 1};
	struct strand_task **tasks = new_task_list(armed);

	gather(&c, tasks, armed);

	double with = message_time(&c, true, messages);
	double without = message_time(&c, false, messages);

	bench_report(name, with - without);
	dismiss(&c, tasks, armed);
	strand_chan_unref(c.gate);
	free(tasks);
}

int main(int argc, char **argv)
{
	static const struct bench all[] = {
		{"parked_100k", run_parked, 100000},
		{"parked_1m", run_parked, 1000000},
		{"deadline_1m", run_deadline, 1000000},
		{0},
	};

	return bench_strand_main(argc, argv, all);
}

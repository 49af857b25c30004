/* SPDX-License-Identifier: MIT */
/* Measures the encoders that machines read, on models as large as a busy host's. See bench.h. */
#include <stdint.h>

#include "bench.h"
#include "view/json.h"
#include "view/openmetrics.h"
#include "view/profile.h"

#define SECOND 1000000000LL
#define ROUNDS 5 /* the fastest counts: the encoders are pure functions, all else is noise */

static char *copy(const char *text)
{
	char *to = strdup(text);

	bench_need(to != NULL, "strdup");
	return to;
}

static struct model_frame make_frame(unsigned i)
{
	char function[64], file[64];

	snprintf(function, sizeof(function), "handle_request_%u", i);
	snprintf(file, sizeof(file), "/usr/src/service/source/file_%u.c", i % 100);
	return (struct model_frame){
		.pc = 0x400000 + 16 * i,
		.function = copy(function),
		.function_offset = 42,
		.file = copy(file),
		.line = i,
		.module = copy("/usr/bin/service"),
		.module_offset = 16 * i,
	};
}

/* A task as most are: a stack of four frames, at one of so many sites. */
static void add_task(struct model_process *p, unsigned id, unsigned sites)
{
	struct model_task *t;

	bench_need(!model_add_task(p, &t), "adding a task");
	t->id = id;
	t->parent = 1;
	t->name = copy("worker");
	t->reason = STRAND_WAIT_CHAN_RECEIVE;
	t->object = 0x7f0000000000 + 64 * id;
	t->since_ns = 1000 * SECOND - id;
	t->state = id % 10 ? MODEL_WAITING : MODEL_LEAKED;
	t->stack.frames = calloc(4, sizeof(*t->stack.frames));
	bench_need(t->stack.frames != NULL, "calloc");
	t->stack.count = 4;
	for (unsigned i = 0; i < 4; i++)
		t->stack.frames[i] = make_frame(id % sites + i * 100000);
	t->created_by = make_frame(7);
	t->entry = make_frame(8);
}

static struct model_process *add_process(struct model *m, unsigned pid)
{
	struct model_process *p;

	bench_need(!model_add_process(m, &p), "adding a process");
	p->pid = (pid_t)pid;
	p->command = copy("service");
	p->exe = copy("/usr/bin/service");
	return p;
}

static void make_model(struct model *m, long tasks, unsigned sites)
{
	struct model_process *p;

	model_init(m);
	m->now_ns = 1000 * SECOND;
	p = add_process(m, 1);
	for (unsigned id = 1; id <= tasks; id++)
		add_task(p, id, sites);
	model_sort(m);
}

struct counter {
	double bytes;
};

static ssize_t count_bytes(void *cookie, const char *bytes, size_t size)
{
	struct counter *c = cookie;

	(void)bytes;
	c->bytes += (double)size;
	return (ssize_t)size;
}

static FILE *open_counter(struct counter *c)
{
	FILE *out = fopencookie(c, "w", (cookie_io_functions_t){.write = count_bytes});

	bench_need(out != NULL, "fopencookie");
	c->bytes = 0;
	return out;
}

typedef void (*encoder)(FILE *out, const struct model *m);

/* The fastest of some rounds, in nanoseconds. */
static double time_encoder(encoder encode, const struct model *m, double *ret_bytes)
{
	double best = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct counter counter;
		FILE *out = open_counter(&counter);
		double start = bench_now_ns(), took;

		encode(out, m);
		fclose(out);
		took = bench_now_ns() - start;
		if (!i || took < best)
			best = took;
		*ret_bytes = counter.bytes;
	}
	return best;
}

static void encode_json(FILE *out, const struct model *m)
{
	view_json(out, m, JSON_SNAPSHOT);
}

static void encode_pprof(FILE *out, const struct model *m)
{
	bench_need(!view_profile(out, m, PROFILE_GOROUTINE, 0), "view_profile");
}

static void encode_metrics(FILE *out, const struct model *m)
{
	const struct openmetrics_options o = {.dialect = OPENMETRICS_TEXT};

	bench_need(!view_openmetrics(out, m, &o), "view_openmetrics");
}

static void run_json(const char *name, long count)
{
	struct model m;
	double bytes, ns;

	make_model(&m, count, 1000);
	ns = time_encoder(encode_json, &m, &bytes);
	bench_report(name, ns / bytes);
	model_done(&m);
}

static void run_pprof(const char *name, long count)
{
	struct model m;
	double bytes;

	make_model(&m, count, (unsigned)count);
	bench_report(name, time_encoder(encode_pprof, &m, &bytes) / 1e6);
	model_done(&m);
}

/* Of a thousand processes; how many tasks they have is a number in each. */
static void run_metrics(const char *name, long count)
{
	struct model m;
	double bytes;

	model_init(&m);
	for (unsigned pid = 1; pid <= 1000; pid++) {
		struct model_process *p = add_process(&m, pid);
		char command[16];

		snprintf(command, sizeof(command), "service-%u", pid % 200);
		free(p->command);
		p->command = copy(command);
		p->counts.known = true;
		p->counts.tasks[MODEL_WAITING] = (uint64_t)count / 1000;
	}
	model_sort(&m);
	bench_report(name, time_encoder(encode_metrics, &m, &bytes) / 1e6);
	model_done(&m);
}

int main(int argc, char **argv)
{
	static const struct bench all[] = {
		{"json_100k", run_json, 100000},
		{"pprof_10k", run_pprof, 10000},
		{"metrics_1m", run_metrics, 1000000},
		{NULL, NULL, 0},
	};
	const struct bench chosen = bench_choose(argc, argv, all);

	chosen.run(chosen.name, chosen.count);
	return 0;
}

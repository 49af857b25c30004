/* SPDX-License-Identifier: MIT */
/* The observer at the scale of a system: what it costs, and how late it is. Needs root. */
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <strand.h>
#include "bench.h"
#include "observe/observer.h"
#include "observe/watch.h"

#define SECOND_NS 1000000000LL
#define PATIENCE  (60 * SECOND_NS)
#define REFRESHES 21

static struct strand_chan *nobody_sends;

/* ---- targets, in processes of their own -------------------------------------------- */

static void wait_for_ever(void *arg)
{
	(void)arg;
	strand_chan_recv(nobody_sends, STRAND_FOREVER, NULL);
}

struct target_plan {
	long tasks;
	int ready; /* a descriptor that is written to when all wait */
};

static int park_all(void *arg)
{
	const struct target_plan *plan = arg;

	bench_need(!strand_chan_new(8, 0, &nobody_sends), "strand_chan_new");
	for (long i = 0; i < plan->tasks; i++)
		bench_need(!strand_go(wait_for_ever, NULL), "strand_go");
	strand_yield();
	bench_need(write(plan->ready, "", 1) == 1, "write");
	return strand_sleep(STRAND_FOREVER);
}

static void ponger(void *arg)
{
	long n;

	while (!strand_chan_recv(arg, STRAND_FOREVER, &n))
		;
}

/* Rounds of messages; after each one a line with its speed, read by the observer's side. */
static int talk(void *arg)
{
	const struct target_plan *plan = arg;
	struct strand_chan *c;

	bench_need(!strand_chan_new(sizeof(long), 0, &c), "strand_chan_new");
	bench_need(!strand_go(ponger, c), "strand_go");
	for (;;) {
		double start = bench_now_ns(), ns;

		for (long i = 0; i < plan->tasks; i++)
			strand_chan_send(c, &i, STRAND_FOREVER);
		ns = (bench_now_ns() - start) / (double)plan->tasks;
		if (write(plan->ready, &ns, sizeof(ns)) != sizeof(ns))
			return 0;
	}
}

struct child {
	pid_t pid;
	int from;
};

/* With exec, as only then it is a process of its own to the observer. */
static struct child start_child(const char *name, long count)
{
	char number[32], fd[16];
	struct child c;
	int ends[2];

	bench_need(!pipe(ends), "pipe");
	c.from = ends[0];
	c.pid = fork();
	if (c.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(number, sizeof(number), "%ld", count);
		snprintf(fd, sizeof(fd), "%d", ends[1]);
		execl("/proc/self/exe", "observe", name, number, fd, (char *)NULL);
		_exit(127);
	}
	bench_need(c.pid > 0, "fork");
	close(ends[1]);
	return c;
}

static void await_child(const struct child *c)
{
	char byte;

	bench_need(read(c->from, &byte, 1) == 1, "the target");
}

static void end_child(const struct child *c)
{
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	close(c->from);
}

/* ---- the observer ------------------------------------------------------------------- */

static struct observer *observe(pid_t pid, int64_t threshold_ns)
{
	const struct observer_options options = {
		.threshold_ns = threshold_ns, .scope = {.pid = pid}, .stacks = true};
	struct observer *o = NULL;
	char *error = NULL;

	if (observer_new(&options, &o, &error)) {
		fprintf(stderr, "%s\n", error ? error : "bench: no observer");
		exit(1);
	}
	return o;
}

static struct model look(struct observer *o)
{
	struct model m;

	bench_need(!observer_overview(o, &m), "observer_overview");
	return m;
}

static uint64_t waiting(const struct model *m)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < m->process_count; i++)
		sum += m->processes[i].counts.tasks[MODEL_WAITING];
	return sum;
}

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double rss_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size, resident;

	bench_need(f && fscanf(f, "%ld %ld", &size, &resident) == 2, "/proc/self/statm");
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* What the kernel says that a map takes. */
static double map_bytes(int map)
{
	char path[64], line[128];
	double bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", map);
	f = fopen(path, "r");
	bench_need(f != NULL, path);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "memlock:", 8))
			bytes = atof(line + 8);
	fclose(f);
	return bytes;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

static void report_refreshes(struct observer *o)
{
	double wall[REFRESHES], cpu[REFRESHES];

	for (int i = 0; i < REFRESHES; i++) {
		double start = bench_now_ns(), cpu_start = cpu_ns();
		struct model m = look(o);

		wall[i] = (bench_now_ns() - start) / 1e6;
		cpu[i] = (cpu_ns() - cpu_start) / 1e6;
		model_done(&m);
	}
	bench_report("observed_refresh", median(wall, REFRESHES));
	bench_report("observed_refresh_cpu", median(cpu, REFRESHES));
}

/* A million tasks wait when the observer comes. */
static void observed_1m(const char *name, long count)
{
	struct child target = start_child("park", count);
	double start, empty;
	struct observer *o;
	struct model m;

	(void)name;
	await_child(&target);
	start = bench_now_ns();
	o = observe(target.pid, 10000000);
	empty = map_bytes(o->maps.waiting);
	for (uint64_t seen = 0; seen < (uint64_t)count;) {
		bench_need(bench_now_ns() - start < PATIENCE, "the announcement");
		observer_run(o, observe_now_ns() + 10000000);
		m = look(o);
		seen = waiting(&m);
		model_done(&m);
	}
	bench_report("observed_announce", (bench_now_ns() - start) / 1e6);
	bench_report("observed_map", (map_bytes(o->maps.waiting) - empty) / (double)count);
	report_refreshes(o);
	bench_report("observed_rss", rss_bytes() / 1e6);
	observer_free(o);
	end_child(&target);
}

/* ---- many processes ------------------------------------------------------------------- */

static void await_processes(struct observer *o, size_t count)
{
	int64_t give_up = observe_now_ns() + PATIENCE;
	size_t seen = 0;

	while (seen < count) {
		struct model m;

		bench_need(observe_now_ns() < give_up, "finding the processes");
		observer_run(o, observe_now_ns() + 1000000);
		m = look(o);
		seen = waiting(&m) / 3;
		model_done(&m);
	}
}

static void observed_processes(const char *name, long count)
{
	struct child *targets = calloc((size_t)count + 1, sizeof(*targets));
	struct observer *o;
	double start, cpu;

	(void)name;
	bench_need(targets != NULL, "calloc");
	for (long i = 0; i < count; i++) /* three tasks wait in each: two and the first one */
		targets[i] = start_child("park", 2);
	for (long i = 0; i < count; i++)
		await_child(&targets[i]);
	start = bench_now_ns();
	o = observe(0, 10000000);
	bench_report("observed_processes_attach", (bench_now_ns() - start) / 1e6);
	await_processes(o, (size_t)count);
	bench_report("observed_processes_all", (bench_now_ns() - start) / 1e6);
	start = bench_now_ns();
	targets[count] = start_child("park", 2);
	await_processes(o, (size_t)count + 1);
	bench_report("observed_processes_new", (bench_now_ns() - start) / 1e6);
	start = bench_now_ns();
	cpu = cpu_ns();
	observer_run(o, observe_now_ns() + 10 * SECOND_NS);
	bench_report("observed_processes_idle", 100 * (cpu_ns() - cpu) / (bench_now_ns() - start));
	observer_free(o);
	for (long i = 0; i <= count; i++)
		end_child(&targets[i]);
	free(targets);
}

/* ---- what a target pays ------------------------------------------------------------------ */

static double speed(const struct child *target)
{
	double ns[8];
	int queued;

	while (!ioctl(target->from, FIONREAD, &queued) && queued > 0)
		bench_need(read(target->from, ns, sizeof(*ns)) == sizeof(*ns), "talk");
	for (size_t i = 0; i < 8; i++)
		bench_need(read(target->from, &ns[i], sizeof(ns[i])) == sizeof(ns[i]), "talk");
	return median(ns + 1, 7); /* the first one was begun before */
}

static double observed_speed(const struct child *target, int64_t threshold_ns)
{
	struct observer *o = observe(target->pid, threshold_ns);
	double ns;

	observer_run(o, observe_now_ns() + 100000000);
	ns = speed(target);
	observer_free(o);
	return ns;
}

static void observed_message(const char *name, long count)
{
	struct child target = start_child("talk", count);
	double ratio[5], traced[5];

	(void)name;
	for (int i = 0; i < 5; i++) {
		double alone = speed(&target);

		ratio[i] = 100 * alone / observed_speed(&target, 10000000);
		alone = speed(&target);
		traced[i] = 100 * alone / observed_speed(&target, 0);
	}
	bench_report("observed_message_speed", median(ratio, 5));
	bench_report("traced_message_speed", median(traced, 5));
	end_child(&target);
}

static const struct bench all[] = {
	{"observed_1m", observed_1m, 1000000},
	{"observed_processes", observed_processes, 1000},
	{"observed_message", observed_message, 500000},
	{NULL, NULL, 0},
};

int main(int argc, char **argv)
{
	struct bench chosen;

	if (argc == 4) { /* a target */
		struct target_plan plan = {.tasks = atol(argv[2]), .ready = atoi(argv[3])};

		return strand_main(strcmp(argv[1], "park") == 0 ? park_all : talk, &plan);
	}
	chosen = bench_choose(argc, argv, all);
	if (geteuid()) {
		fprintf(stderr, "bench: observing needs root\n");
		return 1;
	}
	chosen.run(chosen.name, chosen.count);
	return 0;
}

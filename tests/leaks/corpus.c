/* SPDX-License-Identifier: MIT */
/*
 * Run the corpus and compare what strand_leaks() proves with what each case says.
 *
 * usage: corpus [-r REPETITIONS] [CASE...]      all cases, or those whose name contains CASE
 *        corpus -1 THREADS CASE                 one run, in this process, for a debugger
 *
 * Each run of a case is a process of its own, which starts this program again: with so many
 * foreign threads that do nothing, and STRAND_WORKERS workers. The case is run once, then
 * CORPUS_INSTANCES - 1 times more, and two searches follow on each: they have to agree with
 * what is expected, so also with each other.
 */
#include "corpus.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEARCHES        2
#define RUN_SECONDS     60 /* a case that hangs fails */
#define KINDS_MAX       16 /* different leaks of one search */
#define DEFAULT_REPEATS 20
#define OUTPUT_MAX      (1 << 16)
#define LENGTH(array)   (sizeof(array) / sizeof((array)[0]))

static const int worker_counts[] = {1, 2};
static const int thread_counts[] = {0, 1, 3};

static const struct corpus_case *const families[] = {
	simple_cases,     pattern_cases,          goker_cockroach_cases, goker_etcd_cases,
	goker_grpc_cases, goker_kubernetes_cases, goker_moby_cases,      goker_misc_cases,
	fixed_cases,      control_cases,          beyond_go_cases,
};

/* Numbers of leaked tasks, added up over searches. */
struct tally {
	unsigned long expected, found, missing, unexpected;
};

/* ---- one run: in the process of the case --------------------------------------------- */

struct kind {
	const char *function, *reason;
	unsigned found, expected;
};

/* No address of an object is kept anywhere: it would be a root of the next search. */
struct run {
	const struct corpus_case *c;
	unsigned instances;
	struct tally tally;
	struct kind kinds[KINDS_MAX];
	size_t kind_count;
	char notes[4096];
};

static void note(struct run *run, const char *text, const struct kind *kind, unsigned count)
{
	size_t used = strlen(run->notes);

	snprintf(run->notes + used, sizeof(run->notes) - used,
		 "# %u %s, of %u instances: %s [%s]\n", count, text, run->instances, kind->function,
		 kind->reason);
}

/* The innermost function that is not the library's. */
static const char *waits_in(const struct strand_leak *leak)
{
	for (size_t i = 0; i < leak->stack_count; i++) {
		Dl_info info;

		if (dladdr((void *)(leak->stack[i] - 1), &info) && info.dli_sname &&
		    strncmp(info.dli_sname, "strand_", strlen("strand_")))
			return info.dli_sname;
	}
	return "(unknown)";
}

static struct kind *find_kind(struct run *run, const char *function, const char *reason)
{
	struct kind *kind;

	for (size_t i = 0; i < run->kind_count; i++) {
		kind = &run->kinds[i];
		if (!strcmp(kind->function, function) && !strcmp(kind->reason, reason))
			return kind;
	}
	must(run->kind_count < KINDS_MAX ? 0 : -ENOBUFS, "tell so many leaks apart");
	kind = &run->kinds[run->kind_count++];
	*kind = (struct kind){.function = function, .reason = reason};
	return kind;
}

static void count_leak(const struct strand_leak *leak, void *run)
{
	find_kind(run, waits_in(leak), leak->reason)->found++;
}

static void compare(struct run *run)
{
	for (size_t i = 0; i < run->kind_count; i++) {
		struct kind *k = &run->kinds[i];
		unsigned right = k->found < k->expected ? k->found : k->expected;

		run->tally.expected += k->expected;
		run->tally.found += right;
		run->tally.missing += k->expected - right;
		run->tally.unexpected += k->found - right;
		if (k->found < k->expected)
			note(run, "missing", k, k->expected - right);
		if (k->found > k->expected)
			note(run, "unexpected", k, k->found - right);
	}
}

/* Below its caller: what switches and calls have left there shows in gaps of later frames. */
static __attribute__((noinline)) void scrub_stack(void)
{
	char below[1 << 14];

	explicit_bzero(below, sizeof(below));
}

static void search(struct run *run)
{
	const struct corpus_leak *leak = run->c->leaks;
	struct strand_leaks_result result = {.cause = ""};
	int r;

	run->kind_count = 0;
	for (size_t i = 0; i < CORPUS_LEAKS_MAX && leak[i].function; i++)
		find_kind(run, leak[i].function, leak[i].reason)->expected =
			leak[i].count * run->instances;
	scrub_stack();
	r = search_patiently(count_leak, run, &result);
	if (r == -EAGAIN)
		fprintf(stderr, "# inconclusive: %s\n", result.cause);
	must(r, "search");
	compare(run);
}

/* Who should have ended has, and who should wait does: what does not run proves nothing. */
static void check_tasks(struct run *run)
{
	unsigned wanted = run->c->waiting;
	unsigned actual = (unsigned)count_other_tasks();

	for (size_t i = 0; i < CORPUS_LEAKS_MAX; i++)
		wanted += run->c->leaks[i].count;
	wanted = wanted * run->instances + 1; /* take_first_stack */
	if (actual == wanted)
		return;
	fprintf(stderr, "# %u tasks instead of %u\n", actual, wanted);
	run->tally.unexpected++;
}

static void run_instances(struct run *run, unsigned total)
{
	while (run->instances < total)
		go_and_settle(run->c->run, (void *)(uintptr_t)run->instances++);
}

/*
 * Takes the first stack, and keeps it. That ends where the stack of a thread begins, whose address
 * the runtime's frames still hold from starting it; a pointer to one's end counts as one to it.
 */
static void take_first_stack(void *arg UNUSED_ARG)
{
	strand_sleep(SOME_DAY);
}

/* The main task. It knows no object of the case: each instance is the work of another task. */
static int run_main(void *arg)
{
	static const unsigned totals[] = {1, CORPUS_INSTANCES};
	struct run *run = arg;

	go_and_settle(take_first_stack, NULL);
	for (size_t i = 0; i < LENGTH(totals); i++) {
		run_instances(run, totals[i]);
		check_tasks(run);
		for (int j = 0; j < SEARCHES; j++)
			search(run);
	}
	return 0;
}

static void *idle(void *arg UNUSED_ARG)
{
	for (;;)
		pause();
	return NULL;
}

/* Nothing is written before the last search: bytes in a pipe make one inconclusive. */
static int run_here(const struct corpus_case *c, int threads)
{
	static struct run run;
	pthread_t thread;

	run.c = c;
	for (int i = 0; i < threads; i++)
		must(-pthread_create(&thread, NULL, idle, NULL), "start a thread");
	scrub_stack();
	must(strand_main(run_main, &run), "start the runtime");
	printf("%s%lu %lu %lu %lu\n", run.notes, run.tally.expected, run.tally.found,
	       run.tally.missing, run.tally.unexpected);
	return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- all runs: in the first process ---------------------------------------------------- */

static const struct corpus_case *find_case(const char *name)
{
	for (size_t f = 0; f < LENGTH(families); f++)
		for (const struct corpus_case *c = families[f]; c->name; c++)
			if (!strcmp(c->name, name))
				return c;
	return NULL;
}

/*
 * In the child: no descriptors but the three, so that nothing foreign bothers the search. And no
 * random addresses: words that happen to look like pointers would do so in one run
 * of hundreds.
 */
static void become_run(const struct corpus_case *c, int workers, int threads, int output)
{
	char workers_text[16], threads_text[16];
	int nothing = open("/dev/null", O_RDONLY);

	snprintf(workers_text, sizeof(workers_text), "%d", workers);
	snprintf(threads_text, sizeof(threads_text), "%d", threads);
	setenv("STRAND_WORKERS", workers_text, 1);
	if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 ||
	    close_range(3, ~0u, 0) < 0)
		_exit(126);
	personality(ADDR_NO_RANDOMIZE);
	alarm(RUN_SECONDS);
	execl("/proc/self/exe", "corpus", "-1", threads_text, c->name, NULL);
	_exit(127);
}

/* All that comes until the end, as a string. */
static void read_all(int fd, char *to, size_t size)
{
	size_t used = 0;
	ssize_t n;

	while ((n = read(fd, to + used, size - 1 - used)) > 0 || (n < 0 && errno == EINTR))
		used += n > 0 ? (size_t)n : 0;
	to[used] = '\0';
}

/* A run that dies says nothing of what it found: it counts as one unexpected leak. */
static void add_run(const struct corpus_case *c, int workers, int threads, int status, char *output,
		    struct tally *ret_total)
{
	char *end = strrchr(output, '#');
	char *numbers = end ? strchr(end, '\n') : output;
	struct tally t = {.unexpected = 1};

	if (status || !numbers ||
	    sscanf(numbers, "%lu %lu %lu %lu", &t.expected, &t.found, &t.missing, &t.unexpected) !=
		    4)
		t = (struct tally){.unexpected = 1};
	if (t.missing || t.unexpected)
		printf("# %s, %d workers, %d threads: status %x\n%s", c->name, workers, threads,
		       (unsigned)status, output);
	ret_total->expected += t.expected;
	ret_total->found += t.found;
	ret_total->missing += t.missing;
	ret_total->unexpected += t.unexpected;
}

struct child {
	pid_t pid;
	int output;
};

static struct child start_run(const struct corpus_case *c, int workers, int threads)
{
	struct child child;
	int fds[2];

	must(pipe2(fds, O_CLOEXEC) < 0 ? -errno : 0, "make a pipe");
	fflush(stdout);
	child = (struct child){.pid = fork(), .output = fds[0]};
	must(child.pid < 0 ? -errno : 0, "fork");
	if (child.pid == 0)
		become_run(c, workers, threads, fds[1]);
	close(fds[1]);
	return child;
}

static void end_run(const struct child *child, const struct corpus_case *c, int workers,
		    int threads, struct tally *ret_total)
{
	static char output[OUTPUT_MAX];
	int status = -1;

	read_all(child->output, output, sizeof(output));
	close(child->output);
	must(waitpid(child->pid, &status, 0) < 0 ? -errno : 0, "wait for a run");
	add_run(c, workers, threads, status, output, ret_total);
}

/* Those with different numbers of threads run side by side. */
static void run_with_workers(const struct corpus_case *c, int workers, struct tally *ret_total)
{
	struct child children[LENGTH(thread_counts)];

	for (size_t i = 0; i < LENGTH(thread_counts); i++)
		children[i] = start_run(c, workers, thread_counts[i]);
	for (size_t i = 0; i < LENGTH(thread_counts); i++)
		end_run(&children[i], c, workers, thread_counts[i], ret_total);
}

static struct tally run_case(const struct corpus_case *c, unsigned repeats)
{
	struct tally total = {0};

	for (unsigned i = 0; i < repeats; i++)
		for (size_t w = 0; w < LENGTH(worker_counts); w++)
			run_with_workers(c, worker_counts[w], &total);
	printf("%-40s %9lu %9lu %8lu %10lu\n", c->name, total.expected, total.found, total.missing,
	       total.unexpected);
	fflush(stdout);
	return total;
}

static bool is_chosen(const struct corpus_case *c, char *const names[])
{
	for (size_t i = 0; names[i]; i++)
		if (strstr(c->name, names[i]))
			return true;
	return !names[0];
}

static int run_all(unsigned repeats, char *const names[])
{
	struct tally sum = {0};
	unsigned cases = 0;

	printf("corpus: each case with 1 and %d instances, 1 and 2 workers, 0, 1 and 3 foreign "
	       "threads;\ntwo searches each; %u repetitions; numbers of tasks, all added up\n\n",
	       CORPUS_INSTANCES, repeats);
	printf("%-40s %9s %9s %8s %10s\n", "case", "expected", "found", "missing", "unexpected");
	for (size_t f = 0; f < LENGTH(families); f++) {
		for (const struct corpus_case *c = families[f]; c->name; c++) {
			struct tally t = {0};

			if (!is_chosen(c, names))
				continue;
			t = run_case(c, repeats);
			cases++;
			sum.expected += t.expected;
			sum.found += t.found;
			sum.missing += t.missing;
			sum.unexpected += t.unexpected;
		}
	}
	printf("corpus: %u cases, %lu expected, %lu found, %lu missing, %lu unexpected\n", cases,
	       sum.expected, sum.found, sum.missing, sum.unexpected);
	return cases == 0 || sum.missing || sum.unexpected;
}

static int usage(void)
{
	fprintf(stderr, "usage: corpus [-r REPETITIONS] [CASE...] | corpus -1 THREADS CASE\n");
	return 2;
}

int main(int argc, char **argv)
{
	unsigned repeats = DEFAULT_REPEATS;
	int option;

	setenv("STRAND_RETRACTED", "abort", 0); /* a wrong proof ends the case */
	while ((option = getopt(argc, argv, "r:1:")) != -1) {
		if (option == '1')
			return optind < argc && find_case(argv[optind])
				       ? run_here(find_case(argv[optind]), atoi(optarg))
				       : usage();
		if (option != 'r' || atoi(optarg) < 1)
			return usage();
		repeats = (unsigned)atoi(optarg);
	}
	return run_all(repeats, argv + optind);
}

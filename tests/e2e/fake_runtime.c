/* SPDX-License-Identifier: MIT */
/*
 * A process that looks like one with libstrand in it, and says whatever it is told to.
 *
 * It has no tasks. Commands on standard input make it fire probes; each is answered
 * with a line on standard output, so a test drives it step by step:
 *
 *   park TASK GENERATION AGE_MS   announce a park of a task
 *   hide TASK GENERATION          park a task, and announce it after the next search
 *   crowd COUNT                   announce COUNT tasks, ids from 1000
 *   unpark TASK GENERATION, exit TASK
 *   move-on TASK                  it is in its next park, and nobody is told
 *   leak TASK                     the next reports say that it is leaked
 *   wait-probes, wait-hello       until the observer has attached, has greeted
 *   semaphore                     say how many probes are in place, instead of ok
 *   bad-records                   five that must be refused
 *   flood COUNT REQUEST           scan_done of nothing, COUNT times
 *   exec                          start over, as the same process
 *   quit
 *
 * Its options make it a hostile or broken target:
 *   --report=KIND   see enum report_kind     --abi=N      another version in its note
 *   --no-pipe       no control pipe          --close-pipe the descriptor's number is closed
 *   --no-answer     reads commands, says nothing
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <strand/abi.h>

#define TASKS_MAX 200000
#define CROWD_ID  1000

/* X(symbol, text) */
#define REPORT_KINDS(X)                   \
	X(GOOD, "good")                   \
	X(GARBAGE, "garbage")             \
	X(TRUNCATED, "truncated")         \
	X(UNSEALED, "unsealed")           \
	X(PIPE, "pipe")                   \
	X(OTHER_REQUEST, "other-request") \
	X(INCONCLUSIVE, "inconclusive")   \
	X(REFUSED, "refused")

enum report_kind {
#define X(name, text) REPORT_##name,
	REPORT_KINDS(X)
#undef X
};

static const char *const report_names[] = {
#define X(name, text) [REPORT_##name] = text,
	REPORT_KINDS(X)
#undef X
};

struct fake_task {
	uint64_t id;
	uint64_t generation; /* the word that an observer compares */
	uint64_t since_ns;
	int parked, leaked, hidden;
};

struct fake {
	enum report_kind report;
	int no_pipe, close_pipe, no_answer;
	int pipe[2];
	int report_fd;
	unsigned hellos;
	uint64_t stack_pc, stack_sp, stack_fp, stack_hi; /* of the thread that lends its stack */
	uint64_t created_pc;
	size_t task_count;
	struct fake_task tasks[TASKS_MAX];
	char **argv;
};

/* What the observer finds in the file; its addresses are fixed by the linker. */
extern volatile uint16_t fake_semaphore;
extern struct strand_descriptor fake_descriptor;
struct strand_descriptor fake_descriptor = {
	.magic = STRAND_DESCRIPTOR_MAGIC,
	.abi_major = STRAND_ABI_MAJOR,
	.abi_minor = STRAND_ABI_MINOR,
	.size = sizeof(struct strand_descriptor),
	.control_fd = -1,
	.workers = 1,
	.build = "fake",
};

#if defined(__x86_64__)
#define PROBE_BODY(name) \
	"push %rbp; mov %rsp, %rbp; " name ": .byte 0x0f,0x1f,0x44,0,0; pop %rbp; ret"
#else
#define PROBE_BODY(name) name ": nop; ret"
#endif
#define PROBE(name)                                                                             \
	__asm__(".pushsection .text\n.type fake_" #name ", %function\nfake_" #name              \
		": " PROBE_BODY("fake_" #name "_probe") "\n.size fake_" #name ", .-fake_" #name \
							"\n.popsection");                       \
	void fake_##name(const void *record)

PROBE(spawn);
PROBE(exit);
PROBE(park);
PROBE(unpark);
PROBE(chan);
PROBE(send);
PROBE(recv);
PROBE(scan_done);

__asm__(".pushsection .probes,\"aw\"\n.balign 2\nfake_semaphore: .2byte 0\n.popsection\n"
	".pushsection .note.strand,\"a\",%note\n.balign 4\n"
	".4byte 7, 2f-1f, 1\n.asciz \"strand\"\n.balign 4\n"
	"1: .4byte 1, 0, 2f-1b, 8\n"
	".8byte fake_descriptor-1b, fake_semaphore-1b\n"
	".8byte fake_spawn_probe-1b, fake_exit_probe-1b, fake_park_probe-1b, fake_unpark_probe-1b\n"
	".8byte fake_chan_probe-1b, fake_send_probe-1b, fake_recv_probe-1b, "
	"fake_scan_done_probe-1b\n"
	".8byte 0, 0, 0, 0, 0, 0, 0, 0\n2:\n.popsection");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "fake_runtime: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- a stack to show ------------------------------------------------------- */

static pthread_barrier_t stack_ready;

/* Nobody returns from here: the frames of the callers stay as they are. */
static __attribute__((noinline)) void lend_stack(struct fake *f)
{
	uint64_t *frame = __builtin_frame_address(0);

	f->stack_fp = frame[0];
	f->stack_pc = (uint64_t)(uintptr_t)__builtin_return_address(0);
	f->stack_sp = (uint64_t)(uintptr_t)(frame + 2);
	pthread_barrier_wait(&stack_ready);
	for (;;)
		pause();
}

static __attribute__((noinline)) void fake_waits_here(struct fake *f)
{
	lend_stack(f);
	__asm__ volatile("");
}

static __attribute__((noinline)) void *fake_task_entry(void *context)
{
	struct fake *f = context;

	f->stack_hi = (uint64_t)(uintptr_t)__builtin_frame_address(0) + 16;
	fake_waits_here(f);
	__asm__ volatile("");
	return NULL;
}

static __attribute__((noinline)) void note_creator(struct fake *f)
{
	f->created_pc = (uint64_t)(uintptr_t)__builtin_return_address(0);
}

static __attribute__((noinline)) void fake_creator(struct fake *f)
{
	pthread_t thread;

	note_creator(f);
	pthread_barrier_init(&stack_ready, NULL, 2);
	if (pthread_create(&thread, NULL, fake_task_entry, f))
		fail("pthread_create");
	pthread_barrier_wait(&stack_ready);
}

/* ---- probes ------------------------------------------------------------------ */

static void fill_park(const struct fake *f, const struct fake_task *task,
		      struct strand_rec_park *park)
{
	*park = (struct strand_rec_park){
		.task = task->id,
		.generation = task->generation,
		.since_ns = task->since_ns,
		.object = 0x1000 + task->id,
		.parent = 1,
		.fn = (uint64_t)(uintptr_t)fake_task_entry,
		.created_pc = f->created_pc,
		.pc = f->stack_pc,
		.sp = f->stack_sp,
		.fp = f->stack_fp,
		.stack_hi = f->stack_hi,
		.generation_addr = (uint64_t)(uintptr_t)&task->generation,
		.reason = STRAND_WAIT_CHAN_RECEIVE,
	};
	snprintf(park->name, sizeof(park->name), "fake-%llu", (unsigned long long)task->id);
}

static void announce(struct fake *f, size_t first, size_t count)
{
	static struct strand_rec_park_batch batch;
	size_t n = 0;

	for (size_t i = first; i < first + count; i++) {
		if (f->tasks[i].parked && !f->tasks[i].hidden)
			fill_park(f, &f->tasks[i], &batch.park[n++]);
		if (n < STRAND_PARK_BATCH && i + 1 < first + count)
			continue;
		batch.h = (struct strand_rec_header){
			.abi_major = STRAND_ABI_MAJOR,
			.probe = STRAND_PROBE_PARK,
			.size = sizeof(batch),
			.count = (uint16_t)n,
		};
		batch.now_ns = now_ns();
		batch.announced = fake_descriptor.announced += n;
		if (n && fake_semaphore)
			fake_park(&batch);
		n = 0;
	}
}

static struct strand_rec_header header(enum strand_probe probe)
{
	return (struct strand_rec_header){
		.abi_major = STRAND_ABI_MAJOR, .probe = (uint16_t)probe, .size = 64, .count = 1};
}

static struct fake_task *find_task(struct fake *f, uint64_t id)
{
	for (size_t i = 0; i < f->task_count; i++)
		if (f->tasks[i].id == id)
			return &f->tasks[i];
	if (f->task_count == TASKS_MAX) {
		errno = ENOSPC;
		fail("too many tasks");
	}
	f->tasks[f->task_count] = (struct fake_task){.id = id};
	return &f->tasks[f->task_count++];
}

static struct fake_task *park(struct fake *f, uint64_t id, uint64_t generation, uint64_t age_ms)
{
	struct fake_task *task = find_task(f, id);
	uint64_t age = age_ms * 1000000u;

	task->generation = generation;
	task->since_ns = now_ns();
	task->since_ns -= age < task->since_ns ? age : task->since_ns;
	task->parked = 1;
	return task;
}

static void do_park(struct fake *f, uint64_t id, uint64_t generation, uint64_t age_ms)
{
	struct fake_task *task = park(f, id, generation, age_ms);

	announce(f, (size_t)(task - f->tasks), 1);
}

static void do_hide(struct fake *f, uint64_t id, uint64_t generation)
{
	park(f, id, generation, 100)->hidden = 1;
}

/* As a runtime whose workers are busy when the search ends. */
static void announce_hidden(struct fake *f)
{
	for (size_t i = 0; i < f->task_count; i++) {
		if (!f->tasks[i].hidden)
			continue;
		usleep(50000);
		f->tasks[i].hidden = 0;
		announce(f, i, 1);
	}
}

static void do_crowd(struct fake *f, uint64_t count)
{
	size_t first = f->task_count;

	for (uint64_t i = 0; i < count && f->task_count < TASKS_MAX; i++)
		f->tasks[f->task_count++] = (struct fake_task){
			.id = CROWD_ID + i, .generation = 1, .since_ns = now_ns(), .parked = 1};
	announce(f, first, f->task_count - first);
}

static void do_unpark(struct fake *f, uint64_t id, uint64_t generation)
{
	struct strand_rec_unpark record = {
		.h = header(STRAND_PROBE_UNPARK), .task = id, .generation = generation};
	struct fake_task *task = find_task(f, id);

	if (task->generation <= generation)
		task->parked = 0;
	if (fake_semaphore)
		fake_unpark(&record);
}

static void do_exit(struct fake *f, uint64_t id)
{
	struct strand_rec_exit record = {.h = header(STRAND_PROBE_EXIT), .task = id};

	find_task(f, id)->parked = 0;
	if (fake_semaphore)
		fake_exit(&record);
}

/* ---- reports ------------------------------------------------------------------ */

struct fake_report {
	struct strand_report_header header;
	struct strand_report_task tasks[];
};

static size_t fill_report(struct fake *f, uint64_t request, struct fake_report *report)
{
	struct strand_report_header *h = &report->header;
	size_t n = 0;

	for (size_t i = 0; i < f->task_count; i++)
		if (f->tasks[i].leaked && f->report != REPORT_INCONCLUSIVE)
			report->tasks[n++] = (struct strand_report_task){
				.task = f->tasks[i].id,
				.generation = f->tasks[i].generation,
				.verdict = STRAND_VERDICT_LEAKED,
			};
	*h = (struct strand_report_header){
		.magic = STRAND_REPORT_MAGIC,
		.abi_major = STRAND_ABI_MAJOR,
		.header_size = sizeof(*h),
		.section_count = 1,
		.total_size = sizeof(*h) + n * sizeof(report->tasks[0]),
		.request = f->report == REPORT_OTHER_REQUEST ? request + 1 : request,
		.status = STRAND_SEARCH_DONE,
		.started_ns = now_ns(),
		.stopped_ns = now_ns(),
		.pause_ns = 1000,
		.total_ns = 2000,
		.candidates = f->task_count,
		.leaked = n,
		.section[0] = {STRAND_SECTION_TASKS, sizeof(report->tasks[0]), sizeof(*h), n},
	};
	if (f->report == REPORT_INCONCLUSIVE) {
		h->status = STRAND_SEARCH_INCONCLUSIVE;
		h->cause = STRAND_CAUSE_TIME_BUDGET;
	}
	if (f->report == REPORT_GARBAGE)
		memset(report, 0xa5, h->total_size);
	return sizeof(*h) + n * sizeof(report->tasks[0]);
}

static int make_report(struct fake *f, uint64_t request, __u64 *ret_size)
{
	struct fake_report *report =
		calloc(1, sizeof(*report) + f->task_count * sizeof(report->tasks[0]));
	size_t size, written;
	int fd = memfd_create("report", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (!report || fd < 0)
		fail("report");
	size = fill_report(f, request, report);
	written = f->report == REPORT_TRUNCATED ? size - 8 : size;
	if (write(fd, report, written) != (ssize_t)written)
		fail("write");
	if (f->report != REPORT_UNSEALED)
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	free(report);
	*ret_size = written;
	return fd;
}

static void answer_scan(struct fake *f, uint64_t request)
{
	struct strand_rec_scan_done done = {
		.h = header(STRAND_PROBE_SCAN_DONE),
		.request = request,
		.report_fd = -1,
		.status = STRAND_SEARCH_DONE,
	};

	if (f->report_fd >= 0)
		close(f->report_fd);
	f->report_fd = -1;
	if (f->report == REPORT_REFUSED) {
		done.status = STRAND_SEARCH_REFUSED;
		done.cause = STRAND_CAUSE_RATE_LIMIT;
	} else if (f->report == REPORT_PIPE) {
		done.report_fd = f->pipe[0];
		done.report_size = 4096;
	} else {
		f->report_fd = make_report(f, request, &done.report_size);
		done.report_fd = f->report_fd;
	}
	if (fake_semaphore)
		fake_scan_done(&done);
}

/* ---- control ------------------------------------------------------------------ */

static void *control_thread(void *context)
{
	struct strand_command command;
	struct fake *f = context;

	while (read(f->pipe[0], &command, sizeof(command)) == sizeof(command)) {
		pthread_mutex_lock(&lock);
		if (command.type == STRAND_COMMAND_HELLO) {
			fake_descriptor.threshold_ns = command.threshold_ns;
			announce(f, 0, f->task_count);
			f->hellos++;
		} else if (command.type == STRAND_COMMAND_SCAN && !f->no_answer) {
			answer_scan(f, command.request);
			announce_hidden(f);
		}
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void start_control(struct fake *f)
{
	pthread_t thread;

	fake_descriptor.pid = getpid();
	if (f->no_pipe)
		return;
	if (pipe2(f->pipe, O_CLOEXEC) || fchmod(f->pipe[1], 0622))
		fail("pipe");
	if (pthread_create(&thread, NULL, control_thread, f))
		fail("pthread_create");
	fake_descriptor.control_fd = f->pipe[1];
	if (f->close_pipe)
		close(f->pipe[1]);
}

static void wait_probes(void)
{
	while (!fake_semaphore)
		usleep(1000);
}

static void wait_hello(struct fake *f)
{
	unsigned hellos = 0;

	while (!hellos) {
		usleep(1000);
		pthread_mutex_lock(&lock);
		hellos = f->hellos;
		pthread_mutex_unlock(&lock);
	}
}

/* ---- commands ------------------------------------------------------------------ */

static void do_flood(uint64_t count, uint64_t request)
{
	struct strand_rec_scan_done done = {
		.h = header(STRAND_PROBE_SCAN_DONE), .request = request, .report_fd = -1};

	while (count-- && fake_semaphore)
		fake_scan_done(&done);
}

/* Parks whose headers are wrong in one way each. */
static void do_bad_records(void)
{
	static const struct strand_rec_header headers[] = {
		{STRAND_ABI_MAJOR + 1, STRAND_PROBE_PARK, 64 + 128, 1},
		{STRAND_ABI_MAJOR, STRAND_PROBE_UNPARK, 64 + 128, 1},
		{STRAND_ABI_MAJOR, STRAND_PROBE_PARK, 64 + 127, 1},
		{STRAND_ABI_MAJOR, STRAND_PROBE_PARK, UINT16_MAX, STRAND_PARK_BATCH + 1},
	};
	struct strand_rec_park_batch batch = {.park[0] = {.task = 1, .generation = 1}};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]) && fake_semaphore; i++) {
		batch.h = headers[i];
		fake_park(&batch);
	}
	if (fake_semaphore)
		fake_park((void *)16); /* nothing is there */
}

static void do_leak(struct fake *f, uint64_t id)
{
	find_task(f, id)->leaked = 1;
}

static int run_command(struct fake *f, const char *verb, const unsigned long long *n)
{
	if (!strcmp(verb, "park"))
		do_park(f, n[0], n[1], n[2]);
	else if (!strcmp(verb, "hide"))
		do_hide(f, n[0], n[1]);
	else if (!strcmp(verb, "crowd"))
		do_crowd(f, n[0]);
	else if (!strcmp(verb, "unpark"))
		do_unpark(f, n[0], n[1]);
	else if (!strcmp(verb, "exit"))
		do_exit(f, n[0]);
	else if (!strcmp(verb, "move-on"))
		find_task(f, n[0])->generation++;
	else if (!strcmp(verb, "leak"))
		do_leak(f, n[0]);
	else if (!strcmp(verb, "flood"))
		do_flood(n[0], n[1]);
	else if (!strcmp(verb, "bad-records"))
		do_bad_records();
	else if (!strcmp(verb, "exec"))
		execv("/proc/self/exe", f->argv);
	else
		return -1;
	return 0;
}

static void serve(struct fake *f)
{
	char line[128], verb[32];

	while (fgets(line, sizeof(line), stdin)) {
		unsigned long long n[3] = {0};
		int result = 0;

		if (sscanf(line, "%31s %llu %llu %llu", verb, &n[0], &n[1], &n[2]) < 1)
			continue;
		if (!strcmp(verb, "quit"))
			return;
		if (!strcmp(verb, "wait-probes")) {
			wait_probes();
		} else if (!strcmp(verb, "wait-hello")) {
			wait_hello(f);
		} else if (!strcmp(verb, "semaphore")) {
			printf("%d\n", fake_semaphore);
			continue;
		} else {
			pthread_mutex_lock(&lock);
			result = run_command(f, verb, n);
			pthread_mutex_unlock(&lock);
		}
		puts(result ? "unknown command" : "ok");
	}
}

/* Become a copy of this program, in a file without a name, whose note has another version. */
static void become_version(struct fake *f, unsigned major)
{
	static const char owner[] = "strand\0";
	int from = open("/proc/self/exe", O_RDONLY), to = memfd_create("fake", 0);
	struct stat info;
	char *bytes, *note;

	if (from < 0 || to < 0 || fstat(from, &info))
		fail("/proc/self/exe");
	bytes = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, from, 0);
	if (bytes == MAP_FAILED)
		fail("mmap");
	/* The note lies before everything else that has the word in it. */
	note = memmem(bytes, (size_t)info.st_size, owner, sizeof(owner));
	if (!note)
		fail("no note");
	memcpy(note + sizeof(owner), &major, sizeof(major));
	if (write(to, bytes, (size_t)info.st_size) != info.st_size)
		fail("write");
	setenv("FAKE_RUNTIME_IS_COPY", "1", 1);
	fexecve(to, f->argv, environ);
	fail("fexecve");
}

static void parse_option(struct fake *f, const char *option)
{
	for (size_t i = 0; i < sizeof(report_names) / sizeof(report_names[0]); i++)
		if (!strncmp(option, "--report=", 9) && !strcmp(option + 9, report_names[i])) {
			f->report = (enum report_kind)i;
			return;
		}
	if (!strcmp(option, "--no-pipe")) {
		f->no_pipe = 1;
	} else if (!strcmp(option, "--close-pipe")) {
		f->close_pipe = 1;
	} else if (!strcmp(option, "--no-answer")) {
		f->no_answer = 1;
	} else if (!strncmp(option, "--abi=", 6)) {
		if (!getenv("FAKE_RUNTIME_IS_COPY"))
			become_version(f, (unsigned)atoi(option + 6));
	} else {
		fprintf(stderr, "fake_runtime: unknown option %s\n", option);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct fake f;

	f.argv = argv;
	f.report_fd = -1;
	for (int i = 1; i < argc; i++)
		parse_option(&f, argv[i]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	fake_creator(&f);
	start_control(&f);
	puts("ready");
	serve(&f);
	return 0;
}

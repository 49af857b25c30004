/* SPDX-License-Identifier: MIT */
/*
 * The snapshot: all threads stopped, a raw clone, all threads released; the
 * child searches its copy of the memory.
 *
 * I1. Whatever goes wrong, the threads are released and the runtime thawed. Between
 *     the first signal and the release there is one way through the code (stopped()),
 *     and it calls nothing that could take a lock.
 * I2. The child has the memory of the target but none of its threads: any lock
 *     may be taken for ever. It uses raw system calls only, and the runtime's
 *     structures, which are frozen.
 * I3. The child first makes its descriptor table its own: it shares it with the target
 *     at birth, because copying it would hold references to the target's files.
 * I4. The child can be killed at any moment. Its findings count only once `complete`
 *     is written and it ended well.
 */
#include "leakgc/snapshot.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "leakgc/maps.h"
#include "leakgc/stop.h"
#include "leakgc/syscall.h"

#define POLL_MS       20

/* The child ends by itself when its time is up; only then, a little later, it is killed. */
#define KILL_GRACE_NS 200000000

/* clone() without any of libc's ideas of a process; no exit signal, so no SIGCHLD. */
#define CLONE_HOW     (CLONE_FILES | CLONE_FS | CLONE_PIDFD | CLONE_UNTRACED)

/* ---- the child --------------------------------------------------------------- */

static __attribute__((noreturn)) void leave(int status)
{
	for (;;)
		LEAKGC_SYS1(SYS_exit_group, status);
}

/* The target's handlers would run its crash reporter, or worse, in the child. */
static void reset_signals(void)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	struct { /* struct sigaction of the kernel; all zero is SIG_DFL */
		unsigned long handler, flags, restorer, mask;
	} fallback = {0};

	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		LEAKGC_SYS4(SYS_rt_sigaction, fatal[i], &fallback, NULL, sizeof(fallback.mask));
}

static void limit_child(const struct leakgc_session *s)
{
	struct rlimit none = {0, 0};
	rlim_t seconds = (rlim_t)(s->limits->time_ns / LEAKGC_NSEC) + 2;
	struct rlimit processor = {seconds, seconds};

	LEAKGC_SYS4(SYS_prlimit64, 0, RLIMIT_CORE, &none, NULL);
	LEAKGC_SYS4(SYS_prlimit64, 0, RLIMIT_CPU, &processor, NULL);
	LEAKGC_SYS5(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (LEAKGC_SYS1(SYS_getppid, 0) != s->parent_pid)
		leave(1); /* the target ended before the line above */
	LEAKGC_SYS3(SYS_setpriority, PRIO_PROCESS, 0, 10);
}

/* Kernels before 5.9 and some filters know no close_range(): one by one, then. */
static int close_each(void)
{
	struct rlimit files = {0, 0};
	long r = LEAKGC_SYS1(SYS_unshare, CLONE_FILES);

	if (r < 0)
		return (int)r;
	LEAKGC_SYS4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &files);
	for (rlim_t fd = 0; fd < files.rlim_cur && fd < LEAKGC_DESCRIPTORS_MAX * 16; fd++)
		LEAKGC_SYS1(SYS_close, fd);
	return 0;
}

/* I3: never before this may the child open or close anything. */
static int leave_descriptors(void)
{
	long r = LEAKGC_SYS3(SYS_close_range, 0, ~0U, CLOSE_RANGE_UNSHARE);

	return r < 0 ? close_each() : 0;
}

/* When memory is short, the search is what should go first. */
static void volunteer_for_oom(void)
{
	int fd = (int)LEAKGC_SYS4(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj",
				  O_WRONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return;
	LEAKGC_SYS3(SYS_write, fd, "1000", 4);
	leakgc_close(fd);
}

/*
 * Field 1 of statm, total_vm: fork leaves out what is MADV_DONTFORK, and of the rest only the
 * mappings of the kernel's uprobes, which are counted apart.
 */
static int64_t total_vm(void)
{
	char text[128];
	int64_t pages = 0;

	if (leakgc_read_file("/proc/thread-self/statm", text, sizeof(text)) <= 0)
		return -1;
	for (const char *at = text; *at >= '0' && *at <= '9'; at++)
		pages = pages * 10 + (*at - '0');
	return pages;
}

static int count_uprobes(void *context, const struct leakgc_region *region)
{
	if (region->backing == LEAKGC_BACKING_UPROBES)
		*(uint64_t *)context += region->hi - region->lo;
	return 0;
}

/* Does the snapshot hold all memory that the target had? What it lacks, in bytes, -1: unknown. */
static int64_t not_inherited(struct leakgc_session *s)
{
	int64_t pages = total_vm();
	uint64_t uprobes = 0;
	int fd = leakgc_open("/proc/thread-self/maps");

	if (fd < 0 || pages < 0)
		return -1;
	if (leakgc_walk_maps(fd, (char *)s->chunk, LEAKGC_CHUNK, count_uprobes, &uprobes) < 0)
		pages = -1;
	leakgc_close(fd);
	if (pages < 0)
		return -1;
	return (int64_t)(s->inheritable_bytes + uprobes) - pages * (int64_t)s->memory.page_size;
}

static void examine(struct leakgc_session *s, bool yield_cpu, int64_t deadline_ns)
{
	struct leakgc_examination e = {
		.world = &s->world,
		.runtime = s->runtime,
		.threads = s->threads,
		.thread_count = s->thread_count,
		.own = s->own,
		.own_count = LEAKGC_OWN_RANGES,
		.memory = &s->snapshot_memory,
		.chunk = s->chunk,
		.deadline_ns = deadline_ns,
		.yield_cpu = yield_cpu,
	};
	size_t room = (s->findings_size - sizeof(*s->findings)) / sizeof(s->findings->verdicts[0]);

	leakgc_examine(&e, s->findings, room);
}

static __attribute__((noreturn)) void child_main(struct leakgc_session *s, int64_t deadline_ns)
{
	int64_t lost;

	reset_signals();
	limit_child(s);
	if (leave_descriptors() < 0)
		leave(1);
	volunteer_for_oom();
	lost = not_inherited(s);
	if (lost && !leakgc_without(&s->world, LEAKGC_WITHOUT_INHERITANCE)) {
		s->findings->cause = STRAND_CAUSE_MEMORY_NOT_INHERITED;
		s->findings->cause_detail = (uint64_t)lost;
		s->findings->complete = LEAKGC_FINDINGS_COMPLETE;
		leave(0);
	}
	examine(s, true, deadline_ns);
	leave(0);
}

/* ---- while the world stands still -------------------------------------------- */

static enum strand_search_cause look_at_kernel(struct leakgc_session *s, uint64_t *ret_detail)
{
	struct leakgc_hands hands = {
		.world = &s->world,
		.runtime = s->runtime,
		.threads = s->threads,
		.thread_count = s->thread_count,
		.buffer = (char *)s->chunk,
		.buffer_size = LEAKGC_CHUNK,
		.skip = s->own[1],
	};
	enum strand_search_cause cause = leakgc_hands_look(&hands);

	if (!cause)
		cause = leakgc_hands_copy_shared(&hands, &s->memory, s->copies,
						 s->limits->shared_copy_max);
	s->uprobe_bytes = hands.uprobe_bytes;
	*ret_detail = hands.detail;
	return cause;
}

/* The last two arguments, in an order that differs between machines, are unused. */
static long clone_process(int *ret_pidfd)
{
	return LEAKGC_SYS5(SYS_clone, CLONE_HOW, 0, ret_pidfd, 0, 0);
}

/* The registers that lie in the signal frames, and memory that no snapshot holds. */
static void take_registers(struct leakgc_session *s)
{
	struct leakgc_world *w = &s->world;

	s->thread_count = leakgc_stop_threads(s->threads, w->root_ranges, LEAKGC_THREADS_MAX);
	w->root_range_count = s->thread_count;
	if (!leakgc_without(w, LEAKGC_WITHOUT_REGISTERS))
		return;
	for (size_t i = 0; i < w->root_range_count; i++) /* and what the handler itself pushed */
		leakgc_world_mask(w, w->root_ranges[i].lo - 1024, w->root_ranges[i].hi);
	w->root_range_count = 0;
}

/* From the stop to the clone. In the child it does not return. */
static enum strand_search_cause stopped(struct leakgc_session *s, struct leakgc_result *result,
					int64_t deadline_ns, long *ret_pid, int *ret_pidfd)
{
	enum strand_search_cause cause;
	int64_t began = leakgc_now(), pages;
	int r = leakgc_stop_world(s->runtime->stop_signal, began + s->limits->stop_ns,
				  &result->cause_detail);

	result->stopped_ns = leakgc_now();
	result->stop_ns = result->stopped_ns - began;
	if (r == -ETIMEDOUT && !leakgc_without(&s->world, LEAKGC_WITHOUT_STOP_PROOF))
		return STRAND_CAUSE_THREAD_NOT_STOPPED;
	if (r < 0 && r != -ETIMEDOUT)
		return STRAND_CAUSE_SYSTEM;
	take_registers(s);
	cause = look_at_kernel(s, &result->cause_detail);
	if (cause)
		return cause;
	pages = total_vm();
	s->inheritable_bytes = (uint64_t)pages * s->memory.page_size - s->uprobe_bytes;
	*ret_pid = pages < 0 ? -EIO : clone_process(ret_pidfd);
	if (*ret_pid == 0)
		child_main(s, deadline_ns);
	result->cause_detail = *ret_pid < 0 ? (uint64_t) - *ret_pid : 0;
	return *ret_pid < 0 ? STRAND_CAUSE_CLONE_FAILED : STRAND_CAUSE_NONE;
}

/* ---- the parent -------------------------------------------------------------- */

static void kill_child(long pid, int pidfd)
{
	if (pidfd < 0 || LEAKGC_SYS4(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == -ENOSYS)
		LEAKGC_SYS2(SYS_kill, pid, SIGKILL);
}

static bool cancelled(const struct leakgc_session *s)
{
	return s->cancel && *s->cancel;
}

/* Wait for the child's end, or bring it about. */
static enum strand_search_cause wait_for_child(struct leakgc_session *s, long pid, int pidfd,
					       int64_t deadline_ns)
{
	enum strand_search_cause cause = STRAND_CAUSE_NONE;
	struct pollfd poll = {.fd = pidfd, .events = POLLIN};
	int status = 0;
	long r;

	while ((r = LEAKGC_SYS4(SYS_wait4, pid, &status, WNOHANG | __WALL, NULL)) == 0) {
		struct timespec step = {0, POLL_MS * 1000000L};

		if (!cause && cancelled(s))
			cause = STRAND_CAUSE_CANCELLED;
		else if (!cause && leakgc_now() > deadline_ns + KILL_GRACE_NS)
			cause = STRAND_CAUSE_TIME_BUDGET;
		if (cause)
			kill_child(pid, pidfd);
		LEAKGC_SYS5(SYS_ppoll, &poll, 1, &step, NULL, 8);
	}
	if (cause)
		return cause;
	/* -ECHILD: a wait for any child took the status; what the child wrote last tells. */
	if (s->findings->complete != LEAKGC_FINDINGS_COMPLETE || (r > 0 && status != 0))
		return STRAND_CAUSE_CHILD_DIED;
	return s->findings->cause;
}

/* A thread under a debugger stops when the debugger says so. */
static bool is_traced(uint64_t tid)
{
	char text[2048], path[64] = "/proc/self/task/", digits[24];
	size_t n = strlen(path), d = 0;
	const char *tracer;

	for (uint64_t rest = tid; rest; rest /= 10)
		digits[d++] = (char)('0' + rest % 10);
	while (d)
		path[n++] = digits[--d];
	memcpy(path + n, "/status", sizeof("/status"));
	if (leakgc_read_file(path, text, sizeof(text)) < 0)
		return false;
	tracer = strstr(text, "\nTracerPid:\t");
	return tracer && tracer[strlen("\nTracerPid:\t")] != '0';
}

void leakgc_snapshot_search(struct leakgc_session *s, struct leakgc_result *result)
{
	int64_t deadline_ns = result->started_ns + s->limits->time_ns, began;
	uint64_t all = ~0ULL, before = 0;
	int pidfd = -1;
	long pid = -1;

	s->parent_pid = (int)LEAKGC_SYS1(SYS_getpid, 0);
	result->status = STRAND_SEARCH_INCONCLUSIVE;
	if (s->runtime->freeze(s->runtime->context) < 0) {
		result->cause = STRAND_CAUSE_RUNTIME_BUSY;
		return;
	}
	LEAKGC_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	began = leakgc_now();
	result->cause = stopped(s, result, deadline_ns, &pid, &pidfd);
	leakgc_stop_release();
	result->pause_ns = leakgc_now() - began;
	LEAKGC_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	s->runtime->thaw(s->runtime->context);

	if (result->cause == STRAND_CAUSE_THREAD_NOT_STOPPED && is_traced(result->cause_detail))
		result->cause = STRAND_CAUSE_TRACED;
	if (result->cause)
		return;
	result->cause = wait_for_child(s, pid, pidfd, deadline_ns);
	leakgc_close(pidfd);
	if (result->cause && s->findings->complete == LEAKGC_FINDINGS_COMPLETE)
		result->cause_detail = s->findings->cause_detail;
}

void leakgc_snapshot_examine_in_place(struct leakgc_session *s, struct leakgc_result *result)
{
	uint64_t detail = 0;
	enum strand_search_cause cause;

	result->status = STRAND_SEARCH_INCONCLUSIVE;
	result->stopped_ns = leakgc_now();
	cause = look_at_kernel(s, &detail);
	if (!cause) {
		examine(s, false, result->started_ns + s->limits->time_ns);
		cause = s->findings->cause;
		detail = s->findings->cause_detail;
	}
	result->cause = cause;
	result->cause_detail = detail;
}

/* SPDX-License-Identifier: MIT */
/*
 * The snapshot: a raw clone while all threads stand still (pause.c, I1); the child searches
 * its copy of the memory.
 *
 * I1. The child has the memory of the target but none of its threads: any lock
 *     may be taken for ever. It uses raw system calls only, and the runtime's
 *     structures, which are frozen.
 * I2. The child first makes its descriptor table its own: it shares it with the target
 *     at birth, because copying it would hold references to the target's files.
 * I3. The child can be killed at any moment. Its findings count only once `complete`
 *     is written and it ended well.
 */
#include "leakgc/snapshot.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sys/resource.h>

#include "leakgc/child.h"
#include "leakgc/guarded.h"
#include "leakgc/maps.h"
#include "leakgc/pause.h"
#include "leakgc/syscall.h"

/* clone() without any of libc's ideas of a process; no exit signal, so no SIGCHLD. */
#define CLONE_HOW (CLONE_FILES | CLONE_FS | CLONE_PIDFD | CLONE_UNTRACED)

/* ---- the child --------------------------------------------------------------- */

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

/* I2: never before this may the child open or close anything. */
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

static _Noreturn void child_main(struct leakgc_session *s, int64_t deadline_ns)
{
	int64_t lost;

	leakgc_child_reset_signals();
	leakgc_guard();
	s->snapshot_memory.guarded = true;
	leakgc_child_limit(s->parent_pid, s->limits->time_ns);
	if (leave_descriptors() < 0)
		leakgc_child_leave(1);
	volunteer_for_oom();
	lost = not_inherited(s);
	if (lost && !leakgc_without(&s->world, LEAKGC_WITHOUT_INHERITANCE)) {
		s->findings->cause = STRAND_CAUSE_MEMORY_NOT_INHERITED;
		s->findings->cause_detail = (uint64_t)lost;
		s->findings->complete = LEAKGC_FINDINGS_COMPLETE;
		leakgc_child_leave(0);
	}
	examine(s, true, deadline_ns);
	leakgc_child_leave(0);
}

/* The last two arguments, in an order that differs between machines, are unused. */
static long clone_process(int *ret_pidfd)
{
	return LEAKGC_SYS5(SYS_clone, CLONE_HOW, 0, ret_pidfd, 0, 0);
}

/* The end of the pause. In the child it does not return. */
static enum strand_search_cause take_snapshot(struct leakgc_session *s, void *context,
					      struct leakgc_result *result)
{
	struct leakgc_child *child = context;
	int64_t deadline_ns = result->started_ns + s->limits->time_ns, pages = total_vm();

	s->inheritable_bytes = (uint64_t)pages * s->memory.page_size - s->uprobe_bytes;
	child->pid = pages < 0 ? -EIO : (int)clone_process(&child->pidfd);
	if (child->pid == 0)
		child_main(s, deadline_ns);
	result->cause_detail = child->pid < 0 ? (uint64_t)-child->pid : 0;
	return child->pid < 0 ? STRAND_CAUSE_CLONE_FAILED : STRAND_CAUSE_NONE;
}

/* ---- the parent -------------------------------------------------------------- */

/* Wait for the child's end, or bring it about. */
static enum strand_search_cause
wait_for_child(struct leakgc_session *s, const struct leakgc_child *child, int64_t deadline_ns)
{
	enum strand_search_cause cause = leakgc_child_wait(child, s->cancel, deadline_ns);

	if (cause)
		return cause;
	if (s->findings->complete != LEAKGC_FINDINGS_COMPLETE)
		return STRAND_CAUSE_CHILD_DIED;
	return s->findings->cause;
}

void leakgc_snapshot_search(struct leakgc_session *s, struct leakgc_result *result)
{
	int64_t deadline_ns = result->started_ns + s->limits->time_ns;
	struct leakgc_child child = {-1, -1};

	s->parent_pid = (int)LEAKGC_SYS1(SYS_getpid, 0);
	result->status = STRAND_SEARCH_INCONCLUSIVE;
	result->cause = leakgc_pause(s, take_snapshot, &child, result);
	if (result->cause)
		return;
	result->cause = wait_for_child(s, &child, deadline_ns);
	leakgc_close(child.pidfd);
	if (result->cause && s->findings->complete == LEAKGC_FINDINGS_COMPLETE)
		result->cause_detail = s->findings->cause_detail;
}

void leakgc_snapshot_examine_in_place(struct leakgc_session *s, struct leakgc_result *result)
{
	uint64_t detail = 0;
	enum strand_search_cause cause;

	result->status = STRAND_SEARCH_INCONCLUSIVE;
	result->stopped_ns = leakgc_now();
	cause = leakgc_pause_look(s, &detail);
	if (!cause) {
		examine(s, false, result->started_ns + s->limits->time_ns);
		cause = s->findings->cause;
		detail = s->findings->cause_detail;
	}
	result->cause = cause;
	result->cause_detail = detail;
}

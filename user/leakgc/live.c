/* SPDX-License-Identifier: MIT */
/*
 * Search the memory of the running process.
 *
 *   track      all private memory is armed (tracker.c); threads run all the time
 *   describe   the runtime describes its tasks and objects, a slice at a time
 *   search     a child that shares the memory does all passes, at idle priority, and looks
 *              again at what is written meanwhile while that gets less (rescan.c)
 *   pause      only if some task still looks leaked: registers, the kernel's hands, what was
 *              written since, what the runtime says has changed
 *
 * L1. The child shares memory, not fate: a fault in it ends it alone, and the search is
 *     inconclusive. It has signal handlers of its own, uses no libc state and no thread-locals,
 *     opens and closes nothing, and writes to the search's own memory only.
 * L2. In every path the tracking ends before the search does.
 */
#include "leakgc/live.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include "leakgc/child.h"
#include "leakgc/guarded.h"
#include "leakgc/pause.h"
#include "leakgc/rescan.h"
#include "leakgc/syscall.h"

/* The scanning loop needs few frames; its buffers are elsewhere. */
#define CHILD_STACK         (256u << 10)

/*
 * What the pause will take, at least: stopping and looking at descriptors takes 0.1 ms in a
 * small process, a written page 0.3 us, a mapping 1 us.
 */
#define PAUSE_BASE_NS       100000
#define PAUSE_PER_PAGE_NS   300
#define PAUSE_PER_REGION_NS 1000

/* Tries of the runtime's locks for one slice. */
#define FREEZES_MAX         100

struct live {
	struct leakgc_session *s;
	struct leakgc_state state;
	int64_t deadline_ns;
	uint64_t written; /* bytes in the last round */
	int searched; /* the child's last word: 1 + what leakgc_state_search() returned, negated */
};

/* ---- describing ------------------------------------------------------------------ */

static int describe_slice(struct leakgc_session *s)
{
	const struct leakgc_runtime *rt = s->runtime;
	int r = -EBUSY;

	for (int i = 0; r == -EBUSY && i < FREEZES_MAX; i++) {
		if (rt->freeze(rt->context) < 0) {
			sched_yield();
			continue;
		}
		r = rt->describe_live(rt->context, &s->world);
		rt->thaw(rt->context);
	}
	return r;
}

static int describe(struct live *l)
{
	struct leakgc_session *s = l->s;
	int r = leakgc_world_begin(&s->world);

	s->world.memory = &s->memory;
	if (r == 0)
		do {
			r = describe_slice(s);
			if (s->cancel && *s->cancel)
				return leakgc_stop_because(&l->state, STRAND_CAUSE_CANCELLED, 0);
			if (leakgc_now() > l->deadline_ns)
				return leakgc_stop_because(&l->state, STRAND_CAUSE_TIME_BUDGET, 0);
		} while (r > 0);
	return leakgc_state_described(&l->state, r);
}

/* ---- searching ------------------------------------------------------------------- */

static int child_main(void *context)
{
	struct live *l = context;
	struct leakgc_session *s = l->s;
	int r;

	leakgc_child_reset_signals();
	leakgc_guard();
	leakgc_child_limit(s->parent_pid, s->limits->time_ns);
	s->memory.guarded = true;
	r = leakgc_state_search(&l->state);
	if (r == 0 && s->world.candidates_open)
		r = leakgc_rescan_rounds(s, &l->state, &l->written);
	s->memory.guarded = false;
	l->searched = 1 - r;
	leakgc_child_leave(0);
}

/*
 * A child leaves without unwinding its stack, in memory that it shares with us: the next one's
 * stack at that address would begin with what AddressSanitizer noted of the last one's frames.
 */
static void forget_last_stack(const char *stack)
{
#ifdef __SANITIZE_ADDRESS__
	__asan_unpoison_memory_region(stack, CHILD_STACK);
#else
	(void)stack;
#endif
}

/* No exit signal, so no SIGCHLD; not CLONE_SIGHAND: the handlers are the child's own (L1). */
static int start_child(struct leakgc_session *s, int (*body)(void *), void *context,
		       struct leakgc_child *ret_child)
{
	const int how = CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_PIDFD | CLONE_UNTRACED;
	uint64_t all = ~0ULL, before = 0;
	char *stack = leakgc_arena_take(&s->world.arena, CHILD_STACK);
	int pid;

	if (!stack)
		return -ENOMEM;
	forget_last_stack(stack);
	LEAKGC_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	pid = clone(body, stack + CHILD_STACK, how, context, &ret_child->pidfd);
	if (pid < 0)
		pid = -errno;
	LEAKGC_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	ret_child->pid = pid;
	return pid < 0 ? pid : 0;
}

static int search(struct live *l)
{
	struct leakgc_child child = {-1, -1};
	enum strand_search_cause cause;
	int r = start_child(l->s, child_main, l, &child);

	if (r < 0)
		return leakgc_stop_because(&l->state, STRAND_CAUSE_CLONE_FAILED, (uint64_t)-r);
	cause = leakgc_child_wait(&child, l->s->cancel, l->deadline_ns);
	leakgc_close(child.pidfd);
	l->s->memory.guarded = false;
	if (!cause && !l->searched)
		cause = STRAND_CAUSE_CHILD_DIED;
	if (cause)
		return leakgc_stop_because(&l->state, cause, 0);
	return 1 - l->searched;
}

/* ---- filters --------------------------------------------------------------------- */

static int trial_main(void *context)
{
	const struct leakgc_session *s = context;

	leakgc_child_reset_signals();
	leakgc_child_limit(s->parent_pid, s->limits->time_ns);
	leakgc_child_leave(leakgc_tracker_try() < 0);
}

/* Does the kernel know the call, whose failure is no offence? */
static bool can_scan(const struct leakgc_session *s)
{
	struct leakgc_page_scan nothing = {.size = sizeof(nothing)};

	return LEAKGC_SYS3(SYS_ioctl, s->memory.pagemap_fd, LEAKGC_PAGEMAP_SCAN, &nothing) == 0;
}

/*
 * A seccomp filter may kill for a userfaultfd: so a child tries it first. Only on kernels that
 * have the rest (6.7): before 5.16 a core dump of the child would have taken the target along.
 */
static int try_tracking(struct leakgc_session *s, int64_t deadline_ns)
{
	uintptr_t mark = s->world.arena.next;
	struct leakgc_child child = {-1, -1};
	enum strand_search_cause cause;
	int r;

	if (!can_scan(s))
		return -ENOSYS;
	if (!s->memory.filtered)
		return 0;
	r = start_child(s, trial_main, s, &child);
	if (r < 0)
		return r;
	cause = leakgc_child_wait(&child, s->cancel, deadline_ns);
	leakgc_close(child.pidfd);
	s->world.arena.next = mark;
	return cause ? -EPERM : 0;
}

/* ---- confirming ------------------------------------------------------------------ */

static enum strand_search_cause finish(struct leakgc_session *s, void *context,
				       struct leakgc_result *result)
{
	struct live *l = context;

	(void)s;
	leakgc_rescan_finish(l->s, &l->state,
			     result->stopped_ns - result->stop_ns + l->s->limits->pause_ns);
	result->cause_detail = l->state.detail;
	return l->state.cause;
}

static int64_t predicted_pause(const struct live *l)
{
	return PAUSE_BASE_NS + (int64_t)(l->written / l->s->memory.page_size) * PAUSE_PER_PAGE_NS +
	       (int64_t)l->state.region_count * PAUSE_PER_REGION_NS;
}

static int run(struct live *l, struct leakgc_result *result)
{
	struct leakgc_session *s = l->s;
	enum strand_search_cause cause = leakgc_rescan_track(s, &result->cause_detail);
	int r = cause ? leakgc_stop_because(&l->state, cause, result->cause_detail) : describe(l);

	if (r == 0 && s->world.candidates_open)
		r = leakgc_place(&l->state);
	if (r == 0 && s->world.candidates_open)
		r = search(l);
	if (r < 0 || !s->world.candidates_open)
		return r;
	if (predicted_pause(l) > s->limits->pause_ns)
		return leakgc_stop_because(&l->state, STRAND_CAUSE_PAUSE_BUDGET,
					   (uint64_t)predicted_pause(l));
	cause = leakgc_pause(s, finish, l, result);
	return cause ? leakgc_stop_because(&l->state, cause, result->cause_detail) : 0;
}

/* What is needed lies in memory that is masked and that the child shares. */
static struct live *live_new(struct leakgc_session *s, struct leakgc_result *result)
{
	struct live *l = leakgc_arena_take(&s->world.arena, sizeof(*l));

	if (!l)
		return NULL;
	l->s = s;
	l->searched = 0;
	l->written = 0;
	l->deadline_ns = result->started_ns + s->limits->time_ns;
	s->examination = (struct leakgc_examination){
		.world = &s->world,
		.runtime = s->runtime,
		.own = s->own,
		.own_count = LEAKGC_OWN_RANGES,
		.memory = &s->memory,
		.chunk = s->chunk,
		.deadline_ns = l->deadline_ns,
		.yield_cpu = true,
	};
	leakgc_state_begin(&l->state, &s->examination);
	l->state.put_off =
		leakgc_arena_take(&s->world.arena, LEAKGC_PUT_OFF_MAX * sizeof(*l->state.put_off));
	return l->state.put_off ? l : NULL;
}

bool leakgc_live_search(struct leakgc_session *s, struct leakgc_result *result)
{
	uintptr_t mark = s->world.arena.next;
	struct leakgc_findings *f = s->findings;
	struct live *l;
	int r;

	s->parent_pid = (int)LEAKGC_SYS1(SYS_getpid, 0);
	r = try_tracking(s, result->started_ns + s->limits->time_ns);
	if (r == 0)
		r = leakgc_tracker_open(&s->tracker, &s->world.arena, s->memory.pagemap_fd);
	if (r < 0) {
		leakgc_tracker_close(&s->tracker);
		s->world.arena.next = mark;
		result->cause_detail = (uint64_t)-r;
		return false;
	}
	result->status = STRAND_SEARCH_INCONCLUSIVE;
	l = live_new(s, result);
	r = l ? run(l, result) : -ENOMEM;
	leakgc_tracker_close(&s->tracker); /* first of all: it slows the program */
	result->cause = STRAND_CAUSE_MEMORY_BUDGET;
	if (!l)
		return true;
	leakgc_state_report(&l->state, r, f,
			    (s->findings_size - sizeof(*f)) / sizeof(f->verdicts[0]));
	result->cause = f->cause;
	result->cause_detail = f->cause_detail;
	return true;
}

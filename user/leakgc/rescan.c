/* SPDX-License-Identifier: MIT */
/*
 * From a search of live memory to a proof about one instant.
 *
 * Before anything is described or searched, all private memory is tracked and armed. So
 * when the world stands still, the union of two things is its memory at that moment: pages that
 * were not written, as they were searched, and pages that were, which are searched now.
 *
 * I1. A node that is LIVE stays so: it was found to be LIVE at some moment, which costs a proof
 *     and never makes one. Edges of the past are kept likewise.
 * I2. A node that is not LIVE has, when the world stands still, the ranges that were described:
 *     the runtime says so of each (describe_changes). So every word has the owner that it had
 *     when it was searched, but for memory that no node owned: masks that do not hold any
 *     more, and user data that has appeared under a mask, are root memory.
 * I3. Words that lie half in a written page were not searched as they are now: the bytes on
 *     both sides of such a page's borders are searched with it.
 * I4. A node that turns out to hold a pointer only now, and was never looked for, counts as held
 *     by a root (leakgc_state_give_up).
 * I5. Shared memory is copied while the world stands still (kernel_hands.c): other processes
 *     write to it unseen.
 */
#include "leakgc/rescan.h"

#include <errno.h>
#include <sys/uio.h>

#include "leakgc/maps.h"
#include "leakgc/syscall.h"

/* Runs of written pages at the end; more are a search that should be tried again. */
#define RUNS_MAX         (1u << 18)
#define REGIONS_MAX      (1u << 18)

/* Rounds end when the pause would not get shorter: below this, or if it does not shrink. */
#define ROUNDS_MAX       5
#define ROUND_BYTES_MIN  (1u << 20)
#define ROUND_SHRINKS_TO 0.7

/* A sanitizer minds a load from the red zones of its heap. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DIRECT false
#elif defined(__has_feature)
#define DIRECT (!__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer))
#else
#define DIRECT true
#endif

#define FRINGE          (sizeof(uint64_t) - 1)
#define FRINGES_AT_ONCE 256

struct region {
	uintptr_t lo;
	uintptr_t hi;
	bool direct; /* its present pages can be read in place while the world stands still */
};

struct regions {
	struct leakgc_session *s;
	struct region *region;
	size_t count;
	int error;
};

/* ---- regions --------------------------------------------------------------------- */

static int add_region(struct regions *all, uintptr_t lo, uintptr_t hi, bool direct)
{
	if (lo >= hi)
		return 0;
	if (all->count == REGIONS_MAX)
		return -ENOMEM;
	all->region[all->count++] = (struct region){lo, hi, direct};
	return 0;
}

/* Without the search's own memory, which the kernel may show as one mapping with another's. */
static int take_region(void *context, const struct leakgc_region *region)
{
	struct regions *all = context;
	bool direct = DIRECT && region->readable && region->backing == LEAKGC_BACKING_ANONYMOUS;
	uintptr_t at = region->lo;
	int r = 0;

	if (region->shared || region->backing == LEAKGC_BACKING_KERNEL ||
	    region->backing == LEAKGC_BACKING_UPROBES)
		return 0;
	while (at < region->hi && r == 0) {
		uintptr_t end = region->hi, next = region->hi;

		for (size_t i = 0; i < LEAKGC_OWN_RANGES; i++) {
			const struct leakgc_range *own = &all->s->own[i];

			if (own->hi <= at || own->lo >= end)
				continue;
			end = own->lo > at ? own->lo : at;
			next = own->hi < region->hi ? own->hi : region->hi;
		}
		r = add_region(all, at, end, direct);
		at = end < next ? next : end;
	}
	return r;
}

static int list_regions(struct leakgc_session *s, struct regions *ret_regions)
{
	struct regions all = {.s = s};

	all.region = leakgc_arena_take(&s->world.arena, REGIONS_MAX * sizeof(*all.region));
	if (!all.region)
		return -ENOMEM;
	*ret_regions = all;
	return leakgc_memory_regions(&s->memory, (char *)s->chunk, LEAKGC_CHUNK, take_region,
				     ret_regions);
}

/* ---- tracking -------------------------------------------------------------------- */

static int track(struct leakgc_session *s, const struct region *region)
{
	int r = leakgc_tracker_add(&s->tracker, region->lo, region->hi);

	/* If that fails, it was unmapped meanwhile: what is there now is written. */
	if (r > 0)
		leakgc_tracker_arm(&s->tracker, region->lo, region->hi);
	return r < 0 ? r : 0;
}

enum strand_search_cause leakgc_rescan_track(struct leakgc_session *s, uint64_t *ret_detail)
{
	uintptr_t mark = s->world.arena.next;
	struct regions all;
	int r = list_regions(s, &all);

	for (size_t i = 0; r == 0 && i < all.count; i++) {
		*ret_detail = all.region[i].lo;
		r = track(s, &all.region[i]);
	}
	s->world.arena.next = mark;
	if (r == -EBUSY)
		return STRAND_CAUSE_KERNEL_USERFAULTFD;
	if (r == -ENOMEM)
		return STRAND_CAUSE_MEMORY_BUDGET;
	if (r < 0)
		*ret_detail = (uint64_t)-r;
	return r < 0 ? STRAND_CAUSE_SYSTEM : STRAND_CAUSE_NONE;
}

/* ---- words half in a written page -------------------------------------------------- */

struct fringes {
	struct leakgc_state *state;
	uintptr_t border[FRINGES_AT_ONCE];
	size_t count;
	unsigned char bytes[FRINGES_AT_ONCE][2 * FRINGE];
};

static int scan_fringe(struct fringes *f, size_t i)
{
	uintptr_t lo = f->border[i] - FRINGE;

	return leakgc_scan_owners(f->state, f->bytes[i], lo, lo + sizeof(f->bytes[i]));
}

/* Many in one call. It stops at a border with nothing behind it, which has no such words. */
static int scan_fringes(struct fringes *f)
{
	struct leakgc_memory *m = f->state->e->memory;
	struct iovec to[FRINGES_AT_ONCE], from[FRINGES_AT_ONCE];
	int r = 0;

	for (size_t i = 0; i < f->count; i++) {
		to[i] = (struct iovec){f->bytes[i], sizeof(f->bytes[i])};
		from[i] = (struct iovec){(void *)(f->border[i] - FRINGE), sizeof(f->bytes[i])};
	}
	for (size_t at = 0; at < f->count && r == 0; at++) {
		size_t left = f->count - at, done;
		long n = m->guarded || m->filtered ? -1
						   : LEAKGC_SYS6(SYS_process_vm_readv, m->pid,
								 &to[at], left, &from[at], left, 0);

		done = n > 0 ? (size_t)n / sizeof(f->bytes[0]) : 0;
		for (size_t i = 0; i < done && r == 0; i++)
			r = scan_fringe(f, at + i);
		at += done;
		if (r == 0 && at < f->count &&
		    leakgc_memory_read(m, f->border[at] - FRINGE, f->bytes[at],
				       sizeof(f->bytes[at])) == 0)
			r = scan_fringe(f, at);
	}
	f->count = 0;
	return r;
}

static int add_fringe(struct fringes *f, uintptr_t border)
{
	if (leakgc_without(f->state->w, LEAKGC_WITHOUT_FRINGES))
		return 0;
	f->border[f->count++] = border;
	return f->count == FRINGES_AT_ONCE ? scan_fringes(f) : 0;
}

/* ---- rounds ------------------------------------------------------------------------ */

static int round_region(struct leakgc_session *s, struct fringes *f,
			const struct leakgc_scan_region *region, uint64_t *bytes)
{
	uintptr_t at = region->lo;
	int r = 0;

	while (at < region->hi && r == 0) {
		int n = leakgc_tracker_written(&s->tracker, &at, region->hi, true);

		if (n < 0) /* not tracked, or unmapped: the end will see to it */
			return 0;
		for (int i = 0; i < n && r == 0; i++) {
			const struct leakgc_page_run *run = &s->tracker.runs[i];

			*bytes += run->hi - run->lo;
			r = leakgc_scan_memory(f->state, run->lo, run->hi);
			if (r == 0)
				r = add_fringe(f, run->lo);
			if (r == 0)
				r = add_fringe(f, run->hi);
		}
	}
	return r;
}

static int round_of(struct leakgc_session *s, struct fringes *f, uint64_t *ret_bytes)
{
	struct leakgc_state *state = f->state;
	int r = 0;

	*ret_bytes = 0;
	for (size_t i = 0; r == 0 && i < state->region_count; i++)
		r = round_region(s, f, &state->regions[i], ret_bytes);
	if (r == 0)
		r = scan_fringes(f);
	leakgc_world_propagate(state->w);
	return r;
}

int leakgc_rescan_rounds(struct leakgc_session *s, struct leakgc_state *state, uint64_t *ret_bytes)
{
	struct fringes *f = leakgc_arena_take(&s->world.arena, sizeof(*f));
	uint64_t before = UINT64_MAX, bytes = 0;
	int r;

	if (!f)
		return leakgc_out_of_memory(state);
	f->state = state;
	f->count = 0;
	state->may_give_up = false; /* what is looked for here has been looked for before */
	r = leakgc_scan_again(state, leakgc_state_stride(state));
	for (int i = 0; r == 0 && i < ROUNDS_MAX && state->w->candidates_open; i++) {
		r = round_of(s, f, &bytes);
		if (bytes < ROUND_BYTES_MIN || (double)bytes > (double)before * ROUND_SHRINKS_TO)
			break;
		before = bytes;
	}
	*ret_bytes = bytes;
	return r;
}

/* ---- the end ----------------------------------------------------------------------- */

struct ending {
	struct leakgc_session *s;
	struct leakgc_state *state;
	struct regions regions;
	struct leakgc_page_run *runs;
	size_t run_count;
	struct fringes fringes;
	int64_t ends_ns;
};

static int check_pause(const struct ending *e)
{
	if (leakgc_now() <= e->ends_ns)
		return 0;
	return leakgc_stop_because(e->state, STRAND_CAUSE_PAUSE_BUDGET, e->run_count);
}

static int list_written(struct ending *e, const struct region *region)
{
	uintptr_t at = region->lo;

	while (at < region->hi) {
		int n = leakgc_tracker_written(&e->s->tracker, &at, region->hi, false);

		if (n < 0)
			return leakgc_stop_because(e->state, STRAND_CAUSE_SYSTEM, (uint64_t)-n);
		for (int i = 0; i < n; i++) {
			if (e->run_count == RUNS_MAX)
				return leakgc_out_of_memory(e->state);
			e->runs[e->run_count] = e->s->tracker.runs[i];
			if (!region->direct)
				e->runs[e->run_count].categories |= LEAKGC_PAGE_SWAPPED;
			e->run_count++;
		}
	}
	return check_pause(e);
}

static int describe_changes(struct ending *e)
{
	struct leakgc_session *s = e->s;
	struct leakgc_world *w = &s->world;
	int r = leakgc_world_list_open(w);

	if (r == 0 && !leakgc_without(w, LEAKGC_WITHOUT_CHANGES)) {
		r = s->runtime->describe_changes(s->runtime->context, w, s->threads,
						 s->thread_count, e->runs, e->run_count);
		if (r == 0)
			r = leakgc_world_end_changes(w);
	}
	if (r == -ENOMEM)
		return leakgc_out_of_memory(e->state);
	return r < 0 ? leakgc_stop_because(e->state, STRAND_CAUSE_SYSTEM, (uint64_t)-r) : 0;
}

/* In place where that is safe: nothing can take a present page away from a process that stands. */
static int scan_written(struct ending *e, const struct leakgc_page_run *run)
{
	uintptr_t at = run->lo;
	int r = 0;

	if (run->categories & LEAKGC_PAGE_SWAPPED)
		r = leakgc_scan_memory(e->state, run->lo, run->hi);
	while (!(run->categories & LEAKGC_PAGE_SWAPPED) && at < run->hi && r == 0) {
		uintptr_t hi = run->hi - at > LEAKGC_CHUNK ? at + LEAKGC_CHUNK : run->hi;

		r = leakgc_scan_owners(e->state, (const unsigned char *)at, at, hi);
		if (r == 0)
			r = check_pause(e);
		/* Words that begin in this piece and end in the next one. */
		at = hi < run->hi ? hi - FRINGE : hi;
	}
	if (r == 0)
		r = add_fringe(&e->fringes, run->lo);
	return r < 0 ? r : add_fringe(&e->fringes, run->hi);
}

static int scan_root_page(struct ending *e, uintptr_t lo, uintptr_t hi)
{
	struct leakgc_session *s = e->s;
	int r = 0;

	while (lo < hi && r == 0) {
		uintptr_t end = hi - lo > LEAKGC_CHUNK ? lo + LEAKGC_CHUNK : hi;

		if (leakgc_memory_read(&s->memory, lo, s->chunk, end - lo) < 0)
			return leakgc_stop_because(e->state, STRAND_CAUSE_UNREADABLE_MEMORY, lo);
		r = leakgc_scan_root(e->state, s->chunk, lo, end);
		if (r == 0)
			r = check_pause(e);
		lo = end < hi ? end - FRINGE : end;
	}
	return r;
}

/* A part of it may be mapped, and a part of that populated. */
static int scan_root(struct ending *e, uintptr_t lo, uintptr_t hi)
{
	uintptr_t page = e->s->memory.page_size, at = lo & ~(page - 1);
	uintptr_t end = (hi + page - 1) & ~(page - 1);
	int r = 0;

	while (at < end && r == 0) {
		int n = leakgc_memory_runs(&e->s->memory, &at, end, true);

		if (n < 0)
			return leakgc_stop_because(e->state, STRAND_CAUSE_SYSTEM, (uint64_t)-n);
		for (int i = 0; i < n && r == 0; i++) {
			uintptr_t from = e->s->memory.runs[i].lo, to = e->s->memory.runs[i].hi;

			r = scan_root_page(e, from > lo ? from : lo, to < hi ? to : hi);
		}
	}
	return r;
}

/* What could not be read while threads ran: much of it will be gone. */
static int scan_put_off(struct ending *e, const struct leakgc_range *range)
{
	int r = 0;

	for (size_t i = 0; i < e->regions.count && r == 0; i++) {
		const struct region *region = &e->regions.region[i];
		uintptr_t lo = range->lo > region->lo ? range->lo : region->lo;
		uintptr_t hi = range->hi < region->hi ? range->hi : region->hi;

		if (lo < hi)
			r = leakgc_scan_memory(e->state, lo, hi);
	}
	return r;
}

static int scan_changes(struct ending *e)
{
	struct leakgc_state *state = e->state;
	struct leakgc_world *w = state->w;
	/* The targets are those of the rounds: to gather them here would take longer than all else. */
	int r = leakgc_scan_outside(state);

	for (size_t i = 0; r == 0 && i < w->root_count; i++)
		r = scan_root(e, w->roots[i].lo, w->roots[i].hi);
	for (size_t i = 0; r == 0 && i < state->put_off_count; i++)
		r = scan_put_off(e, &state->put_off[i]);
	for (size_t i = 0; r == 0 && i < e->run_count; i++)
		if (!leakgc_without(w, LEAKGC_WITHOUT_RESCAN))
			r = scan_written(e, &e->runs[i]);
	if (r == 0)
		r = scan_fringes(&e->fringes);
	leakgc_world_propagate(w);
	return r;
}

int leakgc_rescan_finish(struct leakgc_session *s, struct leakgc_state *state,
			 int64_t pause_ends_ns)
{
	struct leakgc_arena *a = &s->world.arena;
	struct ending *e = leakgc_arena_take(a, sizeof(*e));
	int r = 0;

	state->yield_after_ns = INT64_MAX; /* the world waits */
	state->stopped = true;
	state->may_give_up = false;
	if (!e)
		return leakgc_out_of_memory(state);
	e->s = s;
	e->state = state;
	e->ends_ns = pause_ends_ns;
	e->run_count = e->fringes.count = 0;
	e->fringes.state = state;
	e->runs = leakgc_arena_take(a, RUNS_MAX * sizeof(*e->runs));
	if (!e->runs)
		return leakgc_out_of_memory(state);
	r = list_regions(s, &e->regions);
	if (r == -ENOMEM)
		return leakgc_out_of_memory(state);
	if (r < 0)
		return leakgc_stop_because(state, STRAND_CAUSE_SYSTEM, (uint64_t)-r);
	for (size_t i = 0; r == 0 && i < e->regions.count; i++)
		r = list_written(e, &e->regions.region[i]);
	if (r == 0)
		r = describe_changes(e);
	if (r == 0 && state->w->candidates_open)
		r = scan_changes(e);
	if (r == 0)
		leakgc_state_give_up(state);
	return r;
}

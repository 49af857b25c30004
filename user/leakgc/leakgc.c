/* SPDX-License-Identifier: MIT */
/* The entry to the leak search: limits, memory, whether to start at all, and the result. */
#include "leakgc/leakgc.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "leakgc/live.h"
#include "leakgc/maps.h"
#include "leakgc/snapshot.h"
#include "leakgc/stop.h"
#include "leakgc/syscall.h"

/* Measured with clone() under EPT; bare metal is about twice as fast. */
#define PAUSE_NS_PER_MB     20000
#define PAUSE_NS_PER_REGION 1100

/*
 * Up to here a clone is preferred: it needs no second look at anything, knows the heap block by
 * block, and its copy-on-write is over soon. Above, it would also slow the program for long.
 */
#define CLONE_PAUSE_MAX     10000000

#define KERNEL_WORDS_MAX    65536
#define COPIES_MAX          65536
#define MASK_SHARE          16 /* one part in so many of the memory is for masks */
#define MEMORY_MIN          (8u << 20)

void leakgc_limits_default(struct leakgc_limits *ret_limits)
{
	*ret_limits = (struct leakgc_limits){
		.stop_ns = 20000000,
		.pause_ns = 100000000,
		.time_ns = 30 * LEAKGC_NSEC,
		.memory = 256u << 20,
		.shared_copy_max = 64u << 20,
		.min_age_ns = 0,
	};
}

const char *leakgc_cause_text(enum strand_search_cause cause)
{
	switch (cause) {
#define STRAND_X(name, number, text) \
	case STRAND_CAUSE_##name:    \
		return text;
		STRAND_SEARCH_CAUSES(STRAND_X)
#undef STRAND_X
	case STRAND_SEARCH_CAUSE_COUNT:
		break;
	}
	return "";
}

/* ---- memory of the search ------------------------------------------------------ */

static void *map(size_t size, int how)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS | MAP_NORESERVE,
			    -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* Carve the tables out of the arena; what is left is for the world. */
static int lay_out(struct leakgc_session *s)
{
	struct leakgc_world *w = &s->world;
	struct leakgc_arena *a = &w->arena;

	w->kernel_word_room = KERNEL_WORDS_MAX;
	w->copy_room = COPIES_MAX;
	w->mask_room = s->limits->memory / MASK_SHARE / sizeof(*w->masks);
	s->chunk = leakgc_arena_take(a, LEAKGC_CHUNK);
	s->threads = leakgc_arena_take(a, LEAKGC_THREADS_MAX * sizeof(*s->threads));
	w->root_ranges = leakgc_arena_take(a, LEAKGC_THREADS_MAX * sizeof(*w->root_ranges));
	w->kernel_words = leakgc_arena_take(a, w->kernel_word_room * sizeof(*w->kernel_words));
	w->copies = leakgc_arena_take(a, w->copy_room * sizeof(*w->copies));
	w->masks = leakgc_arena_take(a, w->mask_room * sizeof(*w->masks));
	w->regions = leakgc_arena_take(a, LEAKGC_REGIONS_MAX * sizeof(*w->regions));
	s->copies = leakgc_arena_take(a, s->limits->shared_copy_max);
	if (!s->chunk || !s->threads || !w->root_ranges || !w->kernel_words || !w->copies ||
	    !w->masks || !w->regions || !s->copies)
		return -ENOMEM;
	return 0;
}

int leakgc_session_new(const struct leakgc_runtime *runtime, const struct leakgc_limits *limits,
		       const volatile int *cancel, unsigned without,
		       struct leakgc_session **ret_session)
{
	size_t size = limits->memory + limits->shared_copy_max + MEMORY_MIN;
	struct leakgc_session *s = map(size, MAP_PRIVATE);
	uintptr_t lo = (uintptr_t)s;
	int r;

	if (!s)
		return -ENOMEM;
	s->runtime = runtime;
	s->limits = limits;
	s->cancel = cancel;
	s->mapping = (struct leakgc_range){lo, lo + size};
	s->world.limits = limits;
	s->world.without = without;
	s->tracker.fd = -1;
	s->world.arena = (struct leakgc_arena){lo + sizeof(*s), lo + size};
	s->findings_size = limits->memory > MEMORY_MIN ? limits->memory : MEMORY_MIN;
	s->findings = map(s->findings_size, MAP_SHARED);
	leakgc_memory_init(&s->memory, LEAKGC_MEMORY_LIVE);
	leakgc_memory_init(&s->snapshot_memory, LEAKGC_MEMORY_SNAPSHOT);
	r = s->findings ? lay_out(s) : -ENOMEM;
	if (r == 0)
		r = leakgc_memory_open(&s->memory);
	if (r < 0) {
		leakgc_session_free(s);
		return r;
	}
	s->own[0] = s->mapping;
	s->own[1] = (struct leakgc_range){(uintptr_t)s->findings,
					  (uintptr_t)s->findings + s->findings_size};
	s->own[2] = leakgc_stop_memory();
	*ret_session = s;
	return 0;
}

void leakgc_session_free(struct leakgc_session *session)
{
	if (!session)
		return;
	leakgc_memory_close(&session->memory);
	if (session->findings)
		munmap(session->findings, session->findings_size);
	munmap(session, session->mapping.hi - session->mapping.lo);
}

/* ---- before the stop ------------------------------------------------------------- */

static int count_region(void *context, const struct leakgc_region *region)
{
	(void)region;
	++*(int64_t *)context;
	return 0;
}

static int64_t take_number(const char **at)
{
	int64_t value = 0;

	for (; **at >= '0' && **at <= '9'; ++*at)
		value = value * 10 + (**at - '0');
	while (**at == ' ')
		++*at;
	return value;
}

/* What a clone would take: by the pages that it shares copy-on-write, and by mappings. */
static int64_t predicted_pause(struct leakgc_session *s)
{
	char text[128];
	const char *at = text;
	int64_t regions = 0, resident, shared, megabytes;
	int fd, r;

	if (leakgc_read_file("/proc/thread-self/statm", text, sizeof(text)) <= 0)
		return -EIO;
	take_number(&at);
	resident = take_number(&at);
	shared = take_number(&at);
	megabytes = (resident - shared) * (int64_t)s->memory.page_size >> 20;
	fd = leakgc_open("/proc/thread-self/maps");
	if (fd < 0)
		return fd;
	r = leakgc_walk_maps(fd, (char *)s->chunk, LEAKGC_CHUNK, count_region, &regions);
	leakgc_close(fd);
	return r < 0 ? r : megabytes * PAUSE_NS_PER_MB + regions * PAUSE_NS_PER_REGION;
}

static enum strand_search_cause clone_search(struct leakgc_session *s, struct leakgc_result *result,
					     int64_t predicted)
{
	result->cause_detail = (uint64_t)(predicted < 0 ? -predicted : predicted);
	if (predicted < 0)
		return STRAND_CAUSE_SYSTEM;
	if (predicted > s->limits->pause_ns)
		return STRAND_CAUSE_PAUSE_BUDGET;
	leakgc_snapshot_search(s, result);
	return result->cause;
}

/* By clone where its pause is short; else by tracking; where that is forbidden, by clone again. */
static enum strand_search_cause search(struct leakgc_session *s, struct leakgc_result *result)
{
	enum leakgc_method method = s->limits->method;
	int64_t predicted;

	/* The signal's default action would end the target: never send it unhandled. */
	if (!leakgc_stop_is_ours(s->runtime->stop_signal)) {
		result->cause_detail = (uint64_t)s->runtime->stop_signal;
		return STRAND_CAUSE_SIGNAL_TAKEN;
	}
	predicted = predicted_pause(s);
	if (!s->runtime->describe_live ||
	    (method == LEAKGC_METHOD_BEST && predicted <= CLONE_PAUSE_MAX &&
	     predicted <= s->limits->pause_ns))
		method = LEAKGC_METHOD_CLONE;
	if (method != LEAKGC_METHOD_CLONE && leakgc_live_search(s, result))
		return result->cause;
	if (method == LEAKGC_METHOD_TRACKING)
		return result->cause_detail == ENOMEM ? STRAND_CAUSE_MEMORY_BUDGET
						      : STRAND_CAUSE_SYSTEM;
	return clone_search(s, result, predicted);
}

/* ---- the result -------------------------------------------------------------------- */

static enum strand_search_cause copy_verdicts(const struct leakgc_findings *f,
					      struct leakgc_result *result)
{
	size_t verdicts = f->verdict_count * sizeof(f->verdicts[0]);
	size_t size = verdicts + f->link_count * sizeof(result->links[0]);

	result->scanned_bytes = f->scanned_bytes;
	result->tasks = f->tasks;
	result->candidates = f->candidates;
	result->retained_stacks = f->retained_stacks;
	result->retained_objects = f->retained_objects;
	result->retained_blocks = f->retained_blocks;
	if (size) {
		result->verdicts = map(size, MAP_PRIVATE);
		if (!result->verdicts)
			return STRAND_CAUSE_MEMORY_BUDGET;
		memcpy(result->verdicts, f->verdicts, size);
		result->links = (const void *)((const char *)result->verdicts + verdicts);
	}
	result->leaked = f->leaked;
	result->verdict_count = f->verdict_count;
	result->link_count = f->link_count;
	result->mapped = size;
	return STRAND_CAUSE_NONE;
}

void leakgc_search_without(const struct leakgc_runtime *runtime, const struct leakgc_limits *limits,
			   const volatile int *cancel, unsigned without, bool in_place,
			   struct leakgc_result *ret_result)
{
	struct leakgc_result result = {.status = STRAND_SEARCH_REFUSED, .started_ns = leakgc_now()};
	struct leakgc_session *session = NULL;
	int r = leakgc_session_new(runtime, limits, cancel, without, &session);

	if (r < 0) {
		result.cause = r == -ENOMEM ? STRAND_CAUSE_MEMORY_BUDGET : STRAND_CAUSE_SYSTEM;
		result.cause_detail = (uint64_t)-r;
		goto out;
	}
	if (in_place)
		leakgc_snapshot_examine_in_place(session, &result);
	else
		result.cause = search(session, &result);
	if (!result.cause)
		result.cause = copy_verdicts(session->findings, &result);
	if (!result.cause)
		result.status = STRAND_SEARCH_DONE;
out:
	leakgc_session_free(session);
	result.total_ns = leakgc_now() - result.started_ns;
	*ret_result = result;
}

void leakgc_search(const struct leakgc_runtime *runtime, const struct leakgc_limits *limits,
		   const volatile int *cancel, struct leakgc_result *ret_result)
{
	leakgc_search_without(runtime, limits, cancel, 0, false, ret_result);
}

void leakgc_result_done(struct leakgc_result *result)
{
	if (!result)
		return;
	if (result->verdicts)
		munmap(result->verdicts, result->mapped);
	result->verdicts = NULL;
	result->links = NULL;
	result->verdict_count = result->link_count = 0;
	result->mapped = 0;
}

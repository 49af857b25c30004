/* SPDX-License-Identifier: MIT */
/* Groups waiting tasks by stack, reason and creator into the samples of a profile. */
#include "view/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "view/clock.h"
#include "view/go_text.h"
#include "view/pprof.h"

static const char *const names[] = {
	[PROFILE_GOROUTINELEAK] = "goroutineleak",
	[PROFILE_GOROUTINE] = "goroutine",
	[PROFILE_BLOCK] = "block",
	[PROFILE_MUTEX] = "mutex",
	[PROFILE_THREADCREATE] = "threadcreate",
};

const char *profile_name(enum profile_kind kind)
{
	return names[kind];
}

const char *profile_process(const struct model_process *p, char ret_text[PLACE_ROOM])
{
	char command[ESCAPE_ROOM];

	snprintf(ret_text, PLACE_ROOM, "%s (%d)",
		 escape_text(p->command, true, sizeof(command), command), p->pid);
	return ret_text;
}

enum profile_kind profile_find(const char *name)
{
	unsigned kind = 0;

	while (kind < PROFILE_KINDS && strcmp(names[kind], name) != 0)
		kind++;
	return kind;
}

bool profile_is_timed(enum profile_kind kind)
{
	return kind == PROFILE_BLOCK || kind == PROFILE_MUTEX;
}

static bool is_lock(enum strand_wait_reason reason)
{
	return reason == STRAND_WAIT_MUTEX_LOCK || reason == STRAND_WAIT_RWLOCK_RLOCK ||
	       reason == STRAND_WAIT_RWLOCK_LOCK;
}

static bool is_blocked(enum strand_wait_reason reason)
{
	return reason != STRAND_WAIT_NONE && reason != STRAND_WAIT_SLEEP &&
	       reason != STRAND_WAIT_IO_WAIT && reason != STRAND_WAIT_BLOCKING_CALL;
}

static bool belongs(enum profile_kind kind, enum strand_wait_reason reason,
		    enum model_task_state state)
{
	switch (kind) {
	case PROFILE_GOROUTINELEAK:
		return state == MODEL_LEAKED;
	case PROFILE_GOROUTINE:
		return true;
	case PROFILE_BLOCK:
		return is_blocked(reason);
	case PROFILE_MUTEX:
		return is_lock(reason);
	case PROFILE_THREADCREATE:
	case PROFILE_KINDS:
		break;
	}
	return false;
}

/* ---- equal waits ------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 32;
}

static uint64_t hash_wait(const struct profile_sample *s)
{
	uint64_t hash = mix((uintptr_t)s->process, (uint64_t)s->reason << 8 | s->state);

	hash = mix(hash, s->created_by->pc);
	for (size_t i = 0; i < s->stack->count; i++)
		hash = mix(hash, s->stack->frames[i].pc);
	return hash;
}

static bool waits_alike(const struct profile_sample *a, const struct profile_sample *b)
{
	if (a->hash != b->hash || a->process != b->process || a->reason != b->reason ||
	    a->state != b->state || a->created_by->pc != b->created_by->pc ||
	    a->stack->count != b->stack->count)
		return false;
	for (size_t i = 0; i < a->stack->count; i++)
		if (a->stack->frames[i].pc != b->stack->frames[i].pc)
			return false;
	return true;
}

/* ---- grouping ---------------------------------------------------------------------- */

struct grouping {
	struct profile *profile;
	uint32_t *slots; /* index of a sample + 1, 0: free; never more than half full */
	size_t slot_count;
};

static int rehash(struct grouping *g)
{
	size_t slot_count = g->slot_count ? 2 * g->slot_count : 256;
	uint32_t *slots = calloc(slot_count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < g->profile->count; i++) {
		size_t at = g->profile->samples[i].hash & (slot_count - 1);

		while (slots[at])
			at = (at + 1) & (slot_count - 1);
		slots[at] = (uint32_t)i + 1;
	}
	free(g->slots);
	g->slots = slots;
	g->slot_count = slot_count;
	return 0;
}

static int reserve(struct grouping *g)
{
	struct profile *p = g->profile;
	size_t room = p->room ? 2 * p->room : 64;
	struct profile_sample *larger;

	if (p->count == UINT32_MAX - 1)
		return -ENOMEM;
	if (2 * (p->count + 1) > g->slot_count && rehash(g))
		return -ENOMEM;
	if (p->count < p->room)
		return 0;
	larger = reallocarray(p->samples, room, sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	p->samples = larger;
	p->room = room;
	return 0;
}

/* The sample of those that wait alike, an empty one if it is the first; there is room. */
static struct profile_sample *find(struct grouping *g, const struct profile_sample *wait)
{
	size_t at = wait->hash & (g->slot_count - 1);
	struct profile_sample *s;

	for (; g->slots[at]; at = (at + 1) & (g->slot_count - 1)) {
		s = &g->profile->samples[g->slots[at] - 1];
		if (waits_alike(s, wait))
			return s;
	}
	g->slots[at] = (uint32_t)++g->profile->count;
	s = &g->profile->samples[g->profile->count - 1];
	*s = *wait;
	s->count = s->retained = 0;
	s->waited_ns = 0;
	return s;
}

static void add_time(int64_t *sum, int64_t ns)
{
	if (__builtin_add_overflow(*sum, ns, sum))
		*sum = INT64_MAX;
}

static void add_count(uint64_t *sum, uint64_t value)
{
	if (__builtin_add_overflow(*sum, value, sum))
		*sum = UINT64_MAX;
}

static int add(struct grouping *g, struct profile_sample *wait)
{
	struct profile_sample *s;
	int r = reserve(g);

	if (r)
		return r;
	wait->hash = hash_wait(wait);
	s = find(g, wait);
	add_count(&s->count, wait->count);
	add_count(&s->retained, wait->retained);
	add_time(&s->waited_ns, wait->waited_ns);
	add_count(&g->profile->total, wait->count);
	return 0;
}

/* Those that a task stands for have waited about as long as it has. */
static int add_task(struct grouping *g, const struct model *m, const struct model_process *process,
		    const struct model_task *t)
{
	int64_t age_ns = clock_age(m->now_ns, t->since_ns);
	struct profile_sample wait = {
		.process = process,
		.stack = &t->stack,
		.created_by = &t->created_by,
		.entry = &t->entry,
		.reason = t->reason,
		.has_state = true,
		.state = t->state,
		.count = model_task_weight(t),
		.retained = t->retained,
	};

	if (wait.count > INT64_MAX ||
	    __builtin_mul_overflow(age_ns, (int64_t)wait.count, &wait.waited_ns))
		wait.waited_ns = INT64_MAX;
	return add(g, &wait);
}

static int add_wait(struct grouping *g, const struct model_process *process,
		    const struct model_wait *w)
{
	struct profile_sample wait = {
		.process = process,
		.stack = &w->stack,
		.created_by = &w->created_by,
		.entry = &w->entry,
		.reason = w->reason,
		.count = w->waiting,
		.waited_ns = w->waiting_ns > 0 ? w->waiting_ns : 0,
	};

	add_count(&wait.count, w->ended);
	if (w->ended_ns > 0)
		add_time(&wait.waited_ns, w->ended_ns);
	return add(g, &wait);
}

/* Waits by site know of those that have ended, too; without them there are the tasks. */
static int add_process(struct grouping *g, const struct model *m, const struct model_process *p)
{
	enum profile_kind kind = g->profile->kind;
	int r = 0;

	if (profile_is_timed(kind) && p->wait_count) {
		for (size_t i = 0; i < p->wait_count && !r; i++)
			if (belongs(kind, p->waits[i].reason, MODEL_WAITING))
				r = add_wait(g, p, &p->waits[i]);
		return r;
	}
	for (size_t i = 0; i < p->task_count && !r; i++)
		if (belongs(kind, p->tasks[i].reason, p->tasks[i].state))
			r = add_task(g, m, p, &p->tasks[i]);
	return r;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* The last keys make the order the same each time. */
static int compare_samples(const struct profile_sample *a, const struct profile_sample *b)
{
	int r = compare_u64((uintptr_t)a->process, (uintptr_t)b->process);

	if (!r && a->stack->count && b->stack->count)
		r = compare_u64(a->stack->frames[0].pc, b->stack->frames[0].pc);
	return r ? r : compare_u64(a->hash, b->hash);
}

static int by_count(const void *x, const void *y)
{
	const struct profile_sample *a = x, *b = y;
	int r = compare_u64(b->count, a->count);

	return r ? r : compare_samples(a, b);
}

static int by_time(const void *x, const void *y)
{
	const struct profile_sample *a = x, *b = y;
	int r = compare_u64((uint64_t)b->waited_ns, (uint64_t)a->waited_ns);

	return r ? r : compare_samples(a, b);
}

int profile_build(const struct model *m, enum profile_kind kind, struct profile *ret_profile)
{
	struct profile p = {.kind = kind, .has_processes = m->process_count > 1};
	struct grouping g = {.profile = &p};
	int r = 0;

	for (size_t i = 0; i < m->process_count && !r; i++)
		r = add_process(&g, m, &m->processes[i]);
	free(g.slots);
	if (r) {
		profile_done(&p);
		return r;
	}
	if (p.count)
		qsort(p.samples, p.count, sizeof(*p.samples),
		      profile_is_timed(kind) ? by_time : by_count);
	*ret_profile = p;
	return 0;
}

void profile_done(struct profile *profile)
{
	free(profile->samples);
	memset(profile, 0, sizeof(*profile));
}

int view_profile(FILE *out, const struct model *m, enum profile_kind kind, unsigned debug)
{
	static const struct view_style style = {.utf8 = true};
	struct profile p;
	int r;

	if (debug >= 2 && (kind == PROFILE_GOROUTINELEAK || kind == PROFILE_GOROUTINE)) {
		view_go_text(out, m, GO_TEXT_ALL, &style);
		return 0;
	}
	r = profile_build(m, kind, &p);
	if (r)
		return r;
	if (debug)
		pprof_write_text(out, &p);
	else
		r = pprof_write(out, m, &p);
	profile_done(&p);
	return r;
}

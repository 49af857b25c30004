/* SPDX-License-Identifier: MIT */
/*
 * Puts tasks, sites and their stacks into a process of the model.
 *
 * F1. A task is in the model if BPF has it as waiting and nothing says that this park is over.
 * F2. A stack that cannot be read makes its process incomplete (losses.unread), never a
 *     task vanish.
 */
#include "observe/filler.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "observe/census.h"
#include "observe/places.h"
#include "observe/stacks.h"

/* A snapshot reads so many stacks of a process; later tasks get the stack of their site. */
#define STACKS_MAX   65536

/* So often it is tried to read a stack for a site; then it is named by addresses alone. */
#define ATTEMPTS_MAX 5

static const struct stack_copy unreadable = {.state = STACK_UNREADABLE};

/* ---- names ------------------------------------------------------------------ */

static int name_ends(struct filler *f, const struct waiting_task *w,
		     struct model_frame *ret_created_by, struct model_frame *ret_entry)
{
	int error = 0;

	ret_created_by->pc = w->created_pc;
	ret_entry->pc = w->fn;
	if (w->created_pc)
		error = naming_frame(&f->w->naming, w->created_pc, true, ret_created_by);
	if (!error && w->fn)
		error = naming_frame(&f->w->naming, w->fn, false, ret_entry);
	return error;
}

static int name_site(struct filler *f, struct site *s, const struct waiting_task *w,
		     const struct stack_copy *copy)
{
	struct model_frame created_by = {0}, entry = {0};
	struct model_stack stack = {0};
	int error = name_ends(f, w, &created_by, &entry);

	if (!error)
		error = naming_stack(&f->w->naming, f->w->target, w, copy, &stack);
	if (!error)
		error = site_name(s, &stack, &created_by, &entry);
	model_stack_done(&stack);
	model_frame_done(&created_by);
	model_frame_done(&entry);
	return error;
}

/* Something is wrong with its memory: say so, unless a worse thing is known. */
static void note_unreadable(struct filler *f, int error)
{
	if (error == -ETIMEDOUT)
		f->w->stacks_hang = true;
	if (f->p->status != MODEL_OBSERVED)
		return;
	f->p->status = error == -ETIMEDOUT ? MODEL_HUNG
		       : error == -ESRCH   ? MODEL_EXITED
					   : MODEL_DENIED;
	if (asprintf(&f->p->status_text, "its stacks cannot be read: %s", strerror(-error)) < 0)
		f->p->status_text = NULL;
}

/* False: there are none, and the process says why. */
static bool read_stacks(struct filler *f, const struct collected_task *tasks, size_t count,
			struct stack_copies *ret_copies)
{
	int error;

	if (!f->o->options.stacks || f->w->stacks_hang)
		return false;
	error = stacks_read(f->w->target, tasks, count, ret_copies);
	if (error)
		note_unreadable(f, error);
	return !error;
}

/* ---- every task --------------------------------------------------------------- */

/* What has no name lies in some mapping: that is looked up if few processes are asked for. */
static int name_root(struct filler *f, struct model_task *t)
{
	int error;

	if (t->root_kind != STRAND_ROOT_MEMORY || !f->o->options.stacks)
		return 0;
	error = naming_frame(&f->w->naming, t->root, false, &t->root_at);
	if (!error && !t->root_at.function && f->o->options.scope.pid)
		t->root_place = places_name(f->w->target->proc_fd, t->root);
	return error;
}

static int judge(struct filler *f, const struct collected_task *from, const struct site *site,
		 struct model_task *t)
{
	int error;
	const struct search_verdict *v = search_find(&f->w->search, from);

	t->suspect_rules =
		census_judge(&f->o->options.suspects, site, v, &from->task, f->now_ns, &t->state);
	if (!v)
		return 0;
	error = search_explain(&f->w->search, v, t);
	return error ? error : name_root(f, t);
}

static int add_task(struct filler *f, const struct collected_task *from,
		    const struct stack_copy *copy)
{
	const struct site_key key = collect_site_of(from);
	struct site *site = site_table_find(&f->w->sites, &key);
	struct model_task *t;
	int error = collect_add_task(from, f->p, &t);

	if (!error)
		error = judge(f, from, site, t);
	if (error || !f->o->options.stacks)
		return error;
	error = name_ends(f, &from->task, &t->created_by, &t->entry);
	if (error)
		return error;
	if (!copy && site && site->named)
		return model_stack_copy(&site->stack, &t->stack);
	if (!copy || copy->state != STACK_READ)
		f->p->losses.unread++;
	error = naming_stack(&f->w->naming, f->w->target, &from->task, copy ? copy : &unreadable,
			     &t->stack);
	if (!error && site && !site->named && copy && copy->state == STACK_READ)
		error = site_name(site, &t->stack, &t->created_by, &t->entry);
	return error;
}

/* @with_stacks  false: there were too many before */
static int add_chunk(struct filler *f, const struct collected_task *tasks, size_t count,
		     bool with_stacks)
{
	struct stack_copies copies = {0};
	bool have_copies = with_stacks && read_stacks(f, tasks, count, &copies);
	int error = 0;

	for (size_t i = 0; i < count && !error; i++) {
		const struct stack_copy *copy = have_copies   ? &copies.copy[i]
						: with_stacks ? &unreadable
							      : NULL;

		if (copy && copy->state == STACK_ENDED &&
		    !collect_still_waiting(&f->o->maps, &tasks[i]))
			continue;
		error = add_task(f, &tasks[i], copy);
	}
	if (have_copies)
		stacks_done(&copies);
	return error;
}

int filler_add_tasks(struct filler *f)
{
	for (size_t at = 0; at < f->slice.count; at += STACKS_CHUNK) {
		size_t left = f->slice.count - at;
		int error = add_chunk(f, f->slice.tasks + at,
				      left < STACKS_CHUNK ? left : STACKS_CHUNK, at < STACKS_MAX);

		if (error)
			return error;
	}
	return 0;
}

/* ---- one task a site and state -------------------------------------------------- */

static const struct collected_task *example_of(const struct site *s)
{
	for (size_t i = 0; i < MODEL_TASK_STATES; i++)
		if (s->groups[i].count)
			return &s->groups[i].example;
	return NULL;
}

/* Copy one stack for each site that has no names yet, and name it. */
static int name_sites(struct filler *f)
{
	struct collected_task tasks[STACKS_CHUNK];
	struct site *of[STACKS_CHUNK];
	struct stack_copies copies = {0};
	size_t count = 0;
	int error = 0;

	for (size_t i = 0; i < f->w->sites.count && count < STACKS_CHUNK; i++) {
		struct site *s = &f->w->sites.sites[i];
		const struct collected_task *example = s->named ? NULL : example_of(s);

		if (!example || s->attempts++ >= ATTEMPTS_MAX)
			continue;
		tasks[count] = *example;
		of[count++] = s;
	}
	if (!count || !read_stacks(f, tasks, count, &copies))
		return 0;
	for (size_t i = 0; i < count && !error; i++)
		if (copies.copy[i].state == STACK_READ)
			error = name_site(f, of[i], &tasks[i].task, &copies.copy[i]);
	stacks_done(&copies);
	return error;
}

/* The frames of a site, as far as they are known. */
static int copy_names(struct filler *f, const struct site *s, struct model_stack *ret_stack,
		      struct model_frame *ret_created_by, struct model_frame *ret_entry)
{
	const struct waiting_task at = {
		.pc = s->key.pc, .fn = s->key.fn, .created_pc = s->key.created_pc};

	if (!f->o->options.stacks) {
		ret_created_by->pc = at.created_pc;
		ret_entry->pc = at.fn;
		return 0;
	}
	if (!s->named)
		return name_ends(f, &at, ret_created_by, ret_entry) ||
				       naming_stack(&f->w->naming, f->w->target, &at, &unreadable,
						    ret_stack)
			       ? -ENOMEM
			       : 0;
	return model_stack_copy(&s->stack, ret_stack) ||
			       model_frame_copy(&s->created_by, ret_created_by) ||
			       model_frame_copy(&s->entry, ret_entry)
		       ? -ENOMEM
		       : 0;
}

/* A site without an example, because those that wait there change faster than they are read. */
static struct collected_task nobody(const struct site *s)
{
	return (struct collected_task){
		.key = {.tgid = s->key.tgid, .instance = s->key.instance},
		.task = {.host_since_ns = s->stats.oldest_since_ns,
			 .pc = s->key.pc,
			 .fn = s->key.fn,
			 .created_pc = s->key.created_pc,
			 .reason = s->key.reason < SITE_OTHER ? s->key.reason : 255},
	};
}

static int add_example(struct filler *f, const struct site *s, enum model_task_state state,
		       uint64_t count)
{
	const struct site_group *group = &s->groups[state];
	struct collected_task from = group->count ? group->example : nobody(s);
	struct model_task *t;
	int error;

	if (!count)
		return 0;
	error = collect_add_task(&from, f->p, &t);
	if (error)
		return error;
	t->created_by = t->entry = (struct model_frame){0};
	t->stands_for = count;
	error = judge(f, &from, s, t);
	t->retained = group->retained;
	if (!error)
		error = copy_names(f, s, &t->stack, &t->created_by, &t->entry);
	if (!error && f->o->options.stacks && !s->named)
		f->p->losses.unread++;
	return error;
}

static uint64_t at_most(uint64_t value, uint64_t limit)
{
	return value < limit ? value : limit;
}

int filler_add_examples(struct filler *f)
{
	int error = name_sites(f);

	for (size_t i = 0; i < f->w->sites.count && !error; i++) {
		const struct site *s = &f->w->sites.sites[i];
		uint64_t left = s->stats.waiting;
		uint64_t leaked = at_most(s->groups[MODEL_LEAKED].count, left);
		uint64_t suspect = at_most(s->groups[MODEL_SUSPECT].count, left - leaked);

		error = add_example(f, s, MODEL_LEAKED, leaked);
		if (!error)
			error = add_example(f, s, MODEL_SUSPECT, suspect);
		if (!error)
			error = add_example(f, s, MODEL_WAITING, left - leaked - suspect);
	}
	return error;
}

/* ---- what the kernel counted ------------------------------------------------------ */

static int64_t total_age(const struct site_stats *stats, int64_t now_ns)
{
	uint64_t sum = stats->waiting * (uint64_t)now_ns - stats->since_sum;

	/* The counts are read one after the other while they change: a sum below 0 is one of 0. */
	return (int64_t)sum > 0 ? (int64_t)sum : 0;
}

static int add_wait(struct filler *f, const struct site *s)
{
	struct model_wait *wait;
	int error = model_add_wait(f->p, &wait);

	if (error)
		return error;
	wait->fingerprint = s->fingerprint;
	wait->reason =
		s->key.reason < STRAND_WAIT_REASON_COUNT ? s->key.reason : STRAND_WAIT_REASON_COUNT;
	wait->waiting = s->stats.waiting;
	wait->oldest_since_ns = (int64_t)s->stats.oldest_since_ns;
	wait->waiting_ns = total_age(&s->stats, f->now_ns);
	wait->ended = s->stats.ended;
	wait->ended_ns = (int64_t)s->stats.ended_ns;
	for (size_t i = 0; i < WAIT_SLOTS; i++)
		wait->slots[i] = s->stats.slots[i];
	return copy_names(f, s, &wait->stack, &wait->created_by, &wait->entry);
}

_Static_assert(MODEL_WAIT_SLOTS == WAIT_SLOTS, "copied slot by slot");

int filler_add_waits(struct filler *f)
{
	int error = 0;

	for (size_t i = 0; i < f->w->sites.count && !error; i++)
		error = add_wait(f, &f->w->sites.sites[i]);
	return error;
}

int filler_add_pasts(struct filler *f)
{
	for (size_t i = 0; i < f->w->past_count; i++) {
		struct model_past *past;

		if (model_add_past(f->p, &past))
			return -ENOMEM;
		*past = f->w->pasts[i];
	}
	return 0;
}

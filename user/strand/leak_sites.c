/* SPDX-License-Identifier: MIT */
/* Remembering leaks by site, and the alarm if a reported task is unparked after all. */
#include "strand/leak_sites.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "leakgc/leakgc.h"
#include "strand/line.h"
#include "strand/probes.h"
#include "strand/runtime.h"
#include "strand/sched.h"

static bool is_same_park(const struct task *task, const struct leakgc_verdict *v)
{
	return task->id == v->task && task->generation == v->generation &&
	       task->state == TASK_PARKED;
}

/*
 * Verdicts are in the order in which the search was told of the tasks, which is that of the
 * slabs; slabs that are newer than the search come first and match nothing.
 */
void leak_sites_visit(struct runtime *rt, const struct leakgc_result *result,
		      leaked_task_seen *seen, void *context)
{
	size_t at = 0;

	lock_take(&rt->tasks.lock); /* no slab is added meanwhile */
	for (struct task_slab *slab = rt->tasks.slabs; slab; slab = slab->next) {
		for (size_t i = 0; i < slab->count && at < result->verdict_count; i++) {
			const struct leakgc_verdict *v = &result->verdicts[at];

			if (slab->tasks[i].id != v->task)
				continue;
			at++;
			if (v->verdict == STRAND_VERDICT_LEAKED && is_same_park(&slab->tasks[i], v))
				seen(context, &slab->tasks[i], v);
		}
	}
	lock_release(&rt->tasks.lock);
}

/* ---- sites ------------------------------------------------------------------------ */

static bool is_site_of(const struct leak_site *site, const struct task *task)
{
	return site->pc == task->where.pc && site->created_pc == task->created_pc &&
	       site->fn == (uintptr_t)task->fn && site->reason == task->reason;
}

/* Its place, new if there is none yet; NULL: the table is full. The lock is held. */
static struct leak_site *find_site(struct leak_sites *s, const struct task *task)
{
	uint64_t hash = (task->where.pc ^ task->created_pc * 31) * 0x9e3779b97f4a7c15u;

	for (size_t i = 0; i < LEAK_SITES_MAX; i++) {
		struct leak_site *site = &s->sites[((hash >> 32) + i) % LEAK_SITES_MAX];

		if (is_site_of(site, task))
			return site;
		if (site->pc)
			continue;
		*site = (struct leak_site){
			.pc = task->where.pc,
			.created_pc = task->created_pc,
			.fn = (uintptr_t)task->fn,
			.reason = task->reason,
		};
		return site;
	}
	return NULL;
}

static void note_leak(void *context, struct task *task, const struct leakgc_verdict *v)
{
	struct leak_sites *s = context;
	struct leak_site *site;

	(void)v;
	__atomic_store_n(&task->reported, true, __ATOMIC_RELAXED);
	lock_take(&s->lock);
	site = find_site(s, task);
	if (site && site->last_search != s->searches) {
		site->last_search = s->searches;
		site->searches_seen++;
	}
	lock_release(&s->lock);
}

void leak_sites_note(struct runtime *rt, const struct leakgc_result *result)
{
	struct leak_sites *s = &rt->control.sites;

	if (!result->leaked)
		return;
	s->searches++;
	leak_sites_visit(rt, result, note_leak, s);
}

uint32_t leak_sites_seen(struct runtime *rt, const struct task *task)
{
	struct leak_sites *s = &rt->control.sites;
	const struct leak_site *site;
	uint32_t seen;

	lock_take(&s->lock);
	site = find_site(s, task);
	seen = site ? site->searches_seen : 0;
	lock_release(&s->lock);
	return seen;
}

/* ---- the alarm ---------------------------------------------------------------------- */

static bool is_first_of_site(struct leak_sites *s, const struct task *task)
{
	struct leak_site *site;
	bool first;

	lock_take(&s->lock);
	site = find_site(s, task);
	first = site && !site->retracted;
	if (site)
		site->retracted = true;
	lock_release(&s->lock);
	return first;
}

static void say_retracted(const struct task *task)
{
	struct line line = {.length = 0};

	line_add(&line, "strand: retracted: task ");
	line_add_number(&line, task->id);
	if (task->name[0]) {
		line_add(&line, " ");
		line_add_quoted(&line, task->name, sizeof(task->name));
	}
	line_add(&line, ", reported as leaked in ");
	line_add_hex(&line, task->where.pc);
	line_add(&line, " (created in ");
	line_add_hex(&line, task->created_pc);
	line_add(&line, "), has been woken by ");
	line_add(&line, task->waker ? "task " : "a thread, a timer or the kernel");
	if (task->waker)
		line_add_number(&line, task->waker);
	line_add(&line, "; is its pointer kept encoded?\n");
	line_write(&line, STDERR_FILENO);
}

void leak_sites_retract(struct runtime *rt, struct task *task)
{
	const char *wanted = getenv("STRAND_RETRACTED");

	__atomic_store_n(&task->reported, false, __ATOMIC_RELAXED);
	__atomic_fetch_add(&strand_descriptor.retracted, 1, __ATOMIC_RELAXED);
	if (is_first_of_site(&rt->control.sites, task))
		say_retracted(task);
	if (wanted && !strcmp(wanted, "abort"))
		abort();
}

/* ---- recovery ------------------------------------------------------------------------- */

static void forget(void *context, struct task *task, const struct leakgc_verdict *v)
{
	(void)context;
	(void)v;
	__atomic_store_n(&task->reported, false, __ATOMIC_RELAXED);
}

static void cancel(void *context, struct task *task, const struct leakgc_verdict *v)
{
	(void)context;
	(void)v;
	if (!atomic_exchange(&task->cancelled, true))
		sched_cancel(task);
}

/* All are forgotten first: one that cleans up may wake another, and that is no retraction. */
void leak_sites_cancel(struct runtime *rt, const struct leakgc_result *result)
{
	leak_sites_visit(rt, result, forget, NULL);
	leak_sites_visit(rt, result, cancel, NULL);
}

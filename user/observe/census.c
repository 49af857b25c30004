/* SPDX-License-Identifier: MIT */
/*
 * Looks at every waiting task once, and counts them by site and state.
 *
 * E1. A look at an entry costs about half a microsecond, so a census of a million takes half a
 *     second. It takes place when new verdicts came, and otherwise so rarely that it costs at
 *     most one part in CENSUS_SHARE of the time.
 * E2. An entry is deleted only if the account that its process has after the entry was read is
 *     of another instance, or if there is none (collect.c, C1 and C2).
 */
#include "observe/census.h"

#include <errno.h>
#include <stdlib.h>
#include <bpf/bpf.h>
#include "observe/past.h"

#define CENSUS_SHARE 100

/* So many entries of processes that have gone are deleted in one census. */
#define STALE_MAX    65536

struct entry_owner {
	uint32_t tgid;
	struct watch *watch;
};

struct census {
	struct observer *o;
	int64_t now_ns;
	struct entry_owner *owners; /* sorted by tgid */
	struct waiting_key *stale;
	size_t stale_count;
	const struct entry_owner *last; /* of the entry before: they come in no order, but often */
};

struct purge {
	struct census census;
	const struct collected *accounts; /* read before the entries: what they lack is asked for */
};

/* ---- judging ---------------------------------------------------------------- */

unsigned census_judge(const struct suspect_rules *rules, const struct site *site,
		      const struct search_verdict *verdict, const struct waiting_task *task,
		      int64_t now_ns, enum model_task_state *ret_state)
{
	unsigned hold;

	*ret_state = MODEL_LEAKED;
	if (verdict && verdict->verdict == STRAND_VERDICT_LEAKED)
		return 0;
	hold = site ? site->rules | suspects_task(rules, site, task, now_ns) : 0;
	*ret_state = hold ? MODEL_SUSPECT : MODEL_WAITING;
	return hold;
}

/* ---- who owns an entry ------------------------------------------------------ */

static int compare_owners(const void *a, const void *b)
{
	uint32_t x = ((const struct entry_owner *)a)->tgid;
	uint32_t y = ((const struct entry_owner *)b)->tgid;

	return (x > y) - (x < y);
}

static int list_owners(struct census *c)
{
	const struct observer *o = c->o;

	c->owners = calloc(o->watch_count + 1, sizeof(*c->owners));
	if (!c->owners)
		return -ENOMEM;
	for (size_t i = 0; i < o->watch_count; i++)
		c->owners[i] = (struct entry_owner){o->watches[i]->target->pid, o->watches[i]};
	if (o->watch_count)
		qsort(c->owners, o->watch_count, sizeof(*c->owners), compare_owners);
	return 0;
}

static struct watch *find_owner(struct census *c, uint32_t tgid)
{
	const struct entry_owner key = {.tgid = tgid};

	if (!c->last || c->last->tgid != tgid)
		c->last = bsearch(&key, c->owners, c->o->watch_count, sizeof(key), compare_owners);
	return c->last ? c->last->watch : NULL;
}

/* ---- counting ---------------------------------------------------------------- */

static void begin(struct observer *o)
{
	for (size_t i = 0; i < o->watch_count; i++) {
		struct watch *w = o->watches[i];

		for (size_t j = 0; j < w->sites.count; j++)
			for (size_t k = 0; k < MODEL_TASK_STATES; k++)
				w->sites.sites[j].groups[k] = (struct site_group){0};
		for (size_t j = 0; j < w->search.verdict_count; j++)
			w->search.verdicts[j].counted = false;
	}
}

static void count(struct site_group *group, const struct collected_task *task)
{
	if (!group->count++ || task->task.host_since_ns < group->example.task.host_since_ns)
		group->example = *task;
}

/* The numbers are a target's claims. */
static void add_retained(struct site_group *group, uint64_t bytes)
{
	if (__builtin_add_overflow(group->retained, bytes, &group->retained))
		group->retained = UINT64_MAX;
}

static int look_at(void *context, const struct collected_task *task)
{
	struct census *c = context;
	struct watch *w = find_owner(c, task->key.tgid);
	struct site_key key = collect_site_of(task);
	struct site *site = w ? site_table_find(&w->sites, &key) : NULL;
	enum model_task_state state;
	struct search_verdict *v;

	if (!site) {
		if (c->stale_count < STALE_MAX)
			c->stale[c->stale_count++] = task->key;
		return 0;
	}
	v = search_find(&w->search, task);
	if (v) {
		v->counted = true;
		v->site = site->number;
	}
	census_judge(&c->o->options.suspects, site, v, &task->task, c->now_ns, &state);
	count(&site->groups[state], task);
	if (state == MODEL_LEAKED)
		add_retained(&site->groups[state], v->retained);
	return 0;
}

/* E2 */
static void delete_stale(struct census *c)
{
	const struct collect_maps *maps = &c->o->maps;

	for (size_t i = 0; i < c->stale_count; i++) {
		const struct waiting_key *key = &c->stale[i];
		struct process_account account;

		if (bpf_map_lookup_elem(maps->processes, &key->tgid, &account) ||
		    account.instance != key->instance)
			bpf_map_delete_elem(maps->waiting, key);
	}
}

/* ---- retracted ---------------------------------------------------------------- */

/*
 * A proof that was wrong: the task was met in the park that was proved to be for ever, and that
 * park has ended. (Or its program has woken it by cancelling it, which nobody else can.)
 */
static void retract(struct observer *o, struct watch *w, struct search_verdict *v)
{
	struct collected_task now;
	struct process_account account;
	struct waiting_key key = {.tgid = w->target->pid, .task = v->task};
	struct model_past *past = NULL;

	if (bpf_map_lookup_elem(o->maps.processes, &key.tgid, &account) || !target_alive(w->target))
		return;
	key.instance = account.instance;
	if (!collect_find_task(&o->maps, &key, &now) && now.task.generation == v->generation)
		return;
	v->verdict = STRAND_VERDICT_WAITING;
	for (size_t i = 0; i < w->sites.count; i++)
		if (w->sites.sites[i].number == v->site)
			past = past_get(w, w->sites.sites[i].fingerprint);
	if (past)
		past->retracted++;
}

static void find_retracted(struct observer *o)
{
	for (size_t i = 0; i < o->watch_count; i++) {
		struct search *s = &o->watches[i]->search;

		for (size_t j = 0; j < s->verdict_count; j++) {
			struct search_verdict *v = &s->verdicts[j];

			if (v->verdict == STRAND_VERDICT_LEAKED && v->site && !v->counted)
				retract(o, o->watches[i], v);
		}
	}
}

/* ---- one census ------------------------------------------------------------- */

static int find_stale(void *context, const struct collected_task *task)
{
	struct purge *p = context;

	if (p->census.stale_count < STALE_MAX &&
	    !collect_is_current(p->accounts, task->key.tgid, task->key.instance))
		p->census.stale[p->census.stale_count++] = task->key;
	return 0;
}

int census_purge(struct observer *o)
{
	struct collected accounts;
	struct purge p = {.census = {.o = o}, .accounts = &accounts};
	int error = collect_read_sites(&o->maps, &accounts);

	if (error)
		return error;
	collect_purge(&o->maps, &accounts);
	p.census.stale = reallocarray(NULL, STALE_MAX, sizeof(*p.census.stale));
	error = p.census.stale ? collect_each_task(&o->maps, find_stale, &p) : -ENOMEM;
	if (!error)
		delete_stale(&p.census);
	o->purge_wanted = error || p.census.stale_count == STALE_MAX;
	free(p.census.stale);
	collect_done(&accounts);
	return error;
}

static int look_at_all(struct census *c, const struct collected *copy)
{
	if (!copy->tasks)
		return collect_each_task(&c->o->maps, look_at, c);
	for (size_t i = 0; i < copy->task_count; i++)
		look_at(c, &copy->tasks[i]);
	return 0;
}

int census_take(struct observer *o, const struct collected *copy)
{
	struct census c = {.o = o, .now_ns = observe_now_ns()};
	int error = list_owners(&c);

	c.stale = reallocarray(NULL, STALE_MAX, sizeof(*c.stale));
	if (!c.stale)
		error = -ENOMEM;
	if (!error) {
		begin(o);
		error = look_at_all(&c, copy);
		delete_stale(&c);
		if (!error)
			find_retracted(o);
	}
	free(c.stale);
	free(c.owners);
	o->census_wanted = error != 0;
	/* E1 */
	o->census_due_ns = observe_now_ns() + CENSUS_SHARE * (observe_now_ns() - c.now_ns);
	return error;
}

/* ---- examples ------------------------------------------------------------------ */

static bool is_at(const struct collected_task *task, const struct site_key *key)
{
	struct site_key of = collect_site_of(task);

	return !collect_compare_sites(&of, key);
}

/* The oldest that the kernel knows of, unless it has gone: then a younger one is. */
static void take_oldest(const struct observer *o, const struct watch *w, struct site *s)
{
	const struct waiting_key key = {
		.tgid = s->key.tgid, .instance = s->key.instance, .task = s->stats.oldest_task};
	enum model_task_state state;
	struct collected_task oldest;

	if (collect_find_task(&o->maps, &key, &oldest) || !is_at(&oldest, &s->key))
		return;
	census_judge(&o->options.suspects, s, search_find(&w->search, &oldest), &oldest.task,
		     observe_now_ns(), &state);
	if (!s->groups[state].count)
		s->groups[state].count = 1;
	s->groups[state].example = oldest;
}

/* Is there a task to show for those of the site that no census has counted? */
static bool has_example(const struct observer *o, const struct watch *w, struct site *s)
{
	const struct site_group *group = &s->groups[MODEL_WAITING];
	bool others = s->rules && s->groups[MODEL_SUSPECT].count;

	if (!site_waiting(s) || s->key.reason == SITE_OTHER || others)
		return true;
	if (!group->count || s->stats.oldest_since_ns < group->example.task.host_since_ns)
		take_oldest(o, w, s);
	return group->count && collect_still_waiting(&o->maps, &group->example);
}

bool census_is_needed(struct observer *o)
{
	bool needed = o->census_wanted;

	for (size_t i = 0; i < o->watch_count; i++) {
		struct watch *w = o->watches[i];

		for (size_t j = 0; j < w->sites.count; j++)
			if (!has_example(o, w, &w->sites.sites[j]) &&
			    observe_now_ns() >= o->census_due_ns)
				needed = true;
	}
	return needed;
}

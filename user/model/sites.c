/* SPDX-License-Identifier: MIT */
/* Groups waiting tasks into sites: same process, state, reason, place of wait and of creation. */
#include "model/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	const struct model_process *process;
	const struct model_task *task;
	const struct model_frame *where; /* NULL: not known */
};

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* Places in a source file are equal by what people read, all others by address. */
static bool has_line(const struct model_frame *f)
{
	return f && f->function && f->file && f->line;
}

static int compare_places(const struct model_frame *a, const struct model_frame *b)
{
	int r;

	if (has_line(a) != has_line(b))
		return has_line(a) ? -1 : 1;
	if (!has_line(a))
		return compare_u64(a ? a->pc : 0, b ? b->pc : 0);
	r = compare_u64(a->line, b->line);
	if (!r)
		r = strcmp(a->function, b->function);
	return r ? r : strcmp(a->file, b->file);
}

static int compare_keys(const struct entry *a, const struct entry *b)
{
	int r = compare_u64((uintptr_t)a->process, (uintptr_t)b->process);

	if (!r)
		r = compare_u64(a->task->state, b->task->state);
	if (!r)
		r = compare_u64(a->task->reason, b->task->reason);
	if (!r)
		r = compare_places(a->where, b->where);
	return r ? r : compare_places(&a->task->created_by, &b->task->created_by);
}

/* Within one site the oldest comes first: it becomes the example. */
static int compare_entries(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int r = compare_keys(a, b);

	if (!r && a->task->since_ns != b->task->since_ns)
		r = a->task->since_ns < b->task->since_ns ? -1 : 1;
	return r ? r : compare_u64(a->task->id, b->task->id);
}

static int compare_sites(const void *x, const void *y)
{
	const struct model_site *a = x, *b = y;
	bool a_leaked = a->example->state == MODEL_LEAKED;
	bool b_leaked = b->example->state == MODEL_LEAKED;

	if (a_leaked != b_leaked)
		return a_leaked ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	if (a->oldest_since_ns != b->oldest_since_ns)
		return a->oldest_since_ns < b->oldest_since_ns ? -1 : 1;
	if (a->process != b->process)
		return a->process < b->process ? -1 : 1;
	return compare_u64(a->example->id, b->example->id);
}

/* ---- fingerprints: FNV-1a ------------------------------------------------- */

static void mix(uint64_t *hash, const void *bytes, size_t size)
{
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < size; i++)
		*hash = (*hash ^ byte[i]) * 0x100000001b3u;
}

/* With its NUL: where one text ends and the next begins counts. */
static void mix_text(uint64_t *hash, const char *text)
{
	mix(hash, text, strlen(text) + 1);
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void mix_place(uint64_t *hash, const struct model_frame *f)
{
	const uint32_t line = f ? f->line : 0;

	if (has_line(f)) {
		mix_text(hash, f->function);
		mix_text(hash, last_part(f->file));
		mix(hash, &line, sizeof(line));
	} else if (f && f->module) {
		mix_text(hash, last_part(f->module));
		mix(hash, &f->module_offset, sizeof(f->module_offset));
	} else {
		mix_text(hash, "");
	}
}

uint64_t model_fingerprint(enum strand_wait_reason reason, const struct model_frame *where,
			   const struct model_frame *created_by)
{
	const uint32_t number = reason;
	uint64_t hash = 0xcbf29ce484222325u;

	mix(&hash, &number, sizeof(number));
	mix_place(&hash, where);
	mix_place(&hash, created_by);
	return hash;
}

/* ---- grouping -------------------------------------------------------------- */

static size_t count_tasks(const struct model *m)
{
	size_t count = 0;

	for (size_t i = 0; i < m->process_count; i++)
		count += m->processes[i].task_count;
	return count;
}

static void collect(const struct model *m, struct entry *ret_entries)
{
	for (size_t i = 0; i < m->process_count; i++) {
		const struct model_process *p = &m->processes[i];

		for (size_t j = 0; j < p->task_count; j++) {
			const struct model_task *t = &p->tasks[j];

			*ret_entries++ = (struct entry){
				.process = p,
				.task = t,
				.where = t->stack.count ? &t->stack.frames[0] : NULL,
			};
		}
	}
}

static void identify(struct model_site *site, const struct model_frame *where)
{
	site->fingerprint =
		model_fingerprint(site->example->reason, where, &site->example->created_by);
	site->past = model_find_past(site->process, site->fingerprint);
}

/* The numbers are a target's: a sum that does not fit stays at its largest. */
static void add_retained(struct model_site *site, const struct model_task *t)
{
	if (__builtin_add_overflow(site->retained, t->retained, &site->retained))
		site->retained = UINT64_MAX;
}

/* Entries are sorted: each run of equal keys is a site. Returns how many there are. */
static size_t group(const struct entry *entries, size_t count, struct model_site *ret_sites)
{
	size_t sites = 0;

	for (size_t i = 0; i < count; i++) {
		const struct model_task *t = entries[i].task;
		size_t stands_for = model_task_weight(t);

		if (i && !compare_keys(&entries[i - 1], &entries[i])) {
			ret_sites[sites - 1].count += stands_for;
			ret_sites[sites - 1].suspect_rules |= t->suspect_rules;
			add_retained(&ret_sites[sites - 1], t);
			continue;
		}
		ret_sites[sites++] = (struct model_site){
			.process = entries[i].process,
			.example = t,
			.count = stands_for,
			.oldest_since_ns = t->since_ns,
			.suspect_rules = t->suspect_rules,
			.retained = t->retained,
		};
		identify(&ret_sites[sites - 1], entries[i].where);
	}
	return sites;
}

int model_sites_build(const struct model *m, struct model_sites *ret_sites)
{
	size_t count = count_tasks(m);
	struct model_sites built = {0};
	struct entry *entries = NULL;
	int r = -ENOMEM;

	if (count) {
		entries = calloc(count, sizeof(*entries));
		built.sites = calloc(count, sizeof(*built.sites));
		if (!entries || !built.sites)
			goto out;
		collect(m, entries);
		qsort(entries, count, sizeof(*entries), compare_entries);
		built.count = group(entries, count, built.sites);
		qsort(built.sites, built.count, sizeof(*built.sites), compare_sites);
	}
	*ret_sites = built;
	built.sites = NULL;
	r = 0;
out:
	free(entries);
	free(built.sites);
	return r;
}

void model_sites_done(struct model_sites *sites)
{
	free(sites->sites);
	memset(sites, 0, sizeof(*sites));
}

/* SPDX-License-Identifier: MIT */
/* Keeps the sites of one process from reading to reading. */
#include "observe/sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void site_done(struct site *s)
{
	model_stack_done(&s->stack);
	model_frame_done(&s->created_by);
	model_frame_done(&s->entry);
}

void site_table_done(struct site_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		site_done(&t->sites[i]);
	free(t->sites);
	*t = (struct site_table){0};
}

static struct site *search(const struct site_table *t, const struct site_key *key)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = collect_compare_sites(&t->sites[middle].key, key);

		if (!order)
			return &t->sites[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct site *site_table_find(const struct site_table *t, const struct site_key *key)
{
	const struct site_key other = {
		.tgid = key->tgid, .instance = key->instance, .reason = SITE_OTHER};
	struct site *found = search(t, key);

	return found ? found : search(t, &other);
}

/* Both are sorted: those of the table that are in the reading are met on the way. */
static size_t take_known(struct site_table *t, const struct collected_slice *slice)
{
	size_t at = 0, known = 0;

	for (size_t i = 0; i < t->count; i++)
		t->sites[i].present = false;
	for (size_t i = 0; i < slice->site_count; i++) {
		const struct collected_site *from = &slice->sites[i];

		while (at < t->count && collect_compare_sites(&t->sites[at].key, &from->key) < 0)
			at++;
		if (at == t->count || collect_compare_sites(&t->sites[at].key, &from->key))
			continue;
		t->sites[at].stats = from->stats;
		t->sites[at].present = true;
		known++;
	}
	return known;
}

static int compare(const void *a, const void *b)
{
	return collect_compare_sites(&((const struct site *)a)->key,
				     &((const struct site *)b)->key);
}

static void add_new(struct site_table *t, const struct collected_slice *slice)
{
	struct site_table before = *t;

	for (size_t i = 0; i < slice->site_count; i++) {
		if (search(&before, &slice->sites[i].key))
			continue;
		t->sites[t->count++] = (struct site){
			.key = slice->sites[i].key,
			.stats = slice->sites[i].stats,
			.present = true,
			.number = ++t->numbers,
		};
	}
	qsort(t->sites, t->count, sizeof(*t->sites), compare);
}

/* Those that have gone belong to a life of the process that has ended. */
static void drop_absent(struct site_table *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->count; i++) {
		if (t->sites[i].present)
			t->sites[kept++] = t->sites[i];
		else
			site_done(&t->sites[i]);
	}
	t->count = kept;
}

int site_table_update(struct site_table *t, const struct collected_slice *slice)
{
	size_t known = take_known(t, slice);
	size_t wanted = t->count + slice->site_count - known;
	struct site *more;

	if (wanted > t->room) {
		more = reallocarray(t->sites, wanted + wanted / 4, sizeof(*more));
		if (!more)
			return -ENOMEM;
		t->sites = more;
		t->room = wanted + wanted / 4;
	}
	if (known < slice->site_count)
		add_new(t, slice);
	drop_absent(t);
	return 0;
}

void site_table_sample(struct site_table *t)
{
	for (size_t i = 0; i < t->count; i++) {
		struct site *s = &t->sites[i];

		s->grown = s->stats.waiting > s->sample ? s->grown + 1 : 0;
		s->sample = s->stats.waiting;
	}
}

uint64_t site_waiting(const struct site *s)
{
	uint64_t others = s->groups[MODEL_LEAKED].count + s->groups[MODEL_SUSPECT].count;

	return s->stats.waiting > others ? s->stats.waiting - others : 0;
}

int site_name(struct site *s, const struct model_stack *stack, const struct model_frame *created_by,
	      const struct model_frame *entry)
{
	site_done(s);
	if (model_stack_copy(stack, &s->stack) || model_frame_copy(created_by, &s->created_by) ||
	    model_frame_copy(entry, &s->entry))
		return -ENOMEM;
	s->fingerprint =
		model_fingerprint(s->key.reason, stack->count ? stack->frames : NULL, created_by);
	s->named = true;
	return 0;
}

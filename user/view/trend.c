/* SPDX-License-Identifier: MIT */
/* Compares models: each count with that of a minute or two ago. */
#include "view/trend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE INT64_C(60000000000)

void trend_init(struct trend *t)
{
	*t = (struct trend){.ended_per_second = -1};
}

void trend_done(struct trend *t)
{
	free(t->bases);
	memset(t, 0, sizeof(*t));
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_bases(const void *x, const void *y)
{
	const struct row_key *a = &((const struct trend_base *)x)->key;
	const struct row_key *b = &((const struct trend_base *)y)->key;
	int r = (a->pid > b->pid) - (a->pid < b->pid);

	if (!r)
		r = compare_u64(a->start_ticks, b->start_ticks);
	if (!r)
		r = compare_u64(a->id, b->id);
	if (!r)
		r = compare_u64(a->kind, b->kind);
	return r ? r : compare_u64(a->state, b->state);
}

static struct trend_base base_of(const struct row *row, int64_t now_ns)
{
	uint64_t count = row_count(row);

	return (struct trend_base){
		.key = row_key(row),
		.base = count,
		.next = count,
		.base_ns = now_ns,
		.next_ns = now_ns,
	};
}

/* A row that is new counts from when it was first seen: its first tasks are no growth. */
static void compare_with(struct row *row, struct trend_base *now, const struct trend_base *before)
{
	int64_t now_ns = now->base_ns;
	double minutes;

	now->base = before->base;
	now->base_ns = before->base_ns;
	if (now_ns - before->next_ns < MINUTE) {
		now->next = before->next;
		now->next_ns = before->next_ns;
	} else {
		now->base = before->next;
		now->base_ns = before->next_ns;
	}
	minutes = (double)(now_ns - now->base_ns) / (double)MINUTE;
	if (minutes < 1.0 / 60) /* a second at least: less says nothing */
		return;
	row->has_growth = true;
	row->growth = ((double)row_count(row) - (double)now->base) / minutes;
}

int trend_rows(struct trend *t, int64_t now_ns, struct row *rows, size_t count)
{
	struct trend_base *bases = calloc(count + 1, sizeof(*bases));

	if (!bases)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct trend_base *before = NULL;

		bases[i] = base_of(&rows[i], now_ns);
		if (t->count)
			before = bsearch(&bases[i], t->bases, t->count, sizeof(*bases),
					 compare_bases);
		if (before)
			compare_with(&rows[i], &bases[i], before);
	}
	qsort(bases, count, sizeof(*bases), compare_bases);
	free(t->bases);
	t->bases = bases;
	t->count = count;
	return 0;
}

static uint64_t count_ended(const struct model *m)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < m->process_count; i++)
		for (size_t j = 0; j < m->processes[i].wait_count; j++)
			sum += m->processes[i].waits[j].ended;
	return sum;
}

static void add_sample(struct trend *t, int64_t now_ns, uint64_t leaked)
{
	if (t->leaked_count == TREND_SAMPLES) {
		t->leaked_count--;
		memmove(t->leaked, t->leaked + 1, t->leaked_count * sizeof(t->leaked[0]));
		memmove(t->sample_ns, t->sample_ns + 1, t->leaked_count * sizeof(t->sample_ns[0]));
	}
	t->sample_ns[t->leaked_count] = now_ns;
	t->leaked[t->leaked_count++] = leaked;
	t->span_ns = now_ns - t->sample_ns[0];
}

/* When a process has gone, so have its counts: then nothing can be said of the rate. */
void trend_totals(struct trend *t, const struct model *m, uint64_t leaked)
{
	uint64_t ended = count_ended(m);
	int64_t passed = m->now_ns - t->taken_ns;

	t->ended_per_second = -1;
	if (t->leaked_count && passed > 0 && ended >= t->ended)
		t->ended_per_second = (double)(ended - t->ended) / ((double)passed / 1e9);
	t->ended = ended;
	t->taken_ns = m->now_ns;
	add_sample(t, m->now_ns, leaked);
}

const char *trend_sparkline(const uint64_t *samples, size_t count, size_t width, bool utf8,
			    size_t room, char *ret_text)
{
	static const char *const bars[] = {"\u2581", "\u2582", "\u2583", "\u2584",
					   "\u2585", "\u2586", "\u2587", "\u2588"};
	static const char *const plain[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
	size_t first = count > width ? count - width : 0, used = 0;
	uint64_t most = 1;

	for (size_t i = first; i < count; i++)
		most = samples[i] > most ? samples[i] : most;
	*ret_text = '\0';
	for (size_t i = first; i < count; i++) {
		unsigned level = (unsigned)((double)samples[i] * 7 / (double)most + 0.5);
		const char *bar = utf8 ? bars[level] : plain[level];

		if (used + strlen(bar) >= room)
			break;
		strcpy(ret_text + used, bar);
		used += strlen(bar);
	}
	return ret_text;
}

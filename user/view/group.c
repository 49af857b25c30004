/* SPDX-License-Identifier: MIT */
/* Sums up processes by command, systemd unit or cgroup. */
#include "view/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_NAME    "none"
#define OTHER_NAME "other"

static bool ends_in(const char *text, size_t length, const char *ending)
{
	size_t size = strlen(ending);

	return length > size && !memcmp(text + length - size, ending, size);
}

/* Innermost first: user@1000.service holds app.slice, which holds the service that is meant. */
static const char *unit_of(const char *cgroup, char ret_unit[ESCAPE_ROOM])
{
	const char *end = cgroup + strlen(cgroup);
	const char *found = NULL;
	size_t found_length = 0;

	while (end > cgroup) {
		const char *start = memrchr(cgroup, '/', (size_t)(end - cgroup));
		const char *part = start ? start + 1 : cgroup;
		size_t length = (size_t)(end - part);
		bool is_unit = ends_in(part, length, ".service") || ends_in(part, length, ".scope");

		if (is_unit || (!found && ends_in(part, length, ".slice"))) {
			found = part;
			found_length = length;
		}
		if (is_unit || !start)
			break;
		end = start;
	}
	if (!found || found_length >= ESCAPE_ROOM)
		return NULL;
	memcpy(ret_unit, found, found_length);
	ret_unit[found_length] = '\0';
	return ret_unit;
}

static void name_group(const struct model_process *p, enum group_by by, char ret_name[ESCAPE_ROOM])
{
	char unit[ESCAPE_ROOM];
	const char *name = p->command;

	if (by == GROUP_BY_CGROUP)
		name = p->cgroup;
	else if (by == GROUP_BY_UNIT)
		name = p->cgroup ? unit_of(p->cgroup, unit) : NULL;
	escape_text(name && *name ? name : NO_NAME, true, ESCAPE_ROOM, ret_name);
}

/* Numbers come from targets: a forged one must not make a sum wrap. */
static void add(uint64_t *sum, uint64_t value)
{
	if (__builtin_add_overflow(*sum, value, sum))
		*sum = UINT64_MAX;
}

static void add_counts(struct model_counts *sum, const struct model_counts *c)
{
	for (unsigned i = 0; i < MODEL_TASK_STATES; i++) {
		if (c->tasks[i] &&
		    (!sum->tasks[i] || c->oldest_since_ns[i] < sum->oldest_since_ns[i]))
			sum->oldest_since_ns[i] = c->oldest_since_ns[i];
		add(&sum->tasks[i], c->tasks[i]);
	}
	add(&sum->retained_bytes, c->retained_bytes);
}

static void add_losses(struct model_losses *sum, const struct model_losses *l)
{
	add(&sum->map_full, l->map_full);
	add(&sum->ring_full, l->ring_full);
	add(&sum->bad_record, l->bad_record);
	add(&sum->unread, l->unread);
}

static void take_older_search(struct group *sum, int64_t searched_ns)
{
	if (searched_ns && (!sum->searched_ns || searched_ns < sum->searched_ns))
		sum->searched_ns = searched_ns;
}

static void merge(struct group *sum, const struct group *g)
{
	for (unsigned i = 0; i < GROUP_STATUSES; i++)
		add(&sum->processes[i], g->processes[i]);
	add(&sum->unproved, g->unproved);
	add_counts(&sum->counts, &g->counts);
	add_losses(&sum->losses, &g->losses);
	take_older_search(sum, g->searched_ns);
}

static void fill(const struct model_process *p, enum group_by by, struct group *ret_group)
{
	bool proved = model_search_proved(&p->search);

	memset(ret_group, 0, sizeof(*ret_group));
	name_group(p, by, ret_group->name);
	ret_group->processes[p->status] = 1;
	ret_group->unproved = !proved && p->status != MODEL_EXITED;
	ret_group->counts = p->counts;
	ret_group->losses = p->losses;
	ret_group->searched_ns = proved ? p->search.finished_ns : 0;
}

static int compare_names(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* The most important first: those at the end may end up in "other". */
static int compare_weights(const void *a, const void *b)
{
	static const enum model_task_state order[] = {MODEL_LEAKED, MODEL_SUSPECT, MODEL_WAITING};
	const struct group *x = a, *y = b;
	int r = 0;

	for (unsigned i = 0; i < MODEL_TASK_STATES && !r; i++)
		r = compare_u64(y->counts.tasks[order[i]], x->counts.tasks[order[i]]);
	return r ? r : strcmp(x->name, y->name);
}

/* Sorted by name: neighbours of one name become one. Returns how many are left. */
static size_t merge_equal(struct group *groups, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (kept && !strcmp(groups[kept - 1].name, groups[i].name))
			merge(&groups[kept - 1], &groups[i]);
		else if (kept++ != i)
			groups[kept - 1] = groups[i];
	}
	return kept;
}

/* A group may be called "other" itself: then it is part of it, or there would be two. */
static size_t cap(struct group *groups, size_t count, size_t max)
{
	if (count <= max)
		return count;
	for (size_t i = max + 1; i < count; i++)
		merge(&groups[max], &groups[i]);
	strcpy(groups[max].name, OTHER_NAME);
	for (size_t i = 0; i < max; i++) {
		if (strcmp(groups[i].name, OTHER_NAME) != 0)
			continue;
		merge(&groups[i], &groups[max]);
		return max;
	}
	return max + 1;
}

int group_processes(const struct model *m, enum group_by by, size_t max, struct groups *ret_groups)
{
	size_t count = m->process_count;
	struct group *groups = calloc(count + 1, sizeof(*groups));

	if (!groups)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		fill(&m->processes[i], by, &groups[i]);
	qsort(groups, count, sizeof(*groups), compare_names);
	count = merge_equal(groups, count);
	qsort(groups, count, sizeof(*groups), compare_weights);
	*ret_groups = (struct groups){.groups = groups, .count = cap(groups, count, max)};
	return 0;
}

void groups_done(struct groups *groups)
{
	free(groups->groups);
	memset(groups, 0, sizeof(*groups));
}

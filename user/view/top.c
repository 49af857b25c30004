/* SPDX-License-Identifier: MIT */
/* Prints the model as a table of sites under a line of totals. */
#include "view/top.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "view/clock.h"
#include "view/escape.h"
#include "view/place.h"
#include "view/table.h"

#define RED       "31"
#define YELLOW    "33"

#define MARK_ROOM 4 /* what escape_fit() may need beyond the text: the mark of a cut and a NUL */

/* STATE keeps more than others: its last word is the news. */
static const struct table_column columns[] = {
	{.title = "PID", .right = true, .least = 7},
	{.title = "COMMAND", .least = 8},
	{.title = "STATE", .least = 21},
	{.title = "COUNT", .right = true, .least = 7},
	{.title = "OLDEST", .right = true, .least = 6},
	{.title = "WHERE", .least = 10},
	{.title = "CREATED BY", .least = 10},
};

#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

struct totals {
	size_t observed, not_observed, incomplete;
	size_t waiting, leaked, suspect;
	uint64_t lost;
};

static void add_saturating(uint64_t *sum, uint64_t more)
{
	if (__builtin_add_overflow(*sum, more, sum))
		*sum = UINT64_MAX;
}

static void add_losses(uint64_t *sum, const struct model_losses *l)
{
	add_saturating(sum, l->map_full);
	add_saturating(sum, l->ring_full);
	add_saturating(sum, l->bad_record);
	add_saturating(sum, l->unread);
}

static void add_process(struct totals *sum, const struct model_process *p)
{
	bool observed = model_process_observed(p);

	if (observed)
		sum->observed++;
	else if (p->status != MODEL_EXITED)
		sum->not_observed++;
	if (observed && !model_process_complete(p))
		sum->incomplete++;
	add_losses(&sum->lost, &p->losses);
	for (size_t i = 0; i < p->task_count; i++) {
		uint64_t weight = model_task_weight(&p->tasks[i]);

		sum->waiting += weight;
		sum->leaked += p->tasks[i].state == MODEL_LEAKED ? weight : 0;
		sum->suspect += p->tasks[i].state == MODEL_SUSPECT ? weight : 0;
	}
}

static struct totals total_up(const struct model *m)
{
	struct totals sum = {0};

	add_losses(&sum.lost, &m->losses);
	for (size_t i = 0; i < m->process_count; i++)
		add_process(&sum, &m->processes[i]);
	return sum;
}

/* Zeroes that are good news are left out, but for those of leaks and losses. */
static int format_header(const struct model *m, const struct totals *sum, bool utf8,
			 char **ret_line)
{
	char host[ESCAPE_ROOM], time[CLOCK_ROOM];
	size_t size;
	FILE *line = open_memstream(ret_line, &size);

	if (!line)
		return -ENOMEM;
	fprintf(line, "stranded  %s  %s  %zu %s", escape_text(m->host, utf8, sizeof(host), host),
		clock_rfc3339(m->wall_ns, 0, time), sum->observed,
		sum->observed == 1 ? "process" : "processes");
	if (sum->not_observed)
		fprintf(line, ", %zu not observed", sum->not_observed);
	if (sum->incomplete)
		fprintf(line, ", %zu incomplete", sum->incomplete);
	fprintf(line, "  %zu %s waiting, %zu leaked", sum->waiting,
		sum->waiting == 1 ? "task" : "tasks", sum->leaked);
	if (sum->suspect)
		fprintf(line, ", %zu suspect", sum->suspect);
	fprintf(line, "  %" PRIu64 " lost", sum->lost);
	fwrite("\0\0\0", 1, MARK_ROOM - 1, line);
	if (fclose(line)) {
		free(*ret_line);
		return -ENOMEM;
	}
	return 0;
}

static int print_header(FILE *out, const struct model *m, const struct view_style *style)
{
	struct totals sum = total_up(m);
	char *line;
	int r = format_header(m, &sum, style->utf8, &line);

	if (r)
		return r;
	if (style->columns)
		escape_fit(line, style->utf8, style->columns, strlen(line) + MARK_ROOM);
	fprintf(out, "%s\n", line);
	free(line);
	return 0;
}

static const char *state_suffix(enum model_task_state state)
{
	switch (state) {
	case MODEL_LEAKED:
		return " (leaked)";
	case MODEL_SUSPECT:
		return " (suspect)";
	case MODEL_WAITING:
		break;
	}
	return "";
}

static const char *state_colour(enum model_task_state state)
{
	switch (state) {
	case MODEL_LEAKED:
		return RED;
	case MODEL_SUSPECT:
		return YELLOW;
	case MODEL_WAITING:
		break;
	}
	return NULL;
}

static const char *place_or_dash(const struct model_frame *f, bool utf8, char *buffer)
{
	return f ? place_line(f, utf8, buffer) : "-";
}

static int add_site(struct table *table, const struct model *m, const struct model_site *site,
		    bool utf8)
{
	const struct model_task *t = site->example;
	const struct model_frame *where = t->stack.count ? &t->stack.frames[0] : NULL;
	const struct model_frame *created = t->created_by.pc ? &t->created_by : NULL;
	char pid[16], command[ESCAPE_ROOM], state[64], count[24], oldest[CLOCK_ROOM];
	char where_text[PLACE_ROOM], created_text[PLACE_ROOM];

	snprintf(pid, sizeof(pid), "%d", site->process->pid);
	snprintf(state, sizeof(state), "%s%s", model_reason_text(t->reason),
		 state_suffix(t->state));
	snprintf(count, sizeof(count), "%zu", site->count);
	clock_short_age(clock_age(m->now_ns, site->oldest_since_ns), oldest);

	const char *const cells[COLUMN_COUNT] = {
		pid,
		escape_text(site->process->command, utf8, sizeof(command), command),
		state,
		count,
		oldest,
		place_or_dash(where, utf8, where_text),
		place_or_dash(created, utf8, created_text),
	};
	return table_add_row(table, cells, state_colour(t->state));
}

int view_top(FILE *out, const struct model *m, const struct view_style *style)
{
	struct model_sites sites = {0};
	struct table table;
	int r;

	table_init(&table, columns, COLUMN_COUNT);
	r = model_sites_build(m, &sites);
	for (size_t i = 0; !r && i < sites.count; i++)
		r = add_site(&table, m, &sites.sites[i], style->utf8);
	if (!r)
		r = print_header(out, m, style);
	if (!r)
		r = table_print(&table, out, style);
	table_done(&table);
	model_sites_done(&sites);
	return r;
}

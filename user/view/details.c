/* SPDX-License-Identifier: MIT */
/* Tells all of a row: what it is, why it is leaked or what keeps it alive, where, since when. */
#include "view/details.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "view/clock.h"

#define AROUND 2 /* lines of source before and after the one that counts */

struct writer {
	struct details *d;
	bool utf8;
	int64_t now_ns;
	const struct details_source *source;
};

static void add_line(struct details *d, enum screen_style style, const char *text)
{
	char *copy = strdup(text);

	if (copy && d->count == d->room) {
		size_t room = d->room ? d->room * 2 : 64;
		struct details_line *lines = reallocarray(d->lines, room, sizeof(*lines));

		if (lines) {
			d->lines = lines;
			d->room = room;
		}
	}
	if (!copy || d->count == d->room) {
		free(copy);
		d->failed = true;
		return;
	}
	d->lines[d->count++] = (struct details_line){copy, style};
}

__attribute__((format(printf, 3, 4))) static void add(struct writer *w, enum screen_style style,
						      const char *format, ...)
{
	char line[2 * PLACE_ROOM];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	add_line(w->d, style, line);
}

static void begin(struct writer *w, const char *title)
{
	if (w->d->count)
		add_line(w->d, SCREEN_PLAIN, "");
	add_line(w->d, SCREEN_HEADING, title);
}

/* ---- why ---------------------------------------------------------------------- */

static const char *arrow(const struct writer *w)
{
	return w->utf8 ? "\u2192" : "->";
}

/* The targets' enumerations may hold any number. */
static void add_link(struct writer *w, const struct model_link *link)
{
	switch (link->kind) {
	case STRAND_LINK_TASK:
		add(w, SCREEN_PLAIN, "    %s task %" PRIu64, arrow(w), link->value);
		return;
	case STRAND_LINK_OBJECT:
		add(w, SCREEN_PLAIN, "    %s object 0x%" PRIx64, arrow(w), link->value);
		return;
	case STRAND_LINK_BLOCK:
		add(w, SCREEN_PLAIN, "    %s heap block 0x%" PRIx64 " of %" PRIu64 " bytes",
		    arrow(w), link->value, link->size);
		return;
	}
	add(w, SCREEN_PLAIN, "    %s 0x%" PRIx64, arrow(w), link->value);
}

static void add_links(struct writer *w, const struct model_task *t)
{
	for (size_t i = 0; i < t->link_count; i++)
		add_link(w, &t->links[i]);
}

static void add_leak(struct writer *w, const struct model_task *t)
{
	const char *why = model_why_text(t->why);

	add(w, SCREEN_LEAKED, "  Leaked: nothing that lives can ever wake it%s%s.",
	    *why ? "; " : "", why);
	if (t->root)
		add(w, SCREEN_PLAIN, "    %s %s task %" PRIu64, arrow(w),
		    t->why == STRAND_WHY_DEAD_OWNER ? "held by the ended" : "behind", t->root);
	if (t->link_count && t->why == STRAND_WHY_CYCLE)
		add(w, SCREEN_PLAIN, "    in this ring, each waiting for the next:");
	add_links(w, t);
}

static void add_root(struct writer *w, const struct model_task *t)
{
	switch (t->root_kind) {
	case STRAND_ROOT_MEMORY:
		add(w, SCREEN_PLAIN, "  Kept alive by a word in live memory at 0x%" PRIx64 ".",
		    t->root);
		break;
	case STRAND_ROOT_TASK:
		add(w, SCREEN_PLAIN, "  Kept alive by task %" PRIu64 ", which lives.", t->root);
		break;
	case STRAND_ROOT_KERNEL:
		add(w, SCREEN_PLAIN, "  Kept alive by the kernel through descriptor %" PRIu64 ".",
		    t->root);
		break;
	case STRAND_ROOT_DEADLINE:
		add(w, SCREEN_PLAIN, "  It will wake by itself.");
		break;
	case STRAND_ROOT_RUNTIME:
		add(w, SCREEN_PLAIN, "  What it waits for was just being changed.");
		break;
	case STRAND_ROOT_NONE:
		add(w, SCREEN_PLAIN, "  Something live might wake it.");
		break;
	}
	add_links(w, t);
}

static void add_suspicion(struct writer *w, const struct model_task *t)
{
	for (unsigned i = 0; i < MODEL_SUSPECT_RULES; i++)
		if (t->suspect_rules & 1u << i)
			add(w, SCREEN_SUSPECT, "  Suspect (no proof) by the rule: %s",
			    model_suspect_rule_text(1u << i));
}

static void add_why(struct writer *w, const struct model_process *p, const struct model_task *t)
{
	begin(w, "WHY");
	add_suspicion(w, t);
	if (t->state == MODEL_LEAKED)
		add_leak(w, t);
	else if (t->verdict == STRAND_VERDICT_LIVE)
		add_root(w, t);
	else if (model_search_proved(&p->search))
		add(w, SCREEN_PLAIN,
		    "  Not proved to be leaked: it began to wait after the search, "
		    "or was not old enough.");
	else
		add(w, SCREEN_PLAIN, "  Not searched: press s to search for leaks now.");
	if (t->has_deadline)
		add(w, SCREEN_PLAIN, "  It has a deadline.");
}

/* ---- places -------------------------------------------------------------------- */

static void add_source_line(struct writer *w, unsigned number, unsigned wanted, const char *text)
{
	char shown[ESCAPE_ROOM];
	size_t used = 0;

	for (; *text == '\t' && used < 64; text++, used += 4)
		memcpy(shown + used, "    ", 4);
	escape_text(text, w->utf8, sizeof(shown) - used, shown + used);
	add(w, number == wanted ? SCREEN_PLAIN : SCREEN_DIM, "  %c %6u  %s",
	    number == wanted ? '>' : ' ', number, shown);
}

static void add_source(struct writer *w, const struct model_process *p, const struct model_frame *f)
{
	unsigned first = f->line > AROUND ? f->line - AROUND : 1;
	char *text, *rest, *line;

	if (!w->source || !f->file || !f->line || f->line > UINT32_MAX - AROUND)
		return;
	text = rest = w->source->read(w->source->context, p, f->file, first, f->line + AROUND);
	for (unsigned number = first; rest && *rest; number++) {
		line = strsep(&rest, "\n");
		add_source_line(w, number, f->line, line);
	}
	free(text);
}

static void add_frame(struct writer *w, const struct model_frame *f)
{
	char function[PLACE_ROOM], file[ESCAPE_ROOM], module[ESCAPE_ROOM];

	place_function(f, w->utf8, function);
	if (f->file)
		add(w, SCREEN_PLAIN, "  %-28s  %s:%u", function,
		    escape_text(f->file, w->utf8, sizeof(file), file), f->line);
	else if (f->module)
		add(w, SCREEN_PLAIN, "  %-28s  %s+0x%" PRIx64, function,
		    escape_text(f->module, w->utf8, sizeof(module), module), f->module_offset);
	else
		add(w, SCREEN_PLAIN, "  %s", function);
}

static void add_stack(struct writer *w, const struct model_process *p, const struct model_task *t)
{
	char title[64];

	snprintf(title, sizeof(title), "STACK of task %" PRIu64, t->id);
	begin(w, title);
	for (size_t i = 0; i < t->stack.count; i++) {
		add_frame(w, &t->stack.frames[i]);
		if (!i)
			add_source(w, p, &t->stack.frames[i]);
	}
	if (!t->stack.count)
		add(w, SCREEN_DIM, "  could not be read");
	if (t->stack.truncated)
		add(w, SCREEN_DIM, "  more frames are not shown");
}

static void add_creation(struct writer *w, const struct model_process *p,
			 const struct model_task *t)
{
	begin(w, "CREATED BY");
	if (t->parent)
		add(w, SCREEN_PLAIN, "  task %" PRIu64, t->parent);
	else
		add(w, SCREEN_PLAIN, "  a plain thread");
	if (t->created_by.pc) {
		add_frame(w, &t->created_by);
		add_source(w, p, &t->created_by);
	}
	if (t->entry.pc) {
		add(w, SCREEN_PLAIN, "  to run");
		add_frame(w, &t->entry);
	}
}

/* ---- what, since when ------------------------------------------------------------- */

static void add_head(struct writer *w, const struct row *row)
{
	char state[ROW_CELL_ROOM], command[ESCAPE_ROOM], oldest[ROW_CELL_ROOM], retained[24];
	uint64_t count = row_count(row);

	row_cell(row, COLUMN_STATE, w->now_ns, w->utf8, state);
	row_cell(row, COLUMN_OLDEST, w->now_ns, w->utf8, oldest);
	add(w, row->state == MODEL_LEAKED ? SCREEN_LEAKED : SCREEN_TITLE,
	    "%s: %" PRIu64 " %s of %s (pid %d)%s%s", row->task ? state : "tasks", count,
	    count == 1 ? "task" : "tasks",
	    escape_text(row->process->command, w->utf8, sizeof(command), command),
	    row->process->pid, *oldest ? ", oldest " : "", oldest);
	if (row->retained)
		add(w, SCREEN_PLAIN, "  retains %s of memory that nothing else uses",
		    row_size(row->retained, retained));
}

static void add_object(struct writer *w, const struct row *row)
{
	const struct model_task *t = row->task;
	char name[ESCAPE_ROOM];

	begin(w, "WAITS FOR");
	if (t->object)
		add(w, SCREEN_PLAIN, "  %s, object 0x%" PRIx64, model_reason_text(t->reason),
		    t->object);
	else
		add(w, SCREEN_PLAIN, "  %s", model_reason_text(t->reason));
	if (t->name && *t->name)
		add(w, SCREEN_PLAIN, "  the task is called %s",
		    escape_text(t->name, w->utf8, sizeof(name), name));
}

static const struct model_wait *find_wait(const struct row *row)
{
	for (size_t i = 0; row->kind == ROW_SITE && i < row->process->wait_count; i++)
		if (row->process->waits[i].fingerprint == row->id)
			return &row->process->waits[i];
	return NULL;
}

static void add_history(struct writer *w, const struct row *row)
{
	const struct model_wait *wait = find_wait(row);
	char first[CLOCK_ROOM], last[CLOCK_ROOM];

	if (!wait && !row->past && !row->has_growth)
		return;
	begin(w, "HISTORY");
	if (row->has_growth)
		add(w, SCREEN_PLAIN, "  %+.1f tasks a minute", row->growth);
	if (wait) /* hostile sums may be negative: an age is never */
		add(w, SCREEN_PLAIN, "  %" PRIu64 " waits have ended, %s on average", wait->ended,
		    clock_short_age(wait->ended && wait->ended_ns > 0
					    ? (int64_t)((uint64_t)wait->ended_ns / wait->ended)
					    : 0,
				    first));
	if (!row->past)
		return;
	clock_short_age(clock_age(w->now_ns, row->past->first_seen_ns), first);
	clock_short_age(clock_age(w->now_ns, row->past->last_seen_ns), last);
	add(w, SCREEN_PLAIN, "  first seen %s ago, last %s ago, proved in %u searches", first, last,
	    row->past->searches_seen);
	if (row->past->retracted)
		add(w, SCREEN_ALARM,
		    "  %" PRIu64 " proved leaked and woken all the same: please report",
		    row->past->retracted);
}

static void add_process(struct writer *w, const struct row *row)
{
	const struct model_process *p = row->process;
	char text[ESCAPE_ROOM], search[ROW_CELL_ROOM];

	begin(w, "PROCESS");
	add(w, SCREEN_PLAIN, "  %s",
	    escape_text(p->exe ? p->exe : p->command, w->utf8, sizeof(text), text));
	if (p->cgroup)
		add(w, SCREEN_PLAIN, "  cgroup %s",
		    escape_text(p->cgroup, w->utf8, sizeof(text), text));
	add(w, SCREEN_PLAIN, "  user %u, libstrand %s%s", p->uid,
	    escape_text(p->runtime ? p->runtime : "?", w->utf8, sizeof(text), text),
	    p->is_static ? " (static)" : "");
	if (p->status_text)
		add(w, SCREEN_ALARM, "  %s: %s", model_process_status_text(p->status),
		    escape_text(p->status_text, w->utf8, sizeof(text), text));
	add(w, SCREEN_PLAIN, "  search for leaks: %s",
	    row_cell(row, COLUMN_SEARCH, w->now_ns, w->utf8, search));
	if (p->search.error)
		add(w, SCREEN_ALARM, "  %s",
		    escape_text(p->search.error, w->utf8, sizeof(text), text));
}

int details_build(const struct row *row, int64_t now_ns, bool utf8,
		  const struct details_source *source, struct details *ret_details)
{
	struct writer w = {ret_details, utf8, now_ns, source};

	*ret_details = (struct details){0};
	add_head(&w, row);
	if (row->task) {
		add_why(&w, row->process, row->task);
		add_object(&w, row);
		add_stack(&w, row->process, row->task);
		add_creation(&w, row->process, row->task);
	}
	add_history(&w, row);
	add_process(&w, row);
	if (!ret_details->failed)
		return 0;
	details_done(ret_details);
	return -ENOMEM;
}

void details_done(struct details *d)
{
	for (size_t i = 0; i < d->count; i++)
		free(d->lines[i].text);
	free(d->lines);
	memset(d, 0, sizeof(*d));
}

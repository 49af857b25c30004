/* SPDX-License-Identifier: MIT */
/*
 * Draws the live view.
 *
 * Widths depend on the screen and the chosen columns only, never on what the cells hold: nothing
 * jumps from one refresh to the next.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "view/browser.h"
#include "view/clock.h"

#define HEADER_ROWS 3
#define GAP         1
#define STALE_MIN   INT64_C(1000000000) /* less is not worth a word */

/* ---- the lines above ---------------------------------------------------------------- */

static size_t put(const struct browser *b, struct screen *s, size_t row, size_t column,
		  enum screen_style style, const char *text)
{
	return screen_put(s, row, column, s->columns, b->utf8, style, text);
}

static size_t put_count(const struct browser *b, struct screen *s, size_t row, size_t column,
			enum screen_style style, uint64_t count, const char *what)
{
	char text[64];

	snprintf(text, sizeof(text), "%" PRIu64 " %s", count, what);
	return put(b, s, row, column, count ? style : SCREEN_PLAIN, text) + 2;
}

static void draw_host(const struct browser *b, struct screen *s)
{
	const struct board_totals *t = &b->board->totals;
	char host[ESCAPE_ROOM], time[CLOCK_ROOM], age[CLOCK_ROOM], text[CLOCK_ROOM + 16];
	size_t at = put(b, s, 0, 0, SCREEN_TITLE, "stranded") + 2;

	at = put(b, s, 0, at, SCREEN_PLAIN,
		 escape_text(b->board->model.host, b->utf8, sizeof(host), host)) +
	     2;
	at = put(b, s, 0, at, SCREEN_PLAIN, clock_rfc3339(b->board->model.wall_ns, 0, time)) + 2;
	at = put_count(b, s, 0, at, SCREEN_PLAIN, t->observed,
		       t->observed == 1 ? "process" : "processes");
	if (t->not_observed)
		at = put_count(b, s, 0, at, SCREEN_ALARM, t->not_observed, "not observed");
	if (t->incomplete)
		at = put_count(b, s, 0, at, SCREEN_SUSPECT, t->incomplete, "incomplete");
	if (b->paused)
		at = put(b, s, 0, at, SCREEN_ALARM, "PAUSED") + 2;
	else if (b->stale_ns >= STALE_MIN) {
		snprintf(text, sizeof(text), "STALE: %s old", clock_short_age(b->stale_ns, age));
		at = put(b, s, 0, at, SCREEN_ALARM, text) + 2;
	}
	put(b, s, 0, at, SCREEN_DIM, b->status);
}

static void draw_search(const struct browser *b, struct screen *s, size_t at)
{
	const struct board_totals *t = &b->board->totals;
	char age[CLOCK_ROOM], text[CLOCK_ROOM + 64];

	if (!t->searched_ns)
		return;
	snprintf(text, sizeof(text), "searched %s ago, pause %.1fms",
		 clock_short_age(clock_age(b->board->model.now_ns, t->searched_ns), age),
		 (double)t->pause_ns / 1e6);
	put(b, s, 1, at, SCREEN_DIM, text);
}

static void draw_totals(const struct browser *b, struct screen *s)
{
	const struct board_totals *t = &b->board->totals;
	uint64_t waiting =
		t->tasks[MODEL_WAITING] + t->tasks[MODEL_LEAKED] + t->tasks[MODEL_SUSPECT];
	char size[24], text[64];
	size_t at;

	at = put_count(b, s, 1, 0, SCREEN_PLAIN, waiting,
		       waiting == 1 ? "task waits" : "tasks wait");
	at = put_count(b, s, 1, at, SCREEN_LEAKED, t->tasks[MODEL_LEAKED], "leaked");
	at = put_count(b, s, 1, at, SCREEN_SUSPECT, t->tasks[MODEL_SUSPECT], "suspect");
	if (t->retracted)
		at = put_count(b, s, 1, at, SCREEN_ALARM, t->retracted, "RETRACTED");
	snprintf(text, sizeof(text), "%s retained", row_size(t->retained, size));
	at = put(b, s, 1, at, SCREEN_PLAIN, text) + 2;
	if (t->ended_per_second >= 0) {
		snprintf(text, sizeof(text), "%.*f woken/s", t->ended_per_second < 99.5,
			 t->ended_per_second);
		at = put(b, s, 1, at, SCREEN_PLAIN, text) + 2;
	}
	at = put_count(b, s, 1, at, SCREEN_ALARM, t->lost, "lost");
	draw_search(b, s, at);
}

static size_t draw_sparkline(const struct browser *b, struct screen *s)
{
	const struct board_totals *t = &b->board->totals;
	size_t width = s->columns >= 120 ? 48 : 24;
	char bars[TREND_SAMPLES * 3 + 1], age[CLOCK_ROOM], text[CLOCK_ROOM + 16];
	size_t at = put(b, s, 2, 0, SCREEN_PLAIN, "leaked ");

	trend_sparkline(t->leaked, t->leaked_count, width, b->utf8, sizeof(bars), bars);
	at = put(b, s, 2, at, t->tasks[MODEL_LEAKED] ? SCREEN_LEAKED : SCREEN_DIM, bars);
	snprintf(text, sizeof(text), " in %s", clock_short_age(t->leaked_span_ns, age));
	return put(b, s, 2, at, SCREEN_DIM, text) + 2;
}

static void draw_view(const struct browser *b, struct screen *s, size_t at)
{
	const struct board_rows *rows = &b->board->rows[b->settings.kind];
	char text[FILTER_ROOM * 4 + 64], filter[FILTER_ROOM * 4];
	int used = snprintf(text, sizeof(text), "by %s: %zu", row_kind_name(b->settings.kind),
			    b->shown_count);

	if (rows->left_out)
		used += snprintf(text + used, sizeof(text) - (size_t)used, ", %zu more not listed",
				 rows->left_out);
	at = put(b, s, 2, at, SCREEN_PLAIN, text) + 2;
	if (!b->settings.filter[0])
		return;
	snprintf(text, sizeof(text), "filter: %s",
		 escape_text(b->settings.filter, b->utf8, sizeof(filter), filter));
	put(b, s, 2, at, SCREEN_SUSPECT, text);
}

static void draw_header(const struct browser *b, struct screen *s)
{
	draw_host(b, s);
	draw_totals(b, s);
	draw_view(b, s, draw_sparkline(b, s));
}

/* ---- the table ------------------------------------------------------------------------ */

static size_t total_width(const unsigned *widths)
{
	size_t total = 0;

	for (unsigned i = 0; i < COLUMNS; i++)
		if (widths[i])
			total += widths[i] + (total ? GAP : 0);
	return total;
}

/* Gives what is left to the columns that can use it, a column of the terminal each in turn. */
static void widen(unsigned *widths, size_t room)
{
	size_t total = total_width(widths);
	bool any = true;

	while (any && total < room) {
		any = false;
		for (unsigned i = 0; i < COLUMNS && total < room; i++) {
			if (!widths[i] || widths[i] >= column_form(i)->most)
				continue;
			widths[i]++;
			total++;
			any = true;
		}
	}
}

static void lay_out(uint32_t columns, size_t room, unsigned ret_widths[COLUMNS])
{
	columns = row_fit_columns(columns, room, GAP);
	for (unsigned i = 0; i < COLUMNS; i++)
		ret_widths[i] = columns & UINT32_C(1) << i ? column_form(i)->least : 0;
	widen(ret_widths, room);
}

static void put_cell(const struct browser *b, struct screen *s, size_t row, size_t column,
		     unsigned width, enum column id, enum screen_style style, const char *text)
{
	size_t used = escape_columns(text);
	size_t indent = column_form(id)->right && used < width ? width - used : 0;

	screen_put(s, row, column + indent, width - indent, b->utf8, style, text);
}

static void draw_titles(const struct browser *b, struct screen *s, const unsigned *widths)
{
	const struct browser_order *order = &b->settings.orders[b->settings.kind];
	char title[32];
	size_t at = 0;

	for (unsigned i = 0; i < COLUMNS; i++) {
		if (!widths[i])
			continue;
		snprintf(title, sizeof(title), "%s%s", column_form(i)->title,
			 order->sort != i ? ""
			 : order->reverse ? (b->utf8 ? "\u25bc" : "v")
					  : (b->utf8 ? "\u25b2" : "^"));
		put_cell(b, s, HEADER_ROWS, at, widths[i], i, SCREEN_HEADING, title);
		at += widths[i] + GAP;
	}
	for (size_t i = 0; i < s->columns; i++)
		screen_at(s, HEADER_ROWS, i)->style = SCREEN_HEADING;
}

static enum screen_style row_style(const struct row *row)
{
	if (row->process->status == MODEL_EXITED)
		return SCREEN_DIM;
	return row->state == MODEL_LEAKED    ? SCREEN_LEAKED
	       : row->state == MODEL_SUSPECT ? SCREEN_SUSPECT
					     : SCREEN_PLAIN;
}

static void draw_row(const struct browser *b, struct screen *s, size_t at_row,
		     const struct row *row, const unsigned *widths)
{
	char cell[ROW_CELL_ROOM];
	size_t at = 0;

	for (unsigned i = 0; i < COLUMNS; i++) {
		if (!widths[i])
			continue;
		row_cell(row, i, b->board->model.now_ns, b->utf8, cell);
		put_cell(b, s, at_row, at, widths[i], i, row_style(row), cell);
		at += widths[i] + GAP;
	}
}

static const char *nothing_text(const struct browser *b)
{
	if (b->settings.filter[0])
		return "nothing fits the filter; Esc shows all";
	if (b->settings.kind == ROW_CYCLE)
		return "no tasks are proved to wait for each other in a ring, or behind a leaked "
		       "one";
	return b->board->totals.observed ? "no task waits for long enough to be seen"
					 : "no process uses libstrand";
}

static void draw_list(struct browser *b, struct screen *s)
{
	unsigned widths[COLUMNS];

	lay_out(b->settings.orders[b->settings.kind].columns, s->columns, widths);
	draw_titles(b, s, widths);
	b->list_row = HEADER_ROWS + 1;
	b->page = s->rows > b->list_row + 1 ? s->rows - b->list_row - 1 : 1;
	if (b->cursor < b->top)
		b->top = b->cursor;
	if (b->cursor >= b->top + b->page)
		b->top = b->cursor - b->page + 1;
	if (b->top + b->page > b->shown_count)
		b->top = b->shown_count > b->page ? b->shown_count - b->page : 0;
	for (size_t i = 0; i < b->page && b->top + i < b->shown_count; i++)
		draw_row(b, s, b->list_row + i, b->shown[b->top + i], widths);
	if (b->shown_count)
		screen_select(s, b->list_row + b->cursor - b->top);
	else
		put(b, s, b->list_row + 1, 2, SCREEN_DIM, nothing_text(b));
}

/* ---- the other modes -------------------------------------------------------------------- */

static void draw_details(struct browser *b, struct screen *s)
{
	size_t room = s->rows > HEADER_ROWS + 1 ? s->rows - HEADER_ROWS - 1 : 1;
	size_t end = b->details.count > room ? b->details.count - room : 0;

	b->page = room > 1 ? room - 1 : 1;
	if (b->scroll > end)
		b->scroll = end;
	for (size_t i = 0; i < room && b->scroll + i < b->details.count; i++) {
		const struct details_line *line = &b->details.lines[b->scroll + i];

		put(b, s, HEADER_ROWS + i, 0, line->style, line->text);
	}
}

static const char *const help_lines[] = {
	"arrows j k PgUp PgDn Home End  move; the mouse works, too",
	"Enter              all that is known of the selected row; Esc goes back",
	"1 2 3 4 5, t Tab   by site, process, task, channel; wait-for cycles",
	"< > Left Right h l sort by another column; r the other way round",
	"/                  filter: words, !words, key:value; the keys are pid cmd",
	"                   state reason name task where by file fn ch unit",
	"s                  search the selected process for leaks now",
	"p                  pause, and go on",
	"c                  choose columns",
	"d                  seconds between refreshes",
	"y                  copy the line (in terminals with OSC 52)",
	"q                  quit",
	"",
	"Red: leaked, proved to wait for ever. Yellow: suspect, which proves nothing.",
	"+/MIN: tasks more a minute. RETAINED: memory that only leaked tasks use.",
};

static void draw_help(const struct browser *b, struct screen *s)
{
	size_t count = sizeof(help_lines) / sizeof(help_lines[0]);

	put(b, s, HEADER_ROWS, 0, SCREEN_HEADING, "KEYS");
	for (size_t i = 0; i < count && HEADER_ROWS + 2 + i < s->rows; i++)
		put(b, s, HEADER_ROWS + 1 + i, 2, SCREEN_PLAIN, help_lines[i]);
}

static void draw_columns(const struct browser *b, struct screen *s)
{
	uint32_t all = row_columns(b->settings.kind);
	size_t at = HEADER_ROWS + 1, index = 0;

	put(b, s, HEADER_ROWS, 0, SCREEN_HEADING, "COLUMNS");
	for (unsigned i = 0; i < COLUMNS; i++) {
		char text[64];

		if (!(all & UINT32_C(1) << i))
			continue;
		snprintf(text, sizeof(text), "[%c] %s",
			 b->settings.orders[b->settings.kind].columns & UINT32_C(1) << i ? 'x'
											 : ' ',
			 column_form(i)->title);
		put(b, s, at, 2, SCREEN_PLAIN, text);
		if (index++ == b->menu)
			screen_select(s, at);
		at++;
	}
}

static const char *hint(const struct browser *b)
{
	switch (b->mode) {
	case BROWSER_LIST:
		return "? help  Enter details  t group  < > sort  / filter  s search  p pause  q "
		       "quit";
	case BROWSER_DETAILS:
		return b->details_gone ? "gone: nothing waits here any more   Esc back"
				       : "Esc back  j k scroll  s search  y copy  p pause";
	case BROWSER_HELP:
		return "any key goes back";
	case BROWSER_COLUMNS:
		return "Space on or off  Enter back";
	case BROWSER_FILTER:
	case BROWSER_DELAY:
		break;
	}
	return "";
}

/* A long input is shown from its end: that is where people type. */
static void draw_input(const struct browser *b, struct screen *s, const char *prompt)
{
	char text[FILTER_ROOM * 4];
	size_t row = s->rows - 1, at = put(b, s, row, 0, SCREEN_KEY, prompt), skip;
	const char *rest = escape_text(b->input, b->utf8, sizeof(text), text);
	size_t room = s->columns > at + 1 ? s->columns - at - 1 : 1;

	for (size_t size; escape_columns(rest) > room; rest += size)
		escape_decode(rest, &size);
	skip = put(b, s, row, at, SCREEN_PLAIN, rest);
	put(b, s, row, skip, SCREEN_KEY, b->utf8 ? "\u2588" : "_");
}

static void draw_foot(const struct browser *b, struct screen *s)
{
	if (b->mode == BROWSER_FILTER)
		draw_input(b, s, "filter: ");
	else if (b->mode == BROWSER_DELAY)
		draw_input(b, s, "seconds between refreshes: ");
	else if (b->note[0])
		put(b, s, s->rows - 1, 0, SCREEN_KEY, b->note);
	else
		put(b, s, s->rows - 1, 0,
		    b->mode == BROWSER_DETAILS && b->details_gone ? SCREEN_ALARM : SCREEN_DIM,
		    hint(b));
}

void browser_draw(struct browser *b, struct screen *s)
{
	if (!s->rows || !s->columns)
		return;
	if (!b->board) {
		put(b, s, 0, 0, SCREEN_TITLE, "stranded");
		put(b, s, 0, 10, SCREEN_DIM, b->status[0] ? b->status : "looking for processes");
		return;
	}
	draw_header(b, s);
	if (s->rows > HEADER_ROWS + 1) {
		if (b->mode == BROWSER_DETAILS)
			draw_details(b, s);
		else if (b->mode == BROWSER_HELP)
			draw_help(b, s);
		else if (b->mode == BROWSER_COLUMNS)
			draw_columns(b, s);
		else
			draw_list(b, s);
	}
	draw_foot(b, s);
}

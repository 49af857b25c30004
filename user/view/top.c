/* SPDX-License-Identifier: MIT */
/* Prints a board as a table under a line of totals. */
#include "view/top.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "view/clock.h"
#include "view/escape.h"
#include "view/table.h"

#define RED       "31"
#define YELLOW    "33"

#define GAP       2 /* as table.c has it */
#define MARK_ROOM 4 /* what escape_fit() may need beyond the text: the mark of a cut and a NUL */

/* Zeroes that are good news are left out, but for those of leaks and losses. */
static int format_header(const struct board *board, bool utf8, char **ret_line)
{
	const struct board_totals *sum = &board->totals;
	const struct model *m = &board->model;
	uint64_t waiting =
		sum->tasks[MODEL_WAITING] + sum->tasks[MODEL_LEAKED] + sum->tasks[MODEL_SUSPECT];
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
	fprintf(line, "  %" PRIu64 " %s waiting, %" PRIu64 " leaked", waiting,
		waiting == 1 ? "task" : "tasks", sum->tasks[MODEL_LEAKED]);
	if (sum->tasks[MODEL_SUSPECT])
		fprintf(line, ", %" PRIu64 " suspect", sum->tasks[MODEL_SUSPECT]);
	fprintf(line, "  %" PRIu64 " lost", sum->lost);
	fwrite("\0\0\0", 1, MARK_ROOM - 1, line);
	if (fclose(line)) {
		free(*ret_line);
		return -ENOMEM;
	}
	return 0;
}

static int print_header(FILE *out, const struct board *board, const struct view_style *style)
{
	char *line;
	int r = format_header(board, style->utf8, &line);

	if (r)
		return r;
	if (style->columns)
		escape_fit(line, style->utf8, style->columns, strlen(line) + MARK_ROOM);
	fprintf(out, "%s\n", line);
	free(line);
	return 0;
}

static const char *state_colour(enum model_task_state state)
{
	return state == MODEL_LEAKED ? RED : state == MODEL_SUSPECT ? YELLOW : NULL;
}

/* The columns that are chosen, in their order. Returns how many. */
static size_t choose_columns(uint32_t columns, struct table_column *ret_columns)
{
	size_t count = 0;

	for (unsigned i = 0; i < COLUMNS; i++) {
		const struct column_form *form = column_form(i);

		if (columns & UINT32_C(1) << i)
			ret_columns[count++] = (struct table_column){
				.title = form->title, .right = form->right, .least = form->least};
	}
	return count;
}

static int add_row(struct table *table, const struct row *row, uint32_t columns, int64_t now_ns,
		   bool utf8)
{
	char texts[COLUMNS][ROW_CELL_ROOM];
	const char *cells[COLUMNS];
	size_t count = 0;

	for (unsigned i = 0; i < COLUMNS; i++)
		if (columns & UINT32_C(1) << i) {
			cells[count] = row_cell(row, i, now_ns, utf8, texts[count]);
			count++;
		}
	return table_add_row(table, cells, state_colour(row->state));
}

int view_top(FILE *out, const struct board *board, const struct browser_settings *settings,
	     const struct view_style *style)
{
	const struct browser_order *order = &settings->orders[settings->kind];
	uint32_t shown = order->columns;
	struct table_column columns[COLUMNS];
	const struct row **rows;
	struct table table;
	size_t count = 0;
	int r = 0;

	if (style->columns)
		shown = row_fit_columns(shown, style->columns, GAP);
	table_init(&table, columns, choose_columns(shown, columns));
	rows = browser_select(&board->rows[settings->kind], settings->filter, order, &count);
	if (!rows)
		r = -ENOMEM;
	for (size_t i = 0; !r && i < count; i++)
		r = add_row(&table, rows[i], shown, board->model.now_ns, style->utf8);
	if (!r)
		r = print_header(out, board, style);
	if (!r)
		r = table_print(&table, out, style);
	table_done(&table);
	free(rows);
	return r;
}

/* SPDX-License-Identifier: MIT */
/* Lays out a table: measures, shares out the width, cuts and pads. */
#include "view/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "view/escape.h"

#define GAP       2  /* spaces between columns */
#define MARK_ROOM 4  /* what escape_fit() may need beyond the text: the mark of a cut and a NUL */
#define ROW_ROOM  64 /* rows to begin with */

void table_init(struct table *t, const struct table_column *columns, size_t column_count)
{
	*t = (struct table){.columns = columns, .column_count = column_count};
}

static void row_done(struct table_row *row, size_t column_count)
{
	for (size_t i = 0; row->cells && i < column_count; i++)
		free(row->cells[i]);
	free(row->cells);
}

void table_done(struct table *t)
{
	for (size_t i = 0; i < t->row_count; i++)
		row_done(&t->rows[i], t->column_count);
	free(t->rows);
	memset(t, 0, sizeof(*t));
}

static int row_fill(struct table_row *row, const char *const *cells, size_t column_count)
{
	row->cells = calloc(column_count, sizeof(*row->cells));
	if (!row->cells)
		return -ENOMEM;
	for (size_t i = 0; i < column_count; i++) {
		row->cells[i] = malloc(strlen(cells[i]) + MARK_ROOM);
		if (!row->cells[i])
			return -ENOMEM;
		strcpy(row->cells[i], cells[i]);
	}
	return 0;
}

int table_add_row(struct table *t, const char *const *cells, const char *colour)
{
	struct table_row row = {.colour = colour};

	if (t->row_count == t->row_room) {
		size_t room = t->row_room ? t->row_room * 2 : ROW_ROOM;
		struct table_row *rows = reallocarray(t->rows, room, sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		t->rows = rows;
		t->row_room = room;
	}
	if (row_fill(&row, cells, t->column_count)) {
		row_done(&row, t->column_count);
		return -ENOMEM;
	}
	t->rows[t->row_count++] = row;
	return 0;
}

static void measure(const struct table *t, size_t *ret_widths)
{
	for (size_t i = 0; i < t->column_count; i++) {
		ret_widths[i] = strlen(t->columns[i].title);
		for (size_t row = 0; row < t->row_count; row++) {
			size_t width = escape_columns(t->rows[row].cells[i]);

			if (width > ret_widths[i])
				ret_widths[i] = width;
		}
	}
}

static size_t total_of(const struct table *t, const size_t *widths)
{
	size_t total = GAP * (t->column_count - 1);

	for (size_t i = 0; i < t->column_count; i++)
		total += widths[i];
	return total;
}

/* The widest column that is above its least width; column_count if there is none. */
static size_t widest_above(const struct table *t, const size_t *widths, bool respect_least)
{
	size_t found = t->column_count;

	for (size_t i = 0; i < t->column_count; i++) {
		size_t least = respect_least ? t->columns[i].least : 1;

		if (widths[i] > least && (found == t->column_count || widths[i] >= widths[found]))
			found = i;
	}
	return found;
}

/* Takes column by column from the widest. Cells are short (ESCAPE_ROOM), so steps are few. */
static void share_out(const struct table *t, size_t columns, size_t *widths)
{
	size_t total = total_of(t, widths);

	for (; columns && total > columns; total--) {
		size_t victim = widest_above(t, widths, true);

		if (victim == t->column_count)
			victim = widest_above(t, widths, false);
		if (victim == t->column_count)
			return; /* narrower than one character a column */
		widths[victim]--;
	}
}

static void pad(FILE *out, size_t count)
{
	fprintf(out, "%*s", (int)count, "");
}

/* Nothing is padded at the end of a line. */
static void print_cells(const struct table *t, FILE *out, const struct view_style *style,
			const size_t *widths, char *const *cells)
{
	for (size_t i = 0; i < t->column_count; i++) {
		size_t room = strlen(cells[i]) + MARK_ROOM;
		size_t used = escape_fit(cells[i], style->utf8, widths[i], room);
		size_t rest = used < widths[i] ? widths[i] - used : 0;

		if (i)
			pad(out, GAP);
		if (t->columns[i].right)
			pad(out, rest);
		fputs(cells[i], out);
		if (!t->columns[i].right && i + 1 < t->column_count)
			pad(out, rest);
	}
}

static int print_titles(const struct table *t, FILE *out, const struct view_style *style,
			const size_t *widths)
{
	const char **titles = calloc(t->column_count, sizeof(*titles));
	struct table_row row = {0};
	int r = -ENOMEM;

	if (!titles)
		return r;
	for (size_t i = 0; i < t->column_count; i++)
		titles[i] = t->columns[i].title;
	r = row_fill(&row, titles, t->column_count);
	if (!r) {
		print_cells(t, out, style, widths, row.cells);
		fputc('\n', out);
	}
	row_done(&row, t->column_count);
	free(titles);
	return r;
}

static void print_row(const struct table *t, FILE *out, const struct view_style *style,
		      const size_t *widths, const struct table_row *row)
{
	bool coloured = style->colour && row->colour;

	if (coloured)
		fprintf(out, "\033[%sm", row->colour);
	print_cells(t, out, style, widths, row->cells);
	fputs(coloured ? "\033[0m\n" : "\n", out);
}

int table_print(struct table *t, FILE *out, const struct view_style *style)
{
	size_t *widths = calloc(t->column_count, sizeof(*widths));
	int r = -ENOMEM;

	if (!widths)
		return r;
	measure(t, widths);
	share_out(t, style->columns, widths);
	r = print_titles(t, out, style, widths);
	for (size_t i = 0; !r && i < t->row_count; i++)
		print_row(t, out, style, widths, &t->rows[i]);
	free(widths);
	return r;
}

/* SPDX-License-Identifier: MIT */
/* Writes texts into the cells of a screen. */
#include "view/screen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "view/escape.h"

int screen_init(struct screen *s, size_t rows, size_t columns)
{
	struct screen_cell *cells = calloc(rows * columns + 1, sizeof(*cells));

	if (!cells)
		return -ENOMEM;
	for (size_t i = 0; i < rows * columns; i++)
		cells[i].c = ' ';
	*s = (struct screen){.rows = rows, .columns = columns, .cells = cells};
	return 0;
}

void screen_done(struct screen *s)
{
	free(s->cells);
	memset(s, 0, sizeof(*s));
}

struct screen_cell *screen_at(const struct screen *s, size_t row, size_t column)
{
	return &s->cells[row * s->columns + column];
}

/* A character of no columns would change the cell before it: names are shown without. */
static size_t put_character(struct screen *s, size_t row, size_t column, size_t end,
			    enum screen_style style, uint32_t c)
{
	size_t width = escape_character_columns(c);

	if (!width || column + width > end)
		return 0;
	for (size_t i = 0; i < width; i++) {
		struct screen_cell *cell = screen_at(s, row, column + i);

		cell->c = i ? 0 : c;
		cell->style = (uint8_t)style;
	}
	return width;
}

size_t screen_put(struct screen *s, size_t row, size_t column, size_t width, bool utf8,
		  enum screen_style style, const char *text)
{
	size_t end = column + width < s->columns ? column + width : s->columns;
	size_t last = 0, size;
	bool cut;

	if (row >= s->rows || column >= end)
		return column;
	cut = escape_columns(text) > end - column;
	last = cut ? end - 1 : end;
	for (; *text && column < last; text += size) {
		uint32_t c = escape_decode(text, &size);

		if (column + escape_character_columns(c) > last)
			break;
		column += put_character(s, row, column, last, style, c);
	}
	if (cut)
		column += put_character(s, row, column, end, style, utf8 ? 0x2026 : '>');
	return column;
}

void screen_select(struct screen *s, size_t row)
{
	for (size_t i = 0; row < s->rows && i < s->columns; i++)
		screen_at(s, row, i)->selected = true;
}

char *screen_row_text(const struct screen *s, size_t row)
{
	char *text = malloc(s->columns * 4 + 1);
	size_t used = 0, kept = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; i < s->columns; i++) {
		uint32_t c = screen_at(s, row, i)->c;

		if (!c)
			continue;
		used += escape_encode(c, text + used);
		if (c != ' ')
			kept = used;
	}
	text[kept] = '\0';
	return text;
}

/* SPDX-License-Identifier: MIT */
/* A screen as cells with styles: what a terminal shows, without a terminal. */
#ifndef STRANDED_VIEW_SCREEN_H
#define STRANDED_VIEW_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum screen_style { /* what a cell means; whoever paints it chooses the colours */
		    SCREEN_PLAIN = 0,
		    SCREEN_TITLE,
		    SCREEN_HEADING, /* titles of columns and of sections */
		    SCREEN_LEAKED,
		    SCREEN_SUSPECT,
		    SCREEN_DIM,
		    SCREEN_ALARM, /* stale, lost, retracted */
		    SCREEN_KEY,
		    SCREEN_STYLES
};

struct screen_cell {
	uint32_t c; /* 0: the right half of a wide character */
	uint8_t style;
	bool selected; /* shown as the cursor's line */
};

struct screen {
	size_t rows, columns;
	struct screen_cell *cells; /* row by row */
};

/* A blank screen. Returns 0 or -ENOMEM. */
int screen_init(struct screen *s, size_t rows, size_t columns);
void screen_done(struct screen *s);
struct screen_cell *screen_at(const struct screen *s, size_t row, size_t column);

/*
 * screen_put - write an escaped text; what does not fit is cut, outside the screen all of it.
 * @width  columns at most; cut texts end with the mark of escape_fit()
 * Returns the column after it.
 */
size_t screen_put(struct screen *s, size_t row, size_t column, size_t width, bool utf8,
		  enum screen_style style, const char *text);
void screen_select(struct screen *s, size_t row);

/* The text of one row as UTF-8 without the blanks at its end, malloc'ed; NULL: no memory. */
char *screen_row_text(const struct screen *s, size_t row);

#endif

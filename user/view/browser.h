/* SPDX-License-Identifier: MIT */
/*
 * The live view without its terminal: a state that keys change and that is drawn on a screen.
 *
 * It borrows the board that it shows until it is given the next one. No call costs more than by
 * the rows of one kind.
 */
#ifndef STRANDED_VIEW_BROWSER_H
#define STRANDED_VIEW_BROWSER_H

#include "view/board.h"
#include "view/details.h"
#include "view/filter.h"
#include "view/screen.h"

/* A key is a code point or one of these. */
enum browser_key {
	BROWSER_UP = 0x110000,
	BROWSER_DOWN,
	BROWSER_LEFT,
	BROWSER_RIGHT,
	BROWSER_PAGE_UP,
	BROWSER_PAGE_DOWN,
	BROWSER_HOME,
	BROWSER_END,
	BROWSER_ENTER,
	BROWSER_BACKSPACE,
	BROWSER_ESCAPE,
	BROWSER_WHEEL_UP,
	BROWSER_WHEEL_DOWN,
};

enum browser_action { /* what is left to whoever has the terminal and the observer */
		      BROWSER_NOTHING = 0,
		      BROWSER_QUIT,
		      BROWSER_SEARCH, /* the selected process */
		      BROWSER_COPY,   /* the selected line */
};

enum browser_mode {
	BROWSER_LIST = 0,
	BROWSER_DETAILS,
	BROWSER_HELP,
	BROWSER_FILTER,
	BROWSER_DELAY,
	BROWSER_COLUMNS,
};

struct browser_order {
	enum column sort; /* COLUMNS: leaked first, then the most */
	bool reverse;
	uint32_t columns; /* bits */
};

struct browser_settings {
	enum row_kind kind;
	struct browser_order orders[ROW_KINDS];
	char filter[FILTER_ROOM];
	int64_t delay_ns;
};

#define BROWSER_NOTE_ROOM 256

struct browser {
	struct browser_settings settings;
	struct details_source source;
	bool utf8, paused;
	enum browser_mode mode, after_help; /* the mode that ? was pressed in */
	const struct board *board;          /* borrowed; NULL: none yet */
	const struct row **shown;           /* filtered and sorted */
	size_t shown_count;
	size_t cursor, top; /* in shown */
	size_t page;        /* rows that fit, as last drawn */
	size_t list_row;    /* of the screen, where the list begins */
	struct row_key key; /* of the row under the cursor */
	bool has_key;
	struct details details;
	bool details_gone; /* its row is in no board any more */
	size_t scroll;
	size_t menu; /* the cursor of BROWSER_COLUMNS */
	char input[FILTER_ROOM];
	char note[BROWSER_NOTE_ROOM];   /* one line for the reader, until the next key */
	char status[BROWSER_NOTE_ROOM]; /* what the observer does */
	int64_t stale_ns; /* age of what is shown, if that is older than it should be; or 0 */
};

void browser_default(struct browser_settings *ret_settings);
void browser_init(struct browser *b, const struct browser_settings *settings, bool utf8,
		  const struct details_source *source);
void browser_done(struct browser *b);

/* Shows another board from now on; the last one is not needed any more. Returns 0 or -ENOMEM. */
int browser_take(struct browser *b, const struct board *board);
enum browser_action browser_key(struct browser *b, uint32_t key);
/* A click on that row of the screen. */
enum browser_action browser_click(struct browser *b, size_t row, bool twice);
void browser_draw(struct browser *b, struct screen *screen);

/* The row under the cursor; NULL: there is none. */
const struct row *browser_selected(const struct browser *b);
/* Its cells as one line of text, malloc'ed; NULL: no row, no memory. */
char *browser_copy(const struct browser *b);

/* For board rows in other forms: filtered and sorted, malloc'ed; NULL: no memory. */
const struct row **browser_select(const struct board_rows *rows, const char *filter,
				  const struct browser_order *order, size_t *ret_count);

#endif

/* SPDX-License-Identifier: MIT */
/* Paints cells with ncurses, which writes only what has changed: nothing flickers. */
#include "cmd/top_terminal.h"

#define _XOPEN_SOURCE_EXTENDED 1
#include <curses.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "view/browser.h"

#define ESCAPE_DELAY_MS 25   /* what comes later than that after an ESC is no part of it */
#define RUN_MAX         256  /* cells that are written at once */
#define COPY_MAX        8192 /* bytes; some terminals drop longer ones */

struct top_terminal {
	SCREEN *screen;
	attr_t attributes[SCREEN_STYLES];
	short pairs[SCREEN_STYLES];
};

static const attr_t plain_attributes[SCREEN_STYLES] = {
	[SCREEN_TITLE] = A_BOLD, [SCREEN_HEADING] = A_REVERSE,          [SCREEN_LEAKED] = A_BOLD,
	[SCREEN_DIM] = A_DIM,    [SCREEN_ALARM] = A_BOLD | A_UNDERLINE, [SCREEN_KEY] = A_BOLD,
};

/* ---- opening -------------------------------------------------------------------------- */

struct hue {
	enum screen_style style;
	short basic, rich; /* of 8 and of 256 colours */
	attr_t attributes;
};

static const struct hue hues[] = {
	{SCREEN_LEAKED, COLOR_RED, 203, A_NORMAL},  {SCREEN_SUSPECT, COLOR_YELLOW, 221, A_NORMAL},
	{SCREEN_ALARM, COLOR_MAGENTA, 213, A_BOLD}, {SCREEN_KEY, COLOR_CYAN, 81, A_NORMAL},
	{SCREEN_TITLE, COLOR_CYAN, 81, A_BOLD},
};

static void choose_colours(struct top_terminal *t)
{
	if (!has_colors() || start_color() == ERR)
		return;
	use_default_colors();
	for (size_t i = 0; i < sizeof(hues) / sizeof(hues[0]); i++) {
		short pair = (short)(i + 1);

		init_pair(pair, COLORS >= 256 ? hues[i].rich : hues[i].basic, -1);
		t->pairs[hues[i].style] = pair;
		t->attributes[hues[i].style] = hues[i].attributes;
	}
}

int top_terminal_open(bool colour, struct top_terminal **ret_terminal)
{
	struct top_terminal *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->screen = newterm(NULL, stdout, stdin);
	if (!t->screen) {
		free(t);
		return -ENOTTY;
	}
	memcpy(t->attributes, plain_attributes, sizeof(t->attributes));
	if (colour)
		choose_colours(t);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	leaveok(stdscr, TRUE);
	curs_set(0);
	set_escdelay(ESCAPE_DELAY_MS);
	mousemask(BUTTON1_CLICKED | BUTTON1_PRESSED | BUTTON1_DOUBLE_CLICKED | BUTTON4_PRESSED |
			  BUTTON5_PRESSED,
		  NULL);
	mouseinterval(200);
	*ret_terminal = t;
	return 0;
}

void top_terminal_close(struct top_terminal *t)
{
	if (!t)
		return;
	endwin();
	delscreen(t->screen);
	free(t);
}

void top_terminal_size(const struct top_terminal *t, size_t *ret_rows, size_t *ret_columns)
{
	(void)t;
	*ret_rows = LINES > 0 ? (size_t)LINES : 1;
	*ret_columns = COLS > 0 ? (size_t)COLS : 1;
}

void top_terminal_redraw(struct top_terminal *t)
{
	(void)t;
	clearok(stdscr, TRUE);
}

/* ---- painting ---------------------------------------------------------------------------- */

static bool same_look(const struct screen_cell *a, const struct screen_cell *b)
{
	return a->style == b->style && a->selected == b->selected;
}

/*
 * Writes cells that look alike, from the column on. A wide character ends a run: the next one is
 * put at its own column, whatever width the C library gives to the character before.
 */
static size_t paint_run(struct top_terminal *t, const struct screen *s, size_t row, size_t column)
{
	const struct screen_cell *first = screen_at(s, row, column);
	wchar_t run[RUN_MAX];
	size_t at = column;
	int length = 0;
	bool wide = false;

	while (at < s->columns && length < RUN_MAX && !wide) {
		const struct screen_cell *cell = screen_at(s, row, at);

		if (!same_look(first, cell))
			break;
		wide = at + 1 < s->columns && !screen_at(s, row, at + 1)->c;
		run[length++] = (wchar_t)cell->c;
		at += wide ? 2 : 1;
	}
	attr_set(t->attributes[first->style] | (first->selected ? A_REVERSE : A_NORMAL),
		 t->pairs[first->style], NULL);
	mvaddnwstr((int)row, (int)column, run, length);
	return at;
}

void top_terminal_paint(struct top_terminal *t, const struct screen *s)
{
	for (size_t row = 0; row < s->rows && row < (size_t)LINES; row++)
		for (size_t column = 0; column < s->columns;)
			column = paint_run(t, s, row, column);
	refresh();
}

/* ---- keys ---------------------------------------------------------------------------------- */

static uint32_t translate(int code, wint_t c)
{
	if (code != KEY_CODE_YES)
		return c == '\r' || c == '\n' ? BROWSER_ENTER
		       : c == 27              ? BROWSER_ESCAPE
		       : c == 8 || c == 127   ? BROWSER_BACKSPACE
					      : (uint32_t)c;
	switch (c) {
	case KEY_UP:
		return BROWSER_UP;
	case KEY_DOWN:
		return BROWSER_DOWN;
	case KEY_LEFT:
		return BROWSER_LEFT;
	case KEY_RIGHT:
		return BROWSER_RIGHT;
	case KEY_PPAGE:
		return BROWSER_PAGE_UP;
	case KEY_NPAGE:
		return BROWSER_PAGE_DOWN;
	case KEY_HOME:
		return BROWSER_HOME;
	case KEY_END:
		return BROWSER_END;
	case KEY_ENTER:
		return BROWSER_ENTER;
	case KEY_BACKSPACE:
	case KEY_DC:
		return BROWSER_BACKSPACE;
	}
	return 0;
}

static bool translate_mouse(struct top_event *ret_event)
{
	MEVENT mouse;

	if (getmouse(&mouse) != OK)
		return false;
	*ret_event = (struct top_event){.row = mouse.y < 0 ? 0 : (size_t)mouse.y};
	if (mouse.bstate & BUTTON4_PRESSED)
		ret_event->key = BROWSER_WHEEL_UP;
	else if (mouse.bstate & BUTTON5_PRESSED)
		ret_event->key = BROWSER_WHEEL_DOWN;
	ret_event->twice = mouse.bstate & BUTTON1_DOUBLE_CLICKED;
	return true;
}

bool top_terminal_event(struct top_terminal *t, struct top_event *ret_event)
{
	(void)t;
	for (;;) {
		wint_t c;
		int code = get_wch(&c);

		if (code == ERR)
			return false;
		if (code == KEY_CODE_YES && c == KEY_MOUSE) {
			if (translate_mouse(ret_event))
				return true;
			continue;
		}
		*ret_event = (struct top_event){.key = translate(code, c)};
		if (ret_event->key) /* others, as that of a new size, only wake */
			return true;
	}
}

/* ---- copying --------------------------------------------------------------------------------- */

static void put_base64(const unsigned char *bytes, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t group = (uint32_t)bytes[i] << 16;

		group |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
		group |= left > 2 ? bytes[i + 2] : 0;
		putchar(digits[group >> 18]);
		putchar(digits[group >> 12 & 63]);
		putchar(left > 1 ? digits[group >> 6 & 63] : '=');
		putchar(left > 2 ? digits[group & 63] : '=');
	}
}

/* curses writes to stdout's descriptor by itself and has nothing pending here. */
void top_terminal_copy(struct top_terminal *t, const char *text)
{
	size_t size = strlen(text);

	(void)t;
	fputs("\033]52;c;", stdout);
	put_base64((const unsigned char *)text, size < COPY_MAX ? size : COPY_MAX);
	fputs("\a", stdout);
	fflush(stdout);
}

/* SPDX-License-Identifier: MIT */
/* A terminal for the live view: paints screens, reads keys, copies text. Only here is curses. */
#ifndef STRANDED_CMD_TOP_TERMINAL_H
#define STRANDED_CMD_TOP_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "view/screen.h"

struct top_terminal; /* one a process: curses has one screen */

struct top_event {
	uint32_t key; /* as enum browser_key; 0: a click */
	size_t row;   /* of a click */
	bool twice;
};

/* Returns 0, or -ENOTTY if the terminal is unknown or cannot show screens. */
int top_terminal_open(bool colour, struct top_terminal **ret_terminal);
void top_terminal_close(struct top_terminal *t);
void top_terminal_size(const struct top_terminal *t, size_t *ret_rows, size_t *ret_columns);
void top_terminal_paint(struct top_terminal *t, const struct screen *screen);
/* Everything anew: something else has written to the terminal. */
void top_terminal_redraw(struct top_terminal *t);
/* Takes the next key or click that is there already. */
bool top_terminal_event(struct top_terminal *t, struct top_event *ret_event);
/* To the clipboard, where the terminal knows OSC 52. */
void top_terminal_copy(struct top_terminal *t, const char *text);

#endif

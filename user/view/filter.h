/* SPDX-License-Identifier: MIT */
/* Which rows people want to see: words and key:value pairs that all have to fit. */
#ifndef STRANDED_VIEW_FILTER_H
#define STRANDED_VIEW_FILTER_H

#include "view/row.h"

#define FILTER_ROOM 128

/*
 * filter_matches - does the row fit?
 * @text  words between blanks. Each is to be found, whatever its case, in what the row says of its
 *        process, state, task and places; KEY:VALUE only there: pid, command (cmd), state, reason,
 *        name, task, where, created (by), file, function (fn), object (ch), unit. !WORD: not so.
 *        A key that is none of these is part of the word. Empty: all rows.
 */
bool filter_matches(const char *text, const struct row *row);

#endif

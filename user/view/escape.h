/* SPDX-License-Identifier: MIT */
/*
 * The one sanitiser between what targets say and what people and terminals read.
 *
 * Names of commands, tasks, functions and files are chosen by whoever runs the
 * target. Nothing of them may move a cursor, start a line, change the order of
 * the text or be invisible.
 */
#ifndef STRANDED_VIEW_ESCAPE_H
#define STRANDED_VIEW_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ESCAPE_ROOM        512    /* bytes for one escaped text with its NUL: longer ones are cut */
#define ESCAPE_REPLACEMENT 0xfffd /* stands for bytes that are no UTF-8 */

/*
 * escape_decode - the first character of a NUL-terminated text that is not empty.
 * @ret_size  bytes that it takes, never 0 and never past the NUL
 * Returns the code point, or ESCAPE_REPLACEMENT for bytes that are no UTF-8.
 */
uint32_t escape_decode(const char *text, size_t *ret_size);

/* Writes c as UTF-8, returns the number of bytes (1 to 4). */
size_t escape_encode(uint32_t c, char ret_bytes[4]);

/* Does c act on the text around it, or can nobody see it? */
bool escape_is_harmful(uint32_t c);

/*
 * escape_text - make text safe to print: harmful characters become \n, \x1b, \u202e, and in
 * ASCII everything else that is not ASCII, too.
 * @text        NULL is ""
 * @ret_buffer  room bytes (at least 5); a text that is cut ends with "…", or ">" in ASCII
 * Returns ret_buffer, so that it can be an argument of printf.
 */
const char *escape_text(const char *text, bool utf8, size_t room, char *ret_buffer);

/* Columns that a character takes on a terminal: 0 to 2. */
size_t escape_character_columns(uint32_t c);

/* Columns that an escaped text takes on a terminal. */
size_t escape_columns(const char *text);

/*
 * escape_fit - cut an escaped text to at most so many columns (at least 1), in place.
 * @room  of the buffer; a text that is cut ends as that of escape_text()
 * Returns the columns that it takes then.
 */
size_t escape_fit(char *text, bool utf8, size_t columns, size_t room);

#endif

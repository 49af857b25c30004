/* SPDX-License-Identifier: MIT */
/* A place in a program, in the words that all text views use. */
#ifndef STRANDED_VIEW_PLACE_H
#define STRANDED_VIEW_PLACE_H

#include "model/model.h"
#include "view/escape.h"

#define PLACE_ROOM (2 * ESCAPE_ROOM)

/*
 * place_function - the function's name; without one ??@module+0xOFFSET, or ??@0xPC.
 * Returns ret_text.
 */
const char *place_function(const struct model_frame *f, bool utf8, char ret_text[PLACE_ROOM]);

/* place_line - "function file.c:12" with the file's last part only, as far as it is known. */
const char *place_line(const struct model_frame *f, bool utf8, char ret_text[PLACE_ROOM]);

#endif

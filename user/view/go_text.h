/* SPDX-License-Identifier: MIT */
/* Tasks in the form of Go's goroutine dumps (debug=2), for people and the tools that parse it. */
#ifndef STRANDED_VIEW_GO_TEXT_H
#define STRANDED_VIEW_GO_TEXT_H

#include <stdio.h>

#include "model/model.h"
#include "view/style.h"

enum go_text_content { GO_TEXT_ALL, GO_TEXT_LEAKED };

/*
 * view_go_text - one block a task, under a line for each process that has any.
 * Returns the number of blocks. Errors are the stream's: ferror(out).
 */
size_t view_go_text(FILE *out, const struct model *m, enum go_text_content content,
		    const struct view_style *style);

#endif

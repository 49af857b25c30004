/* SPDX-License-Identifier: MIT */
/* One page of HTML for people who would rather look: loads nothing, runs in any browser. */
#ifndef STRANDED_VIEW_REPORT_H
#define STRANDED_VIEW_REPORT_H

#include <stdio.h>

#include "view/board.h"

/* Returns 0 or -ENOMEM. Errors of the stream are the caller's: ferror(out). */
int view_report(FILE *out, const struct board *board);

#endif

/* SPDX-License-Identifier: MIT */
/* The table as text: what the live view shows, block after block. */
#ifndef STRANDED_VIEW_TOP_H
#define STRANDED_VIEW_TOP_H

#include <stdio.h>

#include "view/browser.h"
#include "view/style.h"

/* Writes one block: a header line, the titles, the rows. Returns 0 or -ENOMEM. */
int view_top(FILE *out, const struct board *board, const struct browser_settings *settings,
	     const struct view_style *style);

#endif

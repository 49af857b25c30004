/* SPDX-License-Identifier: MIT */
/* A flame graph of waiting tasks by site, as SVG inside an HTML page. */
#ifndef STRANDED_VIEW_FLAME_H
#define STRANDED_VIEW_FLAME_H

#include "view/board.h"

/*
 * flame_write - from the process at the top down to the place of the wait, as wide as there are
 * tasks; what is leaked is red, the more the redder. Nothing without rows.
 * Returns 0 or -ENOMEM (nothing is written).
 */
int flame_write(FILE *out, const struct board_rows *sites);

#endif

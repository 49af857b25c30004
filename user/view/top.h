/* SPDX-License-Identifier: MIT */
/* The live table: one line a site, leaked ones first. */
#ifndef STRANDED_VIEW_TOP_H
#define STRANDED_VIEW_TOP_H

#include <stdio.h>

#include "model/model.h"
#include "view/style.h"

/* Writes one block: a header line, the titles, the sites. Returns 0 or -ENOMEM. */
int view_top(FILE *out, const struct model *m, const struct view_style *style);

#endif

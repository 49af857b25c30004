/* SPDX-License-Identifier: MIT */
/* What could not be observed or proved, in lines for people. */
#ifndef STRANDED_VIEW_MESSAGES_H
#define STRANDED_VIEW_MESSAGES_H

#include <stdio.h>

#include "model/model.h"
#include "view/style.h"

/* Meant for stderr. Returns the number of lines; 0: nothing is missing. */
size_t view_messages(FILE *out, const struct model *m, const struct view_style *style);

#endif

/* SPDX-License-Identifier: MIT */
/* Tells of one task why it waits for ever, or what might still wake it. */
#ifndef STRANDED_VIEW_EXPLAIN_H
#define STRANDED_VIEW_EXPLAIN_H

#include <stdio.h>

#include "model/model.h"
#include "view/style.h"

void view_explain(FILE *out, const struct model *m, const struct model_process *p,
		  const struct model_task *t, const struct view_style *style);

#endif

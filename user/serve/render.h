/* SPDX-License-Identifier: MIT */
/* The answer to a question: a pure function of the model. */
#ifndef STRANDED_SERVE_RENDER_H
#define STRANDED_SERVE_RENDER_H

#include <stdio.h>

#include "model/model.h"
#include "serve/question.h"
#include "view/openmetrics.h"

/*
 * The part of the model that the question is about and its viewer may see. It borrows all from m,
 * so it must not be given to model_done(): render_unselect() ends it. Returns 0 or -ENOMEM.
 */
int render_select(const struct model *m, const struct question *q, struct model *ret_part);
void render_unselect(struct model *part);

/*
 * @self  of the daemon, for its metrics; NULL: unknown
 * Returns 0 or -errno: -ESRCH if there is no such process. Errors of the stream are the caller's to
 * ask for.
 */
int render_document(FILE *out, const struct model *m, const struct openmetrics_self *self,
		    const struct question *q);

#endif

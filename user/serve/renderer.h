/* SPDX-License-Identifier: MIT */
/*
 * A renderer: a process without privileges that writes one document and ends.
 *
 * It is a fork, so it has the model without any copying, and encoders that are given names and
 * texts of targets never run as root, hold up the observer or outlive their deadline.
 */
#ifndef STRANDED_SERVE_RENDERER_H
#define STRANDED_SERVE_RENDERER_H

#include <sys/types.h>

#include "model/model.h"
#include "serve/confine.h"
#include "serve/question.h"
#include "view/openmetrics.h"

struct renderer {
	pid_t pid;
	int pidfd;    /* readable when it has ended */
	int document; /* a memfd */
};

/* Returns 0 or -errno. */
int renderer_start(const struct model *m, const struct openmetrics_self *self,
		   const struct question *q, const struct confinement *walls,
		   struct renderer *ret_renderer);

/*
 * renderer_finish - once it has ended: take the document, sealed.
 * Returns its descriptor, which is the caller's, or -errno: -ESRCH for a question about a process
 * that is not there, -EFBIG for a document that is too large, -EIO if it failed.
 */
int renderer_finish(struct renderer *r);

/* Have it end and forget it: see confine_end(). */
void renderer_cancel(struct renderer *r);

#endif

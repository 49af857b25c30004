/* SPDX-License-Identifier: MIT */
/* Workers with nothing to run: looking for work, sleeping, and being woken. See idle.c. */
#ifndef STRAND_IDLE_H
#define STRAND_IDLE_H

#include "strand/sched.h"

/* Wake a worker if it sleeps, so that it looks at its inbox and flags. From anywhere. */
void idle_kick(struct worker *w);

/* There is a new task that any worker may take: see to it that one looks. From anywhere. */
void idle_kick_one(struct runtime *rt);

/* Wait a moment for work. Returns whether there may be some. On the worker. */
bool idle_look(struct worker *w);

/* The worker has found something to run: is there more, and nobody who looks for it? */
void idle_pass_on(struct worker *w);

/* Sleep until there may be work, or until the given time. On the worker. */
void idle_sleep(struct worker *w, strand_time until);

#endif

/* SPDX-License-Identifier: MIT */
/* A recording in the place of the observer. */
#ifndef STRANDED_CMD_REPLAY_H
#define STRANDED_CMD_REPLAY_H

#include <stdbool.h>

#include "model/model.h"
#include "observe/observer.h"

struct replay;

/* All return 0 or an exit status, with what went wrong on stderr. */

/* @scope  what lies outside of it is left out */
int replay_open(const char *path, const struct scope *scope, struct replay **ret_replay);
void replay_close(struct replay *r);

/* The next snapshot. There is one unless replay_ended(). */
int replay_next(struct replay *r, struct model *ret_model);
/* The last one. */
int replay_last(struct replay *r, struct model *ret_model);
bool replay_ended(const struct replay *r);

#endif

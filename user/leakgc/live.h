/* SPDX-License-Identifier: MIT */
/* The search of live memory, which stops the world once, shortly, and only to confirm a leak. */
#ifndef LEAKGC_LIVE_H
#define LEAKGC_LIVE_H

#include "leakgc/session.h"

/*
 * leakgc_live_search - search by tracking what is written. As leakgc_snapshot_search().
 * Returns false where this process and kernel cannot do that: nothing was done then, and
 * result->cause_detail is the error.
 */
bool leakgc_live_search(struct leakgc_session *s, struct leakgc_result *result);

#endif

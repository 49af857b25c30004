/* SPDX-License-Identifier: MIT */
/* The end of a search of live memory: what has changed since it was searched. */
#ifndef LEAKGC_RESCAN_H
#define LEAKGC_RESCAN_H

#include "leakgc/session.h"
#include "leakgc/state.h"

/*
 * leakgc_rescan_track - track all private memory, from now on.
 * Returns NONE, or why it cannot be.
 */
enum strand_search_cause leakgc_rescan_track(struct leakgc_session *s, uint64_t *ret_detail);

/*
 * leakgc_rescan_rounds - look at what was written meanwhile, again and again while it gets less.
 * All threads run. Comes before leakgc_rescan_finish(). @ret_bytes: looked at in the last round. Returns 0 or -ECANCELED.
 */
int leakgc_rescan_rounds(struct leakgc_session *s, struct leakgc_state *state, uint64_t *ret_bytes);

/*
 * leakgc_rescan_finish - the same a last time, and all that only a stopped world can show.
 * Afterwards what is not LIVE was not LIVE while the world stood still. Returns 0 or -ECANCELED.
 */
int leakgc_rescan_finish(struct leakgc_session *s, struct leakgc_state *state,
			 int64_t pause_ends_ns);

#endif

/* SPDX-License-Identifier: MIT */
/* The pause of the target: as short as it can be, and the same for every kind of search. */
#ifndef LEAKGC_PAUSE_H
#define LEAKGC_PAUSE_H

#include "leakgc/session.h"

/* What is done while the world stands still. */
typedef enum strand_search_cause leakgc_pause_work(struct leakgc_session *s, void *context,
						   struct leakgc_result *result);

/*
 * leakgc_pause - stop all threads, take registers and what the kernel holds, work, let go.
 * Fills the times of result, and cause_detail. Returns NONE or why it came to nothing.
 */
enum strand_search_cause leakgc_pause(struct leakgc_session *s, leakgc_pause_work *work,
				      void *context, struct leakgc_result *result);

/* What the kernel holds, and shared memory. The world stands still, or has one thread. */
enum strand_search_cause leakgc_pause_look(struct leakgc_session *s, uint64_t *ret_detail);

#endif

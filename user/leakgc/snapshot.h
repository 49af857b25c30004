/* SPDX-License-Identifier: MIT */
/* The search of a snapshot: a clone that was taken while all threads stood still. */
#ifndef LEAKGC_SNAPSHOT_H
#define LEAKGC_SNAPSHOT_H

#include "leakgc/session.h"

/*
 * leakgc_snapshot_search - stop, look at the kernel's hands, clone, let go, wait.
 * Fills status, cause and times; the verdicts stay in the session's findings.
 */
void leakgc_snapshot_search(struct leakgc_session *s, struct leakgc_result *result);

/* The same on the live memory of a process that has no other thread. For tests alone. */
void leakgc_snapshot_examine_in_place(struct leakgc_session *s, struct leakgc_result *result);

/*
 * leakgc_search_without - leakgc_search() with treatments of soundness holes switched
 * off, to show that a test would see their absence. For tests alone.
 * @in_place  search the live memory of a process of one thread, without a snapshot
 */
void leakgc_search_without(const struct leakgc_runtime *runtime, const struct leakgc_limits *limits,
			   const volatile int *cancel, unsigned without, bool in_place,
			   struct leakgc_result *ret_result);

#endif

/* SPDX-License-Identifier: MIT */
/* How long a worker has been running one task without a switch. */
#ifndef STRAND_LOAD_H
#define STRAND_LOAD_H

#include <strand.h>

struct worker;

/*
 * load_running_ns - for at least how long has the worker's current task not parked or yielded?
 * Switches are counted and not timed, so this is what the worker's looks at the clock and
 * earlier calls prove: a task that computes for ever shows at the second call at the latest.
 * 0 if nothing is known or nothing runs. Context: anywhere, also signal handlers.
 */
strand_time load_running_ns(struct worker *w, strand_time now);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What has changed between two models, as JSON Lines: for log collectors and streams.
 *
 * Every line is an object with "schema" (stranded.event/v1), "time" and "event":
 *
 *   summary           how much there is now: once each time
 *   process_found, process_changed (its status), process_gone      with "process"
 *   searched          a leak search of the process has ended       with "process" and "search"
 *   found, changed (its count), gone    a site where tasks are leaked or suspect,
 *                                                                  with "process" and "site"
 */
#ifndef STRANDED_VIEW_EVENTS_H
#define STRANDED_VIEW_EVENTS_H

#include <stdio.h>

#include "model/model.h"

/*
 * view_events - the lines for what is new.
 * @before  NULL: nothing was known
 * Returns 0 or -ENOMEM (some may have been written). Errors of the stream: ferror(out).
 */
int view_events(FILE *out, const struct model *before, const struct model *after);

#endif

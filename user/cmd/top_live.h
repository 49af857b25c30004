/* SPDX-License-Identifier: MIT */
/* stranded top on a terminal: keys, screens and a feed brought together. */
#ifndef STRANDED_CMD_TOP_LIVE_H
#define STRANDED_CMD_TOP_LIVE_H

#include "cmd/options.h"
#include "cmd/session.h"
#include "view/browser.h"

/* Can there be a live view? Else it has to be a batch. */
bool top_live_possible(void);

/*
 * top_live - show what an open session observes until people quit.
 * @settings  to begin with; those that were chosen meanwhile when it returns
 * Returns an exit status.
 */
int top_live(struct session *session, const struct options *options,
	     struct browser_settings *settings);

#endif

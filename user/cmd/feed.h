/* SPDX-License-Identifier: MIT */
/*
 * Boards from an observer that works in a thread of its own, so that whoever shows them never
 * waits: not for a search, not for a slow process, not for a million tasks.
 *
 * The session is the feed's from feed_start() until feed_stop(). Signals stay with the caller's
 * thread. All other functions return at once.
 */
#ifndef STRANDED_CMD_FEED_H
#define STRANDED_CMD_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/session.h"
#include "view/board.h"

struct feed;

struct feed_options {
	int64_t delay_ns;
	int64_t search_interval_ns; /* INT64_MAX: only when asked */
};

enum feed_state { FEED_IDLE, FEED_READING, FEED_SEARCHING, FEED_ENDED };

/* Returns 0 or -errno. */
int feed_start(struct session *session, const struct feed_options *options, struct feed **ret_feed);
/* Ends what is under way. Returns the exit status that the feed ended with. */
int feed_stop(struct feed *feed);

/* Readable when there is a new board, or the feed has ended. */
int feed_fd(const struct feed *feed);
/* The newest board that was not taken yet; NULL: none. It goes back with feed_give_back(). */
struct board *feed_take(struct feed *feed);
void feed_give_back(struct feed *feed, struct board *board);

enum feed_state feed_state(struct feed *feed);
/* Search now. @pid  0: every process */
void feed_search(struct feed *feed, pid_t pid);
void feed_set_delay(struct feed *feed, int64_t delay_ns);
/* Every task, which costs by tasks, or one for each site. */
void feed_set_tasks(struct feed *feed, bool all);

#endif

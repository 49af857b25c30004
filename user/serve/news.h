/* SPDX-License-Identifier: MIT */
/*
 * A line for each place where leaks are found, once in a life of the process: for the journal.
 */
#ifndef STRANDED_SERVE_NEWS_H
#define STRANDED_SERVE_NEWS_H

#include <stdbool.h>
#include <stdio.h>

#include "model/model.h"

#define NEWS_LINES_MAX 20   /* of one round: what is more is counted in one line */
#define NEWS_KNOWN_MAX 4096 /* the oldest are forgotten first, and would be told again */

struct news_item {
	pid_t pid;
	uint64_t start_ticks, fingerprint;
};

struct news { /* zeroed: nothing is known */
	struct news_item known[NEWS_KNOWN_MAX];
	size_t next; /* the slot to fill next */
};

/*
 * news_write - the leaks that are new since the last time.
 * @levels  begin each line with <4>, which the journal takes as its priority
 * Returns 0 or -ENOMEM (then they are told the next time).
 */
int news_write(FILE *out, struct news *n, const struct model *m, bool levels);

#endif

/* SPDX-License-Identifier: MIT */
/* How numbers change from model to model: growth of each site, leaks and ended waits over time. */
#ifndef STRANDED_VIEW_TREND_H
#define STRANDED_VIEW_TREND_H

#include "view/row.h"

#define TREND_SAMPLES 64

struct trend_base { /* a count to compare with, 60 to 120 s old once it is that long known */
	struct row_key key;
	uint64_t base, next; /* counts; next takes the place of base after a minute */
	int64_t base_ns, next_ns;
};

struct trend {
	struct trend_base *bases; /* sorted */
	size_t count;
	uint64_t leaked[TREND_SAMPLES]; /* of all processes, the oldest first */
	size_t leaked_count;
	int64_t span_ns; /* from the first to the last of them */
	int64_t sample_ns[TREND_SAMPLES];
	uint64_t ended; /* waits that have ended until the last model */
	int64_t taken_ns;
	double ended_per_second; /* negative: not known yet */
};

void trend_init(struct trend *t);
void trend_done(struct trend *t);

/* Compares rows with their past, sets their growth, and remembers them. Returns 0 or -ENOMEM. */
int trend_rows(struct trend *t, int64_t now_ns, struct row *rows, size_t count);
void trend_totals(struct trend *t, const struct model *m, uint64_t leaked);

/*
 * trend_sparkline - the samples as bars, the newest at the right, scaled from 0 to the largest.
 * @width  characters at most
 * @room   of ret_text: 3 bytes a character and a NUL
 */
const char *trend_sparkline(const uint64_t *samples, size_t count, size_t width, bool utf8,
			    size_t room, char *ret_text);

#endif

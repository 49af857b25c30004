/* SPDX-License-Identifier: MIT */
/* What this kernel and these capabilities allow an observer: tried, not guessed. */
#ifndef STRANDED_OBSERVE_FEATURE_H
#define STRANDED_OBSERVE_FEATURE_H

#include <stdbool.h>

enum feature_state {
	FEATURE_OK = 0,
	FEATURE_DEGRADED, /* it works without, but less well */
	FEATURE_MISSING,  /* nothing can be observed without */
};

struct feature {
	const char *name; /* one or two words */
	enum feature_state state;
	char found[160];    /* what there is, one line */
	const char *advice; /* what to do about it; NULL: nothing */
};

#define FEATURES_MAX 16

struct feature_list {
	struct feature features[FEATURES_MAX];
	unsigned count;
};

/* Tries everything, in the order in which an observer needs it; leaves nothing behind. */
void feature_probe(struct feature_list *ret_list);

/* Can anything be observed at all? */
bool feature_usable(const struct feature_list *list);

#endif

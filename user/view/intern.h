/* SPDX-License-Identifier: MIT */
/*
 * Tables that give equal things one number: texts, and pairs of numbers.
 *
 * Numbers count up from 0 (texts: "" is there from the first) or from 1 (pairs). A table that could
 * not grow stays `failed` and gives any number, so that only the end has to be checked.
 */
#ifndef STRANDED_VIEW_INTERN_H
#define STRANDED_VIEW_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct intern_slots { /* open addressing: number + 1 of what has that hash, 0: free */
	uint32_t *slots;
	size_t count;
};

struct intern_text {
	char *text;
	uint64_t hash;
};

struct intern_texts { /* zeroed: empty */
	struct intern_text *texts;
	size_t count, room;
	struct intern_slots index;
	bool failed;
};

struct intern_pair {
	uint64_t a, b;
};

struct intern_pairs { /* zeroed: empty; number n is pairs[n - 1] */
	struct intern_pair *pairs;
	size_t count, room;
	struct intern_slots index;
	bool failed;
};

uint64_t intern_text(struct intern_texts *t, const char *text);
void intern_texts_done(struct intern_texts *t);

/* @ret_new  whether the pair was not in the table; may be NULL */
uint64_t intern_pair(struct intern_pairs *t, uint64_t a, uint64_t b, bool *ret_new);
void intern_pairs_done(struct intern_pairs *t);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A cover: which of many overlapping address ranges hold an address?
 *
 * The ranges are cut into disjoint segments; each names the ranges that cover
 * it. Nested ranges (an object on a task's stack) and ranges that touch (padded
 * by one past the end) are the normal case, deep nesting is not.
 */
#ifndef LEAKGC_COVER_H
#define LEAKGC_COVER_H

#include <stddef.h>
#include <stdint.h>
#include "leakgc/arena.h"

struct leakgc_extent { /* [lo, hi) */
	uintptr_t lo;
	uintptr_t hi;
	uint32_t member; /* whatever the caller calls it */
};

/* Segment i is [start[i], start[i + 1]) and has members first[i] .. first[i + 1]. */
struct leakgc_cover {
	const uintptr_t *start;
	const uint32_t *first;
	const uint32_t *member;
	size_t count;
};

#define LEAKGC_COVER_NONE SIZE_MAX

/*
 * leakgc_cover_build - make a cover; sorts and keeps @extents.
 * Returns 0, or -ENOMEM (no memory, or nested deeper than is sane).
 */
int leakgc_cover_build(struct leakgc_arena *arena, struct leakgc_extent *extents, size_t count,
		       struct leakgc_cover *ret_cover);

/* The segment that holds the address; LEAKGC_COVER_NONE outside of all. */
size_t leakgc_cover_find(const struct leakgc_cover *cover, uintptr_t address);

#endif

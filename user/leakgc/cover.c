/* SPDX-License-Identifier: MIT */
/* Cut overlapping ranges into disjoint segments, without malloc. */
#include "leakgc/cover.h"

#include <errno.h>

/* Ranges that may cover one address. Tasks and objects nest two or three deep. */
#define NESTING_MAX 256

/* Merge the sorted halves [0, middle) and [middle, count) of extents through spare. */
static void merge(struct leakgc_extent *extents, size_t middle, size_t count,
		  struct leakgc_extent *spare)
{
	size_t left = 0, right = middle, out = 0;

	if (extents[middle - 1].lo <= extents[middle].lo)
		return; /* slabs are described in order: mostly sorted already */
	for (size_t i = 0; i < middle; i++)
		spare[i] = extents[i];
	while (left < middle && right < count) {
		if (spare[left].lo <= extents[right].lo)
			extents[out++] = spare[left++];
		else
			extents[out++] = extents[right++];
	}
	while (left < middle)
		extents[out++] = spare[left++];
}

/* Merge sort from small runs to large ones: no recursion, as the stack's depth is not ours. */
static int sort(struct leakgc_arena *arena, struct leakgc_extent *extents, size_t count)
{
	uintptr_t mark = arena->next;
	struct leakgc_extent *spare = leakgc_arena_take(arena, count * sizeof(*spare));

	if (!spare)
		return -ENOMEM;
	for (size_t width = 1; width < count; width *= 2) {
		for (size_t at = 0; at + width < count; at += 2 * width) {
			size_t length = count - at < 2 * width ? count - at : 2 * width;

			merge(extents + at, width, length, spare);
		}
	}
	arena->next = mark;
	return 0;
}

struct sweep {
	uint32_t open[NESTING_MAX]; /* extents that cover the current position */
	size_t open_count;
};

static uintptr_t nearest_end(const struct sweep *s, const struct leakgc_extent *extents)
{
	uintptr_t end = UINTPTR_MAX;

	for (size_t i = 0; i < s->open_count; i++)
		if (extents[s->open[i]].hi < end)
			end = extents[s->open[i]].hi;
	return end;
}

static void close_ended(struct sweep *s, const struct leakgc_extent *extents, uintptr_t position)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->open_count; i++)
		if (extents[s->open[i]].hi > position)
			s->open[kept++] = s->open[i];
	s->open_count = kept;
}

/* Write the members of the segment that starts at the current position. */
static int emit(struct leakgc_arena *arena, const struct sweep *s,
		const struct leakgc_extent *extents)
{
	uint32_t *member = leakgc_arena_append(arena, s->open_count * sizeof(*member));

	if (!member)
		return -ENOMEM;
	for (size_t i = 0; i < s->open_count; i++)
		member[i] = extents[s->open[i]].member;
	return 0;
}

static size_t drop_empty(struct leakgc_extent *extents, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (extents[i].lo < extents[i].hi)
			extents[kept++] = extents[i];
	return kept;
}

int leakgc_cover_build(struct leakgc_arena *arena, struct leakgc_extent *extents, size_t count,
		       struct leakgc_cover *ret_cover)
{
	struct sweep s = {.open_count = 0};
	size_t segments = 0, next = 0;
	uintptr_t *start;
	uint32_t *first, *member;
	int r;

	count = drop_empty(extents, count);
	r = sort(arena, extents, count);
	if (r < 0)
		return r;
	start = leakgc_arena_take(arena, (2 * count + 1) * sizeof(*start));
	first = leakgc_arena_take(arena, (2 * count + 2) * sizeof(*first));
	member = leakgc_arena_take(arena, 0);
	if (!start || !first || !member)
		return -ENOMEM;

	while (next < count || s.open_count) {
		uintptr_t position = nearest_end(&s, extents);

		if (next < count && extents[next].lo < position)
			position = extents[next].lo;
		close_ended(&s, extents, position);
		for (; next < count && extents[next].lo == position; next++) {
			if (s.open_count == NESTING_MAX)
				return -ENOMEM;
			s.open[s.open_count++] = (uint32_t)next;
		}
		start[segments] = position;
		first[segments++] = (uint32_t)((uint32_t *)arena->next - member);
		r = emit(arena, &s, extents);
		if (r < 0)
			return r;
	}
	first[segments] = (uint32_t)((uint32_t *)arena->next - member);
	*ret_cover = (struct leakgc_cover){start, first, member, segments};
	return 0;
}

size_t leakgc_cover_find(const struct leakgc_cover *cover, uintptr_t address)
{
	size_t low = 0, high = cover->count; /* start[low - 1] <= address < start[high] */

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (cover->start[middle] <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? low - 1 : LEAKGC_COVER_NONE;
}

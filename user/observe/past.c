/* SPDX-License-Identifier: MIT */
/* Remembers, by fingerprint, when sites were first and last seen with leaks or suspects. */
#include "observe/past.h"

#include <stdlib.h>
#include <string.h>

/* A process has SITES_QUOTA sites at a time; over its life more may come and go. */
#define PASTS_MAX (2 * SITES_QUOTA)

struct model_past *past_get(struct watch *w, uint64_t fingerprint)
{
	size_t low = 0, high = w->past_count;
	struct model_past *more;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (w->pasts[middle].fingerprint < fingerprint)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < w->past_count && w->pasts[low].fingerprint == fingerprint)
		return &w->pasts[low];
	if (!fingerprint || w->past_count == PASTS_MAX)
		return NULL;
	if (w->past_count == w->past_room) {
		size_t room = w->past_room ? 2 * w->past_room : 8;

		more = reallocarray(w->pasts, room, sizeof(*more));
		if (!more)
			return NULL;
		w->pasts = more;
		w->past_room = room;
	}
	memmove(&w->pasts[low + 1], &w->pasts[low], (w->past_count - low) * sizeof(*w->pasts));
	w->past_count++;
	w->pasts[low] =
		(struct model_past){.fingerprint = fingerprint, .first_seen_ns = observe_now_ns()};
	return &w->pasts[low];
}

void past_note(struct watch *w, bool searched)
{
	for (size_t i = 0; i < w->sites.count; i++) {
		const struct site *s = &w->sites.sites[i];
		bool leaked = s->groups[MODEL_LEAKED].count;
		struct model_past *past;

		if (!leaked && !s->groups[MODEL_SUSPECT].count && !s->rules)
			continue;
		past = past_get(w, s->fingerprint);
		if (!past)
			continue;
		past->last_seen_ns = observe_now_ns();
		past->searches_seen += leaked && searched;
	}
}

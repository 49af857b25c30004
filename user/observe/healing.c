/* SPDX-License-Identifier: MIT */
/* Decides when a process is greeted because of losses, and when these have healed. */
#include "observe/healing.h"

#define DELAY_NS     1000000000LL
#define DELAY_MAX_NS (60 * DELAY_NS)

static struct model_losses losses_of(const struct process_account *account)
{
	return (struct model_losses){
		.map_full = account->map_full + account->over_quota,
		.bad_record = account->bad_record,
	};
}

static bool same(const struct model_losses *a, const struct model_losses *b)
{
	return a->map_full == b->map_full && a->bad_record == b->bad_record;
}

struct model_losses healing_losses(const struct healing *h, const struct process_account *account)
{
	struct model_losses now = losses_of(account);

	now.map_full -= h->healed.map_full;
	now.bad_record -= h->healed.bad_record;
	return now;
}

/* All that is known to wait was announced since the greeting, and nothing was lost meanwhile. */
static bool is_complete(const struct healing *h, const struct process_account *account,
			const struct model_losses *lost)
{
	return same(lost, &h->greeted) &&
	       account->records[STRAND_PROBE_PARK] - h->parks >= account->waiting;
}

/* Twice as late each time: what does not fit will not fit a second later. */
static void plan(struct healing *h, int64_t now_ns)
{
	h->delay_ns = h->delay_ns ? 2 * h->delay_ns : DELAY_NS;
	if (h->delay_ns > DELAY_MAX_NS)
		h->delay_ns = DELAY_MAX_NS;
	h->due_ns = now_ns + h->delay_ns;
}

enum healing_step healing_look(struct healing *h, const struct process_account *account,
			       int64_t now_ns)
{
	const struct model_losses lost = losses_of(account);

	if (same(&lost, &h->healed))
		return HEALING_NOTHING;
	if (h->is_greeted && is_complete(h, account, &lost)) {
		*h = (struct healing){.healed = lost};
		return HEALING_NOTHING;
	}
	if (!h->due_ns)
		plan(h, now_ns);
	if (now_ns < h->due_ns)
		return HEALING_WAIT;
	plan(h, now_ns);
	h->is_greeted = true;
	h->greeted = lost;
	h->parks = account->records[STRAND_PROBE_PARK];
	return HEALING_GREET;
}

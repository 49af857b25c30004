/* SPDX-License-Identifier: MIT */
/* Applies the rules of suspicion to sites and tasks. */
#include "observe/suspects.h"

/* Of so few ended waits the 99th percentile says nothing. */
#define ENDED_LEAST 100

/* A site with so few tasks is no growing one, however often it got one more. */
#define GROWN_LEAST 10

/* What waits for the clock or for the outside world is woken by neither task nor leak. */
static bool reason_wakes(unsigned reason)
{
	return reason == STRAND_WAIT_SLEEP || reason == STRAND_WAIT_IO_WAIT ||
	       reason == STRAND_WAIT_BLOCKING_CALL;
}

/* Longer than at least 99 of 100 of the waits that have ended there; INT64_MAX: not known. */
static int64_t percentile_99(const struct site_stats *stats)
{
	uint64_t seen = 0;

	if (stats->ended < ENDED_LEAST)
		return INT64_MAX;
	for (unsigned i = 0; i < WAIT_SLOTS - 1; i++) {
		seen += stats->slots[i];
		if (seen >= stats->ended - stats->ended / 100)
			return INT64_C(1) << (i + 10);
	}
	return INT64_MAX;
}

static bool is_crowd(const struct suspect_rules *rules, const struct site *s)
{
	uint64_t limit = rules->crowd;

	if (s->rules & MODEL_SUSPECT_CROWD)
		limit -= limit / 4;
	return limit && s->stats.waiting >= limit;
}

/* Once it holds, a sample with as many as before does not end it: only one with fewer does. */
static bool is_growing(const struct suspect_rules *rules, const struct site *s)
{
	if (!rules->growing || s->stats.waiting < GROWN_LEAST)
		return false;
	if (s->rules & MODEL_SUSPECT_GROWING)
		return s->stats.waiting >= s->sample;
	return s->grown >= rules->growing;
}

void suspects_judge_site(const struct suspect_rules *rules, struct site *s)
{
	unsigned hold = 0;

	if (!reason_wakes(s->key.reason)) {
		hold |= is_crowd(rules, s) ? MODEL_SUSPECT_CROWD : 0;
		hold |= is_growing(rules, s) ? MODEL_SUSPECT_GROWING : 0;
	}
	s->rules = hold;
}

unsigned suspects_task(const struct suspect_rules *rules, const struct site *s,
		       const struct waiting_task *task, int64_t now_ns)
{
	int64_t age = now_ns - (int64_t)task->host_since_ns;

	if (!rules->age_ns || age <= rules->age_ns || task->has_deadline ||
	    reason_wakes(task->reason))
		return 0;
	return age > percentile_99(&s->stats) ? MODEL_SUSPECT_AGE : 0;
}

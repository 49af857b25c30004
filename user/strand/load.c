/* SPDX-License-Identifier: MIT */
/*
 * Finding the tasks that never yield, at no cost to those that do.
 *
 * A worker notes at each look at the clock how many switches it has made. So does who asks.
 * As long as the count is the same, the same task has been running since the note. Two that
 * ask at once may mix their notes: each is then off by no more than the time between them.
 */
#include "strand/load.h"

#include "strand/sched.h"

__attribute__((no_sanitize("thread"))) static strand_time
since_last_look(const struct worker *w, uint64_t dispatches, strand_time now)
{
	uint64_t polled = __atomic_load_n(&w->polled_dispatches, __ATOMIC_RELAXED);

	return polled == dispatches ? now - __atomic_load_n(&w->polled_at, __ATOMIC_RELAXED) : 0;
}

static strand_time since_last_question(struct worker *w, uint64_t dispatches, strand_time now)
{
	if (atomic_load(&w->asked_dispatches) == dispatches)
		return now - atomic_load(&w->asked_at);
	atomic_store(&w->asked_at, now);
	atomic_store(&w->asked_dispatches, dispatches);
	return 0;
}

__attribute__((no_sanitize("thread"))) strand_time load_running_ns(struct worker *w,
								   strand_time now)
{
	uint64_t dispatches = __atomic_load_n(&w->dispatches, __ATOMIC_RELAXED);
	strand_time by_look, by_question;

	if (atomic_load(&w->sleeping) || !__atomic_load_n(&w->current, __ATOMIC_RELAXED))
		return 0;
	by_look = since_last_look(w, dispatches, now);
	by_question = since_last_question(w, dispatches, now);
	return by_look > by_question ? by_look : by_question;
}

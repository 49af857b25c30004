/* SPDX-License-Identifier: MIT */
/* The clock, sleeping and yielding. */
#include <errno.h>
#include <sched.h>
#include <strand.h>

#include "strand/sched.h"
#include "strand/waiter.h"

strand_time strand_now(void)
{
	struct worker *w = sched_this_worker;

	return seed_in_use() && w ? seed_now(&w->rt->seed) : clock_now();
}

void strand_yield(void)
{
	struct worker *w = sched_this_worker;

	if (w && w->current)
		sched_yield_task(w);
	else
		sched_yield();
}

int strand_sleep(strand_time until)
{
	struct frame where = CALLER_FRAME();

	struct wait_info info = {STRAND_WAIT_SLEEP, 0, &where};

	strand_time deadline = until;
	int r;

	sched_perturb();
	if (until <= strand_now()) {
		strand_yield();
		return 0;
	}
	r = wait_allowed(&deadline);
	if (r == 0)
		r = wait_on_nothing(&info, deadline);
	return r == -ETIMEDOUT && deadline == until ? 0 : r;
}

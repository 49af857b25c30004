/* SPDX-License-Identifier: MIT */
/*
 * Doing something once: a mutex and a flag.
 *
 * Who comes while the first is at it waits for the mutex. So for the leak search it waits for
 * that task, and a function that calls itself through its own once is a proved deadlock.
 */
#include <errno.h>
#include <strand.h>

#include "strand/mutex.h"
#include "strand/owner.h"
#include "strand/parking.h"

static __attribute__((noinline)) int run(struct strand_once *once, void (*fn)(void *), void *arg,
					 const struct frame *where)
{
	uint64_t me = self_id();
	int r = mutex_lock(&once->mutex, me, STRAND_FOREVER, false, where);

	if (r < 0)
		return r;
	if (!__atomic_load_n(&once->done, __ATOMIC_RELAXED)) {
		fn(arg);
		__atomic_store_n(&once->done, 1, __ATOMIC_RELEASE);
	}
	mutex_unlock(&once->mutex, me);
	return 0;
}

int strand_once(struct strand_once *once, void (*fn)(void *), void *arg)
{
	struct frame where = CALLER_FRAME();

	if (!once || !fn)
		return -EINVAL;
	sched_perturb();
	return __atomic_load_n(&once->done, __ATOMIC_ACQUIRE) ? 0 : run(once, fn, arg, &where);
}

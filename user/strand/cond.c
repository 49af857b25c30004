/* SPDX-License-Identifier: MIT */
/*
 * Conditions.
 *
 * The word only says whether somebody may wait, so that a signal nobody waits for costs one
 * load. A waiter releases its mutex after it was linked and before its bucket is unlocked:
 *
 *   - no signal is lost: who changes the condition under the mutex comes after the link;
 *   - the search never sees a task that waits for the condition and still owns the mutex,
 *     which would make those who wait for the mutex look leaked with it.
 *
 * So the mutex's bucket is locked inside the condition's (parking.c, P3).
 */
#include <errno.h>
#include <strand.h>

#include "strand/mutex.h"
#include "strand/owner.h"
#include "strand/parking.h"

/* Whatever ended the wait, the caller owns the mutex again: there is no way to fail. */
static void lock_again(struct strand_mutex *mutex, uint64_t me, const struct frame *where)
{
	while (mutex_lock(mutex, me, STRAND_FOREVER, true, where) < 0)
		strand_yield(); /* until there is memory to queue up */
}

int strand_cond_wait(struct strand_cond *cond, struct strand_mutex *mutex, strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	struct wait_info info = {STRAND_WAIT_COND_WAIT, (uintptr_t)cond, &where};
	struct lot_waiter waiter = {.sleeper = sleeper_here()};
	struct lot_spot spot;
	uint64_t me = self_id();
	int r;

	if (!cond || !mutex)
		return -EINVAL;
	sched_perturb();
	if (!mutex_is_owned_by(mutex, me))
		return -EPERM;
	r = wait_allowed(&deadline);
	if (r < 0)
		return r;
	spot = lot_open(cond, LOT_COND);
	r = lot_join(&spot, &waiter);
	if (r < 0) {
		lot_close(&spot);
		return r;
	}
	__atomic_store_n(&cond->word, 1, __ATOMIC_RELAXED);
	mutex_unlock(mutex, me);
	r = lot_park(&spot, &waiter, &info, deadline);
	if (r < 0)
		lot_close(&spot);
	lock_again(mutex, me, &where);
	return r;
}

/* Wake up to `count` waiters. */
static void wake(struct strand_cond *cond, size_t count)
{
	struct lot_spot spot = lot_open(cond, LOT_COND);
	struct list woken;

	list_init(&woken);
	while (count-- && lot_first(&spot))
		lot_grant(&spot, &woken);
	if (!lot_first(&spot))
		__atomic_store_n(&cond->word, 0, __ATOMIC_RELAXED);
	lot_close(&spot);
	waiter_wake_all(&woken);
}

int strand_cond_signal(struct strand_cond *cond)
{
	if (!cond)
		return -EINVAL;
	sched_perturb();
	if (__atomic_load_n(&cond->word, __ATOMIC_ACQUIRE))
		wake(cond, 1);
	return 0;
}

int strand_cond_broadcast(struct strand_cond *cond)
{
	if (!cond)
		return -EINVAL;
	sched_perturb();
	if (__atomic_load_n(&cond->word, __ATOMIC_ACQUIRE))
		wake(cond, SIZE_MAX);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Mutexes that know their owner.
 *
 * Taken and released by one atomic operation while nobody waits. Once somebody does, the
 * word has the waiters bit: every lock and unlock goes through the lot, and unlock gives the
 * mutex to who waits longest (parking.c, P5).
 *
 * To lock it again as its owner parks, as in Go. An error code would hide the deadlock in
 * programs that ignore it; the leak search proves it: only the owner can unlock, and it waits.
 */
#include "strand/mutex.h"

#include <errno.h>

#include "strand/owner.h"
#include "strand/parking.h"

static bool swap(struct strand_mutex *mutex, uint64_t *expected, uint64_t word, int order)
{
	if (solo_enter()) { /* an atomic operation costs more than the rest of a lock and unlock */
		bool same = mutex->word == *expected;

		if (same)
			__atomic_store_n(&mutex->word, word, __ATOMIC_RELAXED);
		else
			*expected = mutex->word;
		solo_leave();
		return same;
	}
	return __atomic_compare_exchange_n(&mutex->word, expected, word, false, order,
					   __ATOMIC_RELAXED);
}

/* Bucket locked. Take it if it is free, else make its owner come here. */
static bool take_or_mark(struct strand_mutex *mutex, uint64_t me)
{
	uint64_t word = __atomic_load_n(&mutex->word, __ATOMIC_RELAXED);

	for (;;) {
		if (!word) {
			if (swap(mutex, &word, me << 1, __ATOMIC_ACQUIRE))
				return true;
		} else if (swap(mutex, &word, word | MUTEX_WAITERS, __ATOMIC_RELAXED)) {
			return false;
		}
	}
}

static __attribute__((noinline)) int wait_for(struct strand_mutex *mutex, uint64_t me,
					      strand_time deadline, bool forced,
					      const struct frame *where)
{
	struct wait_info info = {STRAND_WAIT_MUTEX_LOCK, (uintptr_t)mutex, where};
	struct lot_waiter waiter = {.sleeper = sleeper_here(), .who = me};
	struct lot_spot spot;
	int r = forced ? 0 : wait_allowed(&deadline);

	waiter.sleeper.uncancellable = forced;
	if (r < 0)
		return r;
	spot = lot_open(mutex, LOT_MUTEX);
	if (!take_or_mark(mutex, me)) {
		r = lot_join(&spot, &waiter);
		if (r == 0)
			r = lot_park(&spot, &waiter, &info, deadline);
		if (r == 0)
			return 0; /* it was given to us */
	}
	lot_close(&spot);
	return r;
}

int mutex_lock(struct strand_mutex *mutex, uint64_t me, strand_time deadline, bool forced,
	       const struct frame *where)
{
	uint64_t word = 0;

	if (swap(mutex, &word, me << 1, __ATOMIC_ACQUIRE))
		return 0;
	return wait_for(mutex, me, forced ? STRAND_FOREVER : deadline, forced, where);
}

/* Give it to who waits longest, if anybody still does. */
static __attribute__((noinline)) void hand_over(struct strand_mutex *mutex)
{
	struct lot_spot spot = lot_open(mutex, LOT_MUTEX);
	struct lot_waiter *next = lot_first(&spot);
	struct list woken;
	uint64_t word = 0;

	list_init(&woken);
	if (next) {
		word = next->who << 1;
		lot_grant(&spot, &woken);
		if (lot_first(&spot))
			word |= MUTEX_WAITERS;
	}
	__atomic_store_n(&mutex->word, word, __ATOMIC_RELEASE);
	lot_close(&spot);
	waiter_wake_all(&woken);
}

void mutex_unlock(struct strand_mutex *mutex, uint64_t me)
{
	uint64_t word = me << 1;

	if (!swap(mutex, &word, 0, __ATOMIC_RELEASE))
		hand_over(mutex);
}

int strand_mutex_lock(struct strand_mutex *mutex, strand_time deadline)
{
	sched_perturb();

	uint64_t me = self_id(), word = 0;

	if (!mutex)
		return -EINVAL;
	if (swap(mutex, &word, me << 1, __ATOMIC_ACQUIRE))
		return 0;

	struct frame where = CALLER_FRAME();

	return wait_for(mutex, me, deadline, false, &where);
}

int strand_mutex_unlock(struct strand_mutex *mutex)
{
	sched_perturb();

	uint64_t me = self_id(), word = me << 1;

	if (!mutex)
		return -EINVAL;
	if (swap(mutex, &word, 0, __ATOMIC_RELEASE))
		return 0;
	if (mutex_owner(word) != me)
		return -EPERM;
	hand_over(mutex);
	return 0;
}

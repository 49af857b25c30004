/* SPDX-License-Identifier: MIT */
/*
 * Wait groups: a count, and those who wait until it is zero.
 *
 * The word is the count, shifted left by one, and whether somebody waits. Who brings it to
 * zero while somebody does so under the bucket's lock, and does not touch the wait group after
 * that: a waiter, or who looks at the count only then, may free it (parking.c, P6).
 */
#include <errno.h>
#include <strand.h>

#include "strand/parking.h"
#include "strand/sched.h"

#define WAITERS   ((uint64_t)1)
#define COUNT_MAX (INT64_MAX >> 2)

static bool swap(struct strand_waitgroup *group, uint64_t *expected, uint64_t word)
{
	return __atomic_compare_exchange_n(&group->word, expected, word, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

/*
 * Returns 0, -EINVAL or -EOVERFLOW; or -EAGAIN: this would wake who waits, so the bucket must
 * be locked. If it is, ret_wake tells whether to wake them.
 */
static int change(struct strand_waitgroup *group, int64_t by, bool locked, bool *ret_wake)
{
	uint64_t word = __atomic_load_n(&group->word, __ATOMIC_RELAXED);

	for (;;) {
		int64_t count;

		if (__builtin_add_overflow((int64_t)(word >> 1), by, &count))
			return -EOVERFLOW; /* upwards: the old count is not negative */
		if (count < 0)
			return -EINVAL;
		if (count > COUNT_MAX)
			return -EOVERFLOW;
		if (!count && (word & WAITERS) && !locked)
			return -EAGAIN;
		*ret_wake = !count && (word & WAITERS);
		if (swap(group, &word, count ? (uint64_t)count << 1 | (word & WAITERS) : 0))
			return 0;
	}
}

static __attribute__((noinline)) int change_and_wake(struct strand_waitgroup *group, int64_t by)
{
	struct lot_spot spot = lot_open(group, LOT_WAITGROUP);
	struct list woken;
	bool wake;
	int r = change(group, by, true, &wake);

	list_init(&woken);
	while (r == 0 && wake && lot_first(&spot))
		lot_grant(&spot, &woken);
	lot_close(&spot);
	waiter_wake_all(&woken);
	return r;
}

int strand_waitgroup_add(struct strand_waitgroup *group, int64_t count)
{
	bool wake;
	int r;

	if (!group)
		return -EINVAL;
	sched_perturb();
	r = change(group, count, false, &wake);
	return r == -EAGAIN ? change_and_wake(group, count) : r;
}

int strand_waitgroup_done(struct strand_waitgroup *group)
{
	return strand_waitgroup_add(group, -1);
}

/* Bucket locked. Is there something to wait for? Then who ends it comes here. */
static bool must_wait(struct strand_waitgroup *group)
{
	uint64_t word = __atomic_load_n(&group->word, __ATOMIC_ACQUIRE);

	while (word >> 1) {
		if (swap(group, &word, word | WAITERS))
			return true;
	}
	return false;
}

static __attribute__((noinline)) int wait_for_zero(struct strand_waitgroup *group,
						   strand_time deadline, const struct frame *where)
{
	struct wait_info info = {STRAND_WAIT_WAITGROUP_WAIT, (uintptr_t)group, where};
	struct lot_spot spot;
	int r = wait_allowed(&deadline);

	if (r < 0)
		return r;
	spot = lot_open(group, LOT_WAITGROUP);
	if (must_wait(group))
		return lot_wait(&spot, &info, deadline);
	lot_close(&spot);
	return 0;
}

int strand_waitgroup_wait(struct strand_waitgroup *group, strand_time deadline)
{
	struct frame where = CALLER_FRAME();

	if (!group)
		return -EINVAL;
	sched_perturb();
	if (__atomic_load_n(&group->word, __ATOMIC_ACQUIRE) >> 1 == 0)
		return 0;
	return wait_for_zero(group, deadline, &where);
}

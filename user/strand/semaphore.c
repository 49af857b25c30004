/* SPDX-License-Identifier: MIT */
/*
 * Semaphores: permits, given to who waits longest.
 *
 * The word is the number of permits, shifted left by one, and whether somebody waits. While
 * somebody does, nobody overtakes: who wants many permits is not starved by those who want
 * few. So the word only changes under the bucket's lock then, and whoever leaves the queue
 * without its permits lets in those who waited behind it.
 */
#include <errno.h>
#include <strand.h>

#include "strand/parking.h"
#include "strand/sched.h"

#define WAITERS     ((uint64_t)1)
#define PERMITS_MAX (UINT64_MAX >> 2)

static bool swap(struct strand_semaphore *semaphore, uint64_t *expected, uint64_t word)
{
	return __atomic_compare_exchange_n(&semaphore->word, expected, word, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/*
 * Bucket locked. Add permits, let in from the front who can be, clear the bit with the last.
 * It is set first, so that nobody gets in, and perhaps frees the semaphore, before the end.
 */
static void grant(struct strand_semaphore *semaphore, uint64_t permits, const struct lot_spot *spot,
		  struct list *woken)
{
	struct lot_waiter *first;

	permits += __atomic_fetch_or(&semaphore->word, WAITERS, __ATOMIC_ACQUIRE) >> 1;
	while ((first = lot_first(spot)) && first->wants <= permits) {
		permits -= first->wants;
		lot_grant(spot, woken);
	}
	__atomic_store_n(&semaphore->word, permits << 1 | (first ? WAITERS : 0), __ATOMIC_RELEASE);
}

/* Bucket locked. Take the permits if nobody is before us, else make releases come here. */
static bool take_or_mark(struct strand_semaphore *semaphore, const struct lot_spot *spot,
			 uint64_t wants)
{
	uint64_t word = __atomic_load_n(&semaphore->word, __ATOMIC_RELAXED);

	for (;;) {
		bool enough = !lot_first(spot) && word >> 1 >= wants;

		if (swap(semaphore, &word, enough ? word - (wants << 1) : word | WAITERS))
			return enough;
	}
}

static __attribute__((noinline)) int wait_for(struct strand_semaphore *semaphore, uint64_t wants,
					      strand_time deadline, const struct frame *where)
{
	struct wait_info info = {STRAND_WAIT_SEMAPHORE_ACQUIRE, (uintptr_t)semaphore, where};
	struct lot_waiter waiter = {.sleeper = sleeper_here(), .wants = wants};
	struct lot_spot spot;
	struct list woken;
	int r = wait_allowed(&deadline);

	if (r < 0)
		return r;
	spot = lot_open(semaphore, LOT_SEMAPHORE);
	list_init(&woken);
	if (!take_or_mark(semaphore, &spot, wants)) {
		r = lot_join(&spot, &waiter);
		if (r == 0)
			r = lot_park(&spot, &waiter, &info, deadline);
		if (r == 0)
			return 0;
		grant(semaphore, 0, &spot, &woken);
	}
	lot_close(&spot);
	waiter_wake_all(&woken);
	return r;
}

int strand_semaphore_acquire(struct strand_semaphore *semaphore, uint32_t permits,
			     strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	uint64_t word;

	if (!semaphore || !permits)
		return -EINVAL;
	sched_perturb();
	word = __atomic_load_n(&semaphore->word, __ATOMIC_RELAXED);
	while (!(word & WAITERS) && word >> 1 >= permits) {
		if (swap(semaphore, &word, word - ((uint64_t)permits << 1)))
			return 0;
	}
	return wait_for(semaphore, permits, deadline, &where);
}

/* Returns 0 or -EOVERFLOW; or -EAGAIN: somebody may wait, so the bucket must be locked. */
static int add(struct strand_semaphore *semaphore, uint32_t permits)
{
	uint64_t word = __atomic_load_n(&semaphore->word, __ATOMIC_RELAXED);

	while (!(word & WAITERS)) {
		if ((word >> 1) + permits > PERMITS_MAX)
			return -EOVERFLOW;
		if (swap(semaphore, &word, word + ((uint64_t)permits << 1)))
			return 0;
	}
	return -EAGAIN;
}

static __attribute__((noinline)) int add_and_wake(struct strand_semaphore *semaphore,
						  uint32_t permits)
{
	struct lot_spot spot = lot_open(semaphore, LOT_SEMAPHORE);
	struct list woken;
	int r = add(semaphore, permits);

	list_init(&woken);
	if (r == -EAGAIN) {
		bool fits = (__atomic_load_n(&semaphore->word, __ATOMIC_RELAXED) >> 1) + permits <=
			    PERMITS_MAX;

		r = fits ? 0 : -EOVERFLOW;
		grant(semaphore, fits ? permits : 0, &spot, &woken);
	}
	lot_close(&spot);
	waiter_wake_all(&woken);
	return r;
}

int strand_semaphore_release(struct strand_semaphore *semaphore, uint32_t permits)
{
	int r;

	if (!semaphore || !permits)
		return -EINVAL;
	sched_perturb();
	r = add(semaphore, permits);
	return r == -EAGAIN ? add_and_wake(semaphore, permits) : r;
}

/* SPDX-License-Identifier: MIT */
/*
 * Read-write locks that know their writer and their readers.
 *
 * First come, first served: a new reader waits behind a queued writer, so writers do not
 * starve, and all readers at the front are let in together, so readers do not either. It follows
 * that to read-lock again while a writer waits is a deadlock (RWR), as in Go; the search
 * proves it.
 *
 * Who holds it is needed for that. The writer's id is in the word. A reader notes the lock
 * in its own list, which costs no atomic operation:
 *
 *   R1. It is on the list before the word counts it, and until the word no longer does. So for
 *       the search, which stops all threads, the lists name every reader of every lock, and
 *       sometimes one too many; never one too few.
 *   R2. A reader on no list (a plain thread, or its list is full) is counted as unknown by
 *       the same atomic operation. A lock with unknown readers keeps its waiters live.
 *   R3. While the waiters bit is set the word changes only under the bucket's lock, but for
 *       readers that leave and are not the last.
 *   R4. Who leaves the queue without the lock lets in the readers that waited behind it.
 */
#include "strand/rwlock.h"

#include <errno.h>
#include <strand.h>

#include "strand/owner.h"
#include "strand/parking.h"

static bool swap(struct strand_rwlock *lock, uint64_t *expected, uint64_t word, int order)
{
	return __atomic_compare_exchange_n(&lock->word, expected, word, false, order,
					   __ATOMIC_RELAXED);
}

/* ---- the lists of readers ----------------------------------------------------------- */

static _Thread_local struct reads reads_of_thread __attribute__((tls_model("initial-exec")));

static bool note(struct reads *reads, const struct strand_rwlock *lock)
{
	for (int i = 0; i < READS_MAX; i++) {
		if (!reads->lock[i]) {
			reads->lock[i] = (uintptr_t)lock;
			return true;
		}
	}
	reads->unlisted++;
	return false;
}

static bool is_noted(const struct reads *reads, const struct strand_rwlock *lock)
{
	for (int i = 0; i < READS_MAX; i++) {
		if (reads->lock[i] == (uintptr_t)lock)
			return true;
	}
	return false;
}

static void forget(struct reads *reads, const struct strand_rwlock *lock, bool listed)
{
	if (!listed) {
		reads->unlisted--;
		return;
	}
	for (int i = 0; i < READS_MAX; i++) {
		if (reads->lock[i] == (uintptr_t)lock) {
			reads->lock[i] = 0;
			return;
		}
	}
}

/* R1: for a stop by a signal the order of the program is what counts. */
static inline void in_this_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

struct reader {
	struct reads *reads;
	bool listed;
	uint64_t weight; /* in the word */
};

static struct reader reader_of(struct task *task, bool listed)
{
	return (struct reader){
		.reads = task ? &task->reads : &reads_of_thread,
		.listed = listed,
		.weight = RWLOCK_READER | (task && listed ? 0 : RWLOCK_UNKNOWN),
	};
}

/* ---- the queue ------------------------------------------------------------------------ */

/* Bucket locked. Let in from the front who can be; clear the bit with the last. */
static void grant(struct strand_rwlock *lock, const struct lot_spot *spot, struct list *woken)
{
	uint64_t word = __atomic_fetch_or(&lock->word, RWLOCK_WAITERS, __ATOMIC_ACQUIRE);
	struct lot_waiter *first;

	word |= RWLOCK_WAITERS;
	while ((first = lot_first(spot)) && !(word & RWLOCK_WRITER)) {
		uint64_t next;

		if (first->wants == RWLOCK_WANTS_WRITE && word != RWLOCK_WAITERS)
			return;
		next = first->wants == RWLOCK_WANTS_WRITE
			       ? first->who << 2 | RWLOCK_WRITER | RWLOCK_WAITERS
			       : word + first->wants;
		if (swap(lock, &word, next, __ATOMIC_ACQ_REL)) { /* readers may be leaving */
			word = next;
			lot_grant(spot, woken);
		}
	}
	if (!first)
		__atomic_fetch_and(&lock->word, ~RWLOCK_WAITERS, __ATOMIC_RELEASE);
}

/* Bucket locked. Take the lock if nobody is before us, else make who releases it come here. */
static bool take_or_mark(struct strand_rwlock *lock, const struct lot_spot *spot, uint64_t me,
			 uint64_t wants)
{
	uint64_t word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);

	for (;;) {
		bool free = wants == RWLOCK_WANTS_WRITE ? !(word & ~RWLOCK_WAITERS)
							: !(word & RWLOCK_WRITER);

		if (free && !lot_first(spot)) {
			uint64_t next = wants == RWLOCK_WANTS_WRITE ? me << 2 | RWLOCK_WRITER
								    : word + wants;

			if (swap(lock, &word, next, __ATOMIC_ACQUIRE))
				return true;
		} else if (swap(lock, &word, word | RWLOCK_WAITERS, __ATOMIC_RELAXED)) {
			return false;
		}
	}
}

static __attribute__((noinline)) int wait_for(struct strand_rwlock *lock, uint64_t me,
					      uint64_t wants, strand_time deadline,
					      const struct frame *where)
{
	struct wait_info info = {
		wants == RWLOCK_WANTS_WRITE ? STRAND_WAIT_RWLOCK_LOCK : STRAND_WAIT_RWLOCK_RLOCK,
		(uintptr_t)lock,
		where,
	};
	struct lot_waiter waiter = {.sleeper = sleeper_here(), .who = me, .wants = wants};
	struct lot_spot spot;
	struct list woken;
	int r = wait_allowed(&deadline);

	if (r < 0)
		return r;
	spot = lot_open(lock, LOT_RWLOCK);
	list_init(&woken);
	if (!take_or_mark(lock, &spot, me, wants)) {
		r = lot_join(&spot, &waiter);
		if (r == 0)
			r = lot_park(&spot, &waiter, &info, deadline);
		if (r == 0)
			return 0;
		grant(lock, &spot, &woken); /* R4 */
	}
	lot_close(&spot);
	waiter_wake_all(&woken);
	return r;
}

/* Take `weight` from the word, with the bucket locked, and let others in. */
static __attribute__((noinline)) void release(struct strand_rwlock *lock, uint64_t weight)
{
	struct lot_spot spot = lot_open(lock, LOT_RWLOCK);
	struct list woken;

	list_init(&woken);
	/* The bit stays until grant() is done: nobody else gets in, and perhaps frees the lock. */
	__atomic_fetch_or(&lock->word, RWLOCK_WAITERS, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&lock->word, weight, __ATOMIC_RELEASE);
	grant(lock, &spot, &woken);
	lot_close(&spot);
	waiter_wake_all(&woken);
}

/* ---- readers ---------------------------------------------------------------------------- */

int strand_rwlock_rlock(struct strand_rwlock *lock, strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	struct task *task = sched_current_task();
	struct reader me = reader_of(task, true);
	uint64_t word;
	int r;

	if (!lock)
		return -EINVAL;
	sched_perturb();
	me = reader_of(task, note(me.reads, lock));
	in_this_order();
	word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
	while (!(word & (RWLOCK_WRITER | RWLOCK_WAITERS))) {
		if (swap(lock, &word, word + me.weight, __ATOMIC_ACQUIRE))
			return 0;
	}
	r = wait_for(lock, self_id(), me.weight, deadline, &where);
	in_this_order();
	if (r < 0)
		forget(me.reads, lock, me.listed);
	return r;
}

/* Is the caller one of the readers? */
static bool may_unlock(const struct reader *me, uint64_t word)
{
	if (!rwlock_readers(word))
		return false;
	return me->listed || (me->reads->unlisted && rwlock_unknown_readers(word));
}

int strand_rwlock_runlock(struct strand_rwlock *lock)
{
	struct task *task = sched_current_task();
	struct reader me = reader_of(task, true);
	uint64_t word;

	if (!lock)
		return -EINVAL;
	sched_perturb();
	me = reader_of(task, is_noted(me.reads, lock));
	word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
	if (!may_unlock(&me, word))
		return -EPERM;
	for (;;) {
		if (word & RWLOCK_WAITERS && rwlock_readers(word) == 1) {
			release(lock, me.weight);
			break;
		}
		if (swap(lock, &word, word - me.weight, __ATOMIC_RELEASE))
			break;
	}
	in_this_order();
	forget(me.reads, lock, me.listed);
	return 0;
}

/* ---- writers ---------------------------------------------------------------------------- */

int strand_rwlock_lock(struct strand_rwlock *lock, strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	uint64_t me = self_id(), word = 0;

	if (!lock)
		return -EINVAL;
	sched_perturb();
	if (swap(lock, &word, me << 2 | RWLOCK_WRITER, __ATOMIC_ACQUIRE))
		return 0;
	return wait_for(lock, me, RWLOCK_WANTS_WRITE, deadline, &where);
}

int strand_rwlock_unlock(struct strand_rwlock *lock)
{
	uint64_t mine = self_id() << 2 | RWLOCK_WRITER, word = mine;

	if (!lock)
		return -EINVAL;
	sched_perturb();
	if (swap(lock, &word, 0, __ATOMIC_RELEASE))
		return 0;
	if ((word & ~RWLOCK_WAITERS) != mine)
		return -EPERM;
	release(lock, mine);
	return 0;
}

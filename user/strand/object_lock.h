/* SPDX-License-Identifier: MIT */
/*
 * The lock of a wait object, which costs next to nothing while one thread uses them all.
 *
 * An atomic exchange takes 7 ns here, longer than all else that a buffered send does, and most
 * programs have one worker and no plain thread that touches a channel. So the one worker, the
 * solo thread, takes these locks by plain stores, until the first other thread comes to one:
 * that thread ends the solo for good (object_lock.c), and from then on all use `held`.
 *
 *   O1. The solo thread writes `mine` and then looks whether the solo is still on. Who ends it
 *       turns it off and then makes every processor pass a memory barrier (membarrier(2)). So
 *       either the solo thread sees the end, or its `mine` is seen by all after the end.
 *   O2. Every other thread takes `held`, and then waits until `mine` is clear. Once the solo
 *       is over `mine` is only ever set for the instant until its thread sees that.
 *   O3. Only the solo thread writes `mine`, so it alone knows by which of the two it holds a lock.
 *
 * The leak search reads both: an object whose lock is held is in motion. It stops the solo
 * thread between two instructions, so the order of that thread's stores is all that matters.
 */
#ifndef STRAND_OBJECT_LOCK_H
#define STRAND_OBJECT_LOCK_H

#include "strand/lock.h"

struct object_lock {
	_Atomic unsigned char held; /* by any thread */
	_Atomic unsigned char mine; /* by the solo thread */
};

enum solo_state { SOLO_POSSIBLE = 0, SOLO_ON, SOLO_ENDING, SOLO_OVER };

extern _Atomic unsigned solo_state __attribute__((visibility("hidden")));

/* This thread is the solo thread, or was. */
extern _Thread_local bool solo_here
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The calling thread will be the only worker. Does nothing where it can't be had. */
void solo_begin(void);

/* In the child of a fork, which has one thread and may have lost the solo one. */
void solo_forked(void);

void object_lock_take_shared(struct object_lock *l);

static inline bool solo_is_on(void)
{
	return __builtin_expect(atomic_load_explicit(&solo_state, memory_order_relaxed) == SOLO_ON,
				1);
}

static inline void object_lock_take(struct object_lock *l)
{
	if (__builtin_expect(solo_here, 1)) {
		atomic_store_explicit(&l->mine, 1, memory_order_relaxed);
		atomic_signal_fence(memory_order_seq_cst); /* O1: the compiler's part */
		if (solo_is_on())
			return;
		atomic_store_explicit(&l->mine, 0, memory_order_release);
	}
	object_lock_take_shared(l);
}

static inline void object_lock_release(struct object_lock *l)
{
	if (__builtin_expect(solo_here, 1) && atomic_load_explicit(&l->mine, memory_order_relaxed))
		atomic_store_explicit(&l->mine, 0, memory_order_release);
	else
		atomic_store_explicit(&l->held, 0, memory_order_release);
}

static inline bool object_lock_is_held(const struct object_lock *l)
{
	return atomic_load_explicit(&l->held, memory_order_relaxed) ||
	       atomic_load_explicit(&l->mine, memory_order_relaxed);
}

/* In the child of a fork: whoever held it is not in this process. */
static inline void object_lock_forget(struct object_lock *l)
{
	atomic_store(&l->held, 0);
	atomic_store(&l->mine, 0);
}

/*
 * The same for a few instructions on a word that others change by atomic operations: between
 * solo_enter() that returned true and solo_leave() no other thread does. The holder may neither
 * wait nor enter again.
 */
extern _Atomic unsigned solo_busy __attribute__((visibility("hidden")));

static inline bool solo_enter(void)
{
	if (__builtin_expect(!solo_here, 0))
		return false;
	atomic_store_explicit(&solo_busy, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	if (solo_is_on())
		return true;
	atomic_store_explicit(&solo_busy, 0, memory_order_release);
	return false;
}

static inline void solo_leave(void)
{
	atomic_store_explicit(&solo_busy, 0, memory_order_release);
}

#endif

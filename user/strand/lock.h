/* SPDX-License-Identifier: MIT */
/*
 * A spinlock for the few instructions that change a channel or a pool.
 *
 * Holders never park, call user code or make a system call that can block, so a
 * waiter spins briefly; it yields its processor when the holder has lost its own.
 * The leak search reads the word: an object whose lock is held is in motion.
 */
#ifndef STRAND_LOCK_H
#define STRAND_LOCK_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

struct lock {
	_Atomic unsigned held;
};

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static inline bool lock_try(struct lock *l)
{
	return !atomic_exchange_explicit(&l->held, 1, memory_order_acquire);
}

static inline void lock_take(struct lock *l)
{
	for (unsigned spins = 0; !lock_try(l); spins++) {
		while (atomic_load_explicit(&l->held, memory_order_relaxed)) {
			if (++spins % 128 == 0)
				sched_yield();
			else
				cpu_relax();
		}
	}
}

static inline void lock_release(struct lock *l)
{
	atomic_store_explicit(&l->held, 0, memory_order_release);
}

/* Also: what was written under the lock is seen by others before the caller reads what follows. */
static inline void lock_release_fully(struct lock *l)
{
	atomic_exchange(&l->held, 0);
}

static inline bool lock_is_held(const struct lock *l)
{
	return atomic_load_explicit(&l->held, memory_order_relaxed) != 0;
}

#endif

/* SPDX-License-Identifier: MIT */
/* The beginning and the end of the solo of one thread on the locks of wait objects. */
#include "strand/object_lock.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "strand/sanitizers.h"

_Atomic unsigned solo_state;
_Atomic unsigned solo_busy;
_Thread_local bool solo_here;

static long membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

void solo_begin(void)
{
	unsigned possible = SOLO_POSSIBLE;

#ifdef STRAND_TSAN
	return; /* it does not understand membarrier */
#endif
	if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) < 0)
		return;
	/* A thread that has used an object before may be at it right now: then it is over. */
	if (atomic_compare_exchange_strong(&solo_state, &possible, SOLO_ON))
		solo_here = true;
}

void solo_forked(void)
{
	atomic_store(&solo_state, SOLO_OVER);
}

/*
 * A filter of system calls that was installed since solo_begin() may forbid it. The processor of
 * the solo thread also passes a barrier at its next interrupt; a timer's comes within 10 ms.
 */
static void barrier_everywhere(void)
{
	const struct timespec long_enough = {.tv_nsec = 100000000};

	if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) < 0)
		nanosleep(&long_enough, NULL);
}

static __attribute__((noinline)) void end_solo(void)
{
	unsigned state = SOLO_POSSIBLE;

	if (atomic_compare_exchange_strong(&solo_state, &state, SOLO_OVER))
		return;
	state = SOLO_ON;
	if (atomic_compare_exchange_strong(&solo_state, &state, SOLO_ENDING)) {
		barrier_everywhere();
		while (atomic_load_explicit(&solo_busy, memory_order_acquire))
			sched_yield();
		atomic_store(&solo_state, SOLO_OVER);
	}
	while (atomic_load(&solo_state) != SOLO_OVER)
		sched_yield();
}

static void pause_or_yield(unsigned *spins)
{
	if (++*spins % 128 == 0)
		sched_yield();
	else
		cpu_relax();
}

void object_lock_take_shared(struct object_lock *l)
{
	unsigned spins = 0;

	if (__builtin_expect(atomic_load(&solo_state) != SOLO_OVER, 0))
		end_solo();
	while (atomic_exchange_explicit(&l->held, 1, memory_order_acquire)) {
		while (atomic_load_explicit(&l->held, memory_order_relaxed))
			pause_or_yield(&spins);
	}
	while (atomic_load_explicit(&l->mine, memory_order_acquire)) /* O2 */
		pause_or_yield(&spins);
}

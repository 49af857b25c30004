/* SPDX-License-Identifier: MIT */
/*
 * Workers with nothing to run.
 *
 * To sleep and be woken takes a thread 5 to 25 us and two system calls, so a worker looks for
 * work a moment before it sleeps, about that time, as long as this pays off. Where it never
 * does, as on a machine whose processors are all busy, it costs 1 us of 10.
 * With one worker there is nobody to wait for but threads and timers: it sleeps at once.
 *
 * Invariants:
 *   I1. sleeping is set before the last look at inbox, fresh queues and flags; whoever adds
 *       to them looks at sleeping afterwards (both seq_cst). So one of the two sees the other.
 *       sleeping also says how to wake it: on the futex, or in its poller (if its tasks wait for
 *       descriptors), where a kick stays until it is seen, even one that comes first or late.
 *       Only a worker's own tasks wait in its poller, so nobody else changes which it is.
 *   I2. While a worker looks, nobody is woken for a new task. So a worker stops to look before
 *       I1's last look; and the last one that stops because it has found work, after it has
 *       taken some, looks whether there are more new tasks, and wakes another worker for them.
 *
 * tests/model/idle.pml is a model of this.
 */
#include "strand/idle.h"

#include <string.h>

#include "strand/futex.h"
#include "strand/runtime.h"
#include "strand/seed.h"

/* Looks with a pause each, 20 to 50 ns. The first are few, and others do not learn of them. */
#define LOOKS_FIRST   16
#define LOOKS_MAX     512

/* More than LOOKS_MAX take. */
#define LOOK_TIME_MAX (30 * STRAND_MICROSECOND)

/* Where it does not pay off, one idle time of so many has a long look all the same. */
#define LONG_LOOK     32

/* With a seed: a step of time while it waits for something outside. */
#define SEEDED_STEP   (1 * STRAND_MILLISECOND)

/* ---- waking --------------------------------------------------------------------- */

void idle_kick(struct worker *w)
{
	unsigned was = atomic_load(&w->sleeping) ? atomic_exchange(&w->sleeping, AWAKE) : AWAKE;

	if (was == SLEEPS_ON_FUTEX)
		futex_wake_one(&w->sleeping);
	else if (was == SLEEPS_IN_POLLER)
		poller_kick(&w->poller);
}

void idle_kick_one(struct runtime *rt)
{
	if (rt->worker_count == 1)
		return;
	if (atomic_load(&rt->looking) || !atomic_load(&rt->idle))
		return;
	for (unsigned i = 0; i < rt->worker_count; i++) {
		struct worker *w = rt->workers[i];

		if (atomic_load(&w->sleeping)) {
			idle_kick(w);
			return;
		}
	}
}

/* ---- looking -------------------------------------------------------------------- */

static bool has_new_tasks(const struct runtime *rt)
{
	for (unsigned i = 0; i < rt->worker_count; i++) {
		if (__atomic_load_n(&rt->workers[i]->fresh.head, __ATOMIC_SEQ_CST))
			return true;
	}
	return false;
}

static bool has_work(const struct worker *w)
{
	return atomic_load(&w->inbox) || atomic_load(&w->cancelled) ||
	       atomic_load(&w->rt->stopping) ||
	       atomic_load(&w->rt->announce_epoch) != w->announcer.epoch || has_new_tasks(w->rt);
}

static bool look(const struct worker *w, unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		cpu_relax();
		if (has_work(w))
			return true;
	}
	return false;
}

/* As one whom others see looking. */
static bool look_in_turn(struct worker *w, unsigned times)
{
	bool found, last;

	atomic_fetch_add(&w->rt->looking, 1);
	found = look(w, times);
	last = atomic_fetch_sub(&w->rt->looking, 1) == 1;
	w->looked_last = found && last;
	return found;
}

/*
 * Two workers that answer each other either both look, and find an answer within 1 us, or both
 * sleep, and then no short look ever pays off: so now and then one is long. A look that took
 * longer than its pauses has not paid off, whatever it has found: the processor was another
 * thread's meanwhile, perhaps of just the worker that the answer came from.
 */
bool idle_look(struct worker *w)
{
	strand_time start;
	bool found;

	if (w->rt->worker_count == 1 || w->poller.waiting)
		return false;
	if (look(w, LOOKS_FIRST))
		return true;
	if (!w->look_pays && ++w->idles % LONG_LOOK != 0)
		return false;
	start = strand_now();
	found = look_in_turn(w, LOOKS_MAX);
	w->look_pays = found && strand_now() - start < LOOK_TIME_MAX;
	return found;
}

void idle_pass_on(struct worker *w)
{
	if (!w->looked_last)
		return;
	w->looked_last = false;
	if (has_new_tasks(w->rt))
		idle_kick_one(w->rt);
}

/* ---- sleeping ------------------------------------------------------------------- */

static void sleep_until(struct worker *w, strand_time until)
{
	bool poll = w->poller.waiting != 0;

	atomic_store(&w->sleeping, poll ? SLEEPS_IN_POLLER : SLEEPS_ON_FUTEX);
	atomic_fetch_add(&w->rt->idle, 1);
	if (!has_work(w)) {
		if (poll)
			sched_take_io(w, until);
		else
			futex_wait(&w->sleeping, SLEEPS_ON_FUTEX,
				   seed_in_use() ? seed_real_time(&w->rt->seed, until) : until);
	}
	atomic_fetch_sub(&w->rt->idle, 1);
	atomic_store(&w->sleeping, AWAKE);
}

/*
 * With a seed: time jumps, unless something outside may make a task ready before that. Then
 * it passes, in small steps, as not everything outside that ends also wakes the worker.
 */
static void sleep_seeded(struct worker *w, strand_time until)
{
	struct seed *seed = &w->rt->seed;
	bool outside = w->poller.waiting || block_is_busy(&w->rt->blocking);

	if (outside && until - seed->now > SEEDED_STEP && until != STRAND_FOREVER)
		until = seed->now + SEEDED_STEP;
	if (outside || until == STRAND_FOREVER)
		sleep_until(w, until);
	if (until != STRAND_FOREVER && seed->now < until)
		seed->now = until;
}

/*
 * The worker's own stack is a root of the leak search, dead frames included: it has only the
 * mapping to go by. Polling leaves the locks of wait objects there, which lie in the objects.
 */
static __attribute__((noinline)) void scrub_dead_frames(void)
{
	char dead[4096]; /* more than polling needs */

	memset(dead, 0, sizeof(dead));
	__asm__ volatile("" : : "r"(dead) : "memory");
}

void idle_sleep(struct worker *w, strand_time until)
{
	scrub_dead_frames();
	if (seed_in_use())
		sleep_seeded(w, until);
	else
		sleep_until(w, until);
}

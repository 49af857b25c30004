/* SPDX-License-Identifier: MIT */
/*
 * Announcing parks by age: the observer hears of a park only when it has lasted.
 *
 * A probe hit costs 0.5 us and a message 40 ns, so announcing each park would
 * slow a busy program tenfold, and nearly all parks end within microseconds. So
 * a worker keeps its parked tasks in park order; a sweep walks the old end of
 * that list and announces, many in one probe hit, what has waited longer than
 * the threshold. With a threshold of 0 every park is announced as it happens.
 *
 * Everything here belongs to one worker and needs no lock.
 */
#ifndef STRAND_ANNOUNCE_H
#define STRAND_ANNOUNCE_H

#include <stdbool.h>
#include <strand.h>
#include <strand/abi.h>
#include "strand/list.h"
#include "strand/probes.h"
#include "strand/task.h"

struct runtime;
struct worker;

struct announcer {
	struct list parked; /* task->parked, oldest park first */
	struct list *next;  /* first task not announced yet; &parked: none */
	bool observed;      /* as of the last sweep */
	unsigned epoch;     /* of runtime->announce_epoch that was served */
	strand_time last_sweep;
	struct strand_rec_park_batch batch;
};

void announcer_init(struct announcer *a);

/* With full tracing, a park; and the end of one that somebody was told of. */
void announce_parked_now(struct worker *w, struct task *task);
void announce_ended(struct task *task);

/* The current task is about to park. */
static inline void announce_parked(struct worker *w, struct announcer *a, struct task *task)
{
	atomic_store_explicit(&task->generation,
			      atomic_load_explicit(&task->generation, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	task->since = 0;
	__atomic_store_n(&task->told, 0, __ATOMIC_RELAXED);
	list_append(&a->parked, &task->parked);
	if (probes_tracing())
		announce_parked_now(w, task);
	else if (a->next == &a->parked)
		a->next = &task->parked;
}

/* It has been woken. */
static inline void announce_unparked(struct announcer *a, struct task *task)
{
	if (a->next == &task->parked)
		a->next = task->parked.next;
	list_remove(&task->parked);
	if (__builtin_expect(__atomic_load_n(&task->told, __ATOMIC_RELAXED), 0))
		announce_ended(task);
}

/*
 * announce_sweep - stamp new parks with their time, and announce the old ones.
 * Returns when it wants to be called again, STRAND_FOREVER for not before the next park.
 */
strand_time announce_sweep(struct worker *w, strand_time now);

/* A sweep is due. */
bool announce_is_due(const struct worker *w, strand_time now);

#endif

/* SPDX-License-Identifier: MIT */
/* The parked list of a worker, and the sweeps over it. */
#include "strand/announce.h"

#include <string.h>

#include "strand/leak_sites.h"
#include "strand/probes.h"
#include "strand/sched.h"

/* Between two sweeps of a busy worker: the precision of since_ns there. */
#define SWEEP_INTERVAL     (1 * STRAND_MILLISECOND)

/*
 * Tasks announced in one sweep: 32 probe hits of about 10 us. A million parked tasks reach a
 * late observer in about a second, and no sweep holds up the worker's tasks for longer than this.
 */
#define SWEEP_ANNOUNCE_MAX 1024

void announcer_init(struct announcer *a)
{
	list_init(&a->parked);
	a->next = &a->parked;
}

static void fill_record(struct strand_rec_park *r, const struct worker *w, const struct task *task)
{
	*r = (struct strand_rec_park){
		.task = task->id,
		.generation = task->generation,
		.since_ns = (uint64_t)task->since,
		.object = task->object,
		.parent = task->parent,
		.fn = (uintptr_t)task->fn,
		.created_pc = task->created_pc,
		.pc = task->where.pc,
		.sp = task->where.sp,
		.fp = task->where.fp,
		.stack_hi = (uintptr_t)stack_top(&task->stack),
		.generation_addr = (uintptr_t)&task->generation,
		.reason = task->reason,
		.has_deadline = task->deadline != STRAND_FOREVER,
		.worker = (uint16_t)w->index,
	};
	memcpy(r->name, task->name, sizeof(r->name));
}

static void send_batch(struct worker *w, unsigned count, strand_time now)
{
	struct strand_rec_park_batch *batch = &w->announcer.batch;

	if (!count)
		return;
	batch->h = (struct strand_rec_header)PROBE_HEADER(STRAND_PROBE_PARK, *batch);
	batch->h.count = (uint16_t)count;
	batch->now_ns = (uint64_t)now;
	batch->announced =
		__atomic_add_fetch(&strand_descriptor.announced, count, __ATOMIC_RELAXED);
	strand_probe_park(batch);
}

/* New parks are at the end; the first stamped one ends the walk. */
static void stamp(struct announcer *a, strand_time now)
{
	for (struct list *l = a->parked.prev; l != &a->parked; l = l->prev) {
		struct task *task = list_entry(l, struct task, parked);

		if (task->since)
			break;
		task->since = now;
	}
}

void announce_parked_now(struct worker *w, struct task *task)
{
	struct announcer *a = &w->announcer;

	stamp(a, strand_now()); /* with those before it, or they would never be */
	task->announced = true;
	fill_record(&a->batch.park[0], w, task);
	send_batch(w, 1, task->since);
}

void announce_ended(struct task *task)
{
	uint64_t flags = 0;

	if (__atomic_load_n(&task->reported, __ATOMIC_RELAXED)) {
		flags = STRAND_UNPARK_RETRACTED;
		leak_sites_retract(runtime_get(), task);
	}
	if (!task->announced || !probes_observed())
		return;

	struct strand_rec_unpark record = {
		.h = PROBE_HEADER(STRAND_PROBE_UNPARK, record),
		.task = task->id,
		.generation = task->generation,
		.waker = task->waker,
		.object = task->object,
		.flags = flags,
	};

	strand_probe_unpark(&record);
}

/* Is everything to be announced anew? An observer has come, or has said HELLO. */
static bool start_anew(struct worker *w)
{
	struct announcer *a = &w->announcer;
	unsigned epoch = atomic_load(&w->rt->announce_epoch);
	bool observed = probes_observed();
	bool anew = observed && (!a->observed || epoch != a->epoch);

	a->observed = observed;
	a->epoch = epoch;
	return anew;
}

static strand_time due(strand_time since, uint64_t threshold)
{
	return threshold < (uint64_t)(STRAND_FOREVER - since) ? since + (strand_time)threshold
							      : STRAND_FOREVER;
}

strand_time announce_sweep(struct worker *w, strand_time now)
{
	struct announcer *a = &w->announcer;
	uint64_t threshold = __atomic_load_n(&strand_descriptor.threshold_ns, __ATOMIC_RELAXED);
	unsigned count = 0, total = 0;

	a->last_sweep = now;
	stamp(a, now);
	if (start_anew(w))
		a->next = a->parked.next;
	if (!a->observed)
		return STRAND_FOREVER;
	while (a->next != &a->parked && total < SWEEP_ANNOUNCE_MAX) {
		struct task *task = list_entry(a->next, struct task, parked);

		if ((uint64_t)(now - task->since) < threshold)
			break;
		fill_record(&a->batch.park[count++], w, task);
		task->announced = true;
		a->next = a->next->next;
		total++;
		if (count == STRAND_PARK_BATCH) {
			send_batch(w, count, now);
			count = 0;
		}
	}
	send_batch(w, count, now);
	if (a->next == &a->parked)
		return STRAND_FOREVER;
	if (total == SWEEP_ANNOUNCE_MAX)
		return now;
	return due(list_entry(a->next, struct task, parked)->since, threshold);
}

bool announce_is_due(const struct worker *w, strand_time now)
{
	return now - w->announcer.last_sweep >= SWEEP_INTERVAL ||
	       atomic_load_explicit(&w->rt->announce_epoch, memory_order_relaxed) !=
		       w->announcer.epoch;
}

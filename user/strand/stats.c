/* SPDX-License-Identifier: MIT */
/* Counters for people and monitoring. */
#include <errno.h>
#include <strand.h>
#include <string.h>

#include "strand/load.h"
#include "strand/probes.h"
#include "strand/runtime.h"
#include "strand/sched.h"

_Static_assert((int)STRAND_WAIT_REASON_COUNT <= STRAND_STATS_REASONS, "no room for a reason");

/*
 * The counters are their workers' own, who write them without atomics: read as they are, and
 * added up.
 */
#define PEEK(counter) __atomic_load_n(&(counter), __ATOMIC_RELAXED)

static void count_task(struct strand_stats *s, const struct task *task)
{
	switch (atomic_load_explicit(&task->state, memory_order_relaxed)) {
	case TASK_NEW:
	case TASK_READY:
		s->tasks_ready++;
		break;
	case TASK_RUNNING:
		s->tasks_running++;
		break;
	case TASK_PARKED:
		s->tasks_parked++;
		if (task->reason < STRAND_STATS_REASONS)
			s->parked_by_reason[task->reason]++;
		break;
	default:
		return;
	}
	s->tasks_alive++;
}

/* No lock: task structures stay, and each is counted in one of its states. */
static void count_tasks(struct strand_stats *s, const struct runtime *rt)
{
	const struct task_slab *slab = __atomic_load_n(&rt->tasks.slabs, __ATOMIC_ACQUIRE);

	for (; slab; slab = slab->next) {
		for (size_t i = 0; i < slab->count; i++)
			count_task(s, &slab->tasks[i]);
	}
}

__attribute__((no_sanitize("thread"))) static void count_worker(struct strand_stats *s,
								struct worker *w, strand_time now)
{
	const struct task *current = PEEK(w->current);
	strand_time running = load_running_ns(w, now);

	s->tasks_spawned += PEEK(w->spawned);
	s->tasks_exited += PEEK(w->exited);
	s->switches += PEEK(w->dispatches);
	s->steals += PEEK(w->steals);
	s->remote_wakes += PEEK(w->remote_wakes);
	s->timers += PEEK(w->timers.count);
	s->workers_idle += atomic_load(&w->sleeping) != 0;
	if (current && running > s->longest_run_ns) {
		s->longest_run_ns = running;
		s->longest_run_task =
			current->id; /* the structure stays, if it is not that task's */
	}
}

static void count_stacks(struct strand_stats *s, struct runtime *rt)
{
	size_t made, special, special_size, unused;

	lock_take(&rt->tasks.lock);
	lock_take(&rt->stacks.lock);
	made = rt->stacks.made;
	special = rt->stacks.special;
	special_size = rt->stacks.special_size;
	unused = rt->tasks.warm_count + rt->tasks.cold_count;
	s->stacks_trimmed = rt->tasks.cold_count;
	lock_release(&rt->stacks.lock);
	lock_release(&rt->tasks.lock);
	for (unsigned i = 0; i < rt->worker_count; i++)
		unused += atomic_load(&rt->workers[i]->own_free_count);
	s->stacks_used = made + special - unused;
	s->stacks_free = unused;
	s->stack_bytes = made * STACK_DEFAULT_SIZE + special_size;
}

int strand_stats(struct strand_stats *stats)
{
	struct runtime *rt = runtime_get();
	struct strand_stats s = {0};
	strand_time now = strand_now();

	if (!stats || stats->size < sizeof(stats->size))
		return -EINVAL;
	if (!rt)
		return -ENXIO;
	s.size = stats->size < sizeof(s) ? stats->size : sizeof(s);
	s.tasks_spawned = PEEK(strand_descriptor.tasks_spawned);
	s.tasks_exited = PEEK(strand_descriptor.tasks_exited);
	s.searches = PEEK(strand_descriptor.searches);
	s.leaks_retracted = PEEK(strand_descriptor.retracted);
	s.workers = rt->worker_count;
	count_tasks(&s, rt);
	for (unsigned i = 0; i < rt->worker_count; i++)
		count_worker(&s, rt->workers[i], now);
	count_stacks(&s, rt);
	memcpy(stats, &s, s.size);
	return 0;
}

size_t strand_task_stack_used(void)
{
	const struct task *task = sched_current_task();

	return task ? stack_used(&task->stack) : 0;
}

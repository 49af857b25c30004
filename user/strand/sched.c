/* SPDX-License-Identifier: MIT */
/*
 * Workers, and the order in which they run tasks.
 *
 * A worker takes the next task from, in this order:
 *   next     the task that the running task woke last: a hand-off costs no queue. At most
 *            NEXT_STREAK_MAX times in a row while others wait, so a busy pair starves nobody.
 *   ready    its started tasks, first in, first out.
 *   fresh    its new tasks. The head of the two queues that was queued first goes first.
 *            Only new tasks are ever stolen.
 *   inbox    what others have woken or spawned for it; emptied every POLL_DISPATCHES.
 *
 * A task that parks switches straight to the next task's stack; the worker's own stack is
 * only used when there is nothing to run. So what has to happen to the task that was left
 * (mark it parked and release the lock of its wait object, queue it, recycle it) happens
 * after the switch, on the stack of whoever runs next: finish_switch.
 *
 * Invariants:
 *   S1. Only worker w writes w->current, w->ready, w->next, the timers and the parked list.
 *   S2. A task is in at most one of: a queue, an inbox, a free list, `next`, `current`.
 *   S3. A lock handed to sched_park is released by finish_switch on the same worker, after
 *       the parked task's stack was saved. So whoever gets that lock may wake the task.
 *   S4. Nothing polls (timers, inbox) between sched_park and finish_switch: polling takes
 *       the locks of wait objects, and the parker holds one.
 *   S5. idle.c: whoever adds work for a worker calls idle_kick or idle_kick_one afterwards.
 */
#include "strand/sched.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "strand/idle.h"
#include "strand/object_lock.h"
#include "strand/probes.h"
#include "strand/switch.h"
#include "strand/waiter.h"

/*
 * Dispatches between two looks at the clock, the inbox, the timers and the sweep. A look costs
 * about 40 ns, so this adds less than 1 ns to a switch; raising it delays timers and wake-ups
 * from other threads while this worker is busy.
 */
#define POLL_DISPATCHES 64

/* With a seed: one of the first so many tasks of a queue runs next. */
#define SEEDED_REACH    16

/* Stacks trimmed in one look, of 2 us each: by a busy worker, and by one with nothing to run. */
#define TRIM_BUSY       16
#define TRIM_IDLE       256

/* Hand-offs in a row while other tasks are ready. Raising it favours pairs over fairness. */
#define NEXT_STREAK_MAX 16

/*
 * Between two looks at descriptors, of a busy worker whose tasks wait for some. A look costs
 * 0.2 us, so this is 1 %; raising it delays I/O behind tasks that are always ready.
 */
#define LOOK_INTERVAL   (20 * STRAND_MICROSECOND)

_Thread_local struct worker *sched_this_worker;

/* ---- queues -------------------------------------------------------------------- */

/* Others look at the head of a fresh queue without its lock: is there anything to take? */
static void set_head(struct task_queue *q, struct task *task)
{
	__atomic_store_n(&q->head, task, __ATOMIC_RELAXED);
}

static const struct task *fresh_head(const struct worker *w)
{
	return __atomic_load_n(&w->fresh.head, __ATOMIC_RELAXED);
}

static void queue_push(struct worker *w, struct task_queue *q, struct task *task)
{
	task->next = NULL;
	/* Other threads push new tasks too, so two may get one turn: no matter. */
	uint32_t turn = atomic_load_explicit(&w->turn, memory_order_relaxed);

	__atomic_store_n(&task->turn, turn, __ATOMIC_RELAXED);
	atomic_store_explicit(&w->turn, turn + 1, memory_order_relaxed);
	if (q->tail)
		q->tail->next = task;
	else
		set_head(q, task);
	q->tail = task;
}

static struct task *queue_pop(struct task_queue *q)
{
	struct task *task = q->head;

	if (!task)
		return NULL;
	set_head(q, task->next);
	if (!task->next)
		q->tail = NULL;
	task->next = NULL;
	return task;
}

static void fresh_push(struct worker *w, struct task *task)
{
	bool shared = w->rt->worker_count > 1;

	if (shared)
		lock_take(&w->fresh_lock);
	queue_push(w, &w->fresh, task);
	if (shared)
		lock_release_fully(&w->fresh_lock); /* S5: before the look at who sleeps */
}

static struct task *fresh_pop(struct worker *w)
{
	bool shared = w->rt->worker_count > 1;

	if (!fresh_head(w))
		return NULL;
	if (shared)
		lock_take(&w->fresh_lock);

	struct task *task = queue_pop(&w->fresh);

	if (shared)
		lock_release(&w->fresh_lock);
	return task;
}

/* Called without w's own locks; one task at a time keeps the thief simple and fair. */
static struct task *steal(struct worker *w)
{
	struct runtime *rt = w->rt;

	for (unsigned i = 1; i < rt->worker_count; i++) {
		struct worker *victim = rt->workers[(w->index + i) % rt->worker_count];
		struct task *task = fresh_pop(victim);

		if (task) {
			w->steals++;
			return task;
		}
	}
	return NULL;
}

/* First come, first served, over both queues. A thief may take the head meanwhile. */
static bool fresh_is_first(const struct worker *w)
{
	const struct task *fresh = fresh_head(w);

	return fresh &&
	       (!w->ready.head || (int32_t)(__atomic_load_n(&fresh->turn, __ATOMIC_RELAXED) -
					    w->ready.head->turn) < 0);
}

/* Move some from the front to the end: whoever is near the front may become the first. */
static void rotate(struct worker *w, struct task_queue *q)
{
	for (size_t n = seed_below(&w->rt->seed, SEEDED_REACH); n > 0 && q->head != q->tail; n--)
		queue_push(w, q, queue_pop(q));
}

/* None when stopping; with a seed any that can run, and perhaps a look at events after it. */
static __attribute__((noinline)) struct task *pick_unusual(struct worker *w)
{
	struct seed *seed = &w->rt->seed;

	if (!seed_in_use() || atomic_load_explicit(&w->rt->stopping, memory_order_relaxed))
		return NULL;
	if (w->next)
		queue_push(w, &w->ready, w->next);
	w->next = NULL;
	if (seed_below(seed, 4) == 0)
		w->dispatches |= POLL_DISPATCHES - 1; /* the next switch is one with a look */
	rotate(w, &w->ready);
	rotate(w, &w->fresh);
	return !w->ready.head || (fresh_head(w) && seed_below(seed, 2)) ? queue_pop(&w->fresh)
									: queue_pop(&w->ready);
}

static inline struct task *pick(struct worker *w)
{
	struct task *task = w->next;
	bool others = w->ready.head || fresh_head(w);

	if (__builtin_expect(atomic_load_explicit(&w->rt->unusual, memory_order_relaxed), 0))
		return pick_unusual(w);
	if (task && (!others || w->next_streak < NEXT_STREAK_MAX)) {
		w->next = NULL;
		w->next_streak++;
		return task;
	}
	w->next_streak = 0;
	if (task) {
		w->next = NULL;
		queue_push(w, &w->ready, task);
	}
	task = fresh_is_first(w) ? fresh_pop(w) : NULL;
	return task ? task : queue_pop(&w->ready); /* a thief may have been faster */
}

/* ---- waking --------------------------------------------------------------------- */

static bool may_migrate(const struct worker *w, const struct task *task)
{
	return __builtin_expect(task->migrates, 0) && w->rt->worker_count > 1;
}

/* On the task's own worker: take it off the parked list and let it run. */
static void ready_here(struct worker *w, struct task *task)
{
	if (task->timer_index)
		timers_remove(&w->timers, task);
	announce_unparked(&w->announcer, task);
	if (may_migrate(w, task)) {
		fresh_push(w, task);
		idle_kick_one(w->rt);
		return;
	}
	if (w->next)
		queue_push(w, &w->ready, w->next);
	w->next = task;
}

static void inbox_push(struct worker *w, struct task *task)
{
	struct task *head = atomic_load_explicit(&w->inbox, memory_order_relaxed);

	do {
		task->next = head;
	} while (!atomic_compare_exchange_weak(&w->inbox, &head, task));
	idle_kick(w);
}

/* With several workers, where a thief finds it should that worker be busy. */
static void spawn_from_thread(struct runtime *rt, struct task *task)
{
	struct worker *w = rt->workers[atomic_fetch_add(&rt->next_worker, 1) % rt->worker_count];

	if (rt->worker_count == 1) {
		inbox_push(w, task);
		return;
	}
	fresh_push(w, task);
	if (atomic_load(&w->sleeping))
		idle_kick(w);
	else
		idle_kick_one(rt);
}

void sched_start(struct runtime *rt, struct task *task)
{
	struct worker *here = sched_this_worker;

	if (!here) {
		spawn_from_thread(rt, task);
		return;
	}
	fresh_push(here, task);
	idle_kick_one(rt);
}

void sched_wake(struct task *task)
{
	struct worker *here = sched_this_worker;

	task->waker = here && here->current ? here->current->id : 0;
	if (task->worker == here)
		ready_here(here, task);
	else
		inbox_push(task->worker, task);
}

/* ---- polling -------------------------------------------------------------------- */

static void take_inbox(struct worker *w)
{
	if (!atomic_load_explicit(&w->inbox, memory_order_relaxed))
		return;

	struct task *newest = atomic_exchange_explicit(&w->inbox, NULL, memory_order_acquire);
	struct task *oldest = NULL;

	while (newest) {
		struct task *task = newest;

		newest = task->next;
		task->next = oldest;
		oldest = task;
	}
	while (oldest) {
		struct task *task = oldest;

		oldest = task->next;
		if (atomic_load_explicit(&task->state, memory_order_relaxed) == TASK_NEW)
			fresh_push(w, task);
		else
			ready_here(w, task);
		w->remote_wakes++;
	}
}

/* Run a task of this worker that no task has woken, and that was claimed. */
static void resume(struct worker *w, struct task *task)
{
	if (task->timer_index)
		timers_remove(&w->timers, task);
	task->waker = 0;
	announce_unparked(&w->announcer, task);
	queue_push(w, &w->ready, task);
}

/* End a park before somebody wakes the task. */
static void interrupt(struct worker *w, struct task *task, int why)
{
	if (sleeper_interrupt(task->sleeper, why))
		resume(w, task); /* else who has claimed it brings it here */
}

void sched_take_io(struct worker *w, strand_time until)
{
	struct list taken;

	list_init(&taken);
	poller_look(&w->poller, until, &taken);
	w->poller.last_look = strand_now();
	while (!list_is_empty(&taken)) {
		struct waiter *waiter = list_entry(taken.next, struct waiter, link);

		list_remove(&waiter->link);
		resume(w, waiter->sleeper->task);
	}
}

static void cancelled_push(struct worker *w, struct task *task)
{
	struct task *head = atomic_load_explicit(&w->cancelled, memory_order_relaxed);

	do {
		task->next_cancelled = head;
	} while (!atomic_compare_exchange_weak(&w->cancelled, &head, task));
	idle_kick(w);
}

void sched_cancel(struct task *task)
{
	struct worker *w = atomic_load(&task->worker);

	if (!w)
		return; /* it will look at the flag before it parks */
	atomic_store(&task->cancel_pending, true);
	cancelled_push(w, task);
}

static void take_cancelled(struct worker *w)
{
	struct task *task;

	if (!atomic_load_explicit(&w->cancelled, memory_order_relaxed))
		return;
	task = atomic_exchange(&w->cancelled, NULL);
	while (task) {
		struct task *next = task->next_cancelled;
		struct worker *owner = atomic_load(&task->worker);

		if (owner != w) { /* it has migrated meanwhile */
			cancelled_push(owner, task);
		} else {
			if (atomic_load(&task->state) == TASK_PARKED &&
			    !task->sleeper->uncancellable)
				interrupt(w, task, -ECANCELED);
			atomic_store(&task->cancel_pending, false);
		}
		task = next;
	}
}

static void publish_counters(struct worker *w)
{
	if (w->spawned)
		__atomic_fetch_add(&strand_descriptor.tasks_spawned, w->spawned, __ATOMIC_RELAXED);
	if (w->exited)
		__atomic_fetch_add(&strand_descriptor.tasks_exited, w->exited, __ATOMIC_RELAXED);
	w->spawned = w->exited = 0;
}

/* Returns the time. */
static strand_time poll_events(struct worker *w)
{
	strand_time now = strand_now();
	struct task *task;

	take_inbox(w);
	take_cancelled(w);
	while ((task = timers_first(&w->timers)) && task->deadline <= now) {
		timers_remove(&w->timers, task);
		interrupt(w, task, -ETIMEDOUT);
	}
	if (w->poller.waiting && now - w->poller.last_look >= LOOK_INTERVAL)
		sched_take_io(w, 0);
	if (announce_is_due(w, now)) {
		announce_sweep(w, now);
		publish_counters(w);
		if (w->index == 0)
			task_pool_trim(w->rt, now, TRIM_BUSY);
	}
	w->polled_at = now;
	w->polled_dispatches = w->dispatches;
	return now;
}

/* ---- switching ------------------------------------------------------------------ */

/* Not of a park: those are inline, as every message needs one. */
static __attribute__((noinline)) void finish_leaving(struct worker *w, struct task *left)
{
	if (w->leaving_how == LEAVE_YIELD) {
		atomic_store_explicit(&left->state, TASK_READY, memory_order_release);
		queue_push(w, &w->ready, left);
	} else {
		w->exited++;
		task_free(w->rt, left);
	}
}

static inline void finish_park(struct worker *w, struct task *left)
{
	atomic_store_explicit(&left->state, TASK_PARKED, memory_order_release);
	if (w->leaving_unlock)
		w->leaving_unlock(w->leaving_lock);
	else if (w->leaving_lock)
		object_lock_release(w->leaving_lock);
}

static inline void finish_switch(struct worker *w)
{
	struct task *left = w->leaving;

	w->leaving = NULL;
	if (!left)
		return;
	if (w->leaving_how == LEAVE_PARK)
		finish_park(w, left);
	else
		finish_leaving(w, left);
}

static inline void after_switch(struct worker *w)
{
	finish_switch(w);
	if (++w->dispatches % POLL_DISPATCHES == 0)
		poll_events(w);
}

void sched_after_switch(struct worker *w)
{
	after_switch(w);
}

static inline void set_running(struct worker *w, struct task *task)
{
	w->current = task;
	if (!task)
		return;
	if (atomic_load_explicit(&task->worker, memory_order_relaxed) != w)
		atomic_store_explicit(&task->worker, w, /* handle.c: only handles cancel */
				      task->handle ? memory_order_seq_cst : memory_order_release);
	atomic_store_explicit(&task->state, TASK_RUNNING, memory_order_relaxed);
}

/* Leave the current task for the next one, or for the loop. Returns when it runs again. */
static inline __attribute__((always_inline)) void leave(struct worker *w, enum leave how,
							void (*unlock)(void *), void *lock)
{
	struct task *from = w->current;
	struct task *to = pick(w);
	bool starts = to && atomic_load_explicit(&to->state, memory_order_relaxed) == TASK_NEW;

	assert(to != from);
	if (__builtin_expect(from->canary, 0))
		overflow_check_canary(from);
	w->leaving = from;
	w->leaving_how = how;
	w->leaving_unlock = unlock;
	w->leaving_lock = lock;
	set_running(w, to);
	fiber_leave(&from->fiber, to ? &to->fiber : &w->fiber, how == LEAVE_EXIT);
	if (starts)
		switch_start(&from->sp, to->sp);
	else
		switch_stack(&from->sp, to ? to->sp : w->loop_sp);
	fiber_arrive(&from->fiber);
	/* By the task: after a switch the address of a thread-local may be another thread's. */
	after_switch(atomic_load_explicit(&from->worker, memory_order_relaxed));
}

void sched_park(struct worker *w, struct task *task, void (*unlock)(void *), void *lock)
{
	if (task->deadline != STRAND_FOREVER)
		timers_add(&w->timers, task);
	announce_parked(w, &w->announcer, task);
	switch_forget_vectors();
	leave(w, LEAVE_PARK, unlock, lock);
}

void sched_yield_task(struct worker *w)
{
	if (++w->dispatches % POLL_DISPATCHES == 0)
		poll_events(w);
	if (w->next || w->ready.head || fresh_head(w) || w->rt->stopping)
		leave(w, LEAVE_YIELD, NULL, NULL);
}

void sched_perturb_seeded(void)
{
	struct worker *w = sched_this_worker;

	if (w && w->current && seed_below(&w->rt->seed, w->rt->seed.calls_per_yield) == 0)
		sched_yield_task(w);
}

_Noreturn void sched_exit_task(void)
{
	struct worker *w = sched_this_worker;

	/* Its structure is about to be used again: it must not be on the list. */
	while (atomic_load(&w->current->cancel_pending)) {
		take_cancelled(w);
		sched_yield(); /* one that has migrated may still be on another worker's */
	}
	leave(w, LEAVE_EXIT, NULL, NULL);
	__builtin_unreachable();
}

/* ---- the loop ------------------------------------------------------------------- */

/*
 * Nothing to run: wait a moment for work, then tell of the parked tasks, and sleep until
 * something may have changed.
 */
static void idle(struct worker *w, strand_time now)
{
	if (idle_look(w))
		return;

	strand_time until = announce_sweep(w, now);
	strand_time trim = w->index ? STRAND_FOREVER : task_pool_trim(w->rt, now, TRIM_IDLE);
	struct task *timer = timers_first(&w->timers);

	publish_counters(w);
	if (timer && timer->deadline < until)
		until = timer->deadline;
	if (trim < until)
		until = trim;
	if (until > now)
		idle_sleep(w, until);
}

static void run(struct worker *w, struct task *task)
{
	set_running(w, task);
	w->polled_dispatches = w->dispatches + 1; /* the look at the clock was just now */
	fiber_leave(&w->fiber, &task->fiber, false);
	switch_stack(&w->loop_sp, task->sp);
	fiber_arrive(&w->fiber);
	w->current = NULL;
	finish_switch(w);
}

void sched_run(struct worker *w)
{
	sched_this_worker = w;
	fiber_of_thread(&w->fiber);
	overflow_thread_begin(&w->alt_stack);
	while (!atomic_load(&w->rt->stopping)) {
		strand_time now = poll_events(w);
		struct task *task = pick(w);

		if (!task && !atomic_load(&w->rt->stopping))
			task = steal(w);
		if (task) {
			idle_pass_on(w);
			run(w, task);
		} else if (!atomic_load(&w->rt->stopping)) {
			idle(w, now);
		}
	}
	publish_counters(w);
	overflow_thread_end(&w->alt_stack);
	fiber_of_thread_done(&w->fiber);
	sched_this_worker = NULL;
}

struct worker *sched_worker_new(struct runtime *rt, unsigned index)
{
	struct worker *w = memory_map(&rt->memory, sizeof(*w));

	if (!w)
		return NULL;
	w->rt = rt;
	w->index = index;
	w->timers.memory = &rt->memory;
	poller_init(&w->poller, &rt->memory);
	announcer_init(&w->announcer);
	return w;
}

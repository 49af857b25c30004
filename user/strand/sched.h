/* SPDX-License-Identifier: MIT */
/* Workers: who runs which task when. See sched.c. */
#ifndef STRAND_SCHED_H
#define STRAND_SCHED_H

#include <pthread.h>
#include "strand/announce.h"
#include "strand/overflow.h"
#include "strand/poller.h"
#include "strand/runtime.h"
#include "strand/task.h"
#include "strand/timer.h"

/* A first-in first-out queue of tasks, linked by task->next. */
struct task_queue {
	struct task *head, *tail;
};

/* Where an idle worker sleeps; see idle.c. */
enum sleeping { AWAKE = 0, SLEEPS_ON_FUTEX, SLEEPS_IN_POLLER };

enum leave { LEAVE_PARK, LEAVE_YIELD, LEAVE_EXIT };

struct worker {
	/* What only this worker touches. */
	struct runtime *rt;
	unsigned index;
	uint64_t dispatches;
	uint64_t polled_dispatches; /* as of the last look at the clock */
	strand_time polled_at;
	uint64_t steals, remote_wakes;
	unsigned next_streak;
	unsigned idles;          /* that took more than a few looks */
	bool look_pays;          /* to look for work before it sleeps: so did the last time */
	bool looked_last;        /* it found work while no other worker was looking */
	_Atomic uint32_t turn;   /* of the next task that is queued */
	struct task *current;    /* NULL in the loop */
	struct task *next;       /* just made ready by the task that runs: runs next */
	struct task_queue ready; /* started tasks */
	void *loop_sp;           /* where the loop goes on */
	struct fiber fiber;      /* of the loop */
	struct task *leaving;    /* whom finish_switch has to complete */
	enum leave leaving_how;
	void (*leaving_unlock)(void *);
	void *leaving_lock;
	struct timers timers;
	struct poller poller;
	struct alt_stack alt_stack;
	struct announcer announcer;
	struct task *own_free; /* task_pool.c: only this worker takes them, by task->next */
	_Atomic unsigned own_free_count; /* others read it, for statistics */
	unsigned ids_left;               /* task.c: drawn, not used yet */
	uint64_t last_id;
	uint64_t spawned, exited; /* since they were last added to the descriptor */
	pthread_t thread;

	/* What others touch, too. */
	_Alignas(64) struct lock fresh_lock;
	struct task_queue fresh;           /* new tasks: any worker may take them */
	_Atomic(struct task *) inbox;      /* woken or spawned by others; newest first */
	_Atomic(struct task *) cancelled;  /* to be interrupted, by task->next_cancelled */
	_Atomic uint64_t asked_dispatches; /* as somebody saw them who asked for counters */
	_Atomic strand_time asked_at;      /* since when they are known to be that many */
	_Atomic unsigned sleeping;         /* enum sleeping; also the futex it sleeps on */
};

/* The worker that the calling thread is, NULL in a plain thread. */
extern _Thread_local struct worker *sched_this_worker
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

static inline struct task *sched_current_task(void)
{
	struct worker *w = sched_this_worker;

	return w ? w->current : NULL;
}

/*
 * sched_park - park the current task; once its stack is saved call unlock(lock), or if unlock is
 * NULL release lock, an object's (if not NULL). The task's reason, object, deadline, sleeper and where are set by the caller.
 */
void sched_park(struct worker *w, struct task *task, void (*unlock)(void *), void *lock);

void sched_perturb_seeded(void);

/* Run a task that is NEW; or one that was parked and is READY. From anywhere. */
void sched_start(struct runtime *rt, struct task *task);
void sched_wake(struct task *task);

/* The task's cancelled flag was set: have its worker interrupt it, if it is parked. */
void sched_cancel(struct task *task);

/*
 * sched_perturb - with a seed (seed.h): perhaps let others run.
 * Every public call that others can notice begins with it, so that they come between any two.
 * Not to be called with a lock held.
 */
static inline void sched_perturb(void)
{
	if (seed_in_use())
		sched_perturb_seeded();
}

/* Let others run; the current task stays ready. */
void sched_yield_task(struct worker *w);

/* The current task has ended. */
_Noreturn void sched_exit_task(void);

/* To be called first thing after a switch, on the new stack. */
void sched_after_switch(struct worker *w);

/* Run tasks until the runtime stops. The calling thread becomes worker w. */
void sched_run(struct worker *w);

struct worker *sched_worker_new(struct runtime *rt, unsigned index);

/* Look at the descriptors that tasks wait for, until the given time at the latest. */
void sched_take_io(struct worker *w, strand_time until);

#endif

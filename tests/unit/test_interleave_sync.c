/* SPDX-License-Identifier: MIT */
/* Locks, conditions, wait groups, semaphores and once over thousands of interleavings each. */
#include "interleave.h"

#define TASKS  4
#define ROUNDS 4

/* Every wait may end early, by its deadline or by the cancellation of its task. */
static void expect_early(int r, strand_time deadline)
{
	if (r == -ECANCELED)
		expect_true(strand_cancelled());
	else if (r == -ETIMEDOUT)
		expect_true(deadline != STRAND_FOREVER);
	else
		expect_eq(r, 0);
}

/* Run TASKS tasks of fn(arg), and cancel some of them sometime. */
static void run_and_cancel(int (*fn)(void *), void *arg)
{
	struct strand_task *tasks[TASKS];

	for (int i = 0; i < TASKS; i++)
		tasks[i] = start_task(fn, arg);
	let_some_run(10);
	if (draw(2))
		strand_cancel(tasks[draw(TASKS)]);
	for (int i = 0; i < TASKS; i++)
		expect_eq(end_task(tasks[i]), 0);
}

/* ---- mutex ------------------------------------------------------------------------------- */

struct locked {
	struct strand_mutex mutex;
	struct strand_rwlock lock;
	int inside, readers, changed;
};

static int mutex_task(void *arg)
{
	struct locked *l = arg;

	for (int i = 0; i < ROUNDS; i++) {
		strand_time deadline = draw_deadline();
		int r = strand_mutex_lock(&l->mutex, deadline), seen;

		if (r < 0) {
			expect_early(r, deadline);
			expect_eq(strand_mutex_unlock(&l->mutex), -EPERM);
			continue;
		}
		expect_eq(l->inside++, 0);
		seen = l->changed;
		let_some_run(2);
		l->changed = seen + 1;
		expect_eq(--l->inside, 0);
		expect_eq(strand_mutex_unlock(&l->mutex), 0);
		expect_true(l->changed > seen); /* others may have come, but undone it has none */
	}
	return 0;
}

static int run_mutex(void *arg)
{
	struct locked l = {0};

	(void)arg;
	run_and_cancel(mutex_task, &l);
	expect_eq(strand_mutex_lock(&l.mutex, 0), 0); /* nobody has kept it */
	expect_eq(strand_mutex_unlock(&l.mutex), 0);
	return 0;
}

static void test_mutex(void **state)
{
	(void)state;
	over_seeds("mutex", run_mutex, NULL);
}

/* ---- read-write lock ------------------------------------------------------------------------- */

static void read_once(struct locked *l)
{
	strand_time deadline = draw_deadline();
	int r = strand_rwlock_rlock(&l->lock, deadline);
	int seen = l->changed;

	expect_early(r, deadline);
	if (r < 0) {
		expect_eq(strand_rwlock_runlock(&l->lock), -EPERM);
		return;
	}
	expect_eq(l->inside, 0);
	l->readers++;
	let_some_run(2);
	l->readers--;
	expect_eq(l->inside, 0);
	expect_eq(l->changed, seen);
	expect_eq(strand_rwlock_runlock(&l->lock), 0);
}

static void write_once(struct locked *l)
{
	strand_time deadline = draw_deadline();
	int r = strand_rwlock_lock(&l->lock, deadline);

	expect_early(r, deadline);
	if (r < 0) {
		expect_eq(strand_rwlock_unlock(&l->lock), -EPERM);
		return;
	}
	expect_eq(l->inside++, 0);
	expect_eq(l->readers, 0);
	l->changed++;
	let_some_run(2);
	expect_eq(l->readers, 0);
	expect_eq(--l->inside, 0);
	expect_eq(strand_rwlock_unlock(&l->lock), 0);
}

static int rwlock_task(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		if (draw(3) == 0)
			write_once(arg);
		else
			read_once(arg);
	}
	return 0;
}

static int run_rwlock(void *arg)
{
	struct locked l = {0};

	(void)arg;
	run_and_cancel(rwlock_task, &l);
	expect_eq(strand_rwlock_lock(&l.lock, 0), 0);
	expect_eq(strand_rwlock_unlock(&l.lock), 0);
	expect_eq(l.lock.word, 0);
	return 0;
}

static void test_rwlock(void **state)
{
	(void)state;
	over_seeds("rwlock", run_rwlock, NULL);
}

/* A writer that gives up lets in the reader behind it, and so for permits. */

struct leaving {
	struct locked locked;
	struct strand_semaphore semaphore; /* two permits, one taken */
	bool by_permits;
};

static int leaving_task(void *arg)
{
	struct leaving *l = arg;
	strand_time deadline = strand_now() + (strand_time)draw(20 * STRAND_MICROSECOND);
	int r = l->by_permits ? strand_semaphore_acquire(&l->semaphore, 2, deadline)
			      : strand_rwlock_lock(&l->locked.lock, deadline);

	expect_true(r == -ETIMEDOUT || r == -ECANCELED);
	return 0;
}

static int staying_task(void *arg)
{
	struct leaving *l = arg;

	if (l->by_permits)
		expect_eq(strand_semaphore_acquire(&l->semaphore, 1, STRAND_FOREVER), 0);
	else
		expect_eq(strand_rwlock_rlock(&l->locked.lock, STRAND_FOREVER), 0);
	if (l->by_permits)
		expect_eq(strand_semaphore_release(&l->semaphore, 1), 0);
	else
		expect_eq(strand_rwlock_runlock(&l->locked.lock), 0);
	return 0;
}

static int run_leaving(void *arg)
{
	struct leaving l = {.semaphore = STRAND_SEMAPHORE_INIT(2), .by_permits = draw(2)};
	struct strand_task *leaving, *staying[2];

	(void)arg;
	expect_eq(strand_semaphore_acquire(&l.semaphore, 1, 0), 0);
	expect_eq(strand_rwlock_rlock(&l.locked.lock, 0), 0);
	leaving = start_task(leaving_task, &l);
	let_some_run(3);
	for (int i = 0; i < 2; i++)
		staying[i] = start_task(staying_task, &l);
	let_some_run(6);
	if (draw(2))
		strand_cancel(leaving);
	/* What stands in the leaver's way is given back only after all this. */
	for (int i = 0; i < 2; i++)
		expect_eq(end_task(staying[i]), 0);
	expect_eq(end_task(leaving), 0);
	expect_eq(strand_rwlock_runlock(&l.locked.lock), 0);
	expect_eq(strand_semaphore_release(&l.semaphore, 1), 0);
	return 0;
}

static void test_leaving_lets_in(void **state)
{
	(void)state;
	over_seeds("leaving a queue", run_leaving, NULL);
}

/* ---- condition: a bounded queue, and a signal for each waiter ---------------------------------- */

struct queue {
	struct strand_mutex mutex;
	struct strand_cond not_empty, not_full;
	int length, put, taken;
	bool broadcasts;
};

enum { QUEUE_MAX = 2, ITEMS = 5 };

static void queue_tell(struct queue *q, struct strand_cond *cond)
{
	expect_eq(q->broadcasts ? strand_cond_broadcast(cond) : strand_cond_signal(cond), 0);
}

static int putter(void *arg)
{
	struct queue *q = arg;

	for (int i = 0; i < ITEMS; i++) {
		expect_eq(strand_mutex_lock(&q->mutex, STRAND_FOREVER), 0);
		while (q->length == QUEUE_MAX)
			expect_eq(strand_cond_wait(&q->not_full, &q->mutex, STRAND_FOREVER), 0);
		q->length++;
		q->put++;
		queue_tell(q, &q->not_empty);
		expect_eq(strand_mutex_unlock(&q->mutex), 0);
	}
	return 0;
}

static int taker(void *arg)
{
	struct queue *q = arg;

	for (int i = 0; i < ITEMS; i++) {
		expect_eq(strand_mutex_lock(&q->mutex, STRAND_FOREVER), 0);
		while (q->length == 0)
			expect_eq(strand_cond_wait(&q->not_empty, &q->mutex, STRAND_FOREVER), 0);
		q->length--;
		q->taken++;
		expect_eq(strand_mutex_unlock(&q->mutex), 0);
		queue_tell(q, &q->not_full); /* without the mutex: as good */
	}
	return 0;
}

static int run_queue(void *arg)
{
	struct queue q = {.broadcasts = draw(2)};
	struct strand_task *tasks[4];

	(void)arg;
	for (int i = 0; i < 4; i++)
		tasks[i] = start_task(i % 2 ? taker : putter, &q);
	for (int i = 0; i < 4; i++)
		expect_eq(end_task(tasks[i]), 0);
	expect_eq(q.put, 2 * ITEMS);
	expect_eq(q.taken, 2 * ITEMS);
	return 0;
}

static void test_cond_queue(void **state)
{
	(void)state;
	over_seeds("queue with conditions", run_queue, NULL);
}

struct signals {
	struct strand_mutex mutex;
	struct strand_cond cond;
	int signalled, woken;
};

/* Who waits in vain has the mutex nevertheless. */
static int cond_task(void *arg)
{
	struct signals *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		strand_time deadline = draw_deadline();
		int r;

		if (deadline == STRAND_FOREVER)
			deadline = strand_now() + STRAND_SECOND; /* nobody may be left to signal */
		if (strand_mutex_lock(&s->mutex, STRAND_FOREVER) < 0)
			continue; /* cancelled */
		r = strand_cond_wait(&s->cond, &s->mutex, deadline);
		expect_early(r, deadline);
		if (r == 0)
			s->woken++;
		expect_eq(strand_mutex_unlock(&s->mutex), 0);
	}
	return 0;
}

static int signaller_task(void *arg)
{
	struct signals *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		expect_eq(strand_cond_signal(&s->cond), 0);
		s->signalled++;
		let_some_run(3);
	}
	return 0;
}

static int run_signals(void *arg)
{
	struct signals s = {0};
	struct strand_task *signaller = start_task(signaller_task, &s);

	(void)arg;
	run_and_cancel(cond_task, &s);
	expect_eq(end_task(signaller), 0);
	expect_true(s.woken <= s.signalled); /* a signal wakes one */
	expect_eq(strand_mutex_lock(&s.mutex, 0), 0);
	expect_eq(strand_mutex_unlock(&s.mutex), 0);
	return 0;
}

static void test_cond_signals(void **state)
{
	(void)state;
	over_seeds("condition, deadlines and cancel", run_signals, NULL);
}

/* ---- wait group --------------------------------------------------------------------------------- */

struct group {
	struct strand_waitgroup group;
	int left; /* not done yet */
};

static int done_task(void *arg)
{
	struct group *g = arg;

	let_some_run(4);
	g->left--;
	expect_eq(strand_waitgroup_done(&g->group), 0);
	return 0;
}

static int wait_task(void *arg)
{
	struct group *g = arg;
	strand_time deadline = draw_deadline();
	int r = strand_waitgroup_wait(&g->group, deadline);

	expect_early(r, deadline);
	if (r == 0)
		expect_eq(g->left, 0);
	return 0;
}

static int run_group(void *arg)
{
	struct group g = {.left = 3};
	struct strand_task *done[3];

	(void)arg;
	expect_eq(strand_waitgroup_add(&g.group, 3), 0);
	for (int i = 0; i < 3; i++)
		done[i] = start_task(done_task, &g);
	run_and_cancel(wait_task, &g);
	expect_eq(strand_waitgroup_wait(&g.group, STRAND_FOREVER), 0);
	expect_eq(g.left, 0);
	for (int i = 0; i < 3; i++)
		expect_eq(end_task(done[i]), 0);
	expect_eq(strand_waitgroup_done(&g.group), -EINVAL);
	return 0;
}

static void test_waitgroup(void **state)
{
	(void)state;
	over_seeds("wait group", run_group, NULL);
}

/* ---- semaphore ------------------------------------------------------------------------------------ */

enum { PERMITS = 3 };

struct permits {
	struct strand_semaphore semaphore;
	int used;
};

static int permit_task(void *arg)
{
	struct permits *p = arg;

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t wants = 1 + (uint32_t)draw(PERMITS);
		strand_time deadline = draw_deadline();
		int r = strand_semaphore_acquire(&p->semaphore, wants, deadline);

		expect_early(r, deadline);
		if (r < 0)
			continue;
		p->used += (int)wants;
		expect_true(p->used <= PERMITS);
		let_some_run(2);
		p->used -= (int)wants;
		expect_eq(strand_semaphore_release(&p->semaphore, wants), 0);
	}
	return 0;
}

static int run_permits(void *arg)
{
	struct permits p = {.semaphore = STRAND_SEMAPHORE_INIT(PERMITS)};

	(void)arg;
	run_and_cancel(permit_task, &p);
	expect_eq(strand_semaphore_acquire(&p.semaphore, PERMITS, 0), 0); /* none is lost */
	expect_eq(strand_semaphore_acquire(&p.semaphore, 1, 0), -ETIMEDOUT);
	return 0;
}

static void test_semaphore(void **state)
{
	(void)state;
	over_seeds("semaphore", run_permits, NULL);
}

/* ---- once ------------------------------------------------------------------------------------------- */

struct first {
	struct strand_once once;
	int begun, ended;
};

static void do_first(void *arg)
{
	struct first *f = arg;

	expect_eq(f->begun++, 0);
	let_some_run(4);
	f->ended++;
}

static int once_task(void *arg)
{
	struct first *f = arg;
	int r = strand_once(&f->once, do_first, f);

	expect_true(r == 0 || (r == -ECANCELED && strand_cancelled()));
	if (r == 0)
		expect_eq(f->ended, 1);
	return 0;
}

static int run_once(void *arg)
{
	struct first f = {0};

	(void)arg;
	run_and_cancel(once_task, &f);
	expect_eq(f.ended, 1);
	return 0;
}

static void test_once(void **state)
{
	(void)state;
	over_seeds("once", run_once, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mutex),           cmocka_unit_test(test_rwlock),
		cmocka_unit_test(test_leaving_lets_in), cmocka_unit_test(test_cond_queue),
		cmocka_unit_test(test_cond_signals),    cmocka_unit_test(test_waitgroup),
		cmocka_unit_test(test_semaphore),       cmocka_unit_test(test_once),
	};

	interleave_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

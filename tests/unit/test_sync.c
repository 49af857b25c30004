/* SPDX-License-Identifier: MIT */
/*
 * Mutexes, read-write locks, conditions, wait groups, semaphores, once: every call and every
 * error, order, deadlines, cancelling, tasks and threads together.
 */
#include "strand_test.h"

#include "leak_verdict.h"
#include "strand/parking.h"

static struct strand_mutex mutex;
static struct strand_rwlock rwlock;
static struct strand_cond cond;
static struct strand_waitgroup all;
static struct strand_semaphore semaphore;
static struct strand_once once;
static int order[32], ordered; /* who came when; under a lock, or on one worker */

static int start_anew(void **state)
{
	(void)state;
	mutex = (struct strand_mutex){0};
	rwlock = (struct strand_rwlock){0};
	cond = (struct strand_cond){0};
	all = (struct strand_waitgroup){0};
	semaphore = (struct strand_semaphore){0};
	once = (struct strand_once){0};
	ordered = 0;
	return 0;
}

static void note(int who)
{
	/* Two readers may be at it at once. */
	int at = __atomic_fetch_add(&ordered, 1, __ATOMIC_SEQ_CST);

	order[at % 32] = who;
}

static void go(void (*fn)(void *), intptr_t arg)
{
	expect_eq(strand_go(fn, (void *)arg), 0);
}

static strand_time soon(void)
{
	return strand_now() + 2 * STRAND_MILLISECOND;
}

/* Nobody may be left in the lot: by the counts, too. */
static void expect_lot_empty(void)
{
	for (size_t i = 0; i < 2 * LOT_BUCKETS; i++) {
		const struct lot_bucket *bucket = i < LOT_BUCKETS
							  ? &lot_get()->conditions[i]
							  : &lot_get()->others[i - LOT_BUCKETS];

		expect_true(!object_lock_is_held(&bucket->lock));
		for (const struct lot_queue *q = bucket->queues; q; q = q->next)
			expect_true(list_is_empty(&q->waiters) && !lot_entered(q));
	}
}

static void run_all(int (*fn)(void *))
{
	for (size_t i = 0; i < sizeof(test_worker_counts) / sizeof(test_worker_counts[0]); i++) {
		start_anew(NULL);
		run_tasks_with(test_worker_counts[i], fn, NULL);
		expect_lot_empty();
		assert_int_equal(test_failures, 0);
	}
}

static void run_one_worker(int (*fn)(void *))
{
	start_anew(NULL);
	run_tasks_with(1, fn, NULL);
	expect_lot_empty();
	assert_int_equal(test_failures, 0);
}

/* ---- misuse --------------------------------------------------------------------------- */

static void nothing(void *arg)
{
	(void)arg;
}

static int misuse(void *arg)
{
	(void)arg;
	expect_eq(strand_mutex_lock(NULL, 0), -EINVAL);
	expect_eq(strand_mutex_unlock(NULL), -EINVAL);
	expect_eq(strand_mutex_unlock(&mutex), -EPERM);
	expect_eq(strand_rwlock_rlock(NULL, 0), -EINVAL);
	expect_eq(strand_rwlock_lock(NULL, 0), -EINVAL);
	expect_eq(strand_rwlock_runlock(NULL), -EINVAL);
	expect_eq(strand_rwlock_unlock(NULL), -EINVAL);
	expect_eq(strand_rwlock_runlock(&rwlock), -EPERM);
	expect_eq(strand_rwlock_unlock(&rwlock), -EPERM);
	expect_eq(strand_cond_wait(NULL, &mutex, 0), -EINVAL);
	expect_eq(strand_cond_wait(&cond, NULL, 0), -EINVAL);
	expect_eq(strand_cond_wait(&cond, &mutex, STRAND_FOREVER), -EPERM);
	expect_eq(strand_cond_signal(NULL), -EINVAL);
	expect_eq(strand_cond_broadcast(NULL), -EINVAL);
	expect_eq(strand_cond_signal(&cond), 0);
	expect_eq(strand_cond_broadcast(&cond), 0);
	expect_eq(strand_waitgroup_add(NULL, 1), -EINVAL);
	expect_eq(strand_waitgroup_done(NULL), -EINVAL);
	expect_eq(strand_waitgroup_wait(NULL, 0), -EINVAL);
	expect_eq(strand_waitgroup_done(&all), -EINVAL);
	expect_eq(strand_waitgroup_add(&all, 2), 0);
	expect_eq(strand_waitgroup_add(&all, -3), -EINVAL);
	expect_eq(strand_waitgroup_add(&all, INT64_MAX), -EOVERFLOW);
	expect_eq(strand_waitgroup_wait(&all, 0), -ETIMEDOUT);
	expect_eq(strand_waitgroup_add(&all, -2), 0);
	expect_eq(strand_waitgroup_wait(&all, 0), 0);
	expect_eq(strand_semaphore_acquire(NULL, 1, 0), -EINVAL);
	expect_eq(strand_semaphore_acquire(&semaphore, 0, 0), -EINVAL);
	expect_eq(strand_semaphore_acquire(&semaphore, 1, 0), -ETIMEDOUT);
	expect_eq(strand_semaphore_release(NULL, 1), -EINVAL);
	expect_eq(strand_semaphore_release(&semaphore, 0), -EINVAL);
	semaphore = (struct strand_semaphore)STRAND_SEMAPHORE_INIT(UINT64_MAX >> 2);
	expect_eq(strand_semaphore_release(&semaphore, 1), -EOVERFLOW);
	expect_eq(strand_semaphore_acquire(&semaphore, 1, 0), 0);
	expect_eq(strand_semaphore_release(&semaphore, 1), 0);
	expect_eq(strand_once(NULL, nothing, NULL), -EINVAL);
	expect_eq(strand_once(&once, NULL, NULL), -EINVAL);
	return 0;
}

static void test_misuse(void **state)
{
	(void)state;
	run_all(misuse);
}

static void *unlock_by_other(void *arg)
{
	expect_eq(strand_mutex_unlock(&mutex), -EPERM);
	expect_eq(strand_rwlock_unlock(&rwlock), -EPERM);
	expect_eq(strand_rwlock_runlock(&rwlock), -EPERM);
	expect_eq(strand_mutex_lock(&mutex, soon()), -ETIMEDOUT);
	expect_eq(strand_rwlock_rlock(&rwlock, soon()), -ETIMEDOUT);
	__atomic_store_n((bool *)arg, true, __ATOMIC_SEQ_CST);
	expect_eq(strand_mutex_lock(&mutex, STRAND_FOREVER), 0);
	expect_eq(strand_mutex_unlock(&mutex), 0);
	return NULL;
}

static size_t count_waiters(const void *primitive, enum lot_kind kind)
{
	struct lot_spot spot = lot_open(primitive, kind);
	size_t count = spot.queue ? lot_entered(spot.queue) : 0;

	lot_close(&spot);
	return count;
}

static void await_waiters(const void *primitive, enum lot_kind kind, size_t count)
{
	while (count_waiters(primitive, kind) != count)
		strand_yield();
}

/* Threads need no runtime, whether they wait or not. */
static void test_without_runtime(void **state)
{
	bool timed_out = false;
	pthread_t thread;

	(void)state;
	test_failures = 0;
	expect_eq(strand_mutex_lock(&mutex, STRAND_FOREVER), 0);
	expect_eq(strand_rwlock_lock(&rwlock, 0), 0);
	start_thread(&thread, unlock_by_other, &timed_out);
	while (!__atomic_load_n(&timed_out, __ATOMIC_SEQ_CST))
		sched_yield();
	await_waiters(&mutex, LOT_MUTEX, 1);
	expect_eq(strand_mutex_unlock(&mutex), 0);
	pthread_join(thread, NULL);
	expect_eq(strand_rwlock_unlock(&rwlock), 0);
	expect_eq(mutex.word | rwlock.word, 0);
	expect_lot_empty();
	assert_int_equal(test_failures, 0);
}

/* ---- who may unlock ------------------------------------------------------------------------ */

static void not_mine(void *arg)
{
	(void)arg;
	expect_eq(strand_mutex_unlock(&mutex), -EPERM);
	expect_eq(strand_mutex_lock(&mutex, 0), -ETIMEDOUT);
	expect_eq(strand_rwlock_runlock(&rwlock), -EPERM);
	expect_eq(strand_rwlock_unlock(&rwlock), -EPERM);
	expect_eq(strand_rwlock_lock(&rwlock, 0), -ETIMEDOUT);
	expect_eq(strand_rwlock_rlock(&rwlock, 0), 0); /* beside the other reader */
	expect_eq(strand_rwlock_runlock(&rwlock), 0);
	expect_eq(strand_rwlock_runlock(&rwlock), -EPERM);
	expect_eq(strand_waitgroup_done(&all), 0);
}

static void *not_mine_in_thread(void *arg)
{
	not_mine(arg);
	return NULL;
}

static int owners(void *arg)
{
	pthread_t thread;

	(void)arg;
	expect_eq(strand_mutex_lock(&mutex, 0), 0);
	expect_eq(strand_rwlock_rlock(&rwlock, 0), 0);
	expect_eq(strand_waitgroup_add(&all, 2), 0);
	go(not_mine, 0);
	start_thread(&thread, not_mine_in_thread, NULL);
	expect_eq(strand_waitgroup_wait(&all, STRAND_FOREVER), 0);
	pthread_join(thread, NULL);
	expect_eq(strand_rwlock_unlock(&rwlock), -EPERM); /* a reader is no writer */
	expect_eq(strand_rwlock_runlock(&rwlock), 0);
	expect_eq(strand_rwlock_lock(&rwlock, 0), 0);
	expect_eq(strand_rwlock_runlock(&rwlock), -EPERM); /* nor the reverse */
	expect_eq(strand_rwlock_rlock(&rwlock, 0), -ETIMEDOUT);
	expect_eq(strand_rwlock_unlock(&rwlock), 0);
	expect_eq(strand_mutex_unlock(&mutex), 0);
	expect_eq(strand_mutex_unlock(&mutex), -EPERM);
	expect_eq(mutex.word | rwlock.word, 0);
	return 0;
}

static void test_owners(void **state)
{
	(void)state;
	run_all(owners);
}

/* More read locks than a task's list holds, in any order, more than once. */
static int many_reads(void *arg)
{
	struct strand_rwlock locks[2 * READS_MAX] = {0};
	const int count = sizeof(locks) / sizeof(locks[0]);

	(void)arg;
	for (int turn = 0; turn < 2; turn++)
		for (int i = 0; i < count; i++)
			expect_eq(strand_rwlock_rlock(&locks[i], 0), 0);
	for (int i = 0; i < count; i++)
		expect_eq(strand_rwlock_lock(&locks[i], 0), -ETIMEDOUT);
	for (int i = 0; i < count; i++)
		expect_eq(strand_rwlock_runlock(&locks[(i * 3) % count]), 0);
	for (int i = count; i-- > 0;)
		expect_eq(strand_rwlock_runlock(&locks[i]), 0);
	for (int i = 0; i < count; i++) {
		expect_eq(locks[i].word, 0);
		expect_eq(strand_rwlock_runlock(&locks[i]), -EPERM);
	}
	return 0;
}

static void *many_reads_in_thread(void *arg)
{
	many_reads(arg);
	return NULL;
}

static int many_reads_everywhere(void *arg)
{
	pthread_t thread;

	start_thread(&thread, many_reads_in_thread, NULL);
	many_reads(arg);
	pthread_join(thread, NULL);
	return 0;
}

static void test_many_reads(void **state)
{
	(void)state;
	run_all(many_reads_everywhere);
}

/* ---- order ------------------------------------------------------------------------------------ */

static void lock_in_turn(void *arg)
{
	expect_eq(strand_mutex_lock(&mutex, STRAND_FOREVER), 0);
	note((int)(intptr_t)arg);
	expect_eq(strand_mutex_unlock(&mutex), 0);
	strand_waitgroup_done(&all);
}

/* Handed over in the order of arrival; the one that unlocks cannot overtake. */
static int mutex_order(void *arg)
{
	(void)arg;
	expect_eq(strand_mutex_lock(&mutex, 0), 0);
	for (int i = 0; i < 5; i++) {
		strand_waitgroup_add(&all, 1);
		go(lock_in_turn, i);
		await_waiters(&mutex, LOT_MUTEX, (size_t)i + 1);
	}
	expect_eq(strand_mutex_unlock(&mutex), 0);
	expect_eq(strand_mutex_lock(&mutex, 0), -ETIMEDOUT); /* it has an owner already */
	expect_eq(strand_mutex_lock(&mutex, STRAND_FOREVER), 0);
	expect_eq(ordered, 5);
	expect_eq(strand_mutex_unlock(&mutex), 0);
	expect_eq(strand_waitgroup_wait(&all, STRAND_FOREVER), 0);
	for (int i = 0; i < 5; i++)
		expect_eq(order[i], i);
	expect_eq(mutex.word, 0);
	return 0;
}

static void test_mutex_order(void **state)
{
	(void)state;
	run_one_worker(mutex_order);
}

static void read_in_turn(void *arg)
{
	expect_eq(strand_rwlock_rlock(&rwlock, STRAND_FOREVER), 0);
	note((int)(intptr_t)arg);
	strand_yield();
	expect_eq(strand_rwlock_runlock(&rwlock), 0);
	strand_waitgroup_done(&all);
}

static void write_in_turn(void *arg)
{
	expect_eq(strand_rwlock_lock(&rwlock, STRAND_FOREVER), 0);
	note((int)(intptr_t)arg);
	strand_yield();
	note((int)(intptr_t)arg);
	expect_eq(strand_rwlock_unlock(&rwlock), 0);
	strand_waitgroup_done(&all);
}

/* A queued writer holds back readers; readers at the front get in together. */
static int rwlock_order(void *arg)
{
	(void)arg;
	expect_eq(strand_rwlock_rlock(&rwlock, 0), 0);
	strand_waitgroup_add(&all, 4);
	go(write_in_turn, 0);
	await_waiters(&rwlock, LOT_RWLOCK, 1);
	expect_eq(strand_rwlock_rlock(&rwlock, 0), -ETIMEDOUT);
	go(read_in_turn, 1);
	await_waiters(&rwlock, LOT_RWLOCK, 2);
	go(read_in_turn, 2);
	await_waiters(&rwlock, LOT_RWLOCK, 3);
	go(write_in_turn, 3);
	await_waiters(&rwlock, LOT_RWLOCK, 4);
	expect_eq(strand_rwlock_runlock(&rwlock), 0);
	expect_eq(strand_waitgroup_wait(&all, STRAND_FOREVER), 0);
	expect_eq(ordered, 6);
	expect_true(order[0] == 0 && order[1] == 0);
	expect_true(order[2] != order[3] && order[2] + order[3] == 1 + 2);
	expect_true(order[4] == 3 && order[5] == 3);
	expect_eq(rwlock.word, 0);
	return 0;
}

static void test_rwlock_order(void **state)
{
	(void)state;
	run_one_worker(rwlock_order);
}

static int write_until(void *arg)
{
	return strand_rwlock_lock(&rwlock, *(strand_time *)arg);
}

/*
 * A writer that gives up lets in the readers behind it, though nobody unlocks.
 * Returns false if it gave up so early that there were none.
 */
static bool writer_gives_up(strand_time deadline)
{
	struct strand_task *writer;
	bool in_time;
	int r = 0;

	expect_eq(strand_rwlock_rlock(&rwlock, 0), 0);
	expect_eq(strand_spawn(NULL, write_until, &deadline, &writer), 0);
	while (!count_waiters(&rwlock, LOT_RWLOCK) && strand_now() < deadline)
		strand_yield();
	strand_waitgroup_add(&all, 2);
	go(read_in_turn, 1);
	go(read_in_turn, 2);
	while (count_waiters(&rwlock, LOT_RWLOCK) != 3 && strand_now() < deadline)
		strand_yield();
	in_time = count_waiters(&rwlock, LOT_RWLOCK) == 3;
	if (deadline == STRAND_FOREVER)
		expect_eq(strand_cancel(writer), 0);
	expect_eq(strand_waitgroup_wait(&all, STRAND_FOREVER), 0);
	expect_eq(strand_join(writer, STRAND_FOREVER, &r), 0);
	expect_eq(r, deadline == STRAND_FOREVER ? -ECANCELED : -ETIMEDOUT);
	strand_task_unref(writer);
	expect_eq(strand_rwlock_runlock(&rwlock), 0);
	expect_eq(rwlock.word, 0);
	return in_time;
}

static int writers_give_up(void *arg)
{
	strand_time patience = 10 * STRAND_MILLISECOND;

	(void)arg;
	expect_true(writer_gives_up(STRAND_FOREVER));
	while (!writer_gives_up(strand_now() + patience))
		patience *= 2;
	return 0;
}

static void test_writers_give_up(void **state)
{
	(void)state;
	run_all(writers_give_up);
}

static int acquire_five(void *arg)
{
	return strand_semaphore_acquire(&semaphore, 5, *(strand_time *)arg);
}

static void acquire_in_turn(void *arg)
{
	expect_eq(strand_semaphore_acquire(&semaphore, (uint32_t)(intptr_t)arg, STRAND_FOREVER), 0);
	note((int)(intptr_t)arg);
	strand_waitgroup_done(&all);
}

/* On one worker. */
static void await_ordered(int count)
{
	while (ordered != count)
		strand_yield();
}

/* Few permits do not overtake many; who wanted many gives up, and the few get in. */
static int semaphore_order(void *arg)
{
	strand_time deadline = STRAND_FOREVER;
	struct strand_task *big;
	int r = 0;

	(void)arg;
	expect_eq(strand_semaphore_release(&semaphore, 2), 0);
	expect_eq(strand_spawn(NULL, acquire_five, &deadline, &big), 0);
	await_waiters(&semaphore, LOT_SEMAPHORE, 1);
	expect_eq(strand_semaphore_acquire(&semaphore, 1, 0), -ETIMEDOUT);
	strand_waitgroup_add(&all, 3);
	go(acquire_in_turn, 1);
	await_waiters(&semaphore, LOT_SEMAPHORE, 2);
	go(acquire_in_turn, 3);
	await_waiters(&semaphore, LOT_SEMAPHORE, 3);
	go(acquire_in_turn, 2);
	await_waiters(&semaphore, LOT_SEMAPHORE, 4);
	expect_eq(strand_cancel(big), 0);
	expect_eq(strand_join(big, STRAND_FOREVER, &r), 0);
	expect_eq(r, -ECANCELED);
	strand_task_unref(big);
	await_ordered(1);
	await_waiters(&semaphore, LOT_SEMAPHORE, 2); /* one permit is left, too few for the next */
	expect_eq(strand_semaphore_acquire(&semaphore, 1, 0), -ETIMEDOUT);
	expect_eq(strand_semaphore_release(&semaphore, 2), 0);
	await_ordered(2);
	await_waiters(&semaphore, LOT_SEMAPHORE, 1);
	expect_eq(strand_semaphore_release(&semaphore, 3), 0);
	expect_eq(strand_waitgroup_wait(&all, STRAND_FOREVER), 0);
	expect_eq(order[0], 1);
	expect_eq(order[1], 3);
	expect_eq(order[2], 2);
	expect_eq(strand_semaphore_acquire(&semaphore, 1, 0), 0);
	expect_eq(semaphore.word, 0);
	return 0;
}

static void test_semaphore_order(void **state)
{
	(void)state;
	run_one_worker(semaphore_order);
}

/* ---- deadlines and cancelling ------------------------------------------------------------------- */

enum call { MUTEX, RLOCK, LOCK, COND, GROUP, SEMAPHORE, ONCE, CALLS };

static struct strand_mutex cond_mutex;

static int call(enum call which, strand_time deadline)
{
	int r;

	switch (which) {
	case MUTEX:
		return strand_mutex_lock(&mutex, deadline);
	case RLOCK:
		return strand_rwlock_rlock(&rwlock, deadline);
	case LOCK:
		return strand_rwlock_lock(&rwlock, deadline);
	case COND:
		expect_eq(strand_mutex_lock(&cond_mutex, STRAND_FOREVER), 0);
		r = strand_cond_wait(&cond, &cond_mutex, deadline);
		expect_eq(strand_mutex_unlock(&cond_mutex), 0); /* its own, whatever happened */
		return r;
	case GROUP:
		return strand_waitgroup_wait(&all, deadline);
	case SEMAPHORE:
		return strand_semaphore_acquire(&semaphore, 1, deadline);
	case ONCE:
		return strand_once(&once, nothing, NULL);
	case CALLS:
		break;
	}
	return 0;
}

static const enum strand_wait_reason reasons[CALLS] = {
	STRAND_WAIT_MUTEX_LOCK, STRAND_WAIT_RWLOCK_RLOCK,   STRAND_WAIT_RWLOCK_LOCK,
	STRAND_WAIT_COND_WAIT,  STRAND_WAIT_WAITGROUP_WAIT, STRAND_WAIT_SEMAPHORE_ACQUIRE,
	STRAND_WAIT_MUTEX_LOCK,
};

static int call_forever(void *arg)
{
	int r = call((enum call)(intptr_t)arg, STRAND_FOREVER);

	/* Cancellation is sticky: nothing waits any more. */
	expect_eq(call((enum call)(intptr_t)arg, STRAND_FOREVER), -ECANCELED);
	return r;
}

static void *call_from_thread(void *arg)
{
	for (enum call c = 0; c < ONCE; c++) {
		expect_eq(call(c, 0), -ETIMEDOUT);
		expect_eq(call(c, soon()), -ETIMEDOUT);
	}
	return arg;
}

static void expect_cancelled(enum call c)
{
	struct strand_task *task;
	int r = 0;

	expect_eq(strand_spawn(NULL, call_forever, (void *)(intptr_t)c, &task), 0);
	await_parked(reasons[c], 1);
	expect_eq(strand_cancel(task), 0);
	expect_eq(strand_join(task, STRAND_FOREVER, &r), 0);
	expect_eq(r, -ECANCELED);
	strand_task_unref(task);
}

/* Everything is taken: each call waits until its time is over, or it is cancelled. */
static int give_up(void *arg)
{
	pthread_t thread;

	(void)arg;
	expect_eq(strand_mutex_lock(&mutex, 0), 0);
	expect_eq(strand_rwlock_lock(&rwlock, 0), 0);
	expect_eq(strand_mutex_lock(&once.mutex, 0), 0);
	expect_eq(strand_waitgroup_add(&all, 1), 0);
	start_thread(&thread, call_from_thread, NULL);
	for (enum call c = 0; c < CALLS; c++) {
		strand_time until = soon();

		if (c != ONCE) { /* that has no deadline */
			expect_eq(call(c, 0), -ETIMEDOUT);
			expect_eq(call(c, -1), -ETIMEDOUT);
			expect_eq(call(c, until), -ETIMEDOUT);
			expect_true(strand_now() >= until);
		}
		expect_cancelled(c);
	}
	pthread_join(thread, NULL);
	expect_eq(strand_mutex_unlock(&mutex), 0);
	expect_eq(strand_rwlock_unlock(&rwlock), 0);
	expect_eq(strand_mutex_unlock(&once.mutex), 0);
	expect_eq(strand_waitgroup_done(&all), 0);
	for (enum call c = 0; c <= LOCK; c++) { /* as if nobody had ever waited */
		expect_eq(call(c, 0), 0);
		expect_eq(c == MUTEX   ? strand_mutex_unlock(&mutex)
			  : c == RLOCK ? strand_rwlock_runlock(&rwlock)
				       : strand_rwlock_unlock(&rwlock),
			  0);
	}
	expect_eq(mutex.word | rwlock.word | all.word, 0);
	return 0;
}

static void test_give_up(void **state)
{
	(void)state;
	run_all(give_up);
}

/* A scope's deadline holds for its tasks' locks. */
static int lock_in_scope(void *arg)
{
	(void)arg;
	expect_eq(strand_mutex_lock(&mutex, STRAND_FOREVER), -ETIMEDOUT);
	return 0;
}

static int scope_limits(void *arg)
{
	struct strand_scope *scope;

	(void)arg;
	expect_eq(strand_mutex_lock(&mutex, 0), 0);
	expect_eq(strand_scope_new(soon(), &scope), 0);
	expect_eq(strand_scope_go(scope, NULL, lock_in_scope, NULL), 0);
	expect_eq(strand_scope_wait(scope), 0);
	expect_eq(strand_mutex_unlock(&mutex), 0);
	return 0;
}

static void test_scope_limits(void **state)
{
	(void)state;
	run_all(scope_limits);
}

/* ---- conditions ------------------------------------------------------------------------------------ */

static int tokens, consumed; /* under the mutex */

static void consume_one(void *arg)
{
	(void)arg;
	expect_eq(strand_mutex_lock(&mutex, STRAND_FOREVER), 0);
	while (!tokens)
		expect_eq(strand_cond_wait(&cond, &mutex, STRAND_FOREVER), 0);
	tokens--;
	consumed++;
	expect_eq(strand_mutex_unlock(&mutex), 0);
	strand_waitgroup_done(&all);
}

static void *consume_in_thread(void *arg)
{
	consume_one(arg);
	return NULL;
}

#define CONSUMERS 8

static int signal_and_broadcast(void *arg)
{
	pthread_t thread;

	(void)arg;
	tokens = consumed = 0;
	strand_waitgroup_add(&all, CONSUMERS + 1);
	for (int i = 0; i < CONSUMERS; i++)
		go(consume_one, 0);
	start_thread(&thread, consume_in_thread, NULL);
	await_waiters(&cond, LOT_COND, CONSUMERS + 1);
	expect_eq(strand_mutex_lock(&mutex, STRAND_FOREVER), 0);
	tokens = 1;
	expect_eq(strand_cond_signal(&cond), 0); /* exactly one, with the mutex held */
	expect_eq(strand_mutex_unlock(&mutex), 0);
	for (int now = 0; now != 1; strand_yield()) {
		expect_eq(strand_mutex_lock(&mutex, STRAND_FOREVER), 0);
		now = consumed;
		expect_eq(strand_mutex_unlock(&mutex), 0);
	}
	await_waiters(&cond, LOT_COND, CONSUMERS);
	expect_eq(strand_mutex_lock(&mutex, STRAND_FOREVER), 0);
	tokens = CONSUMERS;
	expect_eq(strand_mutex_unlock(&mutex), 0);
	expect_eq(strand_cond_broadcast(&cond), 0); /* all, without it */
	expect_eq(strand_waitgroup_wait(&all, STRAND_FOREVER), 0);
	pthread_join(thread, NULL);
	expect_eq(consumed, CONSUMERS + 1);
	expect_eq(mutex.word, 0);
	return 0;
}

static void test_signal_and_broadcast(void **state)
{
	(void)state;
	run_all(signal_and_broadcast);
}

/* ---- once -------------------------------------------------------------------------------------------- */

static int calls, initialised; /* atomic */

static void initialise(void *arg)
{
	__atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 5; i++)
		strand_yield();
	__atomic_store_n(&initialised, *(int *)arg, __ATOMIC_SEQ_CST);
}

static void use(void *arg)
{
	int value = 42;

	(void)arg;
	expect_eq(strand_once(&once, initialise, &value), 0);
	expect_eq(__atomic_load_n(&initialised, __ATOMIC_SEQ_CST), 42);
	strand_waitgroup_done(&all);
}

static void *use_in_thread(void *arg)
{
	use(arg);
	return NULL;
}

static int once_for_all(void *arg)
{
	pthread_t threads[2];

	(void)arg;
	calls = initialised = 0;
	strand_waitgroup_add(&all, 12);
	for (int i = 0; i < 10; i++)
		go(use, 0);
	for (int i = 0; i < 2; i++)
		start_thread(&threads[i], use_in_thread, NULL);
	expect_eq(strand_waitgroup_wait(&all, STRAND_FOREVER), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	expect_eq(calls, 1);
	return 0;
}

static void test_once(void **state)
{
	(void)state;
	run_all(once_for_all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_misuse, start_anew),
		cmocka_unit_test_setup(test_without_runtime, start_anew),
		cmocka_unit_test_setup(test_owners, start_anew),
		cmocka_unit_test_setup(test_many_reads, start_anew),
		cmocka_unit_test_setup(test_mutex_order, start_anew),
		cmocka_unit_test_setup(test_rwlock_order, start_anew),
		cmocka_unit_test_setup(test_writers_give_up, start_anew),
		cmocka_unit_test_setup(test_semaphore_order, start_anew),
		cmocka_unit_test_setup(test_give_up, start_anew),
		cmocka_unit_test_setup(test_scope_limits, start_anew),
		cmocka_unit_test_setup(test_signal_and_broadcast, start_anew),
		cmocka_unit_test_setup(test_once, start_anew),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

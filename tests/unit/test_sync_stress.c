/* SPDX-License-Identifier: MIT */
/*
 * Locks and the like under load, by tasks and plain threads together: nothing gets lost, nobody
 * is in twice, and what deadlines and cancelling interrupt leaves nothing behind.
 */
#include "strand_test.h"

#include "strand/parking.h"

#define TASKS   12
#define THREADS 2
#define ROUNDS  2000

static struct strand_mutex mutex;
static struct strand_rwlock rwlock;
static struct strand_cond not_empty, not_full;
static struct strand_semaphore semaphore;
static struct strand_waitgroup all;
static long counter;                /* not atomic: the lock protects it */
static int readers, writers, users; /* atomic: who is in */
static void (*body)(unsigned);

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

static void work(void *arg)
{
	body((unsigned)(uintptr_t)arg);
	strand_waitgroup_done(&all);
}

static void *work_in_thread(void *arg)
{
	work(arg);
	return NULL;
}

static int run_bodies(void *arg)
{
	pthread_t threads[THREADS];

	(void)arg;
	strand_waitgroup_add(&all, TASKS + THREADS);
	for (uintptr_t i = 0; i < TASKS; i++)
		expect_eq(strand_go(work, (void *)(i + 1)), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		start_thread(&threads[i], work_in_thread, (void *)(i + 100));
	expect_eq(strand_waitgroup_wait(&all, STRAND_FOREVER), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static void expect_lot_empty(void)
{
	for (size_t i = 0; i < LOT_BUCKETS; i++) {
		for (const struct lot_queue *q = lot_get()->conditions[i].queues; q; q = q->next)
			assert_true(list_is_empty(&q->waiters) && !lot_entered(q));
		for (const struct lot_queue *q = lot_get()->others[i].queues; q; q = q->next)
			assert_true(list_is_empty(&q->waiters) && !lot_entered(q));
	}
}

static void run_stress(void (*fn)(unsigned))
{
	body = fn;
	counter = 0;
	for (size_t i = 0; i < sizeof(test_worker_counts) / sizeof(test_worker_counts[0]); i++) {
		counter = 0;
		run_tasks_with(test_worker_counts[i], run_bodies, NULL);
		expect_lot_empty();
	}
}

/* ---- mutex ------------------------------------------------------------------------------ */

static void count_up(unsigned seed)
{
	for (int i = 0; i < ROUNDS; i++) {
		expect_eq(strand_mutex_lock(&mutex, STRAND_FOREVER), 0);
		counter++;
		if (next(&seed) % 16 == 0)
			strand_yield();
		expect_eq(strand_mutex_unlock(&mutex), 0);
	}
}

static void test_mutex(void **state)
{
	(void)state;
	run_stress(count_up);
	assert_int_equal(counter, (TASKS + THREADS) * ROUNDS);
	assert_int_equal(mutex.word, 0);
}

static void count_up_in_time(unsigned seed)
{
	for (int i = 0; i < ROUNDS; i++) {
		strand_time until = strand_now() + (strand_time)(next(&seed) % 30) * 1000;
		int r = strand_mutex_lock(&mutex, until);

		expect_true(r == 0 || r == -ETIMEDOUT);
		if (r)
			continue;
		expect_eq(__atomic_fetch_add(&users, 1, __ATOMIC_SEQ_CST), 0);
		strand_yield();
		expect_eq(__atomic_sub_fetch(&users, 1, __ATOMIC_SEQ_CST), 0);
		expect_eq(strand_mutex_unlock(&mutex), 0);
	}
}

static void test_mutex_deadlines(void **state)
{
	(void)state;
	run_stress(count_up_in_time);
	assert_int_equal(mutex.word | (uint64_t)users, 0);
}

/* ---- read-write lock ------------------------------------------------------------------------ */

static void be_reader(strand_time until)
{
	if (strand_rwlock_rlock(&rwlock, until) < 0)
		return;
	__atomic_fetch_add(&readers, 1, __ATOMIC_SEQ_CST);
	expect_eq(__atomic_load_n(&writers, __ATOMIC_SEQ_CST), 0);
	strand_yield();
	__atomic_fetch_sub(&readers, 1, __ATOMIC_SEQ_CST);
	expect_eq(strand_rwlock_runlock(&rwlock), 0);
}

static void be_writer(strand_time until)
{
	if (strand_rwlock_lock(&rwlock, until) < 0)
		return;
	expect_eq(__atomic_fetch_add(&writers, 1, __ATOMIC_SEQ_CST), 0);
	expect_eq(__atomic_load_n(&readers, __ATOMIC_SEQ_CST), 0);
	strand_yield();
	__atomic_fetch_sub(&writers, 1, __ATOMIC_SEQ_CST);
	expect_eq(strand_rwlock_unlock(&rwlock), 0);
}

static void read_and_write(unsigned seed)
{
	for (int i = 0; i < ROUNDS; i++) {
		unsigned dice = next(&seed);
		strand_time until =
			dice & 1 ? STRAND_FOREVER : strand_now() + (strand_time)(dice % 64) * 500;

		if (dice % 8 < 6)
			be_reader(until);
		else
			be_writer(until);
	}
}

static void test_rwlock(void **state)
{
	(void)state;
	run_stress(read_and_write);
	assert_int_equal(rwlock.word | (uint64_t)readers | (uint64_t)writers, 0);
}

/* ---- condition: a bounded buffer --------------------------------------------------------------- */

#define ROOM 3

static long in_buffer, produced, consumed; /* under the mutex */

static void produce(void)
{
	expect_eq(strand_mutex_lock(&mutex, STRAND_FOREVER), 0);
	while (in_buffer == ROOM)
		expect_eq(strand_cond_wait(&not_full, &mutex, STRAND_FOREVER), 0);
	in_buffer++;
	produced++;
	strand_cond_signal(&not_empty);
	expect_eq(strand_mutex_unlock(&mutex), 0);
}

static void consume(void)
{
	expect_eq(strand_mutex_lock(&mutex, STRAND_FOREVER), 0);
	while (!in_buffer)
		expect_eq(strand_cond_wait(&not_empty, &mutex, STRAND_FOREVER), 0);
	in_buffer--;
	consumed++;
	expect_eq(strand_mutex_unlock(&mutex), 0);
	strand_cond_signal(&not_full);
}

/* Odd numbers produce and even ones consume: as many of each among tasks and threads. */
static void exchange(unsigned seed)
{
	for (int i = 0; i < ROUNDS; i++) {
		if (seed & 1)
			produce();
		else
			consume();
	}
}

static void test_cond(void **state)
{
	(void)state;
	run_stress(exchange);
	assert_int_equal(in_buffer, 0);
	assert_int_equal(produced, consumed);
	assert_int_equal(produced, 3 * ROUNDS * (TASKS + THREADS) / 2);
}

/* ---- semaphore ----------------------------------------------------------------------------------- */

#define PERMITS 5

static void use_some(unsigned seed)
{
	for (int i = 0; i < ROUNDS; i++) {
		unsigned dice = next(&seed);
		uint32_t n = 1 + dice % PERMITS;
		strand_time until =
			dice & 64 ? STRAND_FOREVER : strand_now() + (strand_time)(dice % 50) * 500;

		if (strand_semaphore_acquire(&semaphore, n, until) < 0)
			continue;
		expect_true(__atomic_add_fetch(&users, (int)n, __ATOMIC_SEQ_CST) <= PERMITS);
		strand_yield();
		__atomic_sub_fetch(&users, (int)n, __ATOMIC_SEQ_CST);
		expect_eq(strand_semaphore_release(&semaphore, n), 0);
	}
}

static void test_semaphore(void **state)
{
	(void)state;
	semaphore = (struct strand_semaphore)STRAND_SEMAPHORE_INIT(PERMITS);
	run_stress(use_some);
	assert_int_equal(semaphore.word, (uint64_t)PERMITS << 1);
}

/* ---- wait groups that are gone when the wait has ended --------------------------------------------- */

static void finish_one(void *arg)
{
	strand_waitgroup_done(arg);
}

static void wait_for_own(unsigned seed)
{
	for (int i = 0; i < ROUNDS / 10; i++) {
		struct strand_waitgroup *group = calloc(1, sizeof(*group));
		int n = 1 + (int)(next(&seed) % 4);

		strand_waitgroup_add(group, n);
		for (int k = 0; k < n; k++)
			expect_eq(strand_go(finish_one, group), 0);
		expect_eq(strand_waitgroup_wait(group, STRAND_FOREVER), 0);
		free(group);
	}
}

static void test_waitgroup(void **state)
{
	(void)state;
	run_stress(wait_for_own);
}

/* ---- cancelling at any moment ------------------------------------------------------------------------ */

static int lock_until_cancelled(void *arg)
{
	int r;

	(void)arg;
	while ((r = strand_mutex_lock(&mutex, STRAND_FOREVER)) == 0) {
		expect_eq(__atomic_fetch_add(&users, 1, __ATOMIC_SEQ_CST), 0);
		strand_yield();
		__atomic_fetch_sub(&users, 1, __ATOMIC_SEQ_CST);
		expect_eq(strand_mutex_unlock(&mutex), 0);
		if (strand_cancelled())
			return -ECANCELED;
	}
	return r;
}

static int cancel_lockers(void *arg)
{
	struct strand_task *tasks[8];

	(void)arg;
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 8; i++)
			expect_eq(strand_spawn(NULL, lock_until_cancelled, NULL, &tasks[i]), 0);
		for (int i = 0; i < round % 7; i++)
			strand_yield();
		for (int i = 0; i < 8; i++)
			expect_eq(strand_cancel(tasks[i]), 0);
		for (int i = 0; i < 8; i++) {
			int r = 0;

			expect_eq(strand_join(tasks[i], STRAND_FOREVER, &r), 0);
			expect_eq(r, -ECANCELED);
			strand_task_unref(tasks[i]);
		}
		expect_eq(mutex.word & ~(uint64_t)1, 0);
	}
	return 0;
}

static void test_cancel(void **state)
{
	(void)state;
	mutex = (struct strand_mutex){0};
	run_tasks(cancel_lockers, NULL);
	expect_lot_empty();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mutex),     cmocka_unit_test(test_mutex_deadlines),
		cmocka_unit_test(test_rwlock),    cmocka_unit_test(test_cond),
		cmocka_unit_test(test_semaphore), cmocka_unit_test(test_waitgroup),
		cmocka_unit_test(test_cancel),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

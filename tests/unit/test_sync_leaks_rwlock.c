/* SPDX-License-Identifier: MIT */
/*
 * Read-write locks under the leak search. What makes them harder than mutexes: many owners,
 * and who waits may hold back others.
 */
#include "leak_case.h"

static struct strand_rwlock lock, locks[READS_MAX + 1];

static void read_then_read(void *arg)
{
	(void)arg;
	i_am(0);
	expect_eq(strand_rwlock_rlock(&lock, STRAND_FOREVER), 0);
	reach(1);
	await_parked(STRAND_WAIT_RWLOCK_LOCK, 1);
	expect_eq(strand_rwlock_rlock(&lock, STRAND_FOREVER), 0);
	reach(2);
}

static void write_lock(void *arg)
{
	(void)arg;
	i_am(1);
	await_step(1);
	expect_eq(strand_rwlock_lock(&lock, STRAND_FOREVER), 0);
}

static void write_lock_some_day(void *arg)
{
	(void)arg;
	i_am(1);
	await_step(1);
	strand_rwlock_lock(&lock, some_day());
}

static int rwr(void *arg)
{
	(void)arg;
	go(read_then_read);
	go(write_lock);
	await_parked(STRAND_WAIT_RWLOCK_RLOCK, 1);
	expect_leaked(2, 3);
	return 0;
}

/* When the writer gives up the reader gets in. */
static int rwr_with_deadline(void *arg)
{
	(void)arg;
	go(read_then_read);
	go(write_lock_some_day);
	await_parked(STRAND_WAIT_RWLOCK_RLOCK, 1);
	expect_leaked(0, 0);
	expect_eq(verdict_of(ids[0]), STRAND_VERDICT_LIVE);
	return 0;
}

static int write_lock_until_cancelled(void *arg)
{
	(void)arg;
	expect_eq(strand_rwlock_lock(&lock, STRAND_FOREVER), -ECANCELED);
	return 0;
}

/* The same, by a handle; and then it is done. */
static int rwr_with_handle(void *arg)
{
	struct strand_task *writer;

	(void)arg;
	go(read_then_read);
	await_step(1);
	expect_eq(strand_spawn(NULL, write_lock_until_cancelled, NULL, &writer), 0);
	await_parked(STRAND_WAIT_RWLOCK_RLOCK, 1);
	expect_leaked(0, 0);
	expect_eq(strand_cancel(writer), 0);
	expect_eq(strand_join(writer, STRAND_FOREVER, NULL), 0);
	await_step(2);
	strand_task_unref(writer);
	return 0;
}

static void *write_in_thread(void *arg)
{
	expect_eq(strand_rwlock_lock(&lock, *(strand_time *)arg), -ETIMEDOUT);
	return NULL;
}

static void read_behind_thread(void *arg)
{
	(void)arg;
	i_am(0);
	expect_eq(strand_rwlock_rlock(&lock, STRAND_FOREVER), 0);
	reach(1);
	while (strand_rwlock_rlock(&lock, 0) == 0) { /* until the thread waits */
		expect_eq(strand_rwlock_runlock(&lock), 0);
		strand_yield();
	}
	expect_eq(strand_rwlock_rlock(&lock, STRAND_FOREVER), 0);
	reach(2);
}

static int rwr_with_thread(void *arg)
{
	strand_time deadline;
	pthread_t thread;

	(void)arg;
	go(read_behind_thread);
	await_step(1);
	deadline = strand_now() + 2 * STRAND_SECOND;
	start_thread(&thread, write_in_thread, &deadline);
	await_parked(STRAND_WAIT_RWLOCK_RLOCK, 1);
	expect_leaked(0, 0);
	await_step(2); /* and indeed */
	pthread_join(thread, NULL);
	return 0;
}

static void upgrade(void *arg)
{
	(void)arg;
	expect_eq(strand_rwlock_rlock(&lock, STRAND_FOREVER), 0);
	__atomic_fetch_add(&step, 1, __ATOMIC_SEQ_CST);
	await_step(2);
	expect_eq(strand_rwlock_lock(&lock, STRAND_FOREVER), 0);
}

static int upgrade_by_two(void *arg)
{
	(void)arg;
	go(upgrade);
	go(upgrade);
	await_parked(STRAND_WAIT_RWLOCK_LOCK, 2);
	search_for_leaks();
	expect_eq(verdicts.leaked, 2);
	return 0;
}

static void write_then_read(void *arg)
{
	(void)arg;
	i_am(0);
	expect_eq(strand_rwlock_lock(&lock, STRAND_FOREVER), 0);
	expect_eq(strand_rwlock_rlock(&lock, STRAND_FOREVER), 0);
}

static int read_as_writer(void *arg)
{
	(void)arg;
	go(write_then_read);
	await_parked(STRAND_WAIT_RWLOCK_RLOCK, 1);
	expect_leaked(1, 1);
	return 0;
}

/* A reader that has ended and one that has not: the second decides nothing, but who knows. */
static void read_and_end(void *arg)
{
	(void)arg;
	expect_eq(strand_rwlock_rlock(&locks[1], 0), 0);
}

static void read_and_sleep(void *arg)
{
	(void)arg;
	expect_eq(strand_rwlock_rlock(&locks[1], 0), 0);
	reach(1);
	strand_sleep(some_day());
}

static void write_1(void *arg)
{
	(void)arg;
	i_am(0);
	expect_eq(strand_rwlock_lock(&locks[1], STRAND_FOREVER), 0);
}

static int one_reader_lives(void *arg)
{
	(void)arg;
	go(read_and_end);
	go(read_and_sleep);
	await_step(1);
	go(write_1);
	await_parked(STRAND_WAIT_RWLOCK_LOCK, 1);
	expect_leaked(0, 0);
	return 0;
}

static void read_many_and_sleep(void *arg)
{
	(void)arg;
	for (int i = READS_MAX; i >= 0; i--)
		expect_eq(strand_rwlock_rlock(&locks[i], 0), 0);
	reach(1);
	strand_sleep(some_day());
}

static void write_0(void *arg)
{
	(void)arg;
	i_am(0);
	expect_eq(strand_rwlock_lock(&locks[0], STRAND_FOREVER), 0);
}

/* More read locks than fit its list. */
static int reader_is_unlisted(void *arg)
{
	(void)arg;
	go(read_many_and_sleep);
	await_step(1);
	go(write_0);
	await_parked(STRAND_WAIT_RWLOCK_LOCK, 1);
	expect_leaked(0, 0);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_case(rwr),
		leak_case(rwr_with_deadline),
		leak_case(rwr_with_handle),
		leak_case(rwr_with_thread),
		leak_case(upgrade_by_two),
		leak_case(read_as_writer),
		leak_case(one_reader_lives),
		leak_case(reader_is_unlisted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

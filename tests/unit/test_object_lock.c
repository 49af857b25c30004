/* SPDX-License-Identifier: MIT */
/* The locks of wait objects, while one thread uses them and when a second one comes. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "strand/mutex.h"
#include "strand/object_lock.h"
#include "strand_test.h"

/* Each test is a process of its own: a solo begins once in a life. */
static void in_a_child(void (*test)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		/* A fork's child has no solo: this one begins anew, as a new process would. */
		atomic_store(&solo_state, SOLO_POSSIBLE);
		test();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void need(bool truth, int code)
{
	if (!truth)
		_exit(code);
}

static void begin(void)
{
	solo_begin();
	need(solo_here, 100);
}

static void *take_and_release(void *lock)
{
	object_lock_take(lock);
	object_lock_release(lock);
	return NULL;
}

static void alone(void)
{
	struct object_lock lock = {0};

	begin();
	object_lock_take(&lock);
	need(lock.mine && !lock.held && object_lock_is_held(&lock), 1);
	object_lock_release(&lock);
	need(!object_lock_is_held(&lock), 2);
	need(solo_enter(), 3);
	solo_leave();
}

static void test_alone(void **state)
{
	(void)state;
#ifdef STRAND_TSAN
	skip();
#endif
	in_a_child(alone);
}

/* Held by the solo thread: the second one, which ends the solo, waits for it all the same. */
static void second_comes(void)
{
	struct object_lock lock = {0};
	pthread_t thread;

	begin();
	object_lock_take(&lock);
	need(pthread_create(&thread, NULL, take_and_release, &lock) == 0, 1);
	while (atomic_load(&solo_state) != SOLO_OVER)
		sched_yield();
	while (!atomic_load(&lock.held))
		sched_yield(); /* it has the one half, and waits for ours */
	need(lock.mine, 2);
	object_lock_release(&lock);
	pthread_join(thread, NULL);
	need(!object_lock_is_held(&lock), 3);
	object_lock_take(&lock);
	need(lock.held && !lock.mine, 4); /* as everybody */
	need(!solo_enter(), 5);
	object_lock_release(&lock);
}

static void test_second_comes(void **state)
{
	(void)state;
#ifdef STRAND_TSAN
	skip();
#endif
	in_a_child(second_comes);
}

/* One that came first may hold a lock at this moment: no solo. */
static void somebody_was_first(void)
{
	struct object_lock lock = {0};
	pthread_t thread;

	need(pthread_create(&thread, NULL, take_and_release, &lock) == 0, 1);
	pthread_join(thread, NULL);
	solo_begin();
	need(!solo_here, 2);
}

static void test_somebody_was_first(void **state)
{
	(void)state;
	in_a_child(somebody_was_first);
}

/* Two threads count under one lock; the second comes at any moment of the first's sections. */
#define ROUNDS 20000

struct counters {
	struct object_lock lock;
	struct strand_mutex mutex;
	uint64_t locked, under_mutex; /* not atomic: the locks are what is tested */
	_Atomic unsigned started;
};

static void count(struct counters *c)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		object_lock_take(&c->lock);
		c->locked++;
		object_lock_release(&c->lock);
		need(strand_mutex_lock(&c->mutex, STRAND_FOREVER) == 0, 10);
		c->under_mutex++;
		need(strand_mutex_unlock(&c->mutex) == 0, 11);
		atomic_store_explicit(&c->started, i, memory_order_relaxed);
	}
}

static void *count_later(void *arg)
{
	struct counters *c = arg;
	unsigned when = (unsigned)getpid() % (ROUNDS / 2);

	while (atomic_load_explicit(&c->started, memory_order_relaxed) < when)
		cpu_relax();
	count(c);
	return NULL;
}

static void any_moment(void)
{
	struct counters c = {0};
	pthread_t thread;

	begin();
	need(pthread_create(&thread, NULL, count_later, &c) == 0, 1);
	count(&c);
	pthread_join(thread, NULL);
	need(c.locked == 2 * ROUNDS, 2);
	need(c.under_mutex == 2 * ROUNDS, 3);
}

static void test_any_moment(void **state)
{
	(void)state;
#ifdef STRAND_TSAN
	skip();
#endif
	for (int i = 0; i < 50; i++)
		in_a_child(any_moment);
}

static int one_worker(void *arg)
{
	struct strand_chan *chan;
	int value = 1;

	(void)arg;
	need(strand_chan_new(sizeof(value), 1, &chan) == 0, 20);
	need(strand_chan_send(chan, &value, STRAND_FOREVER) == 0, 21);
	need(strand_chan_recv(chan, STRAND_FOREVER, &value) == 0, 22);
	strand_chan_unref(chan);
	return (int)atomic_load(&solo_state);
}

/* The runtime's own threads must not end it, or it would be over before it has begun. */
static void runtime_stays_solo(void)
{
	need(strand_main(one_worker, NULL) == SOLO_ON, 1);
}

static void test_runtime_stays_solo(void **state)
{
	(void)state;
#ifdef STRAND_TSAN
	skip();
#endif
	in_a_child(runtime_stays_solo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_second_comes),
		cmocka_unit_test(test_somebody_was_first),
		cmocka_unit_test(test_any_moment),
		cmocka_unit_test(test_runtime_stays_solo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

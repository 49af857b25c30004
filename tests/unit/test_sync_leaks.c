/* SPDX-License-Identifier: MIT */
/*
 * Mutexes, once, conditions, wait groups and semaphores under the leak search: deadlocks are
 * proved, wherever the lock lies, and what somebody can still end is never called a leak.
 */
#include "leak_case.h"

static struct strand_mutex a, b; /* in global memory */
static struct strand_rwlock lock, locks[2];
static struct strand_cond cond;
static struct strand_waitgroup group;
static struct strand_once once;

static void lock_forever(struct strand_mutex *mutex)
{
	expect_eq(strand_mutex_lock(mutex, STRAND_FOREVER), 0);
}

/* ---- mutexes: leaked ------------------------------------------------------------------- */

static void lock_twice_on_stack(void *arg)
{
	struct strand_mutex mutex = {0};

	(void)arg;
	i_am(0);
	lock_forever(&mutex);
	lock_forever(&mutex);
}

static void lock_twice_on_heap(void *arg)
{
	struct strand_mutex *mutex = calloc(1, sizeof(*mutex));

	(void)arg;
	i_am(0);
	lock_forever(mutex);
	lock_forever(mutex);
}

static void lock_a_twice(void *arg)
{
	(void)arg;
	i_am(0);
	lock_forever(&a);
	lock_forever(&a);
}

static int double_lock(void (*fn)(void *))
{
	go(fn);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 1);
	expect_leaked(1, 1);
	return 0;
}

static int double_lock_on_stack(void *arg)
{
	(void)arg;
	return double_lock(lock_twice_on_stack);
}

static int double_lock_on_heap(void *arg)
{
	(void)arg;
	return double_lock(lock_twice_on_heap);
}

static int double_lock_of_global(void *arg)
{
	(void)arg;
	return double_lock(lock_a_twice);
}

static void lock_ab(void *arg)
{
	(void)arg;
	i_am(0);
	lock_forever(&a);
	reach(1);
	await_step(2);
	lock_forever(&b);
}

static void lock_ba(void *arg)
{
	(void)arg;
	i_am(1);
	await_step(1);
	lock_forever(&b);
	reach(2);
	lock_forever(&a);
}

static void lock_b(void *arg)
{
	(void)arg;
	i_am(2);
	lock_forever(&b);
}

static int abba(void *arg)
{
	(void)arg;
	go(lock_ab);
	go(lock_ba);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 2);
	expect_leaked(2, 3);
	go(lock_b); /* one more, behind the cycle */
	await_parked(STRAND_WAIT_MUTEX_LOCK, 3);
	expect_leaked(3, 7);
	return 0;
}

static void lock_a_and_end(void *arg)
{
	(void)arg;
	lock_forever(&a);
	expect_eq(strand_rwlock_lock(&locks[0], 0), 0);
	expect_eq(strand_rwlock_rlock(&locks[1], 0), 0);
	reach(1);
}

static void lock_a(void *arg)
{
	(void)arg;
	i_am(0);
	lock_forever(&a);
}

static void read_0(void *arg)
{
	(void)arg;
	i_am(1);
	expect_eq(strand_rwlock_rlock(&locks[0], STRAND_FOREVER), 0);
}

static void write_1(void *arg)
{
	(void)arg;
	i_am(2);
	expect_eq(strand_rwlock_lock(&locks[1], STRAND_FOREVER), 0);
}

static void nothing(void *arg)
{
	(void)arg;
}

/* Their structures are used again, by tasks with other ids. */
static int owner_has_ended(void *arg)
{
	(void)arg;
	go(lock_a_and_end);
	await_step(1);
	for (int i = 0; i < 10; i++)
		go(nothing);
	let_others_run();
	go(lock_a);
	go(read_0);
	go(write_1);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 1);
	await_parked(STRAND_WAIT_RWLOCK_RLOCK, 1);
	await_parked(STRAND_WAIT_RWLOCK_LOCK, 1);
	expect_leaked(3, 7);
	return 0;
}

static void call_once_again(void *arg)
{
	(void)arg;
	expect_eq(strand_once(&once, nothing, NULL), 0);
}

static void once_within_once(void *arg)
{
	(void)arg;
	i_am(0);
	expect_eq(strand_once(&once, call_once_again, NULL), 0);
}

static int recursive_once(void *arg)
{
	(void)arg;
	go(once_within_once);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 1);
	expect_leaked(1, 1);
	return 0;
}

/* ---- mutexes: not leaked ------------------------------------------------------------------ */

static int held_by_running_task(void *arg)
{
	(void)arg;
	lock_forever(&a);
	go(lock_a);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 1);
	expect_leaked(0, 0);
	expect_eq(verdict_of(ids[0]), STRAND_VERDICT_LIVE);
	expect_eq(strand_mutex_unlock(&a), 0);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 0);
	return 0;
}

static void sleep_with_all(void *arg)
{
	(void)arg;
	i_am(7);
	lock_forever(&a);
	expect_eq(strand_rwlock_lock(&locks[0], 0), 0);
	expect_eq(strand_rwlock_rlock(&locks[1], 0), 0);
	reach(1);
	strand_sleep(some_day());
}

static int held_by_sleeper(void *arg)
{
	(void)arg;
	go(sleep_with_all);
	await_step(1);
	go(lock_a);
	go(read_0);
	go(write_1);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 1);
	await_parked(STRAND_WAIT_RWLOCK_RLOCK, 1);
	await_parked(STRAND_WAIT_RWLOCK_LOCK, 1);
	expect_leaked(0, 0);
	for (int i = 0; i < 3; i++)
		expect_eq(verdict_of(ids[i]), STRAND_VERDICT_LIVE);
	return 0;
}

static void hold_and_receive(void *arg)
{
	lock_forever(&a);
	reach(1);
	expect_eq(strand_chan_recv(arg, STRAND_FOREVER, NULL), 0);
	expect_eq(strand_mutex_unlock(&a), 0);
}

/* The owner waits too, but main can wake it. */
static int held_by_waiting_task(void *arg)
{
	struct strand_chan *chan = new_chan(0, 0);

	(void)arg;
	expect_eq(strand_go(hold_and_receive, chan), 0);
	await_step(1);
	go(lock_a);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 1);
	expect_leaked(0, 0);
	signal_chan(chan);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 0);
	strand_chan_unref(chan);
	return 0;
}

static void *own_in_thread(void *arg)
{
	(void)arg;
	expect_eq(strand_mutex_lock(&a, 0), 0);
	expect_eq(strand_rwlock_lock(&locks[0], 0), 0);
	expect_eq(strand_rwlock_rlock(&locks[1], 0), 0);
	reach(1);
	while (__atomic_load_n(&step, __ATOMIC_SEQ_CST) < 2)
		sched_yield();
	expect_eq(strand_mutex_unlock(&a), 0);
	expect_eq(strand_rwlock_unlock(&locks[0]), 0);
	expect_eq(strand_rwlock_runlock(&locks[1]), 0);
	return NULL;
}

static int held_by_thread(void *arg)
{
	pthread_t thread;

	(void)arg;
	start_thread(&thread, own_in_thread, NULL);
	await_step(1);
	go(lock_a);
	go(read_0);
	go(write_1);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 1);
	await_parked(STRAND_WAIT_RWLOCK_RLOCK, 1);
	await_parked(STRAND_WAIT_RWLOCK_LOCK, 1);
	expect_leaked(0, 0);
	reach(2);
	pthread_join(thread, NULL);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 0);
	await_parked(STRAND_WAIT_RWLOCK_RLOCK, 0);
	await_parked(STRAND_WAIT_RWLOCK_LOCK, 0);
	return 0;
}

static void lock_a_some_day(void *arg)
{
	(void)arg;
	i_am(0);
	lock_forever(&a);
	strand_mutex_lock(&a, some_day());
}

/* It waits for itself, but not for ever; and whoever waits for it neither. */
static int deadline_ends_deadlock(void *arg)
{
	(void)arg;
	go(lock_a_some_day);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 1);
	go(lock_ab);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 2);
	expect_leaked(0, 0);
	return 0;
}

/* A handle wakes by cancelling. */
static int lock_twice_with_handle(void *arg)
{
	(void)arg;
	i_am(0);
	lock_forever(&a);
	expect_eq(strand_mutex_lock(&a, STRAND_FOREVER), -ECANCELED);
	return 0;
}

static int handle_can_cancel(void *arg)
{
	struct strand_task *task;

	(void)arg;
	expect_eq(strand_spawn(NULL, lock_twice_with_handle, NULL, &task), 0);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 1);
	expect_leaked(0, 0);
	expect_eq(strand_cancel(task), 0);
	expect_eq(strand_join(task, STRAND_FOREVER, NULL), 0);
	strand_task_unref(task);
	return 0;
}

/* ---- by reachability ---------------------------------------------------------------------------- */

struct waiting_room {
	struct strand_mutex mutex;
	struct strand_cond cond;
	struct strand_waitgroup group;
	struct strand_semaphore semaphore;
};

static void wait_for_cond(struct strand_mutex *mutex, struct strand_cond *c)
{
	lock_forever(mutex);
	strand_cond_wait(c, mutex, STRAND_FOREVER);
}

static void cond_on_stack(void *arg)
{
	struct waiting_room room = {0};

	(void)arg;
	i_am(0);
	wait_for_cond(&room.mutex, &room.cond);
}

static void group_on_stack(void *arg)
{
	struct waiting_room room = {0};

	(void)arg;
	i_am(1);
	strand_waitgroup_add(&room.group, 1);
	strand_waitgroup_wait(&room.group, STRAND_FOREVER);
}

static void semaphore_on_stack(void *arg)
{
	struct waiting_room room = {0};

	(void)arg;
	i_am(2);
	strand_semaphore_acquire(&room.semaphore, 1, STRAND_FOREVER);
}

static void await_three(void)
{
	await_parked(STRAND_WAIT_COND_WAIT, 1);
	await_parked(STRAND_WAIT_WAITGROUP_WAIT, 1);
	await_parked(STRAND_WAIT_SEMAPHORE_ACQUIRE, 1);
}

static int nobody_reaches_stack(void *arg)
{
	(void)arg;
	go(cond_on_stack);
	go(group_on_stack);
	go(semaphore_on_stack);
	await_three();
	expect_leaked(3, 7);
	return 0;
}

static void wait_in_room(struct waiting_room *room, int n)
{
	i_am(n);
	if (n == 0) {
		wait_for_cond(&room->mutex, &room->cond);
		expect_eq(strand_mutex_unlock(&room->mutex), 0);
	} else if (n == 1) {
		strand_waitgroup_wait(&room->group, STRAND_FOREVER);
	} else {
		strand_semaphore_acquire(&room->semaphore, 1, STRAND_FOREVER);
	}
}

static void wait_room_0(void *arg)
{
	wait_in_room(arg, 0);
}

static void wait_room_1(void *arg)
{
	wait_in_room(arg, 1);
}

static void wait_room_2(void *arg)
{
	wait_in_room(arg, 2);
}

/* Whoever owns the room can wake them: they are not leaked, and wake. */
static int room_is_reached(struct waiting_room *room)
{
	strand_waitgroup_add(&room->group, 1);
	expect_eq(strand_go(wait_room_0, room), 0);
	expect_eq(strand_go(wait_room_1, room), 0);
	expect_eq(strand_go(wait_room_2, room), 0);
	await_three();
	expect_leaked(0, 0);
	strand_cond_signal(&room->cond);
	strand_waitgroup_done(&room->group);
	strand_semaphore_release(&room->semaphore, 1);
	await_parked(STRAND_WAIT_COND_WAIT, 0);
	await_parked(STRAND_WAIT_WAITGROUP_WAIT, 0);
	await_parked(STRAND_WAIT_SEMAPHORE_ACQUIRE, 0);
	return 0;
}

static int room_on_live_stack(void *arg)
{
	struct waiting_room room = {0};

	(void)arg;
	return room_is_reached(&room);
}

static struct waiting_room global_room;

static int room_is_global(void *arg)
{
	(void)arg;
	return room_is_reached(&global_room);
}

static int room_on_heap(void *arg)
{
	struct waiting_room *room = calloc(1, sizeof(*room));

	(void)arg;
	room_is_reached(room);
	free(room);
	return 0;
}

static struct strand_semaphore *shown; /* what a waiting task has shown to others */

static void show_semaphore(void *arg)
{
	struct strand_semaphore mine = {0};

	(void)arg;
	i_am(0);
	shown = &mine;
	strand_semaphore_acquire(&mine, 1, STRAND_FOREVER);
}

/* On the stack of who waits, but a global points there; then it is forgotten. */
static int stack_is_shown(void *arg)
{
	(void)arg;
	go(show_semaphore);
	await_parked(STRAND_WAIT_SEMAPHORE_ACQUIRE, 1);
	expect_leaked(0, 0);
	shown = NULL;
	expect_leaked(1, 1);
	return 0;
}

static void give_up_big(void *arg)
{
	(void)arg;
	i_am(1);
	strand_semaphore_acquire(shown, 5, some_day());
}

static void acquire_behind(void *arg)
{
	struct strand_semaphore mine = STRAND_SEMAPHORE_INIT(1);

	(void)arg;
	i_am(0);
	shown = &mine;
	go(give_up_big);
	await_parked(STRAND_WAIT_SEMAPHORE_ACQUIRE, 1);
	shown = NULL;
	expect_eq(strand_semaphore_acquire(&mine, 1, STRAND_FOREVER), 0);
}

/* It only waits because somebody before it wants more; that one will give up. */
static int behind_one_with_deadline(void *arg)
{
	(void)arg;
	go(acquire_behind);
	await_parked(STRAND_WAIT_SEMAPHORE_ACQUIRE, 2);
	expect_leaked(0, 0);
	return 0;
}

static void wait_and_keep(void *arg)
{
	(void)arg;
	i_am(0);
	wait_for_cond(&a, &cond);
}

/* Who waits for the condition has left the mutex: whoever takes it is not its victim. */
static int cond_leaves_mutex(void *arg)
{
	(void)arg;
	go(wait_and_keep);
	await_parked(STRAND_WAIT_COND_WAIT, 1);
	lock_forever(&a);
	expect_leaked(0, 0);
	strand_cond_signal(&cond);
	await_parked(STRAND_WAIT_MUTEX_LOCK,
		     1); /* woken, it waits for the mutex, and that for us */
	expect_leaked(0, 0);
	expect_eq(strand_mutex_unlock(&a), 0);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 0);
	return 0;
}

/* ---- in motion: searches while everything moves ----------------------------------------------------- */

#define MOVERS 6

static int moving; /* atomic */
static uint64_t moved;

static void move(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	while (__atomic_load_n(&moving, __ATOMIC_SEQ_CST)) {
		seed = seed * 1103515245 + 12345;
		switch (seed >> 16 & 3) {
		case 0:
			lock_forever(&a);
			strand_yield();
			strand_mutex_unlock(&a);
			break;
		case 1:
			strand_rwlock_rlock(&lock, STRAND_FOREVER);
			strand_yield();
			strand_rwlock_runlock(&lock);
			break;
		case 2:
			strand_rwlock_lock(&lock, STRAND_FOREVER);
			strand_yield();
			strand_rwlock_unlock(&lock);
			break;
		case 3:
			if (strand_rwlock_lock(&lock, strand_now() + 20 * STRAND_MICROSECOND) == 0)
				strand_rwlock_unlock(&lock);
			break;
		}
		__atomic_fetch_add(&moved, 1, __ATOMIC_RELAXED);
	}
	strand_waitgroup_done(&group);
}

/* Not one of them is ever leaked, whatever it was about when the world stood still. */
static int never_a_mover(void *arg)
{
	(void)arg;
	reach(0);
	moving = 1;
	strand_waitgroup_add(&group, MOVERS);
	for (uintptr_t i = 0; i < MOVERS; i++)
		expect_eq(strand_go(move, (void *)(i + 1)), 0);
	for (int i = 0; i < 15; i++) {
		search_while(strand_yield);
		expect_eq(verdicts.leaked, 0);
	}
	__atomic_store_n(&moving, 0, __ATOMIC_SEQ_CST);
	expect_eq(strand_waitgroup_wait(&group, STRAND_FOREVER), 0);
	expect_true(moved > 100);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_case(double_lock_on_stack),   leak_case(double_lock_on_heap),
		leak_case(double_lock_of_global),  leak_case(abba),
		leak_case(owner_has_ended),        leak_case(recursive_once),
		leak_case(held_by_running_task),   leak_case(held_by_sleeper),
		leak_case(held_by_waiting_task),   leak_case(held_by_thread),
		leak_case(deadline_ends_deadlock), leak_case(handle_can_cancel),
		leak_case(nobody_reaches_stack),   leak_case(room_on_live_stack),
		leak_case(room_is_global),         leak_case(room_on_heap),
		leak_case(stack_is_shown),         leak_case(behind_one_with_deadline),
		leak_case(cond_leaves_mutex),      leak_case(never_a_mover),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

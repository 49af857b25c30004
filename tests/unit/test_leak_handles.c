/* SPDX-License-Identifier: MIT */
/*
 * Handles and scopes under the leak search: whoever holds one can wake its tasks, a join waits
 * for the joined task, and a scope for its tasks. Each case both ways: leaked, and not.
 */
#include "leak_case.h"

static struct strand_task *global_handle;
static struct strand_scope *global_scope;

/* ---- what tasks do -------------------------------------------------------------------- */

static int wait_alone(void *arg)
{
	i_am((int)(intptr_t)arg);
	strand_chan_recv(new_chan(0, 0), STRAND_FOREVER, NULL);
	return 0;
}

static int sleep_alone(void *arg)
{
	i_am((int)(intptr_t)arg);
	strand_sleep(some_day());
	return 0;
}

/* Task 1 of a case, in a task that ends: so no other frame has the handle. */
static struct strand_task *spawn(int (*fn)(void *))
{
	struct strand_task *handle = NULL;

	expect_eq(strand_spawn(NULL, fn, (void *)1, &handle), 0);
	return handle;
}

/* ---- handles ---------------------------------------------------------------------------- */

static void keep_in_global(void *arg)
{
	(void)arg;
	global_handle = spawn(wait_alone);
}

static int handle_in_global(void *arg)
{
	(void)arg;
	go(keep_in_global);
	await_parked(STRAND_WAIT_CHAN_RECEIVE, 1);
	expect_leaked(0, 0);
	expect_eq(verdict_of(ids[1]), STRAND_VERDICT_LIVE);
	__atomic_store_n(&global_handle, NULL, __ATOMIC_SEQ_CST);
	expect_leaked(1, 1 << 1);
	return 0;
}

/* It has the handle on its stack, and waits itself. */
static void hold_and_wait(void *arg)
{
	struct strand_task *volatile handle = spawn(wait_alone);

	(void)arg;
	wait_alone((void *)0);
	strand_task_unref(handle);
}

static void hold_and_sleep(void *arg)
{
	struct strand_task *volatile handle = spawn(wait_alone);

	(void)arg;
	sleep_alone((void *)0);
	strand_task_unref(handle);
}

static int handle_of_leaked(void *arg)
{
	(void)arg;
	go(hold_and_wait);
	await_parked(STRAND_WAIT_CHAN_RECEIVE, 2);
	expect_leaked(2, 3);
	return 0;
}

static int handle_of_sleeper(void *arg)
{
	(void)arg;
	go(hold_and_sleep);
	await_parked(STRAND_WAIT_CHAN_RECEIVE, 1);
	await_parked(STRAND_WAIT_SLEEP, 1);
	expect_leaked(0, 0);
	expect_eq(verdict_of(ids[1]), STRAND_VERDICT_LIVE);
	return 0;
}

/* ---- joins -------------------------------------------------------------------------------- */

static void join(int (*fn)(void *))
{
	struct strand_task *handle = spawn(fn);

	i_am(0);
	expect_eq(strand_join(handle, STRAND_FOREVER, NULL), 0);
}

static void join_waiter(void *arg)
{
	(void)arg;
	join(wait_alone);
}

static void join_sleeper(void *arg)
{
	(void)arg;
	join(sleep_alone);
}

static int join_of_leaked(void *arg)
{
	(void)arg;
	go(join_waiter);
	await_parked(STRAND_WAIT_JOIN, 1);
	await_parked(STRAND_WAIT_CHAN_RECEIVE, 1);
	expect_leaked(2, 3);
	return 0;
}

static int join_of_sleeper(void *arg)
{
	(void)arg;
	go(join_sleeper);
	await_parked(STRAND_WAIT_JOIN, 1);
	await_parked(STRAND_WAIT_SLEEP, 1);
	expect_leaked(0, 0);
	expect_eq(verdict_of(ids[0]), STRAND_VERDICT_LIVE);
	return 0;
}

/* ---- scopes --------------------------------------------------------------------------------- */

static struct strand_scope *new_scope(int (*fn)(void *))
{
	struct strand_scope *scope = NULL;

	expect_eq(strand_scope_new(STRAND_FOREVER, &scope), 0);
	expect_eq(strand_scope_go(scope, NULL, fn, (void *)1), 0);
	return scope;
}

static void wait_for_waiter(void *arg)
{
	(void)arg;
	i_am(0);
	expect_eq(strand_scope_wait(new_scope(wait_alone)), 0);
}

static void wait_for_sleeper(void *arg)
{
	(void)arg;
	i_am(0);
	expect_eq(strand_scope_wait(new_scope(sleep_alone)), 0);
}

static int scope_of_leaked(void *arg)
{
	(void)arg;
	go(wait_for_waiter);
	await_parked(STRAND_WAIT_SCOPE_WAIT, 1);
	await_parked(STRAND_WAIT_CHAN_RECEIVE, 1);
	expect_leaked(2, 3);
	return 0;
}

static int scope_of_sleeper(void *arg)
{
	(void)arg;
	go(wait_for_sleeper);
	await_parked(STRAND_WAIT_SCOPE_WAIT, 1);
	await_parked(STRAND_WAIT_SLEEP, 1);
	expect_leaked(0, 0);
	expect_eq(verdict_of(ids[0]), STRAND_VERDICT_LIVE);
	return 0;
}

static void keep_scope_in_global(void *arg)
{
	(void)arg;
	global_scope = new_scope(wait_alone);
}

/* Whoever has the scope can cancel what runs in it. */
static int scope_in_global(void *arg)
{
	(void)arg;
	go(keep_scope_in_global);
	await_parked(STRAND_WAIT_CHAN_RECEIVE, 1);
	expect_leaked(0, 0);
	expect_eq(verdict_of(ids[1]), STRAND_VERDICT_LIVE);
	__atomic_store_n(&global_scope, NULL, __ATOMIC_SEQ_CST);
	expect_leaked(1, 1 << 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_case(handle_in_global),  leak_case(handle_of_leaked),
		leak_case(handle_of_sleeper), leak_case(join_of_leaked),
		leak_case(join_of_sleeper),   leak_case(scope_of_leaked),
		leak_case(scope_of_sleeper),  leak_case(scope_in_global),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

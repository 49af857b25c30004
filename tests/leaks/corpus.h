/* SPDX-License-Identifier: MIT */
/*
 * The corpus: small programs with known leaks, and such without any, after bugs of real projects.
 *
 * Each case is the function of a task. It forces the one interleaving in which the bug
 * strikes: by go_and_settle(), which comes back when all others wait or have ended, and by
 * channels. Rules that make the expectations exact:
 *
 *   C1. What the tasks of a case share lies on the stack of one that leaks with them, or they
 *       copy it as they start; never in globals or on the heap, unless that is the point.
 *   C2. References of channels are not dropped: what is leaked holds them for ever.
 *   C3. A task that leaks calls what blocks in a function of its own name: calls below are inlined,
 *       functions of cases are not.
 */
#ifndef CORPUS_H
#define CORPUS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <strand.h>

/*
 * How much of the heap the leak search understands: 0, heap memory is one root; 1, it walks the
 * blocks of malloc. Cases that put their objects there expect more with 1.
 */
#define HEAP_TIER        1

#define CORPUS_INSTANCES 20 /* of a case, in the second part of each run */
#define CORPUS_LEAKS_MAX 4  /* different ones of a case */

struct corpus_leak {
	const char *function; /* in which it waits */
	const char *reason;
	unsigned count; /* per instance */
};

struct corpus_case {
	const char *name; /* FAMILY/CASE, or PROJECT/ISSUE where it stands for a real bug */
	void (*run)(void *instance);
	struct corpus_leak leaks[CORPUS_LEAKS_MAX]; /* all others are wrong; none: nothing leaks */
	unsigned waiting; /* tasks per instance that wait in the end and are not leaked */
};

/* Each ends with an entry without a name. */
extern const struct corpus_case simple_cases[], pattern_cases[], goker_cockroach_cases[],
	goker_etcd_cases[], goker_grpc_cases[], goker_kubernetes_cases[], goker_moby_cases[],
	goker_misc_cases[], fixed_cases[], control_cases[], beyond_go_cases[];

/* ---- stage.c: who runs when ------------------------------------------------------- */

/* A task; ends the program if there can be none. */
void go(void (*fn)(void *), void *arg);

/*
 * Wait until all tasks have ended or wait for something, but for those that are in here
 * themselves; of those the latest goes on first. Who sleeps or has a deadline is waited for
 * too, unless that is SOME_DAY.
 */
void settle(void);

void go_and_settle(void (*fn)(void *), void *arg);

/* How many tasks there are beside the caller. */
size_t count_other_tasks(void);

/* strand_leaks() of all ages; again while inconclusive, as it may be on a busy machine. */
int search_patiently(void (*callback)(const struct strand_leak *leak, void *arg), void *arg,
		     struct strand_leaks_result *ret_result);

/* Search now; ends the program if not so many tasks are leaked. */
void expect_leaks(int count);

/* Ends the program with a message if r is negative. */
void must(int r, const char *what);

struct strand_chan *new_chan(size_t capacity); /* of signals: elements without content */

#define SOME_DAY    (strand_now() + 1000 * STRAND_SECOND) /* it will come, after the test */
#define VERY_SOON   (strand_now() + STRAND_MILLISECOND)
#define UNUSED_ARG  __attribute__((unused))

/* ---- short for the calls that block (C3) --------------------------------------------- */

#define CORPUS_CALL static inline __attribute__((always_inline))

CORPUS_CALL void send_to(struct strand_chan *chan)
{
	must(strand_chan_send(chan, NULL, STRAND_FOREVER), "send");
}

/* 0, or -EPIPE at the end. */
CORPUS_CALL int recv_from(struct strand_chan *chan)
{
	return strand_chan_recv(chan, STRAND_FOREVER, NULL);
}

CORPUS_CALL void close_chan(struct strand_chan *chan)
{
	must(strand_chan_close(chan), "close");
}

CORPUS_CALL void lock(struct strand_mutex *mutex)
{
	must(strand_mutex_lock(mutex, STRAND_FOREVER), "lock");
}

CORPUS_CALL void unlock(struct strand_mutex *mutex)
{
	must(strand_mutex_unlock(mutex), "unlock");
}

CORPUS_CALL void read_lock(struct strand_rwlock *rwlock)
{
	must(strand_rwlock_rlock(rwlock, STRAND_FOREVER), "read lock");
}

CORPUS_CALL void read_unlock(struct strand_rwlock *rwlock)
{
	must(strand_rwlock_runlock(rwlock), "read unlock");
}

CORPUS_CALL void write_lock(struct strand_rwlock *rwlock)
{
	must(strand_rwlock_lock(rwlock, STRAND_FOREVER), "write lock");
}

CORPUS_CALL void write_unlock(struct strand_rwlock *rwlock)
{
	must(strand_rwlock_unlock(rwlock), "write unlock");
}

CORPUS_CALL void group_add(struct strand_waitgroup *group, int64_t count)
{
	must(strand_waitgroup_add(group, count), "add to a wait group");
}

CORPUS_CALL void group_done(struct strand_waitgroup *group)
{
	must(strand_waitgroup_done(group), "take from a wait group");
}

CORPUS_CALL void group_wait(struct strand_waitgroup *group)
{
	must(strand_waitgroup_wait(group, STRAND_FOREVER), "wait for a group");
}

CORPUS_CALL void cond_wait(struct strand_cond *cond, struct strand_mutex *mutex)
{
	must(strand_cond_wait(cond, mutex, STRAND_FOREVER), "wait for a condition");
}

/* select_one(CAN_RECV(a), CAN_SEND(b)): the index of the case that was done. */
#define CAN_RECV(channel)                                 \
	{                                                 \
		.op = STRAND_CASE_RECV, .chan = (channel) \
	}
#define CAN_SEND(channel)                                 \
	{                                                 \
		.op = STRAND_CASE_SEND, .chan = (channel) \
	}
#define select_one(...)                                                                         \
	strand_select((struct strand_case[]){__VA_ARGS__},                                      \
		      sizeof((struct strand_case[]){__VA_ARGS__}) / sizeof(struct strand_case), \
		      STRAND_FOREVER)

#endif

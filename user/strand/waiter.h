/* SPDX-License-Identifier: MIT */
/*
 * A waiter: one place in the queue of a wait object, for a task or a plain thread.
 *
 * It lies on the stack of who waits. All fields are changed only under the
 * object's lock, until whoever unlinks it has set result and made its owner ready.
 */
#ifndef STRAND_WAITER_H
#define STRAND_WAITER_H

#include "strand/list.h"
#include "strand/object.h"
#include "strand/task.h"

struct waiter {
	struct list link;
	struct task *task; /* NULL: a plain thread */
	struct object *object;
	void *element; /* what is sent, or where to put what is received; may be NULL */
	bool linked;
	int result;
	_Atomic unsigned word; /* a plain thread sleeps on it while 0 */
};

/*
 * waiter_wait - wait until woken or until the deadline.
 * The object's lock is held and the waiter is linked; returns with the lock released.
 * Returns the waiter's result, -ETIMEDOUT if the deadline passed first.
 */
int waiter_wait(struct waiter *waiter, enum strand_wait_reason reason, strand_time deadline,
		const struct frame *where);

/*
 * waiter_claim - unlink a waiter and set its result, under the object's lock. The caller
 * then releases the lock and calls waiter_wake: from the claim on it is no longer parked.
 */
void waiter_claim(struct waiter *waiter, int result);

/* What is needed to wake a claimed waiter whose memory may vanish as soon as it runs. */
void waiter_wake(struct waiter *waiter);

/* Wait for ever on nothing, or until the deadline: NULL channels. */
int waiter_wait_nothing(enum strand_wait_reason reason, strand_time deadline,
			const struct frame *where);

#endif

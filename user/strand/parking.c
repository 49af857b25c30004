/* SPDX-License-Identifier: MIT */
/*
 * The parking lot of locks and the like, keyed by address.
 *
 * Why not queues in the primitives: a lock may be a global variable. Global memory is a root
 * of the leak search, and a pointer there to a waiter would be one to the waiter's stack: every
 * waiter would look alive. Here all is masked, and the search walks exact queues. The lot is
 * the process's and not a runtime's, because threads may hold and await locks before a runtime
 * starts and after it has ended.
 *
 * Invariants:
 *   P1. A bucket's lock protects its queues, their waiters, and the waiters bit in the words
 *       of the primitives that hash to it. It is the `lock` of these waiters (waiter.h), so a
 *       task that is parked here while the lock is free is truly waiting, and waits whose bucket
 *       is locked are in motion and live (leaks.c, L3).
 *   P2. A primitive's waiters bit is set before a waiter is linked, under the lock. So who
 *       finds it clear in the atomic operation that gives the primitive up has nobody to wake.
 *       It may stay set after the last waiter has given up: the next slow path clears it.
 *   P3. Lock order: a condition's bucket, then any other's. No two of one kind at once.
 *   P4. A queue that more have entered than are on its list has a waiter that was taken off by a
 *       deadline or a cancellation and has not run since. It may let others in when it does, so
 *       for the search the queue is in motion. Nor does the queue get another key meanwhile.
 *   P5. A primitive is given over, never thrown into the air: who releases it writes the next
 *       owner into the word before the next owner runs. So nobody overtakes those who wait, a
 *       contended lock always names who can release it, and the search sees no lock that is
 *       free with somebody waiting for it. The price, a switch for each release under
 *       contention, is small: a hand-off between tasks needs no queue (sched.c).
 *   P6. Who has written the word so that a waiter, or a newcomer, may go on does not touch
 *       the primitive again: its memory may be gone.
 */
#include "strand/parking.h"

#include <errno.h>

#include "strand/owner.h"

static struct lot the_lot;

struct lot *lot_get(void)
{
	return &the_lot;
}

struct lot_spot lot_open(const void *primitive, enum lot_kind kind)
{
	uintptr_t key = (uintptr_t)primitive;
	struct lot_bucket *bucket = lot_bucket(&the_lot, key, kind);
	struct lot_queue *queue;

	object_lock_take(&bucket->lock);
	queue = bucket->queues;
	while (queue && (queue->key != key || queue->kind != kind))
		queue = queue->next;
	return (struct lot_spot){bucket, queue, key, kind};
}

void lot_close(const struct lot_spot *spot)
{
	object_lock_release(&spot->bucket->lock);
}

struct lot_waiter *lot_first(const struct lot_spot *spot)
{
	if (!spot->queue || list_is_empty(&spot->queue->waiters))
		return NULL;
	return list_entry(spot->queue->waiters.next, struct lot_waiter, waiter.link);
}

static void leave(struct lot_queue *queue, const struct task *task)
{
	if (task)
		queue->tasks--;
	else
		queue->threads--;
}

void lot_grant(const struct lot_spot *spot, struct list *woken)
{
	struct waiter *waiter = waiter_take(&spot->queue->waiters, 0);

	leave(spot->queue, waiter->sleeper->task);
	list_append(woken, &waiter->link);
}

static struct lot_queue *new_queue(struct lot *lot)
{
	const size_t size = memory_page_size();
	struct lot_queue *queue;

	lock_take(&lot->lock);
	if (!lot->spare) {
		queue = memory_map(&lot->memory, size);
		for (size_t i = queue ? size / sizeof(*queue) : 0; i-- > 0;) {
			queue[i].next = lot->spare;
			lot->spare = &queue[i];
		}
	}
	queue = lot->spare;
	if (queue)
		lot->spare = queue->next;
	lock_release(&lot->lock);
	return queue;
}

/* One that nobody uses, or a new one. NULL: no memory. */
static struct lot_queue *take_queue(struct lot_spot *spot)
{
	struct lot_queue *queue = spot->bucket->queues;

	while (queue && lot_entered(queue))
		queue = queue->next;
	if (!queue) {
		queue = new_queue(&the_lot);
		if (!queue)
			return NULL;
		list_init(&queue->waiters);
		queue->next = spot->bucket->queues;
		spot->bucket->queues = queue;
	}
	queue->key = spot->key;
	queue->kind = spot->kind;
	return queue;
}

int lot_join(struct lot_spot *spot, struct lot_waiter *waiter)
{
	if (!spot->queue)
		spot->queue = take_queue(spot);
	if (!spot->queue)
		return -ENOMEM;
	if (waiter->sleeper.task)
		spot->queue->tasks++;
	else
		spot->queue->threads++;
	waiter_link(&waiter->waiter, &waiter->sleeper, &spot->queue->waiters, &spot->bucket->lock);
	return 0;
}

int lot_park(struct lot_spot *spot, struct lot_waiter *waiter, const struct wait_info *info,
	     strand_time deadline)
{
	int r = waiter_wait(&waiter->waiter, info, deadline);

	if (r < 0) {
		object_lock_take(&spot->bucket->lock);
		leave(spot->queue, waiter->sleeper.task);
	}
	return r;
}

int lot_wait(struct lot_spot *spot, const struct wait_info *info, strand_time deadline)
{
	struct lot_waiter waiter = {.sleeper = sleeper_here()};
	int r = lot_join(spot, &waiter);

	if (r == 0) {
		r = lot_park(spot, &waiter, info, deadline);
		if (r == 0)
			return 0;
	}
	lot_close(spot);
	return r;
}

static void forget_tasks(struct lot_bucket *bucket)
{
	for (struct lot_queue *queue = bucket->queues; queue; queue = queue->next) {
		struct list *next;

		for (struct list *l = queue->waiters.next; l != &queue->waiters; l = next) {
			const struct lot_waiter *waiter =
				list_entry(l, struct lot_waiter, waiter.link);

			next = l->next;
			if (waiter->sleeper.task)
				list_remove(l);
		}
		queue->tasks = 0;
	}
}

static void forget_all(struct lot_bucket *bucket)
{
	object_lock_forget(&bucket->lock);
	for (struct lot_queue *queue = bucket->queues; queue; queue = queue->next) {
		queue->tasks = queue->threads = 0;
		list_init(&queue->waiters);
	}
}

void lot_forget_tasks(void)
{
	for (size_t i = 0; i < LOT_BUCKETS; i++) {
		object_lock_take(&the_lot.conditions[i].lock);
		forget_tasks(&the_lot.conditions[i]);
		object_lock_release(&the_lot.conditions[i].lock);
		object_lock_take(&the_lot.others[i].lock);
		forget_tasks(&the_lot.others[i]);
		object_lock_release(&the_lot.others[i].lock);
	}
}

void lot_forked(void)
{
	lock_release(&the_lot.lock);
	lock_release(&the_lot.memory.lock);
	for (size_t i = 0; i < LOT_BUCKETS; i++) {
		forget_all(&the_lot.conditions[i]);
		forget_all(&the_lot.others[i]);
	}
}

uint64_t thread_id(void)
{
	static _Atomic uint64_t last;
	static _Thread_local uint64_t id __attribute__((tls_model("initial-exec")));

	if (!id)
		id = THREAD_ID_FIRST + atomic_fetch_add_explicit(&last, 1, memory_order_relaxed);
	return id;
}

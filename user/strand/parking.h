/* SPDX-License-Identifier: MIT */
/*
 * The parking lot: where those wait who wait for a lock, a condition, a wait group or a
 * semaphore.
 *
 * These primitives lie in the user's memory and hold no pointer, only a word. Their waiters
 * queue here, found by the primitive's address. See parking.c.
 */
#ifndef STRAND_PARKING_H
#define STRAND_PARKING_H

#include <stdbool.h>
#include <stdint.h>
#include "strand/list.h"
#include "strand/object_lock.h"
#include "strand/memory.h"
#include "strand/waiter.h"

enum lot_kind { LOT_MUTEX, LOT_RWLOCK, LOT_SEMAPHORE, LOT_WAITGROUP, LOT_COND };

/* The waiters of one primitive. Never freed: an empty one serves another address of its bucket. */
struct lot_queue {
	struct lot_queue *next; /* of the bucket, or spare */
	uintptr_t key;          /* address of the primitive */
	enum lot_kind kind;
	uint32_t leak_node;    /* of the search that is describing the world */
	uint32_t leak_readers; /* likewise: tasks that have it, a rwlock, on their list */
	size_t tasks;          /* who waits, and who gave up but has not settled that yet (P4) */
	size_t threads;        /* likewise, of plain threads */
	struct list waiters;   /* struct lot_waiter, longest waiting first */
	char leak_address[1];  /* for the search; nothing ever points here */
};

struct lot_bucket {
	_Alignas(64) struct object_lock lock;
	struct lot_queue *queues;
};

/* Raising it shortens the walks when many locks are contended at once; 64 bytes each. */
#define LOT_BUCKETS 2048

/* The process's: plain threads wait here whether or not a runtime runs. Zero is empty. */
struct lot {
	/* Conditions apart: their locks are taken before those of mutexes (P3). */
	struct lot_bucket conditions[LOT_BUCKETS];
	struct lot_bucket others[LOT_BUCKETS];
	struct lock lock;
	struct lot_queue *spare; /* without a bucket yet; under the lock */
	struct memory memory;    /* of the queues */
};

/* Who waits. On its stack. */
struct lot_waiter {
	struct waiter waiter;
	struct sleeper sleeper;
	uint64_t who;   /* self_id() */
	uint64_t wants; /* semaphore: permits; rwlock: see there */
};

/* A primitive's place in the lot, with its bucket locked. */
struct lot_spot {
	struct lot_bucket *bucket;
	struct lot_queue *queue; /* NULL: nobody waits */
	uintptr_t key;
	enum lot_kind kind;
};

static inline size_t lot_entered(const struct lot_queue *queue)
{
	return queue->tasks + queue->threads;
}

static inline struct lot_bucket *lot_bucket(struct lot *lot, uintptr_t key, enum lot_kind kind)
{
	uint64_t hash = ((uint64_t)key >> 3) * 0x9e3779b97f4a7c15u;
	struct lot_bucket *buckets = kind == LOT_COND ? lot->conditions : lot->others;

	return &buckets[(hash >> 32) % LOT_BUCKETS];
}

struct lot *lot_get(void);

/* The runtime has ended: the tasks that still wait will never run. */
void lot_forget_tasks(void);

/* In the child of a fork: whoever waited or held a bucket is not in this process. */
void lot_forked(void);

/* Lock a primitive's bucket. */
struct lot_spot lot_open(const void *primitive, enum lot_kind kind);
void lot_close(const struct lot_spot *spot);

/* Who waits longest, or NULL. */
struct lot_waiter *lot_first(const struct lot_spot *spot);

/* Claim it, with result 0; afterwards close the spot, then waiter_wake_all(woken). */
void lot_grant(const struct lot_spot *spot, struct list *woken);

/* Queue up, as the caller. Returns 0, or -ENOMEM. The spot stays open. */
int lot_join(struct lot_spot *spot, struct lot_waiter *waiter);

/*
 * lot_park - wait, having joined. Closes the spot.
 * Returns 0 if granted; else -ETIMEDOUT or -ECANCELED with the spot open again, so that the
 * caller can grant what its wait has held back. It then closes the spot.
 */
int lot_park(struct lot_spot *spot, struct lot_waiter *waiter, const struct wait_info *info,
	     strand_time deadline);

/* All of it, for those whose leaving matters to nobody. Closes the spot. */
int lot_wait(struct lot_spot *spot, const struct wait_info *info, strand_time deadline);

#endif

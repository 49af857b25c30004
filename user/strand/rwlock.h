/* SPDX-License-Identifier: MIT */
/* Read-write locks, as tasks and the leak search see them. */
#ifndef STRAND_RWLOCK_H
#define STRAND_RWLOCK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The word:  bit 0  somebody waits
 *            bit 1  a writer has it; the rest is the writer's id (self_id)
 *            else   2..31 how many readers have it, 32..61 how many of these are on no list
 */
#define RWLOCK_WAITERS     ((uint64_t)1 << 0)
#define RWLOCK_WRITER      ((uint64_t)1 << 1)
#define RWLOCK_READER      ((uint64_t)1 << 2)
#define RWLOCK_UNKNOWN     ((uint64_t)1 << 32)

/* lot_waiter.wants: what to add to the word for a reader; a writer is told by 0. */
#define RWLOCK_WANTS_WRITE 0

static inline uint64_t rwlock_writer(uint64_t word)
{
	return word & RWLOCK_WRITER ? word >> 2 : 0;
}

static inline uint64_t rwlock_readers(uint64_t word)
{
	return word & RWLOCK_WRITER ? 0 : (word >> 2) & 0x3fffffff;
}

static inline uint64_t rwlock_unknown_readers(uint64_t word)
{
	return word & RWLOCK_WRITER ? 0 : (word >> 32) & 0x3fffffff;
}

/* Few hold more read locks at once; those that do are "unknown" for the rest. */
#define READS_MAX 4

/*
 * The read locks that a task, or a plain thread, holds or is about to take; a lock may occur
 * more than once. Written by its owner only.
 */
struct reads {
	uintptr_t lock[READS_MAX]; /* 0: free */
	uint32_t unlisted;         /* read locks beyond these */
};

#endif

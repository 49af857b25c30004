/* SPDX-License-Identifier: MIT */
/* Mutexes, as conditions, `once` and the leak search see them. */
#ifndef STRAND_MUTEX_H
#define STRAND_MUTEX_H

#include <stdbool.h>
#include <strand.h>
#include "strand/task.h"

/* The word: the owner's id (self_id), shifted left by one, and whether somebody waits. 0: free. */
#define MUTEX_WAITERS ((uint64_t)1)

static inline uint64_t mutex_owner(uint64_t word)
{
	return word >> 1;
}

static inline bool mutex_is_owned_by(const struct strand_mutex *mutex, uint64_t who)
{
	return mutex_owner(__atomic_load_n(&mutex->word, __ATOMIC_RELAXED)) == who;
}

/* As strand_mutex_lock; a forced lock is neither cancelled nor does it look at the deadline. */
int mutex_lock(struct strand_mutex *mutex, uint64_t me, strand_time deadline, bool forced,
	       const struct frame *where);

/* The caller owns it. */
void mutex_unlock(struct strand_mutex *mutex, uint64_t me);

#endif

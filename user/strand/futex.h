/* SPDX-License-Identifier: MIT */
/* Sleeping in the kernel until a word changes; errno is left alone. */
#ifndef STRAND_FUTEX_H
#define STRAND_FUTEX_H

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <strand.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sleep while *word is `value`. Returns 0 (also for no reason), or -ETIMEDOUT. */
static inline int futex_wait(_Atomic unsigned *word, unsigned value, strand_time deadline)
{
	struct timespec ts = {deadline / STRAND_SECOND, deadline % STRAND_SECOND};
	int saved_errno = errno;
	long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
			 deadline == STRAND_FOREVER ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);
	int result = r < 0 && errno == ETIMEDOUT ? -ETIMEDOUT : 0;

	errno = saved_errno;
	return result;
}

static inline void futex_wake_one(_Atomic unsigned *word)
{
	int saved_errno = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	errno = saved_errno;
}

#endif

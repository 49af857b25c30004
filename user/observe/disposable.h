/* SPDX-License-Identifier: MIT */
/*
 * Work that a hostile process could make hang, done in a process of its own.
 *
 * Opening a target's pipe, writing to it and reading its memory can sleep for
 * ever and survive SIGKILL (conventions.md, section 9). So each such step runs in
 * a forked child with a deadline; a child that does not end in time is killed
 * and, if it cannot die, left behind and counted.
 */
#ifndef STRANDED_OBSERVE_DISPOSABLE_H
#define STRANDED_OBSERVE_DISPOSABLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * disposable_run - run work() in a child and take its answer.
 * @work       runs in the child, with all descriptors of the caller and every signal blocked;
 *             system calls only; returns the number of bytes put into buffer, or -errno
 * @buffer     room bytes, shared with the child
 * @timeout_ns how long to wait
 * Returns what work returned, or -ETIMEDOUT, -ECHILD (it died), -EAGAIN (too many are stuck),
 * or another -errno. Context: one thread at a time, the observer's.
 */
ssize_t disposable_run(ssize_t (*work)(void *context, void *buffer, size_t room), void *context,
		       size_t room, int64_t timeout_ns, void **ret_buffer);

/*
 * For work(): close every descriptor but keep (-1: every one), standard output included.
 * A child that gets stuck must not hold on to the observer's BPF links or to its output pipe.
 */
void disposable_keep_only(int keep);

/* Give back the buffer of a disposable_run that returned >= 0. */
void disposable_buffer_free(void *buffer, size_t room);

/* Children that could not be ended so far. */
unsigned disposable_stuck(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * libstrand: coroutines for C, whose leaks can be proved.
 *
 * A task is a coroutine with a stack of its own. Tasks run on workers (OS
 * threads), talk over channels and park when they have to wait. A parked task
 * that nothing alive can ever wake is leaked; the runtime can prove it and the
 * observer `stranded` shows it.
 *
 * Conventions that hold for every call:
 *   - errors are returned as -errno; nothing sets errno, nothing prints;
 *   - a blocking call takes an absolute deadline on CLOCK_MONOTONIC in
 *     nanoseconds: STRAND_FOREVER never expires, 0 only tries; where it has to wait and there
 *     is no memory to do so in time, it returns -ENOMEM and has done nothing;
 *   - ret_ parameters come last and are written only on success;
 *   - a pointer to an object is not a number that may be made up: an object
 *     whose last reference is dropped must not be used again.
 */
#ifndef STRAND_H
#define STRAND_H

#include <strand/base.h>
#include <strand/tasks.h>
#include <strand/channels.h>
#include <strand/sync.h>
#include <strand/io.h>
#include <strand/leak.h>
#include <strand/inspect.h>

#endif

/* SPDX-License-Identifier: MIT */
/* Stop every other thread of the process, and let them go. */
#ifndef LEAKGC_STOP_H
#define LEAKGC_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "leakgc/world.h"

#define LEAKGC_THREADS_MAX 16384

/* The handler of our signal is still ours: else the signal must never be sent. */
bool leakgc_stop_is_ours(int signal);

/*
 * leakgc_stop_world - stop all threads but the caller, which has all signals blocked.
 * @ret_detail  the thread that did not stop, or -errno's number
 * Returns 0, -ETIMEDOUT (a thread did not stop), or -errno. Whatever is returned,
 * leakgc_stop_release() must follow.
 */
int leakgc_stop_world(int signal, int64_t deadline_ns, uint64_t *ret_detail);
void leakgc_stop_release(void);

/* Of the stopped threads; valid until the release, and in a snapshot for ever. */
size_t leakgc_stop_threads(struct leakgc_thread *threads, struct leakgc_range *frames, size_t room);

/* The module's memory, to be masked: it holds stack pointers of threads. */
struct leakgc_range leakgc_stop_memory(void);

#endif

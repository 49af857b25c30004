/* SPDX-License-Identifier: MIT */
/* What lies at an address of a process, where no symbol tells: a stack, the heap, a file's data. */
#ifndef STRANDED_OBSERVE_PLACES_H
#define STRANDED_OBSERVE_PLACES_H

#include <stdint.h>

/*
 * places_name - e.g. "stack of thread 1234", "heap", "data of /usr/lib/libfoo.so".
 * @proc_fd  the open /proc/PID directory
 * Returns malloc'ed text, which may hold what the target has named; NULL: unknown.
 */
char *places_name(int proc_fd, uint64_t address);

#endif

/* SPDX-License-Identifier: MIT */
/* Copies of memory that may vanish, at memory speed; in a searching child only. */
#ifndef LEAKGC_GUARDED_H
#define LEAKGC_GUARDED_H

#include <stddef.h>

/*
 * leakgc_guard - from now on a fault in leakgc_copy() ends the copy, and any other one this
 * process. It has signal handlers of its own: they are not the target's.
 */
void leakgc_guard(void);

/* Copy, and return how many bytes could not be. */
size_t leakgc_copy(void *to, const void *from, size_t length);

#endif

/* SPDX-License-Identifier: MIT */
/* What the program has told the leak search of its memory. */
#ifndef STRAND_DECLARED_H
#define STRAND_DECLARED_H

#include <stddef.h>
#include "strand/lock.h"

struct leakgc_world;

/* Held while a declaration changes; it is the process's and outlives the runtime. */
struct lock *declared_lock(void);

/* Tell a search of the regions. Returns 0 or -ENOMEM. */
int declared_describe(struct leakgc_world *world);

#endif

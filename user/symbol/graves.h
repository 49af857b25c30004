/* SPDX-License-Identifier: MIT */
/*
 * Children that were killed but may be unable to die, stuck in a file system of a target.
 */
#ifndef STRANDED_SYMBOL_GRAVES_H
#define STRANDED_SYMBOL_GRAVES_H

#include <stdbool.h>
#include <sys/types.h>

#define GRAVES_MAX 8 /* no further children are started then */

struct graves {
	pid_t pids[GRAVES_MAX];
	unsigned count;
};

/* Is there room for one more? Reaps those that have died. */
bool graves_have_room(struct graves *g);

/* Kill a child and reap it; if it does not die at once, later. There must be room. */
void graves_bury(struct graves *g, pid_t pid);

#endif

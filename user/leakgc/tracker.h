/* SPDX-License-Identifier: MIT */
/* Which pages of the running process are written from now on? */
#ifndef LEAKGC_TRACKER_H
#define LEAKGC_TRACKER_H

#include "leakgc/arena.h"
#include "leakgc/leakgc.h"
#include "leakgc/memory.h"
#include "leakgc/world.h"

struct leakgc_tracker {
	int fd; /* userfaultfd; -1: not tracking */
	int pagemap_fd;
	struct leakgc_range *ranges; /* registered; so much has to be let go */
	size_t count, room;
	struct leakgc_page_run *runs; /* working memory, LEAKGC_PAGE_RUNS */
};

/*
 * leakgc_tracker_open - begin, with nothing tracked yet, and prove that the kernel really tracks.
 * @arena  where the tables go
 * Returns 0, or -errno: the kernel is too old or does not do what it says, or a filter forbids
 * it. leakgc_tracker_close() must follow in either case.
 */
int leakgc_tracker_open(struct leakgc_tracker *t, struct leakgc_arena *arena, int pagemap_fd);

/* The calls of leakgc_tracker_open() that a filter may punish, for a process that may die of it. */
int leakgc_tracker_try(void);

/* Let go of all memory, a piece at a time, and forget the userfaultfd. */
void leakgc_tracker_close(struct leakgc_tracker *t);

/*
 * leakgc_tracker_add - track [lo, hi), one private mapping. Its pages count as written until
 * they are armed. Returns 1; 0 if it cannot be tracked, so that it stays written; -EBUSY if a
 * userfaultfd of the program has it.
 */
int leakgc_tracker_add(struct leakgc_tracker *t, uintptr_t lo, uintptr_t hi);

/* From here on, pages of [lo, hi) are written only if somebody writes to them. 0 or -errno. */
int leakgc_tracker_arm(struct leakgc_tracker *t, uintptr_t lo, uintptr_t hi);

/*
 * leakgc_tracker_written - the next written pages of [*address, hi) that hold anything.
 * @rearm  count as not written again
 * Returns how many of t->runs[] were filled, and moves *address behind what was looked at; or
 * -errno. It ends with *address == hi.
 */
int leakgc_tracker_written(struct leakgc_tracker *t, uintptr_t *address, uintptr_t hi, bool rearm);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * strand_leaks: a leak search that the program itself asks for.
 *
 * The search runs on the control thread, whose stack is masked; the caller parks meanwhile.
 * What was found is copied into the runtime's memory, which is masked too, so that an answer
 * that is being read keeps nothing alive in the next search.
 */
#ifndef STRAND_INQUIRY_H
#define STRAND_INQUIRY_H

#include <strand.h>
#include "strand/lock.h"

struct runtime;
struct sleeper;

struct inquiry_answer;

/* One at a time; in struct control. Zeroed: nobody asks. */
struct inquiry {
	struct lock lock;
	bool asked;  /* by strand_leaks; until the answer has been taken */
	bool taken;  /* by the control thread */
	bool closed; /* the control thread has ended: nobody will answer */
	strand_time min_age;
	bool cancel;             /* leaked tasks */
	struct sleeper *waiting; /* who asked */
	struct strand_leaks_result result;
	struct inquiry_answer *answer; /* NULL: none, or no memory for it */
};

/* On the control thread: answer, if somebody asks. */
void inquiry_serve(struct runtime *rt);

/* The control thread ends: whoever still waits, or comes later, gets no answer. */
void inquiry_abandon(struct runtime *rt);

/* Wait until no plain thread looks at the runtime any more: it ends, and will be unmapped. */
void inquiry_await_threads(void);

#endif

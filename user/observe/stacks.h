/* SPDX-License-Identifier: MIT */
/*
 * The stacks of parked tasks, copied out of a running process.
 */
#ifndef STRANDED_OBSERVE_STACKS_H
#define STRANDED_OBSERVE_STACKS_H

#include "observe/collect.h"
#include "observe/target.h"

/* Tasks of one chunk: one child process copies them all. */
#define STACKS_CHUNK 256

enum stack_state {
	STACK_READ = 0,
	STACK_UNREADABLE, /* bytes and size are empty */
	STACK_ENDED,      /* the park was over before or while the stack was read */
};

struct stack_copy {
	enum stack_state state;
	const void *bytes; /* [sp, sp + size) of the task */
	size_t size;
};

struct stack_copies {
	struct stack_copy copy[STACKS_CHUNK];
	void *buffer; /* what they point into */
	size_t room;
};

/*
 * stacks_read - copy the stacks of count (at most STACKS_CHUNK) tasks, without stopping anything.
 * A copy is as of one moment: the generation word was the same before and after.
 * Returns 0, or -errno (-ETIMEDOUT: the process's memory hangs; -ESRCH: it has gone).
 */
int stacks_read(const struct target *t, const struct collected_task *tasks, size_t count,
		struct stack_copies *ret_copies);
void stacks_done(struct stack_copies *copies);

#endif

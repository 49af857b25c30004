/* SPDX-License-Identifier: MIT */
/*
 * Names of one process's addresses, and the stacks of its tasks as the model has them.
 */
#ifndef STRANDED_OBSERVE_NAMING_H
#define STRANDED_OBSERVE_NAMING_H

#include "observe/collect.h"
#include "observe/stacks.h"
#include "observe/target.h"
#include "symbol/symbol.h"

/*
 * Kept as long as the process is watched: reading its maps and its binaries' symbols is what
 * costs, so it is done at the first question, and again only for addresses that are new.
 */
struct naming {
	struct symboliser *symboliser;  /* borrowed; NULL: addresses only */
	struct symbol_process *symbols; /* NULL: none yet */
	int64_t retry_ns;               /* it could not be had: not before (CLOCK_MONOTONIC) */
	struct cached_frame *cache;
};

/* Call it before each series of the questions below. */
void naming_prepare(struct naming *n, struct symboliser *symboliser, const struct target *t);
void naming_done(struct naming *n);

/* Returns 0 or -ENOMEM. What is unknown stays so; the address is always there. */
int naming_frame(struct naming *n, uint64_t pc, bool is_return, struct model_frame *ret_frame);

/* @copy  of its stack; not STACK_READ: where it waits is all that is known */
int naming_stack(struct naming *n, const struct target *t, const struct waiting_task *w,
		 const struct stack_copy *copy, struct model_stack *ret_stack);

#endif

/* SPDX-License-Identifier: MIT */
/* Stack overflows: said by name, then the program dies as by any SIGSEGV. See overflow.c. */
#ifndef STRAND_OVERFLOW_H
#define STRAND_OVERFLOW_H

#include <stdbool.h>
#include <stddef.h>

struct task;

/* The signal stack that was given to a thread; size 0: it had one of its own, or none could be. */
struct alt_stack {
	void *memory;
	size_t size;
};

/* Take and give back SIGSEGV, for the time that the runtime runs. */
void overflow_install(void);
void overflow_uninstall(void);

/* The calling thread begins and ends to run tasks. */
void overflow_thread_begin(struct alt_stack *ret_alt);
void overflow_thread_end(struct alt_stack *alt);

/* The task is about to be left. Says so and aborts if its canary was written over. */
void overflow_check_canary(const struct task *task);

#endif

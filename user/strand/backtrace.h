/* SPDX-License-Identifier: MIT */
/* Return addresses of a task's stack, by frame pointers. */
#ifndef STRAND_BACKTRACE_H
#define STRAND_BACKTRACE_H

#include <stddef.h>
#include <stdint.h>

struct frame;
struct task;

/*
 * backtrace_from - the return addresses from a frame of the task outwards, innermost first.
 * The task's stack must stay mapped meanwhile; what it holds may change, and then the
 * addresses mean nothing. Returns how many there are. Context: also signal handlers.
 */
size_t backtrace_from(const struct task *task, const struct frame *frame, uintptr_t *ret_pcs,
		      size_t room);

/* Where a task that waits or is ready goes on; pc 0: that is not known. */
struct frame backtrace_resume_frame(const struct task *task);

#endif

/* SPDX-License-Identifier: MIT */
/* Who owns a lock: a task, or a plain thread. */
#ifndef STRAND_OWNER_H
#define STRAND_OWNER_H

#include <stdint.h>
#include "strand/sched.h"

/* Neither number is ever reused in a runtime, and tasks end below this. */
#define THREAD_ID_FIRST ((uint64_t)1 << 60)

/* A number for the calling plain thread. */
uint64_t thread_id(void);

static inline uint64_t self_id(void)
{
	const struct task *task = sched_current_task();

	return task ? task->id : thread_id();
}

#endif

/* SPDX-License-Identifier: MIT */
/* What the leak search is told of a runtime whose tasks run on meanwhile. See leaks_live.c. */
#ifndef STRAND_LEAKS_LIVE_H
#define STRAND_LEAKS_LIVE_H

#include "leakgc/leakgc.h"
#include "strand/runtime.h"

enum live_phase { LIVE_MASKS = 0, LIVE_OBJECTS, LIVE_TASKS, LIVE_WAITS };

/* How far the description has come. Zeroed is the beginning. */
struct live_cursor {
	enum live_phase phase;
	struct task_slab *slab;
};

/* As describe_live and describe_changes of struct leakgc_runtime. */
int leaks_describe_live(struct leakgc_world *world, struct runtime *rt, struct live_cursor *cursor);
int leaks_describe_changes(struct leakgc_world *world, const struct runtime *rt,
			   const struct leakgc_thread *threads, size_t thread_count,
			   const struct leakgc_page_run *written, size_t written_count);

#endif

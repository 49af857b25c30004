/* SPDX-License-Identifier: MIT */
/* What both descriptions of the world share: of a snapshot (leaks.c), and live (leaks_live.c). */
#ifndef STRAND_LEAKS_WORLD_H
#define STRAND_LEAKS_WORLD_H

#include "leakgc/leakgc.h"
#include "strand/runtime.h"

/*
 * switch_prepare() leaves two words free at the top. Without them a task's stack does not end
 * where the next one begins: a pointer to that one's lowest byte is none to this one's end.
 */
#define STACK_TOP_UNUSED (2 * sizeof(uintptr_t))

/* Told of each region of the runtime's memory. */
typedef int leaks_region_fn(struct leakgc_world *world, uintptr_t lo, uintptr_t hi);

int leaks_each_region(struct leakgc_world *world, const struct runtime *rt, leaks_region_fn *fn);

/* The content of an object, live if it is in motion. */
struct leakgc_object leaks_object(const struct object *o);

int leaks_describe_object(struct leakgc_world *world, struct object *o);

/* No channel, no cases, and no handle by which it could be cancelled. */
bool leaks_waits_on_nothing(enum strand_wait_reason reason, const struct strand_task *handle);

/* The live part of a task's stack: from its stack pointer, or all of it where that is unknown. */
uintptr_t leaks_live_stack_lo(const struct task *task, const struct leakgc_thread *threads,
			      size_t thread_count);

#endif

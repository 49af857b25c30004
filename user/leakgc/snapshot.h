/* SPDX-License-Identifier: MIT */
/* One search from the stop to the end of the searching child. */
#ifndef LEAKGC_SNAPSHOT_H
#define LEAKGC_SNAPSHOT_H

#include "leakgc/kernel_hands.h"
#include "leakgc/leakgc.h"
#include "leakgc/memory.h"
#include "leakgc/search.h"
#include "leakgc/world.h"

#define LEAKGC_OWN_RANGES 3

/* All that a search needs, made before anything is stopped. */
struct leakgc_session {
	const struct leakgc_runtime *runtime;
	const struct leakgc_limits *limits;
	const volatile int *cancel;
	struct leakgc_world world;
	struct leakgc_memory memory;          /* of the target */
	struct leakgc_memory snapshot_memory; /* of the child */
	struct leakgc_thread *threads;        /* LEAKGC_THREADS_MAX, as world.root_ranges */
	size_t thread_count;
	unsigned char *chunk; /* LEAKGC_CHUNK */
	unsigned char *copies;
	struct leakgc_range mapping; /* the private memory of the search, this structure included */
	struct leakgc_findings *findings; /* shared with the child */
	size_t findings_size;
	struct leakgc_range own[LEAKGC_OWN_RANGES];
	uint64_t uprobe_bytes;      /* mappings of the kernel that no snapshot holds */
	uint64_t inheritable_bytes; /* mapped at the stop, without those */
	int parent_pid;
};

/* Make a session, or return -errno and leave ret_session alone. */
int leakgc_session_new(const struct leakgc_runtime *runtime, const struct leakgc_limits *limits,
		       const volatile int *cancel, unsigned without,
		       struct leakgc_session **ret_session);
void leakgc_session_free(struct leakgc_session *session); /* NULL is allowed */

/*
 * leakgc_snapshot_search - stop, look at the kernel's hands, clone, let go, wait.
 * Fills status, cause and times; the verdicts stay in the session's findings.
 */
void leakgc_snapshot_search(struct leakgc_session *s, struct leakgc_result *result);

/* The same on the live memory of a process that has no other thread. For tests alone. */
void leakgc_snapshot_examine_in_place(struct leakgc_session *s, struct leakgc_result *result);

/*
 * leakgc_search_without - leakgc_search() with treatments of soundness holes switched
 * off, to show that a test would see their absence. For tests alone.
 * @in_place  search the live memory of a process of one thread, without a snapshot
 */
void leakgc_search_without(const struct leakgc_runtime *runtime, const struct leakgc_limits *limits,
			   const volatile int *cancel, unsigned without, bool in_place,
			   struct leakgc_result *ret_result);

#endif

/* SPDX-License-Identifier: MIT */
/* All that one search needs, made before anything is stopped. */
#ifndef LEAKGC_SESSION_H
#define LEAKGC_SESSION_H

#include "leakgc/kernel_hands.h"
#include "leakgc/leakgc.h"
#include "leakgc/memory.h"
#include "leakgc/search.h"
#include "leakgc/tracker.h"
#include "leakgc/world.h"

#define LEAKGC_OWN_RANGES 3

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
	struct leakgc_tracker tracker; /* of a search without a snapshot */
	struct leakgc_examination examination;
	uint64_t uprobe_bytes;      /* mappings of the kernel that no snapshot holds */
	uint64_t inheritable_bytes; /* mapped at the stop, without those */
	int parent_pid;
};

/* Make a session, or return -errno and leave ret_session alone. */
int leakgc_session_new(const struct leakgc_runtime *runtime, const struct leakgc_limits *limits,
		       const volatile int *cancel, unsigned without,
		       struct leakgc_session **ret_session);
void leakgc_session_free(struct leakgc_session *session); /* NULL is allowed */

#endif

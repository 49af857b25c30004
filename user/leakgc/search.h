/* SPDX-License-Identifier: MIT */
/* The backward search itself, over memory that does not change. */
#ifndef LEAKGC_SEARCH_H
#define LEAKGC_SEARCH_H

#include "leakgc/leakgc.h"
#include "leakgc/memory.h"
#include "leakgc/world.h"

#define LEAKGC_CHUNK             (256u << 10) /* larger reads are no faster */

#define LEAKGC_FINDINGS_COMPLETE 0x1eaf0001u

/* What a search found; in memory that the snapshot shares with its parent. */
struct leakgc_findings {
	uint32_t complete; /* written last */
	uint32_t cause;    /* enum strand_search_cause; not NONE: nothing was proved */
	uint64_t cause_detail;
	uint64_t scanned_bytes;
	uint64_t tasks, candidates, leaked;
	uint64_t verdict_count;
	uint64_t link_count; /* struct strand_report_link, right behind the verdicts */
	uint64_t retained_stacks, retained_objects, retained_blocks;
	struct leakgc_verdict verdicts[];
};

_Static_assert(sizeof(struct leakgc_verdict) % _Alignof(struct strand_report_link) == 0,
	       "links lie behind verdicts");

struct leakgc_examination {
	struct leakgc_world *world;
	const struct leakgc_runtime *runtime;
	const struct leakgc_thread *threads;
	size_t thread_count;
	const struct leakgc_range *own; /* the search's own memory */
	size_t own_count;
	struct leakgc_memory *memory;
	unsigned char *chunk; /* LEAKGC_CHUNK bytes */
	int64_t deadline_ns;
	bool yield_cpu; /* go to idle priority when it takes longer */
};

/*
 * leakgc_examine - describe the world, search, and write what was found.
 * Runs in a snapshot (or, for tests, in a process of one thread). Uses no libc
 * state. @room counts the verdicts that fit.
 */
void leakgc_examine(const struct leakgc_examination *e, struct leakgc_findings *ret_findings,
		    size_t room);

#endif

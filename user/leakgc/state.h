/* SPDX-License-Identifier: MIT */
/* What the parts of one search share: where things lie (place.c), who points at what (scan.c). */
#ifndef LEAKGC_STATE_H
#define LEAKGC_STATE_H

#include "leakgc/cover.h"
#include "leakgc/heap.h"
#include "leakgc/search.h"

/* Member of the owner cover that stands for "masked". */
#define LEAKGC_MASKED UINT32_MAX

struct leakgc_scan_region {
	uintptr_t lo;
	uintptr_t hi;
	bool files; /* clean pages of the file count too */
};

#define LEAKGC_PUT_OFF_MAX 4096

struct leakgc_state {
	const struct leakgc_examination *e;
	struct leakgc_world *w;
	struct leakgc_scan_region *regions;
	size_t region_count;
	uint64_t address_mask;  /* which bits of a word are an address, without tags */
	uint64_t pointer_guard; /* with which libc hides pointers; 0: it does not */
	struct leakgc_cover owners;
	struct leakgc_heap heap;
	uint32_t *blocks;     /* hash table: nodes of heap blocks by address, 0 is free */
	uint32_t block_slots; /* a power of two, or 0 */
	struct leakgc_cover targets;
	uint64_t *filter; /* a bit per granule of [min, min + span] that has a target */
	unsigned filter_shift;
	uintptr_t target_min;
	uintptr_t target_span;
	size_t stride;
	int64_t yield_after_ns;  /* of processor time; INT64_MAX: never (again) */
	int64_t expand_until_ns; /* later, blocks are no longer followed */
	bool may_give_up;        /* this pass follows blocks: what it does not reach is LIVE */
	bool gave_up;
	bool again;   /* what was looked for is looked for again, in what was written meanwhile */
	bool stopped; /* live memory that does not change now */
	struct leakgc_range *put_off; /* live memory that could not be read */
	size_t put_off_count;
	uint64_t scanned_bytes;
	enum strand_search_cause cause;
	uint64_t detail;
};

/* ---- search.c ------------------------------------------------------------------- */

void leakgc_state_begin(struct leakgc_state *s, const struct leakgc_examination *e);

/* The world was described, with result r: seal it. Returns 0 or -ECANCELED. */
int leakgc_state_described(struct leakgc_state *s, int r);

/* All passes over memory, as far as they are needed. Returns 0 or -ECANCELED. */
int leakgc_state_search(struct leakgc_state *s);

/* What was to be looked for and was not counts as held by a root. */
void leakgc_state_give_up(struct leakgc_state *s);

/* Write what was found. */
void leakgc_state_report(struct leakgc_state *s, int r, struct leakgc_findings *f, size_t room);

/* The last stride: that of packed structures. */
size_t leakgc_state_stride(const struct leakgc_state *s);

/* Note the first cause; always -ECANCELED. */
int leakgc_stop_because(struct leakgc_state *s, enum strand_search_cause cause, uint64_t detail);
int leakgc_out_of_memory(struct leakgc_state *s);

/* One stretch of a cover. */
struct leakgc_segment {
	uintptr_t hi; /* end */
	bool masked;
	const uint32_t *members; /* LEAKGC_MASKED among them */
	size_t member_count;
};

/* The stretch that starts at an address. @index: of the cover, or NONE. */
struct leakgc_segment leakgc_segment_at(const struct leakgc_cover *cover, size_t index);

/* Masked, and no node's: nothing in there counts. */
bool leakgc_segment_is_ignored(const struct leakgc_segment *g);

/* ---- place.c ------------------------------------------------------------------ */

/* Read the maps, check the heap, build the owners, and see what lies where (I3). */
int leakgc_place(struct leakgc_state *s);

/* Who holds memory that is not masked? @ret_block is the node, if it is a block. */
enum leakgc_heap_holder leakgc_holder_of(struct leakgc_state *s, uintptr_t address,
					 uint32_t *ret_block);

/* If `from` is LIVE, so is `to`. */
int leakgc_connect(struct leakgc_state *s, uint32_t from, uint32_t to);

/* ---- scan.c ------------------------------------------------------------------- */

/*
 * leakgc_scan_pass - one pass over memory for all that is not LIVE and was not a target yet.
 * Returns 1, 0 if nothing was left to look for, or -ECANCELED.
 */
int leakgc_scan_pass(struct leakgc_state *s, size_t stride);

/*
 * leakgc_scan_again - from now on, look once more for everything that is not LIVE.
 * The caller says where. Returns 0 or -ECANCELED.
 */
int leakgc_scan_again(struct leakgc_state *s, size_t stride);

/* Registers, the kernel's words, and copies: there are none before the world has stood still. */
int leakgc_scan_outside(struct leakgc_state *s);

/* Scan memory [lo, hi), all of which holds data. */
int leakgc_scan_memory(struct leakgc_state *s, uintptr_t lo, uintptr_t hi);

/* The same where bytes holds it already; NULL: it is read in one piece, of LEAKGC_CHUNK at most. */
int leakgc_scan_owners(struct leakgc_state *s, const unsigned char *bytes, uintptr_t lo,
		       uintptr_t hi);

/* All of it is a root, whatever lies there. */
int leakgc_scan_root(struct leakgc_state *s, const unsigned char *bytes, uintptr_t lo,
		     uintptr_t hi);

/* Would it help to know who points at the node? */
bool leakgc_is_target(const struct leakgc_world *w, uint32_t node);

#endif

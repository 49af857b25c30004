/* SPDX-License-Identifier: MIT */
/*
 * The sites of one watched process: what the kernel counts there, how they are called, and what
 * the newest census found.
 */
#ifndef STRANDED_OBSERVE_SITES_H
#define STRANDED_OBSERVE_SITES_H

#include "observe/collect.h"
#include "observe/naming.h"

struct site_group { /* tasks of one state at one site */
	uint64_t count;
	uint64_t retained;             /* bytes, by all of them */
	struct collected_task example; /* the oldest; where count is not 0 */
};

struct site {
	struct site_key key;
	struct site_stats stats; /* as last read */
	bool present;            /* in the newest reading */
	uint32_t number;         /* in the table, never used again; not 0 */

	/* Its names, and the stack of one of its tasks. Never changes once it is known. */
	bool named;
	unsigned attempts; /* at reading a stack for it */
	uint64_t fingerprint;
	struct model_stack stack;
	struct model_frame created_by, entry;

	struct site_group groups[MODEL_TASK_STATES]; /* by enum model_task_state */

	/* How many waited at the newest sample, and how many samples in a row there were more. */
	uint64_t sample;
	unsigned grown;
	unsigned rules; /* of suspicion that hold for all its tasks: enum model_suspect_rule */
};

struct site_table {         /* zeroed: empty */
	struct site *sites; /* sorted by key */
	size_t count, room;
	uint32_t numbers; /* given so far */
};

/* Take over a reading. Pointers to sites taken before are void. Returns 0 or -ENOMEM. */
int site_table_update(struct site_table *t, const struct collected_slice *slice);
void site_table_done(struct site_table *t);

/* The site of a key, or the one that stands for all beyond the kernel's quota, or NULL. */
struct site *site_table_find(const struct site_table *t, const struct site_key *key);

/* One more sample for the rule of growth. */
void site_table_sample(struct site_table *t);

/* How many of the site's tasks are of no group but MODEL_WAITING. */
uint64_t site_waiting(const struct site *s);

/* Keep the names of a site, made of one of its tasks. Returns 0 or -ENOMEM. */
int site_name(struct site *s, const struct model_stack *stack, const struct model_frame *created_by,
	      const struct model_frame *entry);

#endif

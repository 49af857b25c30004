/* SPDX-License-Identifier: MIT */
/*
 * Waiting tasks as profiles: one sample for all tasks that wait alike. Named and counted as Go's.
 *
 * Those that count tasks are of this moment. Block and mutex profiles sum up, as Go's do, the
 * waits that have ended since the process is observed, and beyond Go those that go on.
 */
#ifndef STRANDED_VIEW_PROFILE_H
#define STRANDED_VIEW_PROFILE_H

#include <stdio.h>

#include "model/model.h"
#include "view/place.h"

enum profile_kind {
	PROFILE_GOROUTINELEAK, /* leaked tasks */
	PROFILE_GOROUTINE,     /* all waiting tasks */
	PROFILE_BLOCK,         /* those that wait for other tasks: not for time or the kernel */
	PROFILE_MUTEX,         /* those that wait for locks */
	PROFILE_THREADCREATE,  /* nothing is known: always empty */
	PROFILE_KINDS
};

struct profile_sample {
	const struct model_process *process; /* borrowed from the model, as all pointers here */
	const struct model_stack *stack;
	const struct model_frame *created_by, *entry;
	enum strand_wait_reason reason;
	bool has_state;
	enum model_task_state state;
	uint64_t hash;
	uint64_t count;
	int64_t waited_ns; /* by all of them */
	uint64_t retained; /* bytes, by leaked ones */
};

struct profile {
	enum profile_kind kind;
	struct profile_sample *samples; /* the largest first */
	size_t count, room;
	uint64_t total;     /* tasks */
	bool has_processes; /* more than one: samples have to say which */
};

/* Returns 0 or -ENOMEM. */
int profile_build(const struct model *m, enum profile_kind kind, struct profile *ret_profile);
void profile_done(struct profile *profile);

/* What a sample is labelled with where there are several processes: command and pid. */
const char *profile_process(const struct model_process *p, char ret_text[PLACE_ROOM]);
const char *profile_name(enum profile_kind kind);
/* Returns the kind of that name, PROFILE_KINDS if there is none. */
enum profile_kind profile_find(const char *name);
/* Is it weighed by the time waited, as Go's block and mutex profiles are? */
bool profile_is_timed(enum profile_kind kind);

/*
 * view_profile - a profile as Go's /debug/pprof/NAME?debug=N gives it.
 * @debug  0: gzipped protobuf; 1: text with addresses and names; 2: all tasks as a dump
 * For the profile of one process see model_one(). Returns 0 or -ENOMEM (nothing is written).
 * Errors of the stream are the caller's: ferror(out).
 */
int view_profile(FILE *out, const struct model *m, enum profile_kind kind, unsigned debug);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What may be asked of the daemon: the common language of its processes.
 *
 *     client ── HTTP ──► front (no privileges) ── requests ──► server (root, the observer)
 *                          ▲                                      │ forks, with the model
 *                          └──── replies with sealed memfd ◄── renderer (no privileges)
 *
 * Bytes of clients are read by the front only. It turns them into a struct question, which the
 * server checks again: a front that was broken into can ask what any client could ask.
 */
#ifndef STRANDED_SERVE_QUESTION_H
#define STRANDED_SERVE_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

enum question_kind {
	QUESTION_HEALTH = 0,
	QUESTION_SNAPSHOT,
	QUESTION_PROCESSES,
	QUESTION_TASKS,
	QUESTION_SITES,
	QUESTION_LEAKS,
	QUESTION_METRICS,
	QUESTION_PROFILE,
	QUESTION_TARGETS, /* for service discovery: the profiles that there are */
	QUESTION_SEARCH,  /* changes something: asks a process for a search */
	QUESTION_INDEX,   /* answered by the front */
	QUESTION_KINDS
};

/* Compared byte by byte: always made by an initialiser, without gaps. */
struct question {
	uint32_t kind;     /* enum question_kind */
	uint32_t sees_all; /* the client may see the processes of every user, else of uid only */
	uint32_t uid;
	int32_t pid;          /* of the one process asked for; 0: all */
	uint64_t start;       /* its start time; 0: any */
	uint32_t profile;     /* enum profile_kind */
	uint32_t debug;       /* of a profile: 0 to 2 */
	uint32_t openmetrics; /* of metrics: not the older text format */
	uint32_t port;        /* of targets: that the daemon listens on, 0: none */
};

_Static_assert(sizeof(struct question) == 40, "no padding");

bool question_equal(const struct question *a, const struct question *b);

/* Is every field in its range? */
bool question_valid(const struct question *q);

/* Does its answer need every task, or is one of each site enough? */
bool question_needs_tasks(const struct question *q);

/* The Content-Type of its answer. */
const char *question_content_type(const struct question *q);

#endif

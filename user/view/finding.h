/* SPDX-License-Identifier: MIT */
/*
 * Leaked tasks as findings: one for all that leak alike, over all processes, as a developer fixes
 * them. A finding's fingerprint is made of names only, so it stays the same when lines move.
 */
#ifndef STRANDED_VIEW_FINDING_H
#define STRANDED_VIEW_FINDING_H

#include <stdio.h>

#include "model/model.h"
#include "view/place.h"

enum finding_kind {
	FINDING_NEW,
	FINDING_KNOWN,   /* in the baseline */
	FINDING_IGNORED, /* a pattern says so */
	FINDING_KINDS
};

#define FINGERPRINT_ROOM 17 /* 16 hexadecimal digits */

struct finding {
	char fingerprint[FINGERPRINT_ROOM];
	enum finding_kind kind;
	const struct model_process *process; /* of the example; borrowed from the model */
	const struct model_task *example;
	size_t tasks;
};

struct findings {
	struct finding *findings; /* by fingerprint */
	size_t count;
	size_t tasks[FINDING_KINDS];
};

/* All are new at first. Returns 0 or -ENOMEM. */
int findings_build(const struct model *m, struct findings *ret_findings);
void findings_done(struct findings *f);
/* Call it when kinds have been set. */
void findings_count(struct findings *f);

/* Is a function of its stack, its entry or its creator matched by the pattern (as file names are)? */
bool finding_matches(const struct finding *f, const char *pattern);

const char *finding_kind_text(enum finding_kind kind);
/* "chan send in ask_backend, created by handle_request": one line, escaped. Returns ret_text. */
#define FINDING_ROOM (2 * PLACE_ROOM + 64)
const char *finding_title(const struct finding *f, char ret_text[FINDING_ROOM]);

struct findings_context { /* what the whole run was */
	const struct model *model;
	const struct findings *findings;
	const char *command; /* that was run */
	bool conclusive;     /* every program that reported was searched, and there was one */
	int64_t duration_ns;
};

/* For people: like a compiler's messages, so that editors find the lines. Not the ignored ones. */
void view_findings_text(FILE *out, const struct findings *f, bool utf8);
/* For CI servers: a test case for each finding; new ones failed, known and ignored ones skipped. */
void view_findings_junit(FILE *out, const struct findings_context *c);
/* For code hosts: SARIF 2.1.0. */
void view_findings_sarif(FILE *out, const struct findings_context *c);

#endif

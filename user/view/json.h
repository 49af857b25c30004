/* SPDX-License-Identifier: MIT */
/* The model as a JSON document; snapshot.schema.json says what is in it. */
#ifndef STRANDED_VIEW_JSON_H
#define STRANDED_VIEW_JSON_H

#include <stdio.h>

#include "model/model.h"

enum json_content {
	JSON_SNAPSHOT,  /* stranded.snapshot/v1: every waiting task */
	JSON_LEAKS,     /* stranded.leaks/v1: the same form, with the leaked tasks only */
	JSON_PROCESSES, /* stranded.processes/v1: the same form, without tasks */
	JSON_TASKS,     /* stranded.tasks/v1: all tasks in one array, each with its process */
};

/* Errors are the stream's: ferror(out). */
void view_json(FILE *out, const struct model *m, enum json_content content);
/* The same on one line, for streams of documents (JSON Lines). */
void view_json_line(FILE *out, const struct model *m, enum json_content content);
/*
 * stranded.sites/v1: tasks that wait alike, each site with one of its tasks as an example.
 * Returns 0 or -ENOMEM (nothing is written).
 */
int view_json_sites(FILE *out, const struct model *m);

#endif

/* SPDX-License-Identifier: MIT */
/* Compares and checks questions. */
#include "serve/question.h"

#include <string.h>

#include "view/openmetrics.h"
#include "view/profile.h"

bool question_equal(const struct question *a, const struct question *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool question_valid(const struct question *q)
{
	return q->kind < QUESTION_KINDS && q->sees_all <= 1 && q->pid >= 0 &&
	       q->profile < PROFILE_KINDS && q->debug <= 2 && q->openmetrics <= 1 &&
	       q->port <= 65535;
}

bool question_needs_tasks(const struct question *q)
{
	switch ((enum question_kind)q->kind) {
	case QUESTION_SNAPSHOT:
	case QUESTION_TASKS:
	case QUESTION_LEAKS:
		return true;
	case QUESTION_PROFILE:
		return q->debug == 2;
	default:
		return false;
	}
}

const char *question_content_type(const struct question *q)
{
	if (q->kind == QUESTION_METRICS)
		return q->openmetrics ? OPENMETRICS_1_0_TYPE : OPENMETRICS_TEXT_TYPE;
	if (q->kind == QUESTION_PROFILE)
		return q->debug ? "text/plain; charset=utf-8" : "application/octet-stream";
	return "application/json";
}

/* SPDX-License-Identifier: MIT */
/*
 * The paths of the daemon:
 *
 *     /NAME                                   one of the entries below
 *     /pid/PID-START/debug/pprof/PROFILE      a profile of one process
 *     /v1/processes/PID-START/search          POST: search it for leaks now
 *
 * PID-START names one life of a process: its number may be reused, not the pair.
 */
#include "serve/route.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "view/profile.h"

struct entry {
	const char *path;
	enum question_kind kind;
};

static const struct entry entries[] = {
	{"/", QUESTION_INDEX},
	{"/healthz", QUESTION_HEALTH},
	{"/metrics", QUESTION_METRICS},
	{"/v1/snapshot", QUESTION_SNAPSHOT},
	{"/v1/processes", QUESTION_PROCESSES},
	{"/v1/tasks", QUESTION_TASKS},
	{"/v1/sites", QUESTION_SITES},
	{"/v1/leaks", QUESTION_LEAKS},
	{"/v1/targets", QUESTION_TARGETS},
};

static bool refuse(struct refusal *ret_refusal, unsigned status, const char *text)
{
	*ret_refusal = (struct refusal){.status = status, .text = text};
	return false;
}

static bool check_method(const char *method, bool changes, struct refusal *ret_refusal)
{
	if (changes ? !strcmp(method, "POST") : !strcmp(method, "GET") || !strcmp(method, "HEAD"))
		return true;
	refuse(ret_refusal, 405, "this path does not take this method");
	ret_refusal->allows = changes ? "POST" : "GET, HEAD";
	return false;
}

/* A number from 1 in decimal digits; *text is then behind it. */
static bool parse_number(const char **text, uint64_t max, uint64_t *ret_number)
{
	unsigned long long value;
	char *end;

	if (**text < '1' || **text > '9')
		return false;
	errno = 0;
	value = strtoull(*text, &end, 10);
	if (errno || value > max)
		return false;
	*text = end;
	*ret_number = value;
	return true;
}

/* PID-START; *text is then behind it. */
static bool parse_process(const char **text, struct question *q)
{
	uint64_t pid;

	if (!parse_number(text, INT32_MAX, &pid) || *(*text)++ != '-')
		return false;
	q->pid = (int32_t)pid;
	return parse_number(text, UINT64_MAX, &q->start);
}

/* Returns what follows the prefix, or NULL. */
static const char *after(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) ? NULL : text + length;
}

static bool find_profile(const char *name, struct route *r)
{
	if (!*name) {
		r->question.kind = QUESTION_INDEX;
		return true;
	}
	r->question.kind = QUESTION_PROFILE;
	r->question.profile = profile_find(name);
	return r->question.profile != PROFILE_KINDS;
}

/* Paths that name a process. */
static bool find_in_process(const char *path, struct route *r)
{
	const char *rest = after(path, "/pid/");

	if (rest) {
		if (!parse_process(&rest, &r->question))
			return false;
		rest = after(rest, "/debug/pprof/");
		return rest && find_profile(rest, r);
	}
	rest = after(path, "/v1/processes/");
	if (!rest || !parse_process(&rest, &r->question) || strcmp(rest, "/search"))
		return false;
	r->question.kind = QUESTION_SEARCH;
	r->changes = true;
	return true;
}

static bool find(const char *path, struct route *r)
{
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		if (strcmp(path, entries[i].path))
			continue;
		r->question.kind = entries[i].kind;
		return true;
	}
	return find_in_process(path, r);
}

bool route_find(const char *method, const char *path, struct route *ret_route,
		struct refusal *ret_refusal)
{
	struct route r = {.changes = false};

	if (!find(path, &r))
		return refuse(ret_refusal, 404,
			      "there is nothing of this name; / lists what there is");
	if (!check_method(method, r.changes, ret_refusal))
		return false;
	*ret_route = r;
	return true;
}

bool route_is_profile(const char *path)
{
	return strstr(path, "/debug/pprof/") != NULL;
}

static bool set_pid(struct question *q, const char *value, struct refusal *ret_refusal)
{
	uint64_t pid;

	if (!value || !parse_number(&value, INT32_MAX, &pid) || *value)
		return refuse(ret_refusal, 400, "pid wants the number of a process");
	q->pid = (int32_t)pid;
	return true;
}

static bool set_debug(struct question *q, const char *value, struct refusal *ret_refusal)
{
	if (!value || *value < '0' || *value > '2' || value[1])
		return refuse(ret_refusal, 400, "debug wants 0, 1 or 2");
	q->debug = (uint32_t)(*value - '0');
	return true;
}

bool route_parameter(struct route *route, const char *name, const char *value,
		     struct refusal *ret_refusal)
{
	struct question *q = &route->question;
	bool is_list = q->kind >= QUESTION_SNAPSHOT && q->kind <= QUESTION_LEAKS;

	if (is_list && !strcmp(name, "pid"))
		return set_pid(q, value, ret_refusal);
	if (q->kind == QUESTION_PROFILE && !strcmp(name, "debug"))
		return set_debug(q, value, ret_refusal);
	/* The difference between two moments, which Go makes of it, says nothing about old leaks. */
	if (q->kind == QUESTION_PROFILE && !strcmp(name, "seconds"))
		return refuse(ret_refusal, 400, "profiles of a time span are not supported");
	return refuse(ret_refusal, 400, "there is no such parameter");
}

/* SPDX-License-Identifier: MIT */
/* From a request line to a question: what exists, which methods and parameters it takes. */
#ifndef STRANDED_SERVE_ROUTE_H
#define STRANDED_SERVE_ROUTE_H

#include <stdbool.h>

#include "serve/question.h"

struct route {
	struct question question; /* without its viewer: sees_all and uid are the caller's */
	bool changes;             /* more than reading: not for everybody */
};

/* An answer to a client that is no document. */
struct refusal {
	unsigned status;    /* of HTTP */
	const char *text;   /* for people; a constant */
	const char *allows; /* with 405: the methods */
};

/*
 * route_find - what a path and a method mean.
 * @path    as the client sent it, not decoded: no path of ours needs an escape
 * Returns whether there is such a thing; if not, *ret_refusal says why.
 */
bool route_find(const char *method, const char *path, struct route *ret_route,
		struct refusal *ret_refusal);

/* Is this path one of Go's profiles, whose readers want errors as text? */
bool route_is_profile(const char *path);

/*
 * route_parameter - take one parameter of the query into the route.
 * @value  NULL: it has none
 */
bool route_parameter(struct route *route, const char *name, const char *value,
		     struct refusal *ret_refusal);

#endif

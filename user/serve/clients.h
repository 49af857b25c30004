/* SPDX-License-Identifier: MIT */
/*
 * The connections: who they are, how many, and since when they keep us waiting.
 *
 * L1. A connection whose request is not complete within REQUEST_SECONDS, or that takes longer
 *     than ANSWER_SECONDS for an answer, is closed, whatever it does in between.
 * L2. One user who is not trusted has at most CLIENTS_PER_USER connections, and all together
 *     CLIENTS_MAX; who comes then is told so.
 */
#ifndef STRANDED_SERVE_CLIENTS_H
#define STRANDED_SERVE_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "serve/viewer.h"

#define CLIENTS_MAX      1000
#define CLIENTS_PER_USER 100
#define REQUEST_SECONDS  15
#define ANSWER_SECONDS   300

enum client_state {
	CLIENT_ASKS,     /* its request is on the way */
	CLIENT_IS_HEARD, /* we work on it or send the answer */
	CLIENT_LISTENS,  /* to a stream, which has no end */
};

struct client {
	struct client *next, **link;
	int fd;
	bool is_tcp;
	bool too_many;
	struct viewer viewer;
	enum client_state state;
	int64_t since_ns; /* of the state */
};

struct clients { /* zeroed: none */
	struct client *first;
	unsigned count;
};

/* Returns NULL if it cannot be known who it is, or without memory. */
struct client *clients_add(struct clients *all, int fd, bool is_tcp, gid_t trusted, int64_t now_ns);
void clients_remove(struct clients *all, struct client *c);
void client_enter(struct client *c, enum client_state state, int64_t now_ns);

/* Shut those down that are over their time. Returns when to look again. */
int64_t clients_expire(struct clients *all, int64_t now_ns);

#endif

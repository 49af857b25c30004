/* SPDX-License-Identifier: MIT */
/*
 * The server: the side of the daemon that has the observer. It starts the front, answers its
 * requests with documents that renderers write, and ends both.
 *
 * It runs in the observer's thread and never waits: for a caller with a loop of its own.
 */
#ifndef STRANDED_SERVE_SERVER_H
#define STRANDED_SERVE_SERVER_H

#include <stdint.h>
#include <sys/types.h>

#include "model/model.h"
#include "serve/listen.h"
#include "view/openmetrics.h"

struct server_source { /* where the models come from */
	void *context;
	/* Return 0 or -errno. An overview has one task for each site, which stands for the others. */
	int (*snapshot)(void *context, struct model *ret_model);
	int (*overview)(void *context, struct model *ret_model);
	/* Search one process, and wait for it a few seconds at most. */
	void (*search)(void *context, pid_t pid);
	int (*self)(struct openmetrics_self *ret_self); /* of this process */
};

struct server_options {
	const char *socket_path;
	mode_t socket_mode;
	gid_t group;                      /* of the socket; its members see everything */
	const struct listen_address *tcp; /* NULL: none */
	int64_t search_gap_ns;            /* at least, between two searches of a process */
	struct server_source source;
};

struct server;

/*
 * server_new - listen, and start the front.
 * Returns 0, or -errno with one line for people in ret_error (malloc'ed).
 */
int server_new(const struct server_options *options, struct server **ret_server, char **ret_error);
void server_free(struct server *s);

/* server_run() has something to do when the descriptor is readable, or at that time. */
int server_fd(const struct server *s);
int64_t server_due_ns(const struct server *s);

/* Do what is to be done now. */
void server_run(struct server *s);

#endif

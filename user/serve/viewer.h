/* SPDX-License-Identifier: MIT */
/*
 * Who asks, and what they may see.
 *
 * Over the Unix socket the kernel says who asks: root and the members of the socket's group see
 * everything, everybody else the processes of their own user id. Over TCP nobody is known: who
 * opens the port decides that every program on this host may see everything, and such clients may
 * only read.
 */
#ifndef STRANDED_SERVE_VIEWER_H
#define STRANDED_SERVE_VIEWER_H

#include <stdbool.h>
#include <sys/types.h>

struct viewer {
	bool sees_all;
	bool may_change; /* may ask for a search */
	uid_t uid;
};

/* The pure rule. @groups are the supplementary ones. */
struct viewer viewer_of_peer(uid_t uid, gid_t gid, const gid_t *groups, size_t count,
			     gid_t trusted);

/* The peer of a connected socket. Returns 0, or -errno: then it is nobody. */
int viewer_of_socket(int fd, gid_t trusted, struct viewer *ret_viewer);

struct viewer viewer_of_tcp(void);

/*
 * viewer_host_allowed - does a Host header name this host's loopback?
 * A page in a browser can make it connect here under a name of its own choosing (DNS
 * rebinding); that name is then in the header. NULL: the client sent none.
 */
bool viewer_host_allowed(const char *host, unsigned port);

#endif

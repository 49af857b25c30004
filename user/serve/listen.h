/* SPDX-License-Identifier: MIT */
/* The sockets that the daemon listens on. */
#ifndef STRANDED_SERVE_LISTEN_H
#define STRANDED_SERVE_LISTEN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/types.h>

struct listen_address { /* of TCP */
	struct sockaddr_storage storage;
	socklen_t size;
	unsigned port;
};

/*
 * listen_parse - "127.0.0.1:PORT", "[::1]:PORT" or "localhost:PORT".
 * Returns 0, -EINVAL, or -EACCES for an address that other hosts could reach.
 */
int listen_parse(const char *text, struct listen_address *ret_address);

/*
 * listen_unix - a socket at path with this group and mode. One that a dead daemon left is
 * replaced; -EADDRINUSE: a daemon listens there.
 * Returns the socket or -errno.
 */
int listen_unix(const char *path, gid_t group, mode_t mode);
/* The group of the socket: `stranded`, or root's where there is none of this name. */
gid_t listen_group(void);
int listen_tcp(const struct listen_address *address);

#endif

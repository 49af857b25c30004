/* SPDX-License-Identifier: MIT */
/* The front: the process without privileges that speaks HTTP. */
#ifndef STRANDED_SERVE_FRONT_H
#define STRANDED_SERVE_FRONT_H

#include <sys/types.h>

struct front_options {
	int server;      /* the socket to the server */
	int unix_socket; /* listening */
	int tcp_socket;  /* -1: none */
	unsigned tcp_port;
	gid_t trusted; /* members see everything */
};

/* Serves until the server is gone; returns the exit status. The process is confined already. */
int front_run(const struct front_options *options);

#endif

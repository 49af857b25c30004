/* SPDX-License-Identifier: MIT */
/* Gives up every privilege for good: for the processes that read what clients send. */
#ifndef STRANDED_SERVE_CONFINE_H
#define STRANDED_SERVE_CONFINE_H

#include <stddef.h>
#include <sys/types.h>

struct confinement {
	uid_t uid; /* to become, if root */
	gid_t gid;
	size_t memory_max; /* address space; 0: no limit */
	size_t file_max;   /* bytes of a file that it writes */
	size_t descriptors_max;
	size_t cpu_seconds; /* 0: no limit */
};

/*
 * In a new process: keep the descriptors given (they become 3, 4, ...) and stderr, close all else;
 * no signal handler of the parent remains, and the parent's death is its own.
 * Does not return on failure.
 */
void confine_inherit(const char *name, const int *keep, size_t count);

/* The user of the daemon's helpers: `stranded`, or nobody where there is no such user. */
void confine_identity(struct confinement *c);

/* Returns 0 or -errno; then the process must end. */
int confine_enter(const struct confinement *c);

#endif

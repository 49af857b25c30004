/* SPDX-License-Identifier: MIT */
/*
 * Gives up every privilege for good: for the processes that read what clients send, and for those
 * that write what targets say.
 *
 * A daemon without CAP_KILL cannot kill such a process, which is another user's then. So it ends
 * by itself: at the end of its life_seconds, or with the daemon.
 */
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
	unsigned life_seconds; /* then it dies by itself; 0: never */
};

/*
 * In a new process: keep the descriptors given (they become 3, 4, ...) and stderr, close all else;
 * no signal handler of the parent remains, and the parent's death is its own.
 * Does not return on failure.
 */
void confine_inherit(const char *name, const int *keep, size_t count);

/* The user of the daemon's helpers: `stranded`, or nobody where there is no such user. */
void confine_identity(struct confinement *c);

/* Have a child end, and reap it; if it does not end within a second, the daemon's end is its own. */
void confine_end(pid_t pid, int pidfd);

/* Returns 0 or -errno; then the process must end. */
int confine_enter(const struct confinement *c);

#endif

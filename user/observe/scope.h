/* SPDX-License-Identifier: MIT */
/* Which processes an observer is interested in. */
#ifndef STRANDED_OBSERVE_SCOPE_H
#define STRANDED_OBSERVE_SCOPE_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Zeroed: every process. Otherwise probes are placed process by process, so that those outside
 * are neither seen nor slowed.
 */
struct scope {
	pid_t pid;   /* 0: any */
	bool by_uid; /* only those whose effective user is uid */
	uid_t uid;
};

#endif

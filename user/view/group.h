/* SPDX-License-Identifier: MIT */
/* Processes in groups for metrics: few, bounded, and named by labels that stay the same. */
#ifndef STRANDED_VIEW_GROUP_H
#define STRANDED_VIEW_GROUP_H

#include "model/model.h"
#include "view/escape.h"

enum group_by {
	GROUP_BY_COMMAND,
	GROUP_BY_UNIT,   /* the innermost service, scope or slice of systemd */
	GROUP_BY_CGROUP, /* the whole path in the unified hierarchy */
};

#define GROUP_STATUSES (MODEL_EXITED + 1)

struct group {
	char name[ESCAPE_ROOM]; /* escaped, so that equal names are equal labels */
	uint64_t processes[GROUP_STATUSES];
	uint64_t unproved; /* processes whose newest search proved nothing, or that had none */
	struct model_counts counts;
	struct model_losses losses;
	int64_t searched_ns; /* the oldest of the newest searches that proved something; 0: none */
};

struct groups {
	struct group *groups;
	size_t count;
};

/*
 * group_processes - sum up the processes of a model, those with leaks first, then by tasks.
 * @max  groups at most; what does not fit is summed up in one more, "other"
 * Returns 0 or -ENOMEM.
 */
int group_processes(const struct model *m, enum group_by by, size_t max, struct groups *ret_groups);
void groups_done(struct groups *groups);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The model as metrics for Prometheus.
 *
 * Labels are closed sets or groups of processes, of which there are a bounded number: never a
 * pid, an address or a stack. For those there are JSON and pprof. The cost grows with the
 * processes, not with their tasks.
 */
#ifndef STRANDED_VIEW_OPENMETRICS_H
#define STRANDED_VIEW_OPENMETRICS_H

#include <stdio.h>

#include "model/model.h"
#include "view/group.h"

#define OPENMETRICS_GROUPS_MAX 100

#define OPENMETRICS_TEXT_TYPE  "text/plain; version=0.0.4; charset=utf-8"
#define OPENMETRICS_1_0_TYPE   "application/openmetrics-text; version=1.0.0; charset=utf-8"

enum openmetrics_dialect {
	OPENMETRICS_TEXT, /* Prometheus's text format 0.0.4, which every reader knows */
	OPENMETRICS_1_0,
};

struct openmetrics_self { /* of the observer's own process */
	int64_t cpu_ns;
	uint64_t resident_bytes, virtual_bytes;
	uint64_t open_fds, max_fds;
	int64_t start_wall_ns; /* CLOCK_REALTIME */
};

struct openmetrics_options {
	enum openmetrics_dialect dialect;
	enum group_by group_by;
	size_t groups_max;                   /* 0: OPENMETRICS_GROUPS_MAX */
	const struct openmetrics_self *self; /* NULL: without process_* */
};

/* Returns 0 or -ENOMEM (nothing is written). Errors of the stream are the caller's: ferror(out). */
int view_openmetrics(FILE *out, const struct model *m, const struct openmetrics_options *options);

#endif

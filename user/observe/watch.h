/* SPDX-License-Identifier: MIT */
/*
 * The observer's inside: what observer.c runs and snapshot.c turns into a model.
 */
#ifndef STRANDED_OBSERVE_WATCH_H
#define STRANDED_OBSERVE_WATCH_H

#include "observe/attach.h"
#include "observe/collect.h"
#include "observe/healing.h"
#include "observe/naming.h"
#include "observe/observer.h"
#include "observe/search.h"
#include "observe/sites.h"
#include "observe/suspects.h"
#include "observe/target.h"
#include "symbol/symbol.h"

/* A target and how we stand with it. */
struct watch {
	struct target *target; /* discovery's; the watch ends with it */
	int attach_error;      /* of probes in this process alone; 0: they are in place */
	int hello_error;       /* of the last greeting; 0: it took it */
	int64_t hello_due_ns;  /* when to greet again; 0: never, it has been */
	int64_t hello_delay_ns;
	bool stacks_hang; /* its memory did not answer: it is not read again */
	struct search search;
	bool searched; /* a search has ended since the last census */
	struct healing healing;
	struct naming naming;
	struct site_table sites;
	struct model_past *pasts; /* of its sites, sorted by fingerprint */
	size_t past_count, past_room;
};

/* A binary whose probes could not be placed. */
struct unattached {
	const struct binary *binary;
	int error;
};

/* A process that has exec'ed and may be about to map the runtime. */
struct rescan {
	pid_t pid;
	int64_t started_ns;
	unsigned step; /* index of the next look */
};

#define RESCANS_MAX 256

struct observer {
	struct observer_options options;
	struct attacher *attacher;
	struct collect_maps maps;
	struct event_reader *reader;
	struct symboliser *symboliser; /* NULL: no stacks wanted */
	struct discovery discovery;
	struct watch **watches;
	size_t watch_count, watch_room;
	struct unattached *unattached;
	size_t unattached_count;
	struct rescan rescans[RESCANS_MAX];
	size_t rescan_count;
	int64_t full_scan_due_ns;
	int64_t healing_due_ns; /* when to look for losses again */
	bool purge_wanted;      /* a process with entries has gone */
	bool census_wanted;     /* there are verdicts that no census has counted */
	int64_t census_due_ns;  /* not before, unless it is wanted */
	int64_t refresh_due_ns; /* when descriptors are to be read again */
	uint64_t last_request;
	struct model_search_totals searches;
};

int64_t observe_now_ns(void);

/* Why a process's probes could not be placed; 0 if they were. */
int observer_attach_error(const struct observer *o, const struct watch *w);

#endif

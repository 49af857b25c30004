/* SPDX-License-Identifier: MIT */
/*
 * The census: which of the waiting tasks are leaked or suspect, counted by site.
 *
 * The kernel counts tasks but knows no verdicts. Telling them apart takes a look at every entry
 * once; between two looks the kernel's counts say how many have come and gone.
 */
#ifndef STRANDED_OBSERVE_CENSUS_H
#define STRANDED_OBSERVE_CENSUS_H

#include "observe/watch.h"

/*
 * Is there something to be told apart that the last census did not know? Gives sites an example
 * as far as that takes no census.
 */
bool census_is_needed(struct observer *o);

/*
 * census_take - look at every entry, those in c if it has tasks, else those of the map.
 * Entries of processes that have gone are deleted on the way. Returns 0 or -errno: what was
 * known before is void then.
 */
int census_take(struct observer *o, const struct collected *c);

/*
 * census_judge - what a task is, by verdict and by the rules.
 * @site  may be NULL, verdict too
 * Returns the rules that hold, 0 unless it is a suspect.
 */
unsigned census_judge(const struct suspect_rules *rules, const struct site *site,
		      const struct search_verdict *verdict, const struct waiting_task *task,
		      int64_t now_ns, enum model_task_state *ret_state);

/* Delete the entries of processes that have exited or exec'ed, without keeping any. */
int census_purge(struct observer *o);

#endif

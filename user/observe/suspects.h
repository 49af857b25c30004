/* SPDX-License-Identifier: MIT */
/*
 * The rules by which a waiting task is suspected. None is a proof; what is proved is no suspect.
 */
#ifndef STRANDED_OBSERVE_SUSPECTS_H
#define STRANDED_OBSERVE_SUSPECTS_H

#include "observe/observer.h"
#include "observe/sites.h"

/*
 * Set s->rules, what holds for every task at the site. With hysteresis, so that a site near a
 * limit does not come and go: what holds ends only when the site has clearly shrunk.
 */
void suspects_judge_site(const struct suspect_rules *rules, struct site *s);

/* What holds for one task of the site besides: MODEL_SUSPECT_AGE or 0. */
unsigned suspects_task(const struct suspect_rules *rules, const struct site *s,
		       const struct waiting_task *task, int64_t now_ns);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Losses heal: a process whose records were lost is greeted again, and announces all that is
 * parked anew. When that came through without a loss, nothing is missing any more.
 */
#ifndef STRANDED_OBSERVE_HEALING_H
#define STRANDED_OBSERVE_HEALING_H

#include "model/model.h"
#include "../bpf/maps.h"

struct healing {                     /* of one process; zeroed: nothing was lost */
	struct model_losses healed;  /* what was lost before the last complete announcement */
	struct model_losses greeted; /* what was lost when it was greeted */
	uint64_t parks;              /* records of parks when it was greeted */
	bool is_greeted;
	int64_t due_ns; /* when to greet, or when to give up on the greeting */
	int64_t delay_ns;
};

enum healing_step {
	HEALING_NOTHING = 0, /* nothing to do */
	HEALING_WAIT,        /* look again later */
	HEALING_GREET,       /* greet it now */
};

/* @account  of the process as it is now */
enum healing_step healing_look(struct healing *h, const struct process_account *account,
			       int64_t now_ns);

/* What is lost since the last complete announcement. */
struct model_losses healing_losses(const struct healing *h, const struct process_account *account);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * One process on its way into the model.
 */
#ifndef STRANDED_OBSERVE_FILLER_H
#define STRANDED_OBSERVE_FILLER_H

#include "observe/watch.h"

struct filler {
	struct observer *o;
	struct watch *w;
	struct collected_slice slice;
	struct model_process *p;
	int64_t now_ns;
};

/* Every task of the slice. Sites get names on the way. Returns 0 or -ENOMEM, as all here do. */
int filler_add_tasks(struct filler *f);

/* One task for each site and state; stacks are read only for sites without names. */
int filler_add_examples(struct filler *f);

/* What the kernel counted at each site. */
int filler_add_waits(struct filler *f);

int filler_add_pasts(struct filler *f);

#endif

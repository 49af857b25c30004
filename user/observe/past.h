/* SPDX-License-Identifier: MIT */
/* What is remembered of sites at which leaked or suspect tasks were seen. */
#ifndef STRANDED_OBSERVE_PAST_H
#define STRANDED_OBSERVE_PAST_H

#include "observe/watch.h"

/* That of a fingerprint, made if there is none. NULL: 0, too many or out of memory. */
struct model_past *past_get(struct watch *w, uint64_t fingerprint);

/* Note what the newest census found. @searched  a search of the process has ended since the last */
void past_note(struct watch *w, bool searched);

#endif

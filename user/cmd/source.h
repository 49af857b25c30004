/* SPDX-License-Identifier: MIT */
/* Lines of source files that a target's debug information names. */
#ifndef STRANDED_CMD_SOURCE_H
#define STRANDED_CMD_SOURCE_H

#include "model/model.h"

#define SOURCE_CACHE 4

/* What was read last: the same details are shown again with every refresh. Zeroed: nothing. */
struct source_cache {
	struct source_cached {
		char *file, *text; /* text NULL: not readable */
		uid_t uid;
		unsigned first, last;
	} entries[SOURCE_CACHE];
	unsigned next;
};

/*
 * source_read - for struct details_source: lines of a file as that process's user may read it.
 * The context is a source_cache. Waits for 200 ms at most. NULL: not there, not readable, not a regular file, too slow.
 */
char *source_read(void *context, const struct model_process *p, const char *file, unsigned first,
		  unsigned last);
void source_cache_done(struct source_cache *cache);

#endif

/* SPDX-License-Identifier: MIT */
/* Files that are replaced as a whole: whoever reads one sees the old or the new, never a part. */
#ifndef STRANDED_CMD_REPLACE_H
#define STRANDED_CMD_REPLACE_H

#include <stdio.h>

struct replacement {
	FILE *stream; /* write the new content here */
	const char *path;
	char *temporary; /* beside it; without its ending, so that collectors of *.prom skip it */
};

/* Returns 0 or -errno. The path must stay valid. A link at that name is replaced, not followed. */
int replace_begin(struct replacement *r, const char *path);
/* Puts it in place. Returns 0, or -errno, with the old file as it was. */
int replace_finish(struct replacement *r);
/* Gives it up: the old file stays as it was. */
void replace_abandon(struct replacement *r);

#endif

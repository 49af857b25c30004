/* SPDX-License-Identifier: MIT */
/* All that is known of one row, as lines: stack, source, creation, wait object, why, history. */
#ifndef STRANDED_VIEW_DETAILS_H
#define STRANDED_VIEW_DETAILS_H

#include "view/row.h"
#include "view/screen.h"

struct details_line {
	char *text; /* escaped */
	enum screen_style style;
};

struct details {
	struct details_line *lines;
	size_t count, room;
	bool failed; /* memory ran out: the last lines are missing */
};

/*
 * Where lines of source come from. A view opens no files, and the file's name is the target's:
 * whoever reads it must not be made to wait or to read what that process may not.
 */
struct details_source {
	void *context;
	/* The lines first to last of a file, malloc'ed, each ending with \n; NULL: not readable. */
	char *(*read)(void *context, const struct model_process *p, const char *file,
		      unsigned first, unsigned last);
};

/* @source  NULL: no source is shown. Returns 0 or -ENOMEM; then there is nothing to end. */
int details_build(const struct row *row, int64_t now_ns, bool utf8,
		  const struct details_source *source, struct details *ret_details);
void details_done(struct details *d);

#endif

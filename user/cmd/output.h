/* SPDX-License-Identifier: MIT */
/* A model in the wanted format, to standard output or into a file that is replaced as a whole. */
#ifndef STRANDED_CMD_OUTPUT_H
#define STRANDED_CMD_OUTPUT_H

#include "cmd/options.h"
#include "cmd/session.h"

enum output_content { OUTPUT_ALL, OUTPUT_LEAKS };

/*
 * output_model - write the model, and on stderr what could not be seen.
 * It is written even if nothing was observed: it says so itself. Returns 0 or an exit status.
 */
int output_model(const struct session *s, const struct options *o, const struct model *m,
		 enum output_content content);

/* The same without a word on stderr, but for a failure to write. */
int output_write(const struct options *o, const struct model *m, enum output_content content);

#endif

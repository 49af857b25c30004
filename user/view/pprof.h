/* SPDX-License-Identifier: MIT */
/* Profiles in the two forms that go tool pprof reads. */
#ifndef STRANDED_VIEW_PPROF_H
#define STRANDED_VIEW_PPROF_H

#include <stdio.h>

#include "view/profile.h"

/*
 * pprof_write - a gzipped profile.proto: names, files and lines are in it, so that it can be read
 * anywhere. Waiting time and retained memory are further sample types; what is shown by default is Go's.
 * Returns 0 or -ENOMEM (nothing is written).
 */
int pprof_write(FILE *out, const struct model *m, const struct profile *p);

/* The text of debug=1. */
void pprof_write_text(FILE *out, const struct profile *p);

#endif

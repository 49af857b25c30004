/* SPDX-License-Identifier: MIT */
/*
 * Files of leaks that are known: a baseline of fingerprints, and patterns of functions to ignore.
 *
 * Both are lines of text, of which the first word counts; # begins a comment. A baseline is
 * written by stranded check; what to ignore is written by people.
 */
#ifndef STRANDED_CMD_KNOWN_LEAKS_H
#define STRANDED_CMD_KNOWN_LEAKS_H

#include "view/finding.h"

/* Both return 0, or -errno if the file cannot be read. */
int known_leaks_apply_baseline(const char *path, struct findings *f);
int known_leaks_apply_ignored(const char *path, struct findings *f);

/* All that are not ignored, as a baseline; replaces the file as a whole. Returns 0 or -errno. */
int known_leaks_write(const char *path, const struct findings *f);

#endif

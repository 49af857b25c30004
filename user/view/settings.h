/* SPDX-License-Identifier: MIT */
/* The live view's settings as text: what people chose comes back the next time. */
#ifndef STRANDED_VIEW_SETTINGS_H
#define STRANDED_VIEW_SETTINGS_H

#include <stdio.h>

#include "view/browser.h"

void settings_write(FILE *out, const struct browser_settings *settings);

/*
 * settings_read - take what a text says into settings that hold defaults.
 * Lines that are not understood are skipped, so that an older or newer version's file, or one that
 * is damaged, does no harm.
 */
void settings_read(const char *text, struct browser_settings *settings);

/* "pid,command,count" as columns of that kind. Returns 0, or -EINVAL: nothing is changed. */
int settings_columns(const char *names, enum row_kind kind, uint32_t *ret_columns);
/* "count", "-count" (reverse). Returns 0, or -EINVAL: nothing is changed. */
int settings_sort(const char *name, enum row_kind kind, struct browser_order *order);

#endif

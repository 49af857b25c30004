/* SPDX-License-Identifier: MIT */
/* Keeps the settings of stranded top in $XDG_CONFIG_HOME/stranded/top.conf. */
#ifndef STRANDED_CMD_TOP_SETTINGS_H
#define STRANDED_CMD_TOP_SETTINGS_H

#include "view/browser.h"

/* What cannot be read leaves the defaults, what cannot be written is not kept: neither is worth a
 * message to people who came to look at something else. */
void top_settings_load(struct browser_settings *settings);
void top_settings_save(const struct browser_settings *settings);

#endif

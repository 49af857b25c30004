/* SPDX-License-Identifier: MIT */
/* The model as a monitoring plugin's one line (Nagios, Icinga and those that run their plugins). */
#ifndef STRANDED_VIEW_NAGIOS_H
#define STRANDED_VIEW_NAGIOS_H

#include <stdio.h>

#include "model/model.h"

enum nagios_state { NAGIOS_OK, NAGIOS_WARNING, NAGIOS_CRITICAL, NAGIOS_UNKNOWN };

/*
 * view_nagios - one line of state, words and performance data.
 * @warning, @critical  leaked tasks from which on it is so
 * Returns the state, which is also the plugin's exit status. Without leaks it is unknown if there
 * is a process in which they would not have been seen.
 */
enum nagios_state view_nagios(FILE *out, const struct model *m, unsigned warning,
			      unsigned critical);

#endif

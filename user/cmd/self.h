/* SPDX-License-Identifier: MIT */
/* What stranded itself uses, for its metrics. */
#ifndef STRANDED_CMD_SELF_H
#define STRANDED_CMD_SELF_H

#include "view/openmetrics.h"

/* Returns 0, or -errno if /proc/self cannot be read: then there are no such metrics. */
int self_read(struct openmetrics_self *ret_self);

#endif

/* SPDX-License-Identifier: MIT */
/* Tells the service manager how it goes: the protocol of sd_notify(3). */
#ifndef STRANDED_SERVE_NOTIFY_H
#define STRANDED_SERVE_NOTIFY_H

#include <stdint.h>

/* "READY=1" and the like. Without a service manager nothing happens. */
void notify_send(const char *state);

/* How often it wants "WATCHDOG=1" at least; INT64_MAX: not at all. */
int64_t notify_watchdog_ns(void);

#endif

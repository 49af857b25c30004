/* SPDX-License-Identifier: MIT */
/* Times and ages as views show them. No value is out of range: what does not fit saturates. */
#ifndef STRANDED_VIEW_CLOCK_H
#define STRANDED_VIEW_CLOCK_H

#include <stdint.h>

#define CLOCK_ROOM 40

/* Nanoseconds from `then` until `now`; 0 if `then` is later. */
int64_t clock_age(int64_t now_ns, int64_t then_ns);

/* CLOCK_REALTIME nanoseconds as RFC 3339 in UTC with 0 to 9 decimals. Returns ret_text. */
const char *clock_rfc3339(int64_t wall_ns, int decimals, char ret_text[CLOCK_ROOM]);

/* 250ms, 4.2s, 59s, 3m05s, 2h07m, 9d04h. Returns ret_text. */
const char *clock_short_age(int64_t ns, char ret_text[CLOCK_ROOM]);

#endif

/* SPDX-License-Identifier: MIT */
/* Times and ages as text. */
#include "view/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000000)

int64_t clock_age(int64_t now_ns, int64_t then_ns)
{
	int64_t age;

	if (then_ns >= now_ns)
		return 0;
	return __builtin_sub_overflow(now_ns, then_ns, &age) ? INT64_MAX : age;
}

/* 64-bit nanoseconds end in the years 1677 and 2262, so the year always has four digits. */
const char *clock_rfc3339(int64_t wall_ns, int decimals, char ret_text[CLOCK_ROOM])
{
	int64_t rest = wall_ns % SECOND;
	time_t seconds = (time_t)(wall_ns / SECOND);
	char fraction[16];
	struct tm tm;
	size_t length;

	if (rest < 0) {
		rest += SECOND;
		seconds--;
	}
	gmtime_r(&seconds, &tm);
	length = strftime(ret_text, CLOCK_ROOM, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(fraction, sizeof(fraction), ".%09" PRId64, rest);
	snprintf(ret_text + length, CLOCK_ROOM - length, "%.*sZ", decimals ? decimals + 1 : 0,
		 fraction);
	return ret_text;
}

const char *clock_short_age(int64_t ns, char ret_text[CLOCK_ROOM])
{
	long long ms = ns / 1000000, s = ns / SECOND, m = s / 60, h = m / 60;

	if (s < 1)
		snprintf(ret_text, CLOCK_ROOM, "%lldms", ms);
	else if (s < 10)
		snprintf(ret_text, CLOCK_ROOM, "%lld.%llds", s, ms / 100 % 10);
	else if (m < 1)
		snprintf(ret_text, CLOCK_ROOM, "%llds", s);
	else if (h < 1)
		snprintf(ret_text, CLOCK_ROOM, "%lldm%02llds", m, s % 60);
	else if (h < 24)
		snprintf(ret_text, CLOCK_ROOM, "%lldh%02lldm", h, m % 60);
	else
		snprintf(ret_text, CLOCK_ROOM, "%lldd%02lldh", h / 24, h % 24);
	return ret_text;
}

/* SPDX-License-Identifier: MIT */
/* What every header of libstrand needs: versions, visibility, time. See strand.h. */
#ifndef STRAND_API_BASE_H
#define STRAND_API_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STRAND_VERSION_MAJOR 0
#define STRAND_VERSION_MINOR 1
#define STRAND_VERSION_PATCH 0
#define STRAND_VERSION       "0.1.0"

#if defined(__GNUC__)
#define STRAND_API __attribute__((visibility("default")))
#else
#define STRAND_API
#endif

typedef int64_t strand_time; /* nanoseconds on CLOCK_MONOTONIC */

#define STRAND_FOREVER     INT64_MAX
#define STRAND_MICROSECOND ((strand_time)1000)
#define STRAND_MILLISECOND ((strand_time)1000000)
#define STRAND_SECOND      ((strand_time)1000000000)

/*
 * strand_now - the time, for building deadlines: strand_now() + 2 * STRAND_SECOND.
 * Context: anywhere.
 */
STRAND_API strand_time strand_now(void);

#ifdef __cplusplus
}
#endif

#endif

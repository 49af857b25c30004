/* SPDX-License-Identifier: MIT */
/*
 * The control pipe: say something to a target, and fetch the report it made.
 */
#ifndef STRANDED_OBSERVE_CONTROL_H
#define STRANDED_OBSERVE_CONTROL_H

#include "observe/target.h"

/*
 * control_send - write one command to the target's control pipe.
 * Opens /proc/PID/fd/N through the target's directory (O_PATH, is it a FIFO of the process's
 * owner?, then O_WRONLY|O_NONBLOCK) and writes, both in a disposable process.
 * Returns 0, or -ENOTCONN (it has no pipe), -EBADMSG (the descriptor is no pipe of its),
 * -EACCES, -EAGAIN (pipe full), -EPIPE, -ESRCH, -ETIMEDOUT.
 */
int control_send(const struct target *t, const struct strand_command *command);

int control_hello(const struct target *t, uint64_t threshold_ns);
int control_scan(const struct target *t, uint64_t request, uint64_t min_age_ns);

/*
 * control_fetch_report - read the sealed memfd that a scan_done named.
 * Own open file description, seals checked, size capped, copied in a disposable process.
 * Returns 0 with a malloc'ed copy, or -EBADMSG (no sealed memfd, or sizes disagree),
 * -EFBIG, -ESRCH, -EACCES, -ETIMEDOUT.
 */
int control_fetch_report(const struct target *t, int fd, uint64_t size, void **ret_report);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Reports that programs send when they end (STRAND_LEAKS=report:PATH): received, checked, named.
 *
 * Needs no privileges and no BPF: a program searches itself, and waits until its names and lines
 * have been looked up. What it says is hostile all the same: bounded and checked.
 */
#ifndef STRANDED_OBSERVE_EXIT_REPORTS_H
#define STRANDED_OBSERVE_EXIT_REPORTS_H

#include "model/model.h"

struct exit_reports;

/* Listens on a Unix socket of that path, which must not exist. Returns 0 or -errno. */
int exit_reports_new(const char *path, struct exit_reports **ret_reports);
/* Also removes the socket. */
void exit_reports_free(struct exit_reports *r);

/* Readable when a program wants to report. The descriptor stays ours. */
int exit_reports_fd(const struct exit_reports *r);

/*
 * A model of this moment without processes. It is the moment of all reports that are taken into it:
 * how long a task has waited is how long it had when its process ended. Returns 0 or -ENOMEM.
 */
int exit_reports_begin(struct model *ret_model);

/*
 * exit_reports_take - take one program's report into the model and let the program go on.
 * A process that runs several runtimes in turn reports for each: their tasks are put together.
 * Returns 0; -EAGAIN if nobody wants to report; -EBADMSG or -ETIMEDOUT if what came is no report,
 * which is then a process that could not be searched; -errno.
 */
int exit_reports_take(struct exit_reports *r, struct model *m);

#endif

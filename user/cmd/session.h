/* SPDX-License-Identifier: MIT */
/*
 * One run of the observer as every subcommand needs it: start, let the parked
 * tasks be announced, search, take snapshots, judge what was seen.
 */
#ifndef STRANDED_CMD_SESSION_H
#define STRANDED_CMD_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/model.h"
#include "observe/observer.h"

struct replay;

struct session {
	struct observer *observer; /* or */
	struct replay *replay;
	struct scope scope; /* zeroed: every process */
	bool progress;      /* stderr is a terminal */
};

/*
 * All return 0 or an exit status (enum cmd_status); what went wrong is on stderr.
 * A signal is no error: they return CMD_SIGNALLED plus its number.
 */

/* Starts to observe and waits until what is parked already has been announced. */
int session_open(struct session *s, const struct scope *scope);
/* The same, or if there is a path a recording in its place: nothing is waited for or searched. */
int session_start(struct session *s, const struct scope *scope, const char *replay);
void session_close(struct session *s);
/* Has the recording been shown to its end? */
bool session_ended(const struct session *s);
int session_run(struct session *s, int64_t until_ns);
int session_search(struct session *s);
/*
 * Every task; or one for each site, which stands for the others. Of a recording: its last
 * snapshot; or the next one.
 */
int session_snapshot(struct session *s, struct model *ret_model);
int session_overview(struct session *s, struct model *ret_model);

/* How many processes are observed (their waiting tasks are seen). */
size_t session_observed(const struct model *m);

/*
 * session_judge - does the model say anything at all? If there is nothing to observe, says so.
 * Returns CMD_OK if at least one process (in a scope: of those) is observed.
 */
int session_judge(const struct session *s, const struct model *m);

/* Flushes stdout. A reader that has gone away needs no message. */
int session_flush(void);

int64_t session_now(void); /* CLOCK_MONOTONIC */

#endif

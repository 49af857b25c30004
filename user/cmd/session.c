/* SPDX-License-Identifier: MIT */
/* Runs the observer for a subcommand and turns its errors into messages and exit statuses. */
#include "cmd/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/interrupt.h"
#include "cmd/replay.h"
#include "view/escape.h"

#define MILLISECOND     INT64_C(1000000)
#define SECOND          INT64_C(1000000000)
#define THRESHOLD       (10 * MILLISECOND)
#define SETTLE          (THRESHOLD + 100 * MILLISECOND) /* announcements come with a sweep after HELLO */
#define SEARCH_TIMEOUT  (15 * SECOND)

/* Limits of the rules of suspicion. */
#define SUSPECT_AGE     (600 * SECOND)
#define SUSPECT_CROWD   10000
#define SUSPECT_GROWING 3

/*
 * A signal that comes just before the observer goes to sleep is noticed only when it wakes: after
 * this at the latest.
 */
#define SLICE           (200 * MILLISECOND)

int64_t session_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

static int signalled(void)
{
	int signal = interrupt_signal();

	return signal ? CMD_SIGNALLED + signal : CMD_OK;
}

static int fail(const char *what, int error)
{
	fprintf(stderr, "stranded: cannot %s: %s\n", what, strerror(-error));
	return CMD_NOT_OBSERVED;
}

int session_open(struct session *s, const struct scope *scope)
{
	const struct observer_options options = {
		.threshold_ns = THRESHOLD,
		.scope = *scope,
		.suspects = {.age_ns = SUSPECT_AGE,
			     .crowd = SUSPECT_CROWD,
			     .growing = SUSPECT_GROWING},
		.stacks = true,
	};
	char line[ESCAPE_ROOM];
	char *error = NULL;
	int r;

	*s = (struct session){.scope = *scope, .progress = isatty(STDERR_FILENO)};
	interrupt_install();
	r = observer_new(&options, &s->observer, &error);
	if (r) {
		s->observer = NULL;
		if (error) /* a whole line already; may quote a path */
			fprintf(stderr, "%s\n", escape_text(error, true, sizeof(line), line));
		else
			fail("observe", r);
		free(error);
		return CMD_NOT_OBSERVED;
	}
	return session_run(s, session_now() + SETTLE);
}

int session_start(struct session *s, const struct scope *scope, const char *replay)
{
	if (!replay)
		return session_open(s, scope);
	*s = (struct session){.scope = *scope};
	return replay_open(replay, scope, &s->replay);
}

bool session_ended(const struct session *s)
{
	return s->replay && replay_ended(s->replay);
}

void session_close(struct session *s)
{
	replay_close(s->replay);
	s->replay = NULL;
	if (s->observer)
		observer_free(s->observer);
	s->observer = NULL;
}

int session_run(struct session *s, int64_t until_ns)
{
	int r = 0;

	while (s->observer && !interrupt_signal()) {
		int64_t now = session_now();

		if (now >= until_ns)
			break;
		r = observer_run(s->observer, until_ns - now > SLICE ? now + SLICE : until_ns);
		if (r && r != -EINTR)
			return fail("go on observing", r);
	}
	return signalled();
}

/* That a process did not answer is in the model, and session_judge() tells. */
int session_search(struct session *s)
{
	int r;

	if (s->replay)
		return CMD_OK;
	if (s->progress)
		fputs("stranded: searching for leaks...", stderr);
	r = observer_search(s->observer, s->scope.pid, SEARCH_TIMEOUT);
	if (s->progress)
		fputs("\r\033[K", stderr);
	if (r < 0 && r != -EINTR && r != -ESRCH)
		return fail("search for leaks", r);
	return signalled();
}

int session_overview(struct session *s, struct model *ret_model)
{
	int r;

	if (s->replay)
		return replay_next(s->replay, ret_model);
	r = observer_overview(s->observer, ret_model);
	return r ? fail("take a snapshot", r) : CMD_OK;
}

int session_snapshot(struct session *s, struct model *ret_model)
{
	int r;

	if (s->replay)
		return replay_last(s->replay, ret_model);
	r = observer_snapshot(s->observer, ret_model);
	return r ? fail("take a snapshot", r) : CMD_OK;
}

size_t session_observed(const struct model *m)
{
	size_t count = 0;

	for (size_t i = 0; i < m->process_count; i++)
		count += model_process_observed(&m->processes[i]);
	return count;
}

int session_judge(const struct session *s, const struct model *m)
{
	if (session_observed(m))
		return CMD_OK;
	if (m->process_count)
		return CMD_NOT_OBSERVED; /* view_messages() has said why */
	if (s->replay)
		fputs("stranded: nothing to show: no such process in the recording\n", stderr);
	else if (s->scope.pid)
		fprintf(stderr,
			"stranded: cannot observe %d: no such process, or it does not use "
			"libstrand; "
			"try stranded snapshot\n",
			s->scope.pid);
	else if (s->scope.by_uid)
		fprintf(stderr,
			"stranded: nothing to observe: no process of user %u uses libstrand\n",
			s->scope.uid);
	else
		fputs("stranded: nothing to observe: no process uses libstrand\n", stderr);
	return CMD_NOT_OBSERVED;
}

int session_flush(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return CMD_OK;
	if (errno != EPIPE)
		fprintf(stderr, "stranded: cannot write to standard output: %s\n", strerror(errno));
	return CMD_FAILED;
}

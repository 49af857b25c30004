/* SPDX-License-Identifier: MIT */
/* Reads a recording, always one snapshot ahead, so that its end is known in time. */
#include "cmd/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "view/escape.h"
#include "view/recording.h"

struct replay {
	char *path;
	FILE *in;
	struct scope scope;
	struct recording recording[2]; /* the versions of two snapshots are in use at a time */
	unsigned turn;
	bool has_next;
	struct model next;
};

static int refuse(const struct replay *r, int error)
{
	const char *why = error == -EBADMSG ? "it is no recording, or it is damaged; make one with "
					      "stranded record"
			  : error == -EPROTONOSUPPORT ? "another version of stranded wrote it"
						      : strerror(-error);
	char path[ESCAPE_ROOM];

	fprintf(stderr, "stranded: cannot replay %s: %s\n",
		escape_text(r->path, true, sizeof(path), path), why);
	return CMD_NOT_OBSERVED;
}

static bool in_scope(const struct scope *scope, const struct model_process *p)
{
	return (!scope->pid || p->pid == scope->pid) && (!scope->by_uid || p->uid == scope->uid);
}

static void narrow(const struct replay *r, struct model *m)
{
	for (size_t i = m->process_count; i-- > 0;)
		if (!in_scope(&r->scope, &m->processes[i]))
			model_remove_process(m, i);
}

static int read_ahead(struct replay *r)
{
	struct recording *recording = &r->recording[r->turn ^= 1];
	int result;

	recording->in = r->in;
	result = recording_read(recording, &r->next);
	r->has_next = result > 0;
	if (result < 0)
		return refuse(r, result);
	if (r->has_next)
		narrow(r, &r->next);
	return CMD_OK;
}

static int open_file(struct replay *r)
{
	int error, status;

	r->in = fopen(r->path, "re");
	if (!r->in)
		return refuse(r, -errno);
	error = recording_open(&r->recording[0], r->in);
	if (error)
		return refuse(r, error);
	status = read_ahead(r);
	if (!status && !r->has_next)
		return refuse(r, -EBADMSG);
	return status;
}

int replay_open(const char *path, const struct scope *scope, struct replay **ret_replay)
{
	struct replay *r = calloc(1, sizeof(*r));
	int status;

	if (r)
		r->path = strdup(path);
	if (!r || !r->path) {
		free(r);
		fputs("stranded: cannot replay: out of memory\n", stderr);
		return CMD_NOT_OBSERVED;
	}
	r->scope = *scope;
	status = open_file(r);
	if (status) {
		replay_close(r);
		return status;
	}
	*ret_replay = r;
	return CMD_OK;
}

void replay_close(struct replay *r)
{
	if (!r)
		return;
	if (r->has_next)
		model_done(&r->next);
	if (r->in)
		fclose(r->in);
	free(r->path);
	free(r);
}

int replay_next(struct replay *r, struct model *ret_model)
{
	int status;

	*ret_model = r->next;
	r->has_next = false;
	status = read_ahead(r);
	if (status)
		model_done(ret_model);
	return status;
}

int replay_last(struct replay *r, struct model *ret_model)
{
	int status = replay_next(r, ret_model);

	while (!status && r->has_next) {
		model_done(ret_model);
		status = replay_next(r, ret_model);
	}
	return status;
}

bool replay_ended(const struct replay *r)
{
	return !r->has_next;
}

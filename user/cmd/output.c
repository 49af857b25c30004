/* SPDX-License-Identifier: MIT */
/* Chooses the encoder, and says so when what it made could not be written. */
#include "cmd/output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/replace.h"
#include "cmd/self.h"
#include "view/escape.h"
#include "view/go_text.h"
#include "view/json.h"
#include "view/messages.h"
#include "view/openmetrics.h"

static int encode_metrics(FILE *out, const struct options *o, const struct model *m)
{
	struct openmetrics_self self;
	struct openmetrics_options options = {.group_by = o->group_by};

	if (o->output == OUTPUT_OPENMETRICS)
		options.dialect = OPENMETRICS_1_0;
	if (!self_read(&self))
		options.self = &self;
	return view_openmetrics(out, m, &options);
}

static int encode(FILE *out, const struct options *o, const struct model *m,
		  enum output_content content)
{
	const struct view_style style = terminal_style(COLOUR_NEVER);
	bool leaks = content == OUTPUT_LEAKS;

	switch (o->output) {
	case OUTPUT_JSON:
		view_json(out, m, leaks ? JSON_LEAKS : JSON_SNAPSHOT);
		break;
	case OUTPUT_JSONL:
		view_json_line(out, m, leaks ? JSON_LEAKS : JSON_SNAPSHOT);
		break;
	case OUTPUT_TEXT:
		view_go_text(out, m, leaks ? GO_TEXT_LEAKED : GO_TEXT_ALL, &style);
		break;
	case OUTPUT_OPENMETRICS:
	case OUTPUT_PROMETHEUS:
		return encode_metrics(out, o, m);
	case OUTPUT_PPROF:
		return view_profile(out, m, o->profile, o->debug);
	}
	return 0;
}

static int encode_file(const struct options *o, const struct model *m, enum output_content content)
{
	struct replacement file;
	int r = replace_begin(&file, o->file);

	if (r)
		return r;
	r = encode(file.stream, o, m, content);
	if (!r)
		return replace_finish(&file);
	replace_abandon(&file);
	return r;
}

static int write_file(const struct options *o, const struct model *m, enum output_content content)
{
	char path[ESCAPE_ROOM];
	int r = encode_file(o, m, content);

	if (!r)
		return CMD_OK;
	fprintf(stderr, "stranded: cannot write %s: %s\n",
		escape_text(o->file, true, sizeof(path), path), strerror(-r));
	return CMD_FAILED;
}

int output_write(const struct options *o, const struct model *m, enum output_content content)
{
	int r;

	if (o->file)
		return write_file(o, m, content);
	if (o->output == OUTPUT_PPROF && !o->debug && isatty(STDOUT_FILENO)) {
		fputs("stranded: cannot write a binary profile to a terminal: try > FILE, or "
		      "--debug 1\n",
		      stderr);
		return CMD_USAGE;
	}
	r = encode(stdout, o, m, content);
	if (!r)
		return session_flush();
	fprintf(stderr, "stranded: cannot write: %s\n", strerror(-r));
	return CMD_FAILED;
}

int output_model(const struct session *s, const struct options *o, const struct model *m,
		 enum output_content content)
{
	const struct view_style style = terminal_style(COLOUR_NEVER);
	int written = output_write(o, m, content);
	int judged;

	view_messages(stderr, m, &style);
	judged = session_judge(s, m);
	return written ? written : judged;
}

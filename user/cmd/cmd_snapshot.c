/* SPDX-License-Identifier: MIT */
/* stranded snapshot: every waiting task at one moment. */
#include <getopt.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/session.h"
#include "view/go_text.h"
#include "view/json.h"
#include "view/messages.h"

static const char help[] =
	"Usage: stranded snapshot [OPTION...]\n"
	"Prints every task that waits now, after one search for leaks.\n"
	"\n"
	"  -o, --output json|text  JSON (the default), or the form of Go's goroutine dumps\n"
	"  -p, --pid PID           only this process\n"
	"  -u, --uid USER          only processes of this user (name or number)\n"
	"      --no-search         don't search for leaks: nothing is shown as leaked\n"
	"  -h, --help              this text\n"
	"\n"
	"\"complete\": false in the JSON, and lines on stderr, tell that something could not\n"
	"be seen. Exit status: 0, 1 not written, 2 wrong usage, 3 nothing was observed.\n";

static const struct option names[] = {
	{"output", required_argument, NULL, 'o'},
	{"pid", required_argument, NULL, 'p'},
	{"uid", required_argument, NULL, 'u'},
	{"no-search", no_argument, NULL, OPTION_NO_SEARCH},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct option_set option_set = {.letters = "o:p:u:h", .names = names, .help = help};

/* The document is written even if nothing was observed: it says so itself. */
static int print_snapshot(struct session *s, const struct options *o)
{
	const struct view_style style = terminal_style(COLOUR_NEVER);
	struct model m;
	int status = session_snapshot(s, &m);
	int written;

	if (status)
		return status;
	if (o->output == OUTPUT_JSON)
		view_json(stdout, &m, JSON_SNAPSHOT);
	else
		view_go_text(stdout, &m, GO_TEXT_ALL, &style);
	written = session_flush();
	view_messages(stderr, &m, &style);
	status = session_judge(s, &m);
	model_done(&m);
	return written ? written : status;
}

int cmd_snapshot(int argc, char **argv)
{
	struct options o = {.output = OUTPUT_JSON, .search = true};
	int status = options_parse(argc, argv, &option_set, &o);
	struct session s;

	if (status != OPTIONS_GO_ON)
		return status;
	status = session_open(&s, &o.scope);
	if (!status && o.search)
		status = session_search(&s);
	if (!status)
		status = print_snapshot(&s, &o);
	session_close(&s);
	return status;
}

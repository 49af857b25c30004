/* SPDX-License-Identifier: MIT */
/* stranded snapshot: every waiting task at one moment. */
#include <getopt.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/output.h"
#include "cmd/session.h"

static const char help[] =
	"Usage: stranded snapshot [OPTION...]\n"
	"Prints every task that waits now, after one search for leaks.\n"
	"\n"
	"  -o, --output FORMAT  json (the default), jsonl (on one line), text (as Go dumps\n"
	"                       goroutines), prometheus, openmetrics or pprof\n"
	"      --file PATH      replace this file as a whole, instead of writing to stdout\n"
	"      --textfile PATH  the same with -o prometheus, as node_exporter's textfile\n"
	"                       collector wants it: give it a name that ends in .prom\n"
	"      --group-by KEY   of metrics: command (the default), unit or cgroup\n"
	"      --profile NAME   of pprof: goroutine (the default), goroutineleak, block,\n"
	"                       mutex or threadcreate\n"
	"      --debug N        of pprof: 0 binary (the default), 1 or 2 text as Go's\n"
	"  -p, --pid PID        only this process\n"
	"  -u, --uid USER       only processes of this user (name or number)\n"
	"      --replay FILE    show the last snapshot of a recording; needs no rights\n"
	"      --no-search      don't search for leaks: nothing is shown as leaked\n"
	"  -h, --help           this text\n"
	"\n"
	"\"complete\": false in the JSON, and lines on stderr, tell that something could not\n"
	"be seen. Exit status: 0, 1 not written, 2 wrong usage, 3 nothing was observed.\n";

static const struct option names[] = {
	{"output", required_argument, NULL, 'o'},
	{"file", required_argument, NULL, OPTION_FILE},
	{"textfile", required_argument, NULL, OPTION_TEXTFILE},
	{"group-by", required_argument, NULL, OPTION_GROUP_BY},
	{"profile", required_argument, NULL, OPTION_PROFILE},
	{"debug", required_argument, NULL, OPTION_DEBUG},
	{"pid", required_argument, NULL, 'p'},
	{"uid", required_argument, NULL, 'u'},
	{"replay", required_argument, NULL, OPTION_REPLAY},
	{"no-search", no_argument, NULL, OPTION_NO_SEARCH},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct option_set option_set = {
	.letters = "o:p:u:h",
	.names = names,
	.help = help,
	.outputs = (1u << OUTPUT_FORMATS) - 1,
};

/* Metrics need no single tasks, of which there may be a million. */
static int take(struct session *s, const struct options *o, struct model *ret_model)
{
	if (o->output == OUTPUT_OPENMETRICS || o->output == OUTPUT_PROMETHEUS)
		return session_overview(s, ret_model);
	return session_snapshot(s, ret_model);
}

static int print_snapshot(struct session *s, const struct options *o)
{
	struct model m;
	int status = take(s, o, &m);

	if (status)
		return status;
	status = output_model(s, o, &m, OUTPUT_ALL);
	model_done(&m);
	return status;
}

int cmd_snapshot(int argc, char **argv)
{
	struct options o = {.output = OUTPUT_JSON, .profile = PROFILE_GOROUTINE, .search = true};
	int status = options_parse(argc, argv, &option_set, &o);
	struct session s;

	if (status != OPTIONS_GO_ON)
		return status;
	status = session_start(&s, &o.scope, o.replay);
	if (!status && o.search)
		status = session_search(&s);
	if (!status)
		status = print_snapshot(&s, &o);
	session_close(&s);
	return status;
}

/* SPDX-License-Identifier: MIT */
/* stranded watch: what changes, a line each, for log collectors. */
#include <getopt.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/interrupt.h"
#include "cmd/options.h"
#include "cmd/session.h"
#include "view/events.h"

#define SECOND INT64_C(1000000000)

static const char help[] =
	"Usage: stranded watch [OPTION...]\n"
	"Prints a line for each change: leaked and suspect tasks that are found, change in\n"
	"number or are gone, processes that come and go, searches; and each time a summary.\n"
	"\n"
	"  -o, --output jsonl         JSON Lines, schema stranded.event/v1 (the default)\n"
	"  -n, --iterations N         end after N looks (default: when interrupted)\n"
	"  -d, --delay SECONDS        between looks, 0.1 to 86400 (default: 10)\n"
	"  -p, --pid PID              only this process\n"
	"  -u, --uid USER             only processes of this user (name or number)\n"
	"      --search-interval SEC  between searches for leaks (default: 60); a process\n"
	"                             may refuse to be searched more often\n"
	"      --no-search            don't search for leaks: none are found\n"
	"  -h, --help                 this text\n"
	"\n"
	"Exit status: 0, 1 not written, 2 wrong usage, 3 it could not be observed.\n";

static const struct option names[] = {
	{"output", required_argument, NULL, 'o'},
	{"iterations", required_argument, NULL, 'n'},
	{"delay", required_argument, NULL, 'd'},
	{"pid", required_argument, NULL, 'p'},
	{"uid", required_argument, NULL, 'u'},
	{"search-interval", required_argument, NULL, OPTION_SEARCH_INTERVAL},
	{"no-search", no_argument, NULL, OPTION_NO_SEARCH},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct option_set option_set = {
	.letters = "o:n:d:p:u:h",
	.names = names,
	.help = help,
	.outputs = 1u << OUTPUT_JSONL,
};

struct watch {
	struct session session;
	struct options options;
	struct model last; /* of the look before, zeroed: none */
	unsigned looks;
	int64_t next_search_ns; /* INT64_MAX: never */
};

static int look(struct watch *w)
{
	struct model m;
	int status = session_overview(&w->session, &m);

	if (status)
		return status;
	if (view_events(stdout, w->looks ? &w->last : NULL, &m)) {
		fputs("stranded: cannot tell the changes: out of memory\n", stderr);
		status = CMD_FAILED;
	}
	if (!status)
		status = session_flush();
	if (w->looks++)
		model_done(&w->last);
	w->last = m;
	return status;
}

static int search_if_due(struct watch *w)
{
	int status;

	if (session_now() < w->next_search_ns)
		return CMD_OK;
	status = session_search(&w->session);
	w->next_search_ns = session_now() + w->options.search_interval_ns;
	return status;
}

static int run(struct watch *w)
{
	int status = session_open(&w->session, &w->options.scope);

	while (!status) {
		int64_t next_ns = session_now() + w->options.delay_ns;

		status = search_if_due(w);
		if (!status)
			status = look(w);
		if (w->options.iterations && w->looks == w->options.iterations)
			break;
		if (!status)
			status = session_run(&w->session, next_ns);
	}
	session_close(&w->session);
	return status;
}

int cmd_watch(int argc, char **argv)
{
	struct watch w = {
		.options =
			{
				.output = OUTPUT_JSONL,
				.search = true,
				.delay_ns = 10 * SECOND,
				.search_interval_ns = 60 * SECOND,
			},
	};
	int status = options_parse(argc, argv, &option_set, &w.options);

	if (status != OPTIONS_GO_ON)
		return status;
	if (!w.options.search)
		w.next_search_ns = INT64_MAX;
	status = run(&w);
	if (w.looks)
		model_done(&w.last);
	return interrupt_signal() ? CMD_OK : status; /* that is how it is ended */
}

/* SPDX-License-Identifier: MIT */
/* stranded top: the table of waiting and leaked tasks, again and again. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/interrupt.h"
#include "cmd/options.h"
#include "cmd/session.h"
#include "view/messages.h"
#include "view/top.h"

#define SECOND INT64_C(1000000000)

static const char help[] =
	"Usage: stranded top [OPTION...]\n"
	"Prints the places where tasks wait, leaked ones first, one block a refresh.\n"
	"\n"
	"  -b, --batch                one block after the other; always so in this version\n"
	"  -n, --iterations N         end after N blocks (default: when interrupted)\n"
	"  -d, --delay SECONDS        between blocks, 0.1 to 86400 (default: 2)\n"
	"  -p, --pid PID              only this process\n"
	"  -u, --uid USER             only processes of this user (name or number)\n"
	"      --replay FILE          show a recording, one block a snapshot; needs no rights\n"
	"      --search-interval SEC  between searches for leaks (default: 60); a process\n"
	"                             may refuse to be searched more often\n"
	"      --no-search            don't search for leaks: nothing is shown as leaked\n"
	"      --color WHEN           auto (a terminal; not with NO_COLOR or TERM=dumb),\n"
	"                             always or never\n"
	"  -h, --help                 this text\n"
	"\n"
	"OLDEST is the longest wait at that place. Exit status: 0, 1 not written, 2 wrong\n"
	"usage, 3 nothing could be observed.\n";

static const struct option names[] = {
	{"batch", no_argument, NULL, 'b'},
	{"iterations", required_argument, NULL, 'n'},
	{"delay", required_argument, NULL, 'd'},
	{"pid", required_argument, NULL, 'p'},
	{"uid", required_argument, NULL, 'u'},
	{"replay", required_argument, NULL, OPTION_REPLAY},
	{"search-interval", required_argument, NULL, OPTION_SEARCH_INTERVAL},
	{"no-search", no_argument, NULL, OPTION_NO_SEARCH},
	{"color", required_argument, NULL, OPTION_COLOUR},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct option_set option_set = {.letters = "bn:d:p:u:h", .names = names, .help = help};

struct top {
	struct session session;
	struct options options;
	unsigned blocks;        /* printed so far */
	int64_t next_search_ns; /* INT64_MAX: never */
	char *said;             /* the messages of the last refresh: only news are printed */
};

static void say_news(struct top *t, const struct model *m, const struct view_style *style)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return;
	view_messages(stream, m, style);
	if (fclose(stream)) {
		free(text);
		return;
	}
	if (strcmp(text, t->said ? t->said : "") != 0)
		fputs(text, stderr);
	free(t->said);
	t->said = text;
}

static int refresh(struct top *t)
{
	const struct view_style style = terminal_style(t->options.colour);
	struct model m;
	int status = session_overview(&t->session, &m);

	if (status)
		return status;
	if (t->blocks++)
		fputc('\n', stdout);
	if (view_top(stdout, &m, &style)) {
		fputs("stranded: cannot print the table: out of memory\n", stderr);
		status = CMD_FAILED;
	}
	if (!status)
		status = session_flush();
	say_news(t, &m, &style);
	if (!status && t->blocks == 1 && t->options.scope.pid)
		status = session_judge(&t->session, &m);
	model_done(&m);
	return status;
}

static int search_if_due(struct top *t)
{
	int status;

	if (session_now() < t->next_search_ns)
		return CMD_OK;
	status = session_search(&t->session);
	t->next_search_ns = session_now() + t->options.search_interval_ns;
	return status;
}

static int run(struct top *t)
{
	int status = session_start(&t->session, &t->options.scope, t->options.replay);

	while (!status) {
		int64_t next_ns = session_now() + t->options.delay_ns;

		status = search_if_due(t);
		if (!status)
			status = refresh(t);
		if (t->options.iterations && t->blocks == t->options.iterations)
			break;
		if (session_ended(&t->session))
			break;
		if (!status)
			status = session_run(&t->session, next_ns);
	}
	session_close(&t->session);
	return status;
}

int cmd_top(int argc, char **argv)
{
	struct top t = {
		.options =
			{
				.search = true,
				.delay_ns = 2 * SECOND,
				.search_interval_ns = 60 * SECOND,
			},
	};
	int status = options_parse(argc, argv, &option_set, &t.options);

	if (status != OPTIONS_GO_ON)
		return status;
	if (!t.options.search)
		t.next_search_ns = INT64_MAX;
	status = run(&t);
	free(t.said);
	return interrupt_signal() ? CMD_OK : status; /* that is how top is ended */
}

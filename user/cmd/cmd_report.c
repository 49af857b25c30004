/* SPDX-License-Identifier: MIT */
/* stranded report: search, and write one page of HTML. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/replace.h"
#include "cmd/session.h"
#include "view/escape.h"
#include "view/messages.h"
#include "view/report.h"

static const char help[] =
	"Usage: stranded report [OPTION...]\n"
	"Searches every process and writes one page of HTML that loads nothing: a flame\n"
	"graph of waiting tasks, who waits for whom, and a table with search.\n"
	"\n"
	"  -o, --output FILE  replace this file as a whole (default: standard output)\n"
	"  -p, --pid PID      only this process\n"
	"  -u, --uid USER     only processes of this user (name or number)\n"
	"      --replay FILE  show the last snapshot of a recording; needs no rights\n"
	"      --no-search    don't search for leaks: nothing is shown as leaked\n"
	"  -h, --help         this text\n"
	"\n"
	"Exit status: 0, 1 not written, 2 wrong usage, 3 nothing was observed.\n";

static const struct option names[] = {
	{"output", required_argument, NULL, 'o'},
	{"pid", required_argument, NULL, 'p'},
	{"uid", required_argument, NULL, 'u'},
	{"replay", required_argument, NULL, OPTION_REPLAY},
	{"no-search", no_argument, NULL, OPTION_NO_SEARCH},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct option_set option_set = {.letters = "o:p:u:h", .names = names, .help = help};

static int cannot_write(const char *path, int error)
{
	char shown[ESCAPE_ROOM];

	fprintf(stderr, "stranded: cannot write %s: %s\n",
		escape_text(path, true, sizeof(shown), shown), strerror(-error));
	return CMD_FAILED;
}

static int no_memory(void)
{
	fputs("stranded: cannot make the report: out of memory\n", stderr);
	return CMD_FAILED;
}

static int write_page(const struct board *board, const char *path)
{
	struct replacement page;
	int r;

	if (!path)
		return view_report(stdout, board) ? no_memory() : session_flush();
	r = replace_begin(&page, path);
	if (r)
		return cannot_write(path, r);
	if (view_report(page.stream, board)) {
		replace_abandon(&page);
		return no_memory();
	}
	r = replace_finish(&page);
	return r ? cannot_write(path, r) : CMD_OK;
}

static int report(struct session *s, const struct options *o)
{
	struct trend trend;
	struct board board;
	struct model m;
	int status = session_snapshot(s, &m);

	if (status)
		return status;
	trend_init(&trend);
	if (board_build(&m, &trend, &board)) {
		trend_done(&trend);
		return no_memory();
	}
	status = write_page(&board, o->file);
	if (!status) {
		const struct view_style style = terminal_style(COLOUR_NEVER);

		view_messages(stderr, &board.model, &style);
		status = session_judge(s, &board.model);
	}
	board_done(&board);
	trend_done(&trend);
	return status;
}

int cmd_report(int argc, char **argv)
{
	struct options o = {.search = true};
	int status = options_parse(argc, argv, &option_set, &o);
	struct session s;

	if (status != OPTIONS_GO_ON)
		return status;
	status = session_start(&s, &o.scope, o.replay);
	if (!status && o.search)
		status = session_search(&s);
	if (!status)
		status = report(&s, &o);
	session_close(&s);
	return status;
}

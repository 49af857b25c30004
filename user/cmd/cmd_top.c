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
#include "cmd/top_live.h"
#include "cmd/top_settings.h"
#include "view/messages.h"
#include "view/settings.h"
#include "view/top.h"

#define SECOND INT64_C(1000000000)

static const char help[] =
	"Usage: stranded top [OPTION...]\n"
	"Shows the places where tasks wait, leaked ones first: live on a terminal (? lists\n"
	"the keys), else one block a refresh.\n"
	"\n"
	"  -b, --batch                one block after the other, also on a terminal\n"
	"  -n, --iterations N         end after N refreshes (default: when interrupted)\n"
	"  -d, --delay SECONDS        between refreshes, 0.1 to 86400 (default: 2)\n"
	"  -p, --pid PID              only this process\n"
	"  -u, --uid USER             only processes of this user (name or number)\n"
	"      --replay FILE          show a recording, one block a snapshot; needs no rights\n"
	"      --by KIND              rows: site (default), process, task, channel or cycle\n"
	"      --sort FIELD           by this column; -FIELD: the large ones first\n"
	"      --filter TEXT          only rows with these words, !words, key:values\n"
	"      --fields FIELD,...     these columns; --fields help lists them\n"
	"      --search-interval SEC  between searches for leaks (default: 60); a process\n"
	"                             may refuse to be searched more often\n"
	"      --no-search            don't search for leaks: nothing is shown as leaked\n"
	"      --color WHEN           auto (a terminal; not with NO_COLOR or TERM=dumb),\n"
	"                             always or never\n"
	"  -h, --help                 this text\n"
	"\n"
	"Exit status: 0, 1 not written, 2 wrong usage, 3 nothing could be observed.\n";

static const struct option names[] = {
	{"batch", no_argument, NULL, 'b'},
	{"iterations", required_argument, NULL, 'n'},
	{"delay", required_argument, NULL, 'd'},
	{"pid", required_argument, NULL, 'p'},
	{"uid", required_argument, NULL, 'u'},
	{"replay", required_argument, NULL, OPTION_REPLAY},
	{"by", required_argument, NULL, OPTION_BY},
	{"sort", required_argument, NULL, OPTION_SORT},
	{"filter", required_argument, NULL, OPTION_FILTER},
	{"fields", required_argument, NULL, OPTION_FIELDS},
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
	struct browser_settings settings;
	struct trend trend;
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

static bool wants_tasks(const struct top *t)
{
	return !t->session.replay &&
	       (t->settings.kind == ROW_TASK || t->settings.kind == ROW_OBJECT ||
		t->settings.kind == ROW_CYCLE);
}

static int print_board(struct top *t, const struct board *board, const struct view_style *style)
{
	if (t->blocks++)
		fputc('\n', stdout);
	if (view_top(stdout, board, &t->settings, style)) {
		fputs("stranded: cannot print the table: out of memory\n", stderr);
		return CMD_FAILED;
	}
	return session_flush();
}

static int refresh(struct top *t)
{
	const struct view_style style = terminal_style(t->options.colour);
	struct board board;
	struct model m;
	int status = wants_tasks(t) ? session_snapshot(&t->session, &m)
				    : session_overview(&t->session, &m);

	if (status)
		return status;
	if (board_build(&m, &t->trend, &board)) {
		fputs("stranded: cannot make the table: out of memory\n", stderr);
		return CMD_FAILED;
	}
	status = print_board(t, &board, &style);
	say_news(t, &board.model, &style);
	if (!status && t->blocks == 1 && t->options.scope.pid)
		status = session_judge(&t->session, &board.model);
	board_done(&board);
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

static int run_batch(struct top *t)
{
	int status = CMD_OK;

	trend_init(&t->trend);
	while (!status) {
		int64_t next_ns = session_now() + t->settings.delay_ns;

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
	trend_done(&t->trend);
	return status;
}

static int run_live(struct top *t)
{
	int status = top_live(&t->session, &t->options, &t->settings);

	top_settings_save(&t->settings);
	return status;
}

static int list_fields(enum row_kind kind)
{
	for (unsigned i = 0; i < COLUMNS; i++)
		if (row_columns(kind) & UINT32_C(1) << i)
			printf("%-10s %s\n", column_form(i)->name, column_form(i)->title);
	return session_flush();
}

static int wrong_field(const char *option, const struct top *t)
{
	fprintf(stderr, "stranded top: %s names no field of --by %s; try --fields help\n", option,
		row_kind_name(t->settings.kind));
	return CMD_USAGE;
}

/* What the command line says goes before what the file says. */
static int apply_options(struct top *t)
{
	struct browser_settings *s = &t->settings;
	struct browser_order *order;

	if (t->options.table_given)
		s->kind = t->options.table;
	if (t->options.delay_given)
		s->delay_ns = t->options.delay_ns;
	order = &s->orders[s->kind];
	if (t->options.fields && settings_columns(t->options.fields, s->kind, &order->columns))
		return wrong_field("--fields", t);
	if (t->options.sort && settings_sort(t->options.sort, s->kind, order))
		return wrong_field("--sort", t);
	if (t->options.filter)
		snprintf(s->filter, sizeof(s->filter), "%s", t->options.filter);
	return CMD_OK;
}

static int observe(struct top *t, bool live)
{
	int status = session_start(&t->session, &t->options.scope, t->options.replay);

	if (!status)
		status = live ? run_live(t) : run_batch(t);
	session_close(&t->session);
	return status;
}

int cmd_top(int argc, char **argv)
{
	struct top t = {.options = {.search = true, .search_interval_ns = 60 * SECOND}};
	int status = options_parse(argc, argv, &option_set, &t.options);
	bool live = !t.options.batch && top_live_possible();

	if (status != OPTIONS_GO_ON)
		return status;
	browser_default(&t.settings);
	if (live)
		top_settings_load(&t.settings);
	if (t.options.fields && !strcmp(t.options.fields, "help"))
		return list_fields(t.options.table);
	status = apply_options(&t);
	if (status)
		return status;
	if (!t.options.search)
		t.next_search_ns = INT64_MAX;
	status = observe(&t, live);
	free(t.said);
	return interrupt_signal() ? CMD_OK : status; /* that is how top is ended */
}

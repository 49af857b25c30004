/* SPDX-License-Identifier: MIT */
/*
 * The loop of the live view. It sleeps until there is a key, a board or a signal, and never waits
 * for anything else: the observer works in the feed's thread.
 */
#include "cmd/top_live.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/feed.h"
#include "cmd/interrupt.h"
#include "cmd/source.h"
#include "cmd/top_terminal.h"

#define SECOND  INT64_C(1000000000)
#define TICK_MS 500 /* the age of a stale view and what the observer does are shown that often */

struct live {
	const struct options *options;
	struct feed *feed;
	struct top_terminal *terminal;
	struct browser browser;
	struct board *board; /* shown; NULL: none yet */
	struct source_cache sources;
	unsigned boards;
	bool colour, ended;
	int errors;       /* a file that stands in for stderr, which would write over the screen */
	int saved_stderr; /* -1: not redirected */
};

bool top_live_possible(void)
{
	const char *term = getenv("TERM");

	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term &&
	       strcmp(term, "dumb") != 0;
}

/* ---- messages of others wait until the screen is gone ---------------------------------- */

static void hold_errors(struct live *l)
{
	l->saved_stderr = -1;
	l->errors = memfd_create("stranded-errors", MFD_CLOEXEC);
	if (l->errors < 0)
		return;
	fflush(stderr);
	l->saved_stderr = dup(STDERR_FILENO);
	if (l->saved_stderr >= 0)
		dup2(l->errors, STDERR_FILENO);
}

static void release_errors(struct live *l)
{
	char text[4096];
	ssize_t size;

	if (l->saved_stderr >= 0) {
		fflush(stderr);
		dup2(l->saved_stderr, STDERR_FILENO);
		close(l->saved_stderr);
		size = pread(l->errors, text, sizeof(text), 0);
		if (size > 0)
			fwrite(text, 1, (size_t)size, stderr);
	}
	if (l->errors >= 0)
		close(l->errors);
}

/* ---- what the browser asks for ------------------------------------------------------------ */

static void search(struct live *l)
{
	const struct row *row = browser_selected(&l->browser);

	if (!row)
		return;
	if (l->options->replay) {
		snprintf(l->browser.note, sizeof(l->browser.note),
			 "a recording cannot be searched");
		return;
	}
	feed_search(l->feed, row->process->pid);
	snprintf(l->browser.note, sizeof(l->browser.note), "process %d is searched for leaks",
		 row->process->pid);
}

static void copy(struct live *l)
{
	char *line = browser_copy(&l->browser);

	if (!line)
		return;
	top_terminal_copy(l->terminal, line);
	free(line);
	snprintf(l->browser.note, sizeof(l->browser.note), "copied");
}

/* Views by task need every task; they cost more, so only they ask for them. */
static void ask_feed(struct live *l)
{
	enum row_kind kind = l->browser.settings.kind;

	feed_set_tasks(l->feed, kind == ROW_TASK || kind == ROW_OBJECT || kind == ROW_CYCLE);
	feed_set_delay(l->feed, l->browser.settings.delay_ns);
}

static void handle_events(struct live *l)
{
	struct top_event event;
	bool any = false;

	while (!l->ended && top_terminal_event(l->terminal, &event)) {
		enum browser_action action =
			event.key ? browser_key(&l->browser, event.key)
				  : browser_click(&l->browser, event.row, event.twice);

		if (action == BROWSER_QUIT)
			l->ended = true;
		else if (action == BROWSER_SEARCH)
			search(l);
		else if (action == BROWSER_COPY)
			copy(l);
		any = true;
	}
	if (any)
		ask_feed(l);
}

/* ---- boards ----------------------------------------------------------------------------------- */

static void take_board(struct live *l)
{
	struct board *board = l->browser.paused ? NULL : feed_take(l->feed);

	if (!board)
		return;
	if (browser_take(&l->browser, board)) {
		fputs("stranded: cannot show the table: out of memory\n", stderr);
		l->ended = true;
	}
	feed_give_back(l->feed, l->board);
	l->board = board;
	l->boards++;
	if (l->options->iterations && l->boards >= l->options->iterations)
		l->ended = true;
}

static void update_status(struct live *l)
{
	static const char *const texts[] = {
		[FEED_IDLE] = "",
		[FEED_READING] = "",
		[FEED_SEARCHING] = "searching for leaks...",
		[FEED_ENDED] = "",
	};
	enum feed_state state = feed_state(l->feed);
	int64_t age_ns;

	if (state == FEED_ENDED)
		l->ended = true;
	snprintf(l->browser.status, sizeof(l->browser.status), "%s", texts[state]);
	l->browser.stale_ns = 0;
	if (!l->board || l->options->replay) /* a recording is as old as it is */
		return;
	age_ns = session_now() - l->board->model.now_ns;
	if (age_ns > 2 * l->browser.settings.delay_ns + SECOND)
		l->browser.stale_ns = age_ns;
}

/* ---- the loop -------------------------------------------------------------------------------------- */

static void draw(struct live *l)
{
	struct screen screen;
	size_t rows, columns;

	top_terminal_size(l->terminal, &rows, &columns);
	if (screen_init(&screen, rows, columns))
		return; /* the next one may fit */
	browser_draw(&l->browser, &screen);
	top_terminal_paint(l->terminal, &screen);
	screen_done(&screen);
}

static void wait_for_news(struct live *l)
{
	struct pollfd news[] = {
		{.fd = STDIN_FILENO, .events = POLLIN},
		/* What is not taken while it is paused must not wake us again and again. */
		{.fd = l->browser.paused ? -1 : feed_fd(l->feed), .events = POLLIN},
	};

	poll(news, 2, TICK_MS);
	if (news[0].revents & (POLLHUP | POLLERR | POLLNVAL)) /* the terminal has gone */
		l->ended = true;
}

static void loop(struct live *l)
{
	while (!l->ended && !interrupt_signal()) {
		take_board(l);
		update_status(l);
		draw(l);
		wait_for_news(l);
		handle_events(l);
	}
}

static int run(struct live *l, struct session *session)
{
	const struct feed_options feed = {
		.delay_ns = l->browser.settings.delay_ns,
		.search_interval_ns =
			l->options->search ? l->options->search_interval_ns : INT64_MAX,
	};
	int r, status;

	session->progress = false;
	r = feed_start(session, &feed, &l->feed);
	if (r) {
		fprintf(stderr, "stranded: cannot start a thread: %s\n", strerror(-r));
		return CMD_FAILED;
	}
	ask_feed(l);
	r = top_terminal_open(l->colour, &l->terminal);
	if (r)
		fputs("stranded: cannot use this terminal; try -b, or another TERM\n", stderr);
	else
		loop(l);
	top_terminal_close(l->terminal); /* before the feed: its end may take a moment */
	feed_give_back(l->feed, l->board);
	status = feed_stop(l->feed);
	return r ? CMD_FAILED : status;
}

int top_live(struct session *session, const struct options *options,
	     struct browser_settings *settings)
{
	const struct view_style style = terminal_style(options->colour);
	struct live l = {.options = options, .colour = style.colour};
	const struct details_source source = {.context = &l.sources, .read = source_read};
	int status;

	browser_init(&l.browser, settings, style.utf8, &source);
	hold_errors(&l);
	status = run(&l, session);
	release_errors(&l);
	*settings = l.browser.settings;
	browser_done(&l.browser);
	source_cache_done(&l.sources);
	return status;
}

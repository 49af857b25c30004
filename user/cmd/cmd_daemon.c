/* SPDX-License-Identifier: MIT */
/* stranded daemon: observe for good, and answer over HTTP. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/interrupt.h"
#include "cmd/options.h"
#include "cmd/self.h"
#include "cmd/session.h"
#include "serve/news.h"
#include "serve/notify.h"
#include "serve/server.h"
#include "view/escape.h"

#define SECOND          INT64_C(1000000000)
#define SEARCH_GAP      (60 * SECOND)
#define SEARCH_PATIENCE (5 * SECOND) /* nobody else is answered meanwhile */
#define SLICE           (SECOND / 2) /* a signal just before the poll is noticed after this */
#define SOCKET_PATH     "/run/stranded/stranded.sock"

static const char help[] =
	"Usage: stranded daemon [OPTION...]\n"
	"Observes until it is told to end (SIGTERM), and answers over HTTP on a Unix socket.\n"
	"Leaks that are found are told once on stderr.\n"
	"\n"
	"      --socket PATH          instead of " SOCKET_PATH "\n"
	"      --socket-mode MODE     of the socket, octal (default: 0660). Members of the group\n"
	"                             stranded see everything, other users their own processes\n"
	"      --listen ADDRESS:PORT  TCP as well, on this host's loopback only: every program\n"
	"                             here can then read everything\n"
	"      --search-interval SEC  between searches for leaks (default: 300)\n"
	"      --no-search            search only when asked to\n"
	"  -p, --pid PID              only this process\n"
	"  -u, --uid USER             only processes of this user\n"
	"  -h, --help                 this text\n"
	"\n"
	"  curl --unix-socket " SOCKET_PATH " http://localhost/\n"
	"\n"
	"Exit status: 0 told to end, 2 wrong usage, 3 it could not observe or listen.\n";

static const struct option names[] = {
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"socket-mode", required_argument, NULL, OPTION_SOCKET_MODE},
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"search-interval", required_argument, NULL, OPTION_SEARCH_INTERVAL},
	{"no-search", no_argument, NULL, OPTION_NO_SEARCH},
	{"pid", required_argument, NULL, 'p'},
	{"uid", required_argument, NULL, 'u'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct option_set option_set = {.letters = "p:u:h", .names = names, .help = help};

struct daemon {
	struct session session;
	struct news news;
	bool levels; /* stderr is the journal */
	struct server *server;
	int64_t next_search_ns, search_interval_ns; /* INT64_MAX: never */
	int64_t next_watchdog_ns, watchdog_ns;
};

static int take_snapshot(void *context, struct model *ret_model)
{
	return observer_snapshot(((struct daemon *)context)->session.observer, ret_model);
}

static int take_overview(void *context, struct model *ret_model)
{
	return observer_overview(((struct daemon *)context)->session.observer, ret_model);
}

/* New leaks go to stderr. If they cannot be told now, they are the next time. */
static void tell_news(struct daemon *d)
{
	struct model m;

	if (observer_overview(d->session.observer, &m))
		return;
	news_write(stderr, &d->news, &m, d->levels);
	model_done(&m);
}

/* What comes of it is in the model. */
static void search_one(void *context, pid_t pid)
{
	struct daemon *d = context;

	observer_search(d->session.observer, pid, SEARCH_PATIENCE);
	tell_news(d);
}

static int open_server(struct daemon *d, const struct options *o)
{
	const struct server_options options = {
		.socket_path = o->socket,
		.socket_mode = o->socket_mode,
		.group = listen_group(),
		.tcp = o->listen.size ? &o->listen : NULL,
		.search_gap_ns = SEARCH_GAP,
		.source = {.context = d,
			   .snapshot = take_snapshot,
			   .overview = take_overview,
			   .search = search_one,
			   .self = self_read},
	};
	char line[ESCAPE_ROOM];
	char *error = NULL;
	int r = server_new(&options, &d->server, &error);

	if (!r)
		return CMD_OK;
	if (error)
		fprintf(stderr, "%s\n", escape_text(error, true, sizeof(line), line));
	else
		fprintf(stderr, "stranded: cannot serve: %s\n", strerror(-r));
	free(error);
	return CMD_NOT_OBSERVED;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void wait_for_work(const struct daemon *d)
{
	struct pollfd fds[] = {
		{.fd = observer_fd(d->session.observer), .events = POLLIN},
		{.fd = server_fd(d->server), .events = POLLIN},
	};
	int64_t now = session_now();
	int64_t due = earlier(observer_due_ns(d->session.observer), server_due_ns(d->server));

	due = earlier(earlier(due, d->next_search_ns), d->next_watchdog_ns);
	due = earlier(due, now + SLICE);
	poll(fds, 2, due > now ? (int)((due - now + 999999) / 1000000) : 0);
}

static int work(struct daemon *d)
{
	int64_t now = session_now();
	int r = observer_run(d->session.observer, now);

	if (r && r != -EINTR) {
		fprintf(stderr, "stranded: cannot go on observing: %s\n", strerror(-r));
		return CMD_NOT_OBSERVED;
	}
	server_run(d->server);
	if (d->next_search_ns <= now) {
		session_search(&d->session);
		tell_news(d);
		d->next_search_ns = session_now() + d->search_interval_ns;
	}
	if (d->next_watchdog_ns <= now) {
		notify_send("WATCHDOG=1");
		d->next_watchdog_ns = now + d->watchdog_ns;
	}
	return CMD_OK;
}

/* Nothing is re-read: there is no configuration, and a client's view must not break off. */
static void ignore_hangups(void)
{
	signal(SIGHUP, SIG_IGN);
}

static void plan(struct daemon *d, const struct options *o)
{
	int64_t now = session_now();

	d->search_interval_ns = o->search_interval_ns;
	d->next_search_ns = o->search ? now : INT64_MAX;
	d->watchdog_ns = notify_watchdog_ns();
	d->next_watchdog_ns = d->watchdog_ns == INT64_MAX ? INT64_MAX : now;
}

static int run(struct daemon *d, const struct options *o)
{
	int status = open_server(d, o); /* its process is to inherit nothing of the observer */

	if (!status)
		status = session_open(&d->session, &o->scope);
	if (!status) {
		plan(d, o);
		notify_send("READY=1");
	}
	while (!status && !interrupt_signal()) {
		wait_for_work(d);
		status = work(d);
	}
	notify_send("STOPPING=1");
	server_free(d->server);
	session_close(&d->session);
	return interrupt_signal() ? CMD_OK : status;
}

int cmd_daemon(int argc, char **argv)
{
	struct daemon d = {.server = NULL};
	struct options o = {
		.search = true,
		.search_interval_ns = 300 * SECOND,
		.socket = SOCKET_PATH,
		.socket_mode = 0660,
	};
	int status = options_parse(argc, argv, &option_set, &o);

	if (status != OPTIONS_GO_ON)
		return status;
	ignore_hangups();
	d.levels = getenv("JOURNAL_STREAM") != NULL;
	return run(&d, &o);
}

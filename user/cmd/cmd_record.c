/* SPDX-License-Identifier: MIT */
/* stranded record: what is seen, into a file that every view can read later. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/interrupt.h"
#include "cmd/options.h"
#include "cmd/session.h"
#include "view/escape.h"
#include "view/messages.h"
#include "view/recording.h"

#define SECOND INT64_C(1000000000)

static const char help[] =
	"Usage: stranded record -o FILE [OPTION...]\n"
	"Writes what it sees into a file, again and again. stranded top, snapshot and leaks\n"
	"show it with --replay FILE: later, on another machine, and without any rights.\n"
	"\n"
	"  -o, --output FILE          a new file, or - for standard output\n"
	"  -n, --iterations N         end after N snapshots (default: when interrupted)\n"
	"  -d, --delay SECONDS        between snapshots, 0.1 to 86400 (default: 10)\n"
	"      --sites                one task for each place where tasks wait, instead of all\n"
	"  -p, --pid PID              only this process\n"
	"  -u, --uid USER             only processes of this user (name or number)\n"
	"      --search-interval SEC  between searches for leaks (default: 60)\n"
	"      --no-search            don't search for leaks: nothing is shown as leaked\n"
	"  -h, --help                 this text\n"
	"\n"
	"A recording holds names of commands, functions, files and tasks, and addresses, but\n"
	"no memory of the programs. Exit status: 0, 1 not written, 2 wrong usage, 3 nothing\n"
	"was observed.\n";

static const struct option names[] = {
	{"output", required_argument, NULL, OPTION_FILE},
	{"iterations", required_argument, NULL, 'n'},
	{"delay", required_argument, NULL, 'd'},
	{"sites", no_argument, NULL, OPTION_SITES},
	{"pid", required_argument, NULL, 'p'},
	{"uid", required_argument, NULL, 'u'},
	{"search-interval", required_argument, NULL, OPTION_SEARCH_INTERVAL},
	{"no-search", no_argument, NULL, OPTION_NO_SEARCH},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct option_set option_set = {
	.letters = "o:n:d:p:u:h", .names = names, .help = help};

struct recorder {
	struct session session;
	struct options options;
	FILE *out;
	unsigned written;
	int64_t next_search_ns; /* INT64_MAX: never */
};

static int fail(const struct recorder *r, int error)
{
	char path[ESCAPE_ROOM];

	fprintf(stderr, "stranded: cannot write %s: %s\n",
		escape_text(r->options.file, true, sizeof(path), path), strerror(error));
	return CMD_FAILED;
}

/* A new one only: nobody's file is lost, and no link that somebody laid is followed. */
static int open_file(struct recorder *r)
{
	bool is_stdout = !strcmp(r->options.file, "-");
	int fd = is_stdout ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
			   : open(r->options.file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	r->out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!r->out)
		return fail(r, errno);
	recording_begin(r->out);
	return CMD_OK;
}

static int record_one(struct recorder *r)
{
	const struct view_style style = terminal_style(COLOUR_NEVER);
	struct model m;
	int error, status;

	if (session_now() >= r->next_search_ns) {
		status = session_search(&r->session);
		if (status)
			return status;
		r->next_search_ns = session_now() + r->options.search_interval_ns;
	}
	status = r->options.sites ? session_overview(&r->session, &m)
				  : session_snapshot(&r->session, &m);
	if (status)
		return status;
	error = recording_write(r->out, &m);
	if (error || fflush(r->out))
		status = fail(r, error ? -error : errno);
	if (!r->written++)
		view_messages(stderr, &m, &style);
	if (!status && r->written == 1 && r->options.scope.pid)
		status = session_judge(&r->session, &m);
	model_done(&m);
	return status;
}

static int record(struct recorder *r)
{
	int status = session_open(&r->session, &r->options.scope);

	while (!status) {
		int64_t next_ns = session_now() + r->options.delay_ns;

		status = record_one(r);
		if (r->options.iterations && r->written == r->options.iterations)
			break;
		if (!status)
			status = session_run(&r->session, next_ns);
	}
	session_close(&r->session);
	return status;
}

int cmd_record(int argc, char **argv)
{
	struct recorder r = {
		.options = {.search = true,
			    .delay_ns = 10 * SECOND,
			    .search_interval_ns = 60 * SECOND},
	};
	int status = options_parse(argc, argv, &option_set, &r.options);

	if (status != OPTIONS_GO_ON)
		return status;
	if (!r.options.file) {
		fprintf(stderr, "%s: -o FILE is missing; try %s --help\n", argv[0], argv[0]);
		return CMD_USAGE;
	}
	if (!r.options.search)
		r.next_search_ns = INT64_MAX;
	status = open_file(&r);
	if (status)
		return status;
	status = record(&r);
	if (fclose(r.out) && !status)
		status = fail(&r, errno);
	return interrupt_signal() && r.written ? CMD_OK : status; /* that is how it is ended */
}

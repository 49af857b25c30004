/* SPDX-License-Identifier: MIT */
/* stranded check-nagios: a plugin for monitoring systems that run programs. */
#include <getopt.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/session.h"
#include "view/nagios.h"

static const char help[] =
	"Usage: stranded check-nagios [OPTION...]\n"
	"Searches every process for leaked tasks and prints the line of a Nagios plugin.\n"
	"\n"
	"  -w, --warning N   WARNING from N leaked tasks on (default: 1)\n"
	"  -c, --critical N  CRITICAL from N leaked tasks on (default: 10)\n"
	"  -p, --pid PID     only this process\n"
	"  -u, --uid USER    only processes of this user (name or number)\n"
	"  -h, --help        this text\n"
	"\n"
	"Exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: wrong usage, nothing could be\n"
	"observed, or there are no leaks but a process that could not be searched.\n";

static const struct option names[] = {
	{"warning", required_argument, NULL, 'w'}, {"critical", required_argument, NULL, 'c'},
	{"pid", required_argument, NULL, 'p'},     {"uid", required_argument, NULL, 'u'},
	{"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
};

static const struct option_set option_set = {.letters = "w:c:p:u:h", .names = names, .help = help};

static int search(struct session *s, const struct options *o)
{
	struct model m;
	int status = session_open(s, &o->scope);
	int state;

	if (!status)
		status = session_search(s);
	if (!status)
		status = session_overview(s, &m);
	if (status) {
		puts("STRANDED UNKNOWN - could not observe, see the standard error");
		return NAGIOS_UNKNOWN;
	}
	state = (int)view_nagios(stdout, &m, o->warning, o->critical);
	model_done(&m);
	return session_flush() ? NAGIOS_UNKNOWN : state;
}

int cmd_check_nagios(int argc, char **argv)
{
	struct options o = {.warning = 1, .critical = 10};
	int status = options_parse(argc, argv, &option_set, &o);
	struct session s = {0};

	if (status == CMD_USAGE)
		puts("STRANDED UNKNOWN - wrong usage");
	if (status != OPTIONS_GO_ON)
		return status ? NAGIOS_UNKNOWN : NAGIOS_OK;
	status = search(&s, &o);
	session_close(&s);
	return status;
}

/* SPDX-License-Identifier: MIT */
/* The program stranded: finds the subcommand and hands over. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "view/escape.h"

static const char help[] =
	"Usage: stranded COMMAND [OPTION...]\n"
	"Shows the waiting and the leaked tasks of every process that uses libstrand.\n"
	"\n"
	"Commands:\n"
	"  top        a table of the places where tasks wait, again and again\n"
	"  snapshot   every waiting task at one moment, as JSON or text\n"
	"  leaks      search for leaks and print the tasks that are proved leaked\n"
	"  report     one page of HTML: a flame graph, who waits for whom, a table\n"
	"  watch      what changes, a line each, for log collectors\n"
	"  record     write what is seen into a file, for top, snapshot and leaks\n"
	"  explain    why one task can never be woken, or what might still wake it\n"
	"  check      run a program or a test suite, and fail if tasks leak in it\n"
	"  check-nagios  search, and answer as a monitoring plugin\n"
	"  daemon     observe for good, and answer over HTTP\n"
	"  doctor     what can be observed here, and what to do about what cannot\n"
	"\n"
	"Options:\n"
	"  --help     this text; stranded COMMAND --help tells of one command\n"
	"  --version  the version\n"
	"\n"
	"Exit status: 0 observed (whether there are leaks or not), 1 the result could not\n"
	"be written, 2 wrong usage, 3 nothing could be observed.\n"
	"\n"
	"Observing needs root.\n";

struct command {
	const char *name;
	char *full_name; /* what messages of option parsing begin with */
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{"top", "stranded top", cmd_top},
	{"snapshot", "stranded snapshot", cmd_snapshot},
	{"leaks", "stranded leaks", cmd_leaks},
	{"report", "stranded report", cmd_report},
	{"watch", "stranded watch", cmd_watch},
	{"record", "stranded record", cmd_record},
	{"check", "stranded check", cmd_check},
	{"check-nagios", "stranded check-nagios", cmd_check_nagios},
	{"daemon", "stranded daemon", cmd_daemon},
	{"explain", "stranded explain", cmd_explain},
	{"doctor", "stranded doctor", cmd_doctor},
};

static int run_command(int argc, char **argv)
{
	char name[ESCAPE_ROOM];

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[0], commands[i].name))
			continue;
		argv[0] = commands[i].full_name;
		return commands[i].run(argc, argv);
	}
	fprintf(stderr, "stranded: no such command: %s; try stranded --help\n",
		escape_text(argv[0], true, sizeof(name), name));
	return CMD_USAGE;
}

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, "");  /* only this: numbers keep their point */
	signal(SIGPIPE, SIG_IGN); /* a reader that goes away must not leave probes behind */
	if (argc < 2) {
		fputs(help, stderr);
		return CMD_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		fputs(help, stdout);
		return CMD_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("stranded " STRANDED_VERSION);
		return CMD_OK;
	}
	return run_command(argc - 1, argv + 1);
}

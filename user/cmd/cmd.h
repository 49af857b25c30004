/* SPDX-License-Identifier: MIT */
/* The subcommands. Each gets its own name in argv[0] and returns an exit status. */
#ifndef STRANDED_CMD_CMD_H
#define STRANDED_CMD_CMD_H

enum cmd_status {
	CMD_OK = 0,
	CMD_FAILED = 1, /* observed, but the result could not be written */
	CMD_USAGE = 2,
	CMD_NOT_OBSERVED = 3, /* nothing could be observed or searched: says nothing about leaks */
	CMD_SIGNALLED = 128,  /* plus the signal's number */
};

int cmd_top(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_leaks(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_daemon(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_check_nagios(int argc, char **argv);
int cmd_watch(int argc, char **argv);

#endif

/* SPDX-License-Identifier: MIT */
/* stranded explain: why one task can never be woken, or what might still wake it. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/session.h"
#include "view/explain.h"
#include "view/messages.h"

static const char help[] =
	"Usage: stranded explain PID TASK\n"
	"Searches the process and explains the task (its number in stranded leaks or snapshot):\n"
	"the wait-for cycle or the lock whose owner has ended, or, if it is not proved to be\n"
	"leaked, what keeps it alive: a global variable, a stack, a heap block.\n"
	"\n"
	"  -h, --help  this text\n"
	"\n"
	"Exit status: 0 explained, 1 not written, 2 wrong usage, 3 the process could not be\n"
	"searched or has no such task that waits.\n";

static const struct option names[] = {
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct option_set option_set = {
	.letters = "h", .names = names, .help = help, .arguments = 2};

static bool parse_number(const char *text, uint64_t max, uint64_t *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && !*end && !errno && *ret_number &&
	    *ret_number <= max)
		return true;
	fprintf(stderr, "stranded explain: not a number of a process or a task; "
			"try stranded explain --help\n");
	return false;
}

static int explain(const struct session *s, const struct model *m, uint64_t task)
{
	const struct view_style style = terminal_style(COLOUR_NEVER);
	const struct model_process *p = m->process_count ? &m->processes[0] : NULL;
	const struct model_task *t = p ? model_find_task(p, task) : NULL;
	int status;

	view_messages(stderr, m, &style);
	status = session_judge(s, m);
	if (status)
		return status;
	if (!t) {
		fprintf(stderr,
			"stranded: cannot explain task %" PRIu64 ": no such task waits in process "
			"%d; try stranded snapshot -o text --pid %d\n",
			task, (int)s->scope.pid, (int)s->scope.pid);
		return CMD_NOT_OBSERVED;
	}
	view_explain(stdout, m, p, t, &style);
	status = session_flush();
	return status ? status : model_search_proved(&p->search) ? CMD_OK : CMD_NOT_OBSERVED;
}

int cmd_explain(int argc, char **argv)
{
	struct options o = {.output = OUTPUT_TEXT};
	int status = options_parse(argc, argv, &option_set, &o);
	uint64_t pid, task;
	struct session s;
	struct model m;

	if (status != OPTIONS_GO_ON)
		return status;
	if (!parse_number(argv[optind], INT32_MAX, &pid) ||
	    !parse_number(argv[optind + 1], UINT64_MAX, &task))
		return CMD_USAGE;
	o.scope.pid = (pid_t)pid;
	status = session_open(&s, &o.scope);
	if (!status)
		status = session_search(&s);
	if (!status)
		status = session_snapshot(&s, &m);
	if (!status) {
		status = explain(&s, &m, task);
		model_done(&m);
	}
	session_close(&s);
	return status;
}

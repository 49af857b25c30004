/* SPDX-License-Identifier: MIT */
/* stranded leaks: search, and print the tasks that are proved leaked. */
#include <getopt.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/session.h"
#include "view/go_text.h"
#include "view/json.h"
#include "view/messages.h"

static const char help[] =
	"Usage: stranded leaks [OPTION...]\n"
	"Asks every process for a search and prints the tasks that are proved leaked:\n"
	"nothing that lives in the process can ever wake them.\n"
	"\n"
	"  -o, --output text|json  the form of Go's goroutine dumps (the default), or JSON\n"
	"  -p, --pid PID           only this process\n"
	"  -u, --uid USER          only processes of this user (name or number)\n"
	"  -h, --help              this text\n"
	"\n"
	"Exit status: 0 searched (whether there are leaks or not), 1 not written, 2 wrong\n"
	"usage, 3 no process could be searched. Lines on stderr tell which could not.\n";

static const struct option names[] = {
	{"output", required_argument, NULL, 'o'},
	{"pid", required_argument, NULL, 'p'},
	{"uid", required_argument, NULL, 'u'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct option_set option_set = {.letters = "o:p:u:h", .names = names, .help = help};

struct tally {
	size_t searched, not_searched, leaked;
};

static struct tally count(const struct model *m)
{
	struct tally t = {0};

	for (size_t i = 0; i < m->process_count; i++) {
		const struct model_process *p = &m->processes[i];

		if (model_search_proved(&p->search))
			t.searched++;
		else if (p->status != MODEL_EXITED)
			t.not_searched++;
		for (size_t j = 0; j < p->task_count; j++)
			t.leaked += p->tasks[j].state == MODEL_LEAKED;
	}
	return t;
}

/* "No leaks" is said of searched processes only. */
static void say_tally(const struct tally *t)
{
	const char *processes = t->searched == 1 ? "process" : "processes";

	if (!t->searched && !t->leaked)
		return;
	fputs("stranded: ", stderr);
	if (t->leaked)
		fprintf(stderr, "%zu leaked %s", t->leaked, t->leaked == 1 ? "task" : "tasks");
	else
		fputs("no leaks", stderr);
	fprintf(stderr, " in %zu %s", t->searched, processes);
	if (t->not_searched)
		fprintf(stderr, "; %zu could not be searched", t->not_searched);
	fputc('\n', stderr);
}

static int print_leaks(struct session *s, const struct options *o)
{
	const struct view_style style = terminal_style(COLOUR_NEVER);
	struct tally tally;
	struct model m;
	int status = session_snapshot(s, &m);
	int written;

	if (status)
		return status;
	if (o->output == OUTPUT_JSON)
		view_json(stdout, &m, JSON_LEAKS);
	else
		view_go_text(stdout, &m, GO_TEXT_LEAKED, &style);
	written = session_flush();
	tally = count(&m);
	view_messages(stderr, &m, &style);
	status = session_judge(s, &m);
	say_tally(&tally);
	if (!status && !tally.searched)
		status = CMD_NOT_OBSERVED;
	model_done(&m);
	return written ? written : status;
}

int cmd_leaks(int argc, char **argv)
{
	struct options o = {.output = OUTPUT_TEXT};
	int status = options_parse(argc, argv, &option_set, &o);
	struct session s;

	if (status != OPTIONS_GO_ON)
		return status;
	status = session_open(&s, &o.scope);
	if (!status)
		status = session_search(&s);
	if (!status)
		status = print_leaks(&s, &o);
	session_close(&s);
	return status;
}

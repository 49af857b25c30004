/* SPDX-License-Identifier: MIT */
/* stranded leaks: search, and print the tasks that are proved leaked. */
#include <getopt.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/output.h"
#include "cmd/session.h"

static const char help[] =
	"Usage: stranded leaks [OPTION...]\n"
	"Asks every process for a search and prints the tasks that are proved leaked:\n"
	"nothing that lives in the process can ever wake them.\n"
	"\n"
	"  -o, --output FORMAT  text (as Go dumps goroutines; the default), json, jsonl (on\n"
	"                       one line) or pprof (for go tool pprof)\n"
	"      --file PATH      replace this file as a whole, instead of writing to stdout\n"
	"      --debug N        of pprof: 0 binary (the default), 1 or 2 text as Go's\n"
	"  -p, --pid PID        only this process\n"
	"  -u, --uid USER       only processes of this user (name or number)\n"
	"      --replay FILE    show the last snapshot of a recording; needs no rights\n"
	"  -h, --help           this text\n"
	"\n"
	"Exit status: 0 searched (whether there are leaks or not), 1 not written, 2 wrong\n"
	"usage, 3 no process could be searched. Lines on stderr tell which could not.\n";

static const struct option names[] = {
	{"output", required_argument, NULL, 'o'},
	{"file", required_argument, NULL, OPTION_FILE},
	{"debug", required_argument, NULL, OPTION_DEBUG},
	{"pid", required_argument, NULL, 'p'},
	{"uid", required_argument, NULL, 'u'},
	{"replay", required_argument, NULL, OPTION_REPLAY},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct option_set option_set = {
	.letters = "o:p:u:h",
	.names = names,
	.help = help,
	.outputs = 1u << OUTPUT_JSON | 1u << OUTPUT_JSONL | 1u << OUTPUT_TEXT | 1u << OUTPUT_PPROF,
};

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
	struct tally tally;
	struct model m;
	int status = session_snapshot(s, &m);

	if (status)
		return status;
	tally = count(&m);
	status = output_model(s, o, &m, OUTPUT_LEAKS);
	say_tally(&tally);
	if (!status && !tally.searched)
		status = CMD_NOT_OBSERVED;
	model_done(&m);
	return status;
}

int cmd_leaks(int argc, char **argv)
{
	struct options o = {.output = OUTPUT_TEXT, .profile = PROFILE_GOROUTINELEAK};
	int status = options_parse(argc, argv, &option_set, &o);
	struct session s;

	if (status != OPTIONS_GO_ON)
		return status;
	status = session_start(&s, &o.scope, o.replay);
	if (!status)
		status = session_search(&s);
	if (!status)
		status = print_leaks(&s, &o);
	session_close(&s);
	return status;
}

/* SPDX-License-Identifier: MIT */
/* stranded check: run a program or a test suite, and fail if tasks leak in it. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/check_run.h"
#include "cmd/cmd.h"
#include "cmd/known_leaks.h"
#include "cmd/replace.h"
#include "cmd/terminal.h"
#include "view/escape.h"
#include "view/finding.h"

static const char help[] =
	"Usage: stranded check [OPTION...] [--] COMMAND [ARGUMENT...]\n"
	"Runs the command. Each program in it that uses libstrand searches itself for leaked\n"
	"tasks when its main task has returned, or when it calls exit(). Needs no root.\n"
	"\n"
	"      --fail-on new      fail if there is a leak that is not in the baseline (default)\n"
	"      --fail-on any      fail if there is one at all\n"
	"      --fail-on count:N  fail if there are more than N leaked tasks\n"
	"      --baseline FILE    leaks that are known; a missing file knows none\n"
	"      --update-baseline  write those that are there now into that file\n"
	"      --ignore FILE      patterns of functions, one a line (* and ? as in file names): a\n"
	"                         leak with such a function in its stack, or created by one, does\n"
	"                         not count\n"
	"      --junit FILE       write the findings as JUnit XML\n"
	"      --sarif FILE       write the findings as SARIF 2.1.0\n"
	"      --timeout SECONDS  end the command after that time\n"
	"  -h, --help             this text\n"
	"\n"
	"Exit status: that of the command if it is not 0 (124: time-out, 127: not found), else 0\n"
	"no leaks, 1 leaks, 2 wrong usage, 3 a program could not be searched, or none uses\n"
	"libstrand.\n";

enum check_option {
	CHECK_FAIL_ON = 256,
	CHECK_BASELINE,
	CHECK_UPDATE,
	CHECK_IGNORE,
	CHECK_JUNIT,
	CHECK_SARIF,
	CHECK_TIMEOUT,
};

static const struct option names[] = {
	{"fail-on", required_argument, NULL, CHECK_FAIL_ON},
	{"baseline", required_argument, NULL, CHECK_BASELINE},
	{"update-baseline", no_argument, NULL, CHECK_UPDATE},
	{"ignore", required_argument, NULL, CHECK_IGNORE},
	{"junit", required_argument, NULL, CHECK_JUNIT},
	{"sarif", required_argument, NULL, CHECK_SARIF},
	{"timeout", required_argument, NULL, CHECK_TIMEOUT},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

enum fail_on { FAIL_ON_NEW, FAIL_ON_ANY, FAIL_ON_COUNT };

struct check {
	enum fail_on fail_on;
	size_t count_max; /* FAIL_ON_COUNT */
	const char *baseline, *ignore, *junit, *sarif;
	bool update;
	int64_t timeout_ns;
	char **command;
};

/* ---- options ------------------------------------------------------------------------- */

static int parse_fail_on(const char *text, struct check *c)
{
	char *end;

	if (!strcmp(text, "new"))
		c->fail_on = FAIL_ON_NEW;
	else if (!strcmp(text, "any"))
		c->fail_on = FAIL_ON_ANY;
	else if (!strncmp(text, "count:", 6) && text[6] >= '0' && text[6] <= '9') {
		c->fail_on = FAIL_ON_COUNT;
		errno = 0;
		c->count_max = strtoul(text + 6, &end, 10);
		return *end || errno ? -EINVAL : 0;
	} else
		return -EINVAL;
	return 0;
}

static int parse_timeout(const char *text, int64_t *ret_ns)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds > 0 && seconds <= 86400.0))
		return -EINVAL;
	*ret_ns = (int64_t)(seconds * 1e9);
	return 0;
}

/* Returns what is wanted instead, NULL if it is right. */
static const char *parse_one(int option, const char *text, struct check *c)
{
	switch (option) {
	case CHECK_FAIL_ON:
		return parse_fail_on(text, c) ? "--fail-on wants new, any or count:N" : NULL;
	case CHECK_TIMEOUT:
		return parse_timeout(text, &c->timeout_ns)
			       ? "--timeout wants seconds, more than 0 and up to 86400"
			       : NULL;
	case CHECK_BASELINE:
		c->baseline = text;
		break;
	case CHECK_UPDATE:
		c->update = true;
		break;
	case CHECK_IGNORE:
		c->ignore = text;
		break;
	case CHECK_JUNIT:
		c->junit = text;
		break;
	case CHECK_SARIF:
		c->sarif = text;
		break;
	}
	return NULL;
}

static int wrong(const char *wanted)
{
	fprintf(stderr, "stranded check: %s; try stranded check --help\n", wanted);
	return CMD_USAGE;
}

/* Returns -1 to go on, or the exit status. */
static int parse(int argc, char **argv, struct check *c)
{
	const char *wanted;
	int option;

	while ((option = getopt_long(argc, argv, "+h", names, NULL)) != -1) {
		if (option == 'h') {
			fputs(help, stdout);
			return CMD_OK;
		}
		if (option == '?')
			return wrong("wrong usage");
		wanted = parse_one(option, optarg, c);
		if (wanted)
			return wrong(wanted);
	}
	if (optind == argc)
		return wrong("no command given");
	if (c->update && !c->baseline)
		return wrong("--update-baseline wants a --baseline");
	c->command = argv + optind;
	return -1;
}

/* ---- known leaks ----------------------------------------------------------------------- */

static int say_failure(const char *what, const char *path, int error)
{
	char shown[ESCAPE_ROOM];

	fprintf(stderr, "stranded: cannot %s %s: %s\n", what,
		escape_text(path, true, sizeof(shown), shown), strerror(-error));
	return CMD_USAGE;
}

static int apply_known(const struct check *c, struct findings *f)
{
	int error = c->baseline ? known_leaks_apply_baseline(c->baseline, f) : 0;

	if (error && error != -ENOENT)
		return say_failure("read the baseline", c->baseline, error);
	error = c->ignore ? known_leaks_apply_ignored(c->ignore, f) : 0;
	return error ? say_failure("read what to ignore", c->ignore, error) : 0;
}

/* Before the command runs: a mistake in a name must not cost the whole run. */
static int check_files(const struct check *c)
{
	struct findings none = {0};

	return apply_known(c, &none);
}

/* ---- the outcome ----------------------------------------------------------------------- */

struct outcome {
	size_t searched, unsearched; /* processes */
	bool failed;
};

static struct outcome judge(const struct check *c, const struct model *m, const struct findings *f)
{
	size_t present = f->tasks[FINDING_NEW] + f->tasks[FINDING_KNOWN];
	struct outcome o = {0};

	for (size_t i = 0; i < m->process_count; i++) {
		if (model_search_proved(&m->processes[i].search))
			o.searched++;
		else
			o.unsearched++;
	}
	o.failed = c->fail_on == FAIL_ON_NEW   ? f->tasks[FINDING_NEW] > 0
		   : c->fail_on == FAIL_ON_ANY ? present > 0
					       : present > c->count_max;
	return o;
}

static void say_unsearched(const struct model *m)
{
	char command[ESCAPE_ROOM], why[ESCAPE_ROOM];

	for (size_t i = 0; i < m->process_count; i++) {
		const struct model_process *p = &m->processes[i];

		if (model_search_proved(&p->search))
			continue;
		fprintf(stderr, "stranded: cannot search %s (process %d): %s\n",
			escape_text(p->command, true, sizeof(command), command), p->pid,
			escape_text(p->search.error ? p->search.error : "unknown cause", true,
				    sizeof(why), why));
	}
}

static void say_outcome(const struct outcome *o, const struct findings *f)
{
	if (!o->searched && !o->unsearched) {
		fputs("stranded: nothing to check: no program that uses libstrand returned from "
		      "its main task or called exit(); one that is killed does not report\n",
		      stderr);
		return;
	}
	fprintf(stderr, "stranded: %zu leaked %s", f->tasks[FINDING_NEW] + f->tasks[FINDING_KNOWN],
		f->tasks[FINDING_NEW] + f->tasks[FINDING_KNOWN] == 1 ? "task" : "tasks");
	if (f->tasks[FINDING_KNOWN])
		fprintf(stderr, " (%zu known)", f->tasks[FINDING_KNOWN]);
	if (f->tasks[FINDING_IGNORED])
		fprintf(stderr, " and %zu ignored", f->tasks[FINDING_IGNORED]);
	fprintf(stderr, " in %zu %s", o->searched, o->searched == 1 ? "process" : "processes");
	if (o->unsearched)
		fprintf(stderr, "; %zu could not be searched", o->unsearched);
	fputc('\n', stderr);
}

/* The command's own failure comes first: it is what a developer has to look at. */
static int exit_status(const struct check_run *run, const struct outcome *o)
{
	if (run->status) {
		fprintf(stderr, "stranded: the command failed with status %d%s\n", run->status,
			run->status == 124 ? " (time-out)" : "");
		return run->status;
	}
	if (o->failed)
		return 1;
	return o->searched && !o->unsearched ? CMD_OK : CMD_NOT_OBSERVED;
}

/* ---- reports --------------------------------------------------------------------------- */

static int write_report(const char *path, void (*write)(FILE *, const struct findings_context *),
			const struct findings_context *context)
{
	struct replacement file;
	int error;

	if (!path)
		return 0;
	error = replace_begin(&file, path);
	if (!error) {
		write(file.stream, context);
		error = replace_finish(&file);
	}
	return error ? say_failure("write", path, error) : 0;
}

static int write_files(const struct check *c, const struct check_run *run, const struct findings *f,
		       const struct outcome *o)
{
	const struct findings_context context = {
		.model = &run->model,
		.findings = f,
		.command = c->command[0],
		.conclusive = o->searched && !o->unsearched,
		.duration_ns = run->duration_ns,
	};
	int r = write_report(c->junit, view_findings_junit, &context);
	int error;

	if (!r)
		r = write_report(c->sarif, view_findings_sarif, &context);
	if (r || !c->update)
		return r;
	error = known_leaks_write(c->baseline, f);
	return error ? say_failure("write the baseline", c->baseline, error) : 0;
}

static int conclude(const struct check *c, const struct check_run *run)
{
	const struct view_style style = terminal_style(COLOUR_NEVER);
	struct findings f;
	struct outcome o;
	int r = findings_build(&run->model, &f);

	if (r) {
		fprintf(stderr, "stranded: cannot tell the findings: %s\n", strerror(-r));
		return CMD_NOT_OBSERVED;
	}
	r = apply_known(c, &f);
	o = judge(c, &run->model, &f);
	view_findings_text(stderr, &f, style.utf8);
	say_unsearched(&run->model);
	say_outcome(&o, &f);
	if (!r)
		r = write_files(c, run, &f, &o);
	findings_done(&f);
	return r ? r : exit_status(run, &o);
}

int cmd_check(int argc, char **argv)
{
	struct check c = {0};
	struct check_run run;
	const char *what;
	int status = parse(argc, argv, &c);
	int error;

	if (status >= 0)
		return status;
	status = check_files(&c);
	if (status)
		return status;
	error = check_run(c.command, c.timeout_ns, &run, &what);
	if (error) {
		char shown[ESCAPE_ROOM];

		fprintf(stderr, "stranded: cannot check %s: cannot %s: %s\n",
			escape_text(c.command[0], true, sizeof(shown), shown), what,
			strerror(-error));
		return error == -ENOENT ? 127 : CMD_NOT_OBSERVED;
	}
	status = conclude(&c, &run);
	model_done(&run.model);
	return status;
}

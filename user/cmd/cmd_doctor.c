/* SPDX-License-Identifier: MIT */
/* stranded doctor: what can be observed here, and what to do about what cannot. */
#include <getopt.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "observe/feature.h"
#include "view/escape.h"

static const char help[] =
	"Usage: stranded doctor\n"
	"Tries what an observer needs from this kernel and from the rights that it is\n"
	"started with, and says what there is, what is missing and what to do about it.\n"
	"\n"
	"  -h, --help  this text\n"
	"\n"
	"Exit status: 0 processes can be observed, 2 wrong usage, 3 they cannot.\n";

static const struct option names[] = {
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct option_set option_set = {.letters = "h", .names = names, .help = help};

static void print(const struct feature *f)
{
	static const char *const states[] = {
		[FEATURE_OK] = "ok",
		[FEATURE_DEGRADED] = "limited",
		[FEATURE_MISSING] = "MISSING",
	};
	char found[ESCAPE_ROOM];

	printf("%-8s %-20s %s\n", states[f->state], f->name,
	       escape_text(f->found, true, sizeof(found), found));
	if (f->advice)
		printf("%-8s %-20s -> %s\n", "", "", f->advice);
}

int cmd_doctor(int argc, char **argv)
{
	struct options o = {0};
	int status = options_parse(argc, argv, &option_set, &o);
	struct feature_list list;
	bool usable;

	if (status != OPTIONS_GO_ON)
		return status;
	feature_probe(&list);
	for (unsigned i = 0; i < list.count; i++)
		print(&list.features[i]);
	usable = feature_usable(&list);
	puts(usable ? "\nProcesses with libstrand can be observed."
		    : "\nNothing can be observed before what is MISSING is there.");
	if (fflush(stdout))
		return CMD_FAILED;
	return usable ? CMD_OK : CMD_NOT_OBSERVED;
}

/* SPDX-License-Identifier: MIT */
/* Parses and checks the options of all subcommands. */
#include "cmd/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "view/escape.h"

#define SECONDS_MAX 86400.0
#define WANTED_ROOM 128

static int wrong_value(const char *command, const char *wanted, const char *text)
{
	char shown[ESCAPE_ROOM];

	fprintf(stderr, "%s: %s, not '%s'; try %s --help\n", command, wanted,
		escape_text(text, true, sizeof(shown), shown), command);
	return -EINVAL;
}

static int parse_number(const char *text, int *ret_number)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < 1 || value > INT_MAX)
		return -EINVAL;
	*ret_number = (int)value;
	return 0;
}

/* Numbers first, as in `id -u`: a user who is called 0 must not widen anybody's scope. */
static int parse_user(const char *text, struct scope *scope)
{
	const struct passwd *user;
	unsigned long uid;
	char *end;

	errno = 0;
	uid = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && !errno && uid < (uid_t)-1) {
		scope->uid = (uid_t)uid;
	} else {
		user = getpwnam(text);
		if (!user)
			return -EINVAL;
		scope->uid = user->pw_uid;
	}
	scope->by_uid = true;
	return 0;
}

/* Written so that a NaN is out of range, too. */
static int parse_seconds(const char *text, double least, int64_t *ret_ns)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= least && value <= SECONDS_MAX))
		return -EINVAL;
	*ret_ns = (int64_t)(value * 1e9);
	return 0;
}

static const char *const output_names[] = {
	[OUTPUT_JSON] = "json",
	[OUTPUT_JSONL] = "jsonl",
	[OUTPUT_TEXT] = "text",
	[OUTPUT_OPENMETRICS] = "openmetrics",
	[OUTPUT_PROMETHEUS] = "prometheus",
	[OUTPUT_PPROF] = "pprof",
};

/* The first of the names that the text equals; their number if none. */
static unsigned find_name(const char *text, const char *const *names, unsigned count)
{
	unsigned i = 0;

	while (i < count && strcmp(text, names[i]) != 0)
		i++;
	return i;
}

/* Returns NULL, or what is wanted instead, in ret_wanted. */
static const char *parse_output(const char *text, unsigned outputs, enum output_format *ret_output,
				char ret_wanted[WANTED_ROOM])
{
	unsigned found = find_name(text, output_names, OUTPUT_FORMATS);
	const char *separator = "-o wants ";
	unsigned left = outputs; /* bits not named yet: the lowest is the next one's */
	size_t length = 0;

	if (found < OUTPUT_FORMATS && outputs & 1u << found) {
		*ret_output = found;
		return NULL;
	}
	for (unsigned i = 0; i < OUTPUT_FORMATS; i++) {
		if (!(outputs & 1u << i))
			continue;
		length += (size_t)snprintf(ret_wanted + length, WANTED_ROOM - length, "%s%s",
					   separator, output_names[i]);
		left &= left - 1;
		separator = left & (left - 1) ? ", " : " or ";
	}
	return ret_wanted;
}

static int parse_group_by(const char *text, enum group_by *ret_by)
{
	static const char *const names[] = {
		[GROUP_BY_COMMAND] = "command",
		[GROUP_BY_UNIT] = "unit",
		[GROUP_BY_CGROUP] = "cgroup",
	};
	unsigned found = find_name(text, names, GROUP_BY_CGROUP + 1);

	if (found > GROUP_BY_CGROUP)
		return -EINVAL;
	*ret_by = found;
	return 0;
}

static int parse_profile(const char *text, enum profile_kind *ret_kind)
{
	enum profile_kind found = profile_find(text);

	if (found == PROFILE_KINDS)
		return -EINVAL;
	*ret_kind = found;
	return 0;
}

static int parse_debug(const char *text, unsigned *ret_debug)
{
	if (text[0] < '0' || text[0] > '2' || text[1])
		return -EINVAL;
	*ret_debug = (unsigned)(text[0] - '0');
	return 0;
}

static int parse_colour(const char *text, enum colour_choice *ret_choice)
{
	if (!strcmp(text, "auto"))
		*ret_choice = COLOUR_AUTO;
	else if (!strcmp(text, "always"))
		*ret_choice = COLOUR_ALWAYS;
	else if (!strcmp(text, "never"))
		*ret_choice = COLOUR_NEVER;
	else
		return -EINVAL;
	return 0;
}

static int parse_count(const char *text, unsigned *ret_count)
{
	int number;
	int r = parse_number(text, &number);

	if (!r)
		*ret_count = (unsigned)number;
	return r;
}

/* Options that say what is written and where. Returns what is wanted instead, NULL if it is right. */
static const char *parse_form(int option, const char *text, struct options *o)
{
	switch (option) {
	case OPTION_TEXTFILE:
		o->output = OUTPUT_PROMETHEUS;
		o->file = text;
		break;
	case OPTION_REPLAY:
		o->replay = text;
		break;
	case OPTION_SITES:
		o->sites = true;
		break;
	case OPTION_FILE:
		o->file = text;
		break;
	case OPTION_GROUP_BY:
		return parse_group_by(text, &o->group_by)
			       ? "--group-by wants command, unit or cgroup"
			       : NULL;
	case OPTION_PROFILE:
		return parse_profile(text, &o->profile)
			       ? "--profile wants goroutineleak, goroutine, block, mutex or "
				 "threadcreate"
			       : NULL;
	case OPTION_SORT:
		o->sort = text;
		break;
	case OPTION_FILTER:
		o->filter = text;
		break;
	case OPTION_FIELDS:
		o->fields = text;
		break;
	case OPTION_BY:
		o->table_given = true;
		o->table = row_kind_find(text);
		return o->table == ROW_KINDS ? "--by wants site, process, task, channel or cycle"
					     : NULL;
	case OPTION_DEBUG:
		return parse_debug(text, &o->debug) ? "--debug wants 0, 1 or 2" : NULL;
	}
	return NULL;
}

static int parse_mode(const char *text, mode_t *ret_mode)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (*text < '0' || *text > '7' || *end || mode > 0777)
		return -EINVAL;
	*ret_mode = (mode_t)mode;
	return 0;
}

static const char *parse_socket(int option, const char *text, struct options *o)
{
	switch (option) {
	case OPTION_SOCKET:
		o->socket = text;
		return *text ? NULL : "--socket wants a path";
	case OPTION_SOCKET_MODE:
		return parse_mode(text, &o->socket_mode) ? "--socket-mode wants an octal mode"
							 : NULL;
	}
	return listen_parse(text, &o->listen)
		       ? "--listen wants 127.0.0.1:PORT or [::1]:PORT: other hosts must not get in"
		       : NULL;
}

static int parse_one(const char *command, const struct option_set *set, int option,
		     const char *text, struct options *o)
{
	char outputs[WANTED_ROOM];
	const char *wanted = NULL;

	switch (option) {
	case 'b':
		o->batch = true;
		break;
	case 'p':
		wanted = parse_number(text, &o->scope.pid) ? "-p wants a process id" : NULL;
		break;
	case 'u':
		wanted = parse_user(text, &o->scope) ? "-u wants a user's name or number" : NULL;
		break;
	case 'n':
		wanted = parse_count(text, &o->iterations) ? "-n wants a number from 1" : NULL;
		break;
	case 'w':
		wanted = parse_count(text, &o->warning) ? "-w wants a number from 1" : NULL;
		break;
	case 'c':
		wanted = parse_count(text, &o->critical) ? "-c wants a number from 1" : NULL;
		break;
	case 'd':
		o->delay_given = true;
		wanted = parse_seconds(text, 0.1, &o->delay_ns)
				 ? "-d wants seconds from 0.1 to 86400"
				 : NULL;
		break;
	case 'o':
		if (!set->outputs) { /* of a command with one format it is the file */
			o->file = text;
			break;
		}
		wanted = parse_output(text, set->outputs, &o->output, outputs);
		break;
	case OPTION_COLOUR:
		wanted = parse_colour(text, &o->colour) ? "--color wants auto, always or never"
							: NULL;
		break;
	case OPTION_SEARCH_INTERVAL:
		wanted = parse_seconds(text, 1, &o->search_interval_ns)
				 ? "--search-interval wants seconds from 1 to 86400"
				 : NULL;
		break;
	case OPTION_NO_SEARCH:
		o->search = false;
		break;
	case OPTION_SOCKET:
	case OPTION_SOCKET_MODE:
	case OPTION_LISTEN:
		wanted = parse_socket(option, text, o);
		break;
	default:
		wanted = parse_form(option, text, o);
	}
	return wanted ? wrong_value(command, wanted, text) : 0;
}

int options_parse(int argc, char **argv, const struct option_set *set, struct options *options)
{
	int option;

	while ((option = getopt_long(argc, argv, set->letters, set->names, NULL)) != -1) {
		if (option == 'h') {
			fputs(set->help, stdout);
			return CMD_OK;
		}
		if (option == '?') { /* getopt has said what is wrong */
			fprintf(stderr, "try %s --help\n", argv[0]);
			return CMD_USAGE;
		}
		if (parse_one(argv[0], set, option, optarg, options))
			return CMD_USAGE;
	}
	if (argc - optind > set->arguments) {
		wrong_value(argv[0],
			    set->arguments ? "one argument too many" : "there are only options",
			    argv[optind + set->arguments]);
		return CMD_USAGE;
	}
	if (argc - optind < set->arguments) {
		fprintf(stderr, "%s: an argument is missing; try %s --help\n", argv[0], argv[0]);
		return CMD_USAGE;
	}
	return OPTIONS_GO_ON;
}

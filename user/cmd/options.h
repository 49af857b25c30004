/* SPDX-License-Identifier: MIT */
/* The options of all subcommands; each subcommand names those that it takes. */
#ifndef STRANDED_CMD_OPTIONS_H
#define STRANDED_CMD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cmd/terminal.h"
#include "observe/observer.h"
#include "serve/listen.h"
#include "view/group.h"
#include "view/profile.h"
#include "view/row.h"

enum output_format {
	OUTPUT_JSON,
	OUTPUT_JSONL, /* a document a line */
	OUTPUT_TEXT,
	OUTPUT_OPENMETRICS,
	OUTPUT_PROMETHEUS, /* the same in the form that every reader knows */
	OUTPUT_PPROF,
};
#define OUTPUT_FORMATS (OUTPUT_PPROF + 1)

struct options {
	struct scope scope; /* zeroed: every process */
	enum output_format output;
	const char *replay; /* a recording in the place of the observer; NULL: none */
	bool sites;         /* instead of tasks */
	const char *file;   /* replaced as a whole; NULL: standard output */
	enum group_by group_by;
	enum profile_kind profile;
	unsigned debug; /* of a profile: 0 binary, 1 and 2 text */
	enum colour_choice colour;
	bool batch;
	const char *sort, *filter, *fields; /* of a table; NULL: as usual */
	enum row_kind table;                /* what it has rows of */
	bool table_given, delay_given;
	bool search;                /* for leaks, at all */
	unsigned warning, critical; /* leaked tasks */
	unsigned iterations;        /* 0: without end */
	int64_t delay_ns;
	int64_t search_interval_ns;
	const char *socket; /* the daemon's */
	mode_t socket_mode;
	struct listen_address listen; /* TCP; size 0: none */
};

struct option;

struct option_set {
	const char *letters;        /* as getopt wants them */
	const struct option *names; /* values are letters or enum option_value */
	const char *help;
	unsigned outputs; /* bits 1 << enum output_format that -o takes */
	int arguments;    /* that are no options, and must be there: argv[optind] and so on */
};

enum option_value { /* of options without a letter */
		    OPTION_COLOUR = 256,
		    OPTION_SEARCH_INTERVAL,
		    OPTION_NO_SEARCH,
		    OPTION_FILE,
		    OPTION_TEXTFILE,
		    OPTION_GROUP_BY,
		    OPTION_PROFILE,
		    OPTION_DEBUG,
		    OPTION_REPLAY,
		    OPTION_SITES,
		    OPTION_SOCKET,
		    OPTION_SOCKET_MODE,
		    OPTION_LISTEN,
		    OPTION_SORT,
		    OPTION_FILTER,
		    OPTION_FIELDS,
		    OPTION_BY,
};

#define OPTIONS_GO_ON (-1)

/*
 * options_parse - read argv into options, which holds the defaults.
 * Returns OPTIONS_GO_ON, or the exit status when all is said: help on stdout, an error on stderr.
 */
int options_parse(int argc, char **argv, const struct option_set *set, struct options *options);

#endif

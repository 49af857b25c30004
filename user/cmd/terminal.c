/* SPDX-License-Identifier: MIT */
/* Finds out colour, character set and width of standard output. */
#include "cmd/terminal.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_MAX 10000 /* wider is no terminal but a mistake */

/* no-color.org: only a value that is not empty counts. */
static bool use_colour(enum colour_choice choice)
{
	const char *no_colour = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (choice != COLOUR_AUTO)
		return choice == COLOUR_ALWAYS;
	if (no_colour && *no_colour)
		return false;
	return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static size_t find_columns(void)
{
	const char *text = getenv("COLUMNS");
	struct winsize size;

	if (text) {
		char *end;
		unsigned long columns = strtoul(text, &end, 10);

		if (end != text && !*end && columns > 0 && columns <= COLUMNS_MAX)
			return columns;
	}
	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		return 0;
	return size.ws_col;
}

struct view_style terminal_style(enum colour_choice colour)
{
	return (struct view_style){
		.colour = use_colour(colour),
		.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8"),
		.columns = find_columns(),
	};
}

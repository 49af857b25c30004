/* SPDX-License-Identifier: MIT */
/* Names a place in a program, also one without symbols. */
#include "view/place.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

const char *place_function(const struct model_frame *f, bool utf8, char ret_text[PLACE_ROOM])
{
	char name[ESCAPE_ROOM];

	if (f->function)
		escape_text(f->function, utf8, PLACE_ROOM, ret_text);
	else if (f->module)
		snprintf(ret_text, PLACE_ROOM, "??@%s+0x%" PRIx64,
			 escape_text(last_part(f->module), utf8, sizeof(name), name),
			 f->module_offset);
	else
		snprintf(ret_text, PLACE_ROOM, "??@0x%" PRIx64, f->pc);
	return ret_text;
}

const char *place_line(const struct model_frame *f, bool utf8, char ret_text[PLACE_ROOM])
{
	char function[PLACE_ROOM], file[ESCAPE_ROOM / 2];

	place_function(f, utf8, function);
	if (!f->file)
		return strcpy(ret_text, function);
	escape_text(last_part(f->file), utf8, sizeof(file), file);
	snprintf(ret_text, PLACE_ROOM, "%.*s %s:%u", (int)(PLACE_ROOM - sizeof(file) - 16),
		 function, file, f->line);
	return ret_text;
}

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

	if (f->function && *f->function)
		escape_text(f->function, utf8, PLACE_ROOM, ret_text);
	else if (f->module)
		snprintf(ret_text, PLACE_ROOM, "??@%s+0x%" PRIx64,
			 escape_text(last_part(f->module), utf8, sizeof(name), name),
			 f->module_offset);
	else
		snprintf(ret_text, PLACE_ROOM, "??@0x%" PRIx64, f->pc);
	return ret_text;
}

/* Cuts a text to so many bytes at most, between two characters. */
static void cut(char *text, size_t bytes)
{
	if (strlen(text) <= bytes)
		return;
	while (bytes && ((unsigned char)text[bytes] & 0xc0) == 0x80)
		bytes--;
	text[bytes] = '\0';
}

const char *place_line(const struct model_frame *f, bool utf8, char ret_text[PLACE_ROOM])
{
	char function[PLACE_ROOM], file[ESCAPE_ROOM / 2];

	place_function(f, utf8, function);
	if (!f->file)
		return strcpy(ret_text, function);
	escape_text(last_part(f->file), utf8, sizeof(file), file);
	cut(function, PLACE_ROOM - sizeof(file) - 16);
	snprintf(ret_text, PLACE_ROOM, "%s %s:%u", function, file, f->line);
	return ret_text;
}

/* SPDX-License-Identifier: MIT */
/* Makes texts of unknown origin safe to print, measures and cuts them. */
#include "view/escape.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct range {
	uint32_t first, last;
};

static const struct range harmful[] = {
	{0x00, 0x1f},       /* C0 */
	{0x7f, 0x9f},       /* DEL and C1 */
	{0xad, 0xad},       /* soft hyphen */
	{0x34f, 0x34f},     /* grapheme joiner */
	{0x61c, 0x61c},     /* Arabic letter mark */
	{0x115f, 0x1160},   /* Hangul fillers */
	{0x17b4, 0x17b5},   /* invisible vowels */
	{0x180b, 0x180f},   /* Mongolian selectors */
	{0x200b, 0x200f},   /* zero width, LRM, RLM */
	{0x2028, 0x202e},   /* line separators, bidi embeddings and overrides */
	{0x2060, 0x206f},   /* invisible operators, bidi isolates */
	{0x3164, 0x3164},   /* Hangul filler */
	{0xfe00, 0xfe0f},   /* variation selectors */
	{0xfeff, 0xfeff},   /* byte order mark */
	{0xffa0, 0xffa0},   /* halfwidth Hangul filler */
	{0xfff0, 0xfffb},   /* interlinear annotation */
	{0xfffe, 0xffff},   /* no characters */
	{0x1d173, 0x1d17a}, /* musical format controls */
	{0xe0000, 0xe0fff}, /* tags, more selectors */
};

static const struct range wide[] = {
	{0x1100, 0x115e},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xac00, 0xd7a3},
	{0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
	{0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
};

static const struct range combining[] = {
	{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x64b, 0x65f},
	{0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x20d0, 0x20ff}, {0xfe20, 0xfe2f},
};

#define IN(ranges, c) in_ranges(ranges, sizeof(ranges) / sizeof((ranges)[0]), c)

static bool in_ranges(const struct range *ranges, size_t count, uint32_t c)
{
	for (size_t i = 0; i < count && ranges[i].first <= c; i++)
		if (c <= ranges[i].last)
			return true;
	return false;
}

bool escape_is_harmful(uint32_t c)
{
	return IN(harmful, c);
}

/* Bytes that a sequence starting with `lead` has, 0: none starts so; and its payload bits. */
static size_t sequence_size(unsigned char lead, uint32_t *ret_bits)
{
	if (lead < 0x80) {
		*ret_bits = lead;
		return 1;
	}
	if (lead >= 0xc2 && lead <= 0xdf) {
		*ret_bits = lead & 0x1f;
		return 2;
	}
	if (lead >= 0xe0 && lead <= 0xef) {
		*ret_bits = lead & 0x0f;
		return 3;
	}
	if (lead >= 0xf0 && lead <= 0xf4) {
		*ret_bits = lead & 0x07;
		return 4;
	}
	return 0;
}

/* The bytes after a bad one may start a character of their own, so only good ones are passed. */
uint32_t escape_decode(const char *text, size_t *ret_size)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *bytes = (const unsigned char *)text;
	uint32_t c = 0;
	size_t size = sequence_size(bytes[0], &c);

	*ret_size = 1;
	for (size_t i = 1; i < size; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return ESCAPE_REPLACEMENT; /* also at the NUL */
		c = c << 6 | (bytes[i] & 0x3f);
	}
	if (!size || c < smallest[size] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return ESCAPE_REPLACEMENT;
	*ret_size = size;
	return c;
}

size_t escape_encode(uint32_t c, char ret_bytes[4])
{
	if (c < 0x80) {
		ret_bytes[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		ret_bytes[0] = (char)(0xc0 | c >> 6);
		ret_bytes[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		ret_bytes[0] = (char)(0xe0 | c >> 12);
		ret_bytes[1] = (char)(0x80 | (c >> 6 & 0x3f));
		ret_bytes[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	ret_bytes[0] = (char)(0xf0 | c >> 18);
	ret_bytes[1] = (char)(0x80 | (c >> 12 & 0x3f));
	ret_bytes[2] = (char)(0x80 | (c >> 6 & 0x3f));
	ret_bytes[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

#define ONE_ROOM 16 /* the longest form of one character is \U0010ffff */

/* How one character is shown. Returns the bytes written, without a NUL. */
static size_t show(uint32_t c, bool utf8, char ret_text[ONE_ROOM])
{
	if (c == '\n' || c == '\r' || c == '\t') {
		ret_text[0] = '\\';
		ret_text[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
		return 2;
	}
	if (!escape_is_harmful(c) && (utf8 || c < 0x80))
		return escape_encode(c, ret_text);
	if (c <= 0xff)
		return (size_t)snprintf(ret_text, ONE_ROOM, "\\x%02x", c);
	return (size_t)snprintf(ret_text, ONE_ROOM, c <= 0xffff ? "\\u%04x" : "\\U%08x", c);
}

static const char *ellipsis(bool utf8)
{
	return utf8 ? "\u2026" : ">";
}

/* How many of the next bytes, up to max, are printable ASCII: shown as they are. */
static size_t plain_run(const char *text, size_t max)
{
	size_t run = 0;

	while (run < max && text[run] >= 0x20 && text[run] < 0x7f)
		run++;
	return run;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

const char *escape_text(const char *text, bool utf8, size_t room, char *ret_buffer)
{
	size_t mark = strlen(ellipsis(utf8));
	size_t used = 0;
	size_t cut_at = 0; /* the last place where the mark still fits */
	char one[ONE_ROOM];

	assert(room >= 5);
	while (text && *text) {
		size_t run = plain_run(text, room - 1 - used);
		size_t size, shown;

		if (run) { /* nearly all of nearly all texts */
			if (used + mark < room)
				cut_at = least(used + run - 1, room - mark - 1);
			memcpy(ret_buffer + used, text, run);
			used += run;
			text += run;
			continue;
		}
		shown = show(escape_decode(text, &size), utf8, one);
		if (used + mark < room)
			cut_at = used;
		if (used + shown >= room) {
			strcpy(ret_buffer + cut_at, ellipsis(utf8));
			return ret_buffer;
		}
		memcpy(ret_buffer + used, one, shown);
		used += shown;
		text += size;
	}
	ret_buffer[used] = '\0';
	return ret_buffer;
}

size_t escape_character_columns(uint32_t c)
{
	if (IN(combining, c))
		return 0;
	return IN(wide, c) ? 2 : 1;
}

size_t escape_columns(const char *text)
{
	size_t columns = 0;

	for (size_t size; *text; text += size)
		columns += escape_character_columns(escape_decode(text, &size));
	return columns;
}

size_t escape_fit(char *text, bool utf8, size_t columns, size_t room)
{
	size_t total = escape_columns(text);
	size_t used = 0, at = 0;

	assert(columns > 0);
	if (total <= columns)
		return total;
	while (text[at]) { /* ends early: there is too much */
		size_t size;
		size_t next = escape_character_columns(escape_decode(text + at, &size));

		if (used + next + 1 > columns)
			break;
		used += next;
		at += size;
	}
	if (at + strlen(ellipsis(utf8)) >= room)
		utf8 = false;
	strcpy(text + at, ellipsis(utf8));
	return used + 1;
}

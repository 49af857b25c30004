/* SPDX-License-Identifier: MIT */
/* A streaming JSON writer: punctuation, escapes and the forms of numbers and times. */
#include "view/json_writer.h"

#include <assert.h>
#include <string.h>

#include "view/clock.h"
#include "view/escape.h"

#define COUNT_MAX ((UINT64_C(1) << 53) - 1)

void json_writer_init(struct json_writer *w, FILE *out)
{
	w->out = out;
	w->depth = 0;
	w->filled = w->compact = false;
	w->used = 0;
}

void json_writer_init_line(struct json_writer *w, FILE *out)
{
	json_writer_init(w, out);
	w->compact = true;
}

/* ---- the buffer -------------------------------------------------------------------- */

static void flush(struct json_writer *w)
{
	fwrite(w->buffer, 1, w->used, w->out);
	w->used = 0;
}

static void put(struct json_writer *w, char c)
{
	if (w->used == JSON_BUFFER)
		flush(w);
	w->buffer[w->used++] = c;
}

/* At most JSON_BUFFER bytes. */
static void put_bytes(struct json_writer *w, const char *bytes, size_t size)
{
	if (size > JSON_BUFFER - w->used)
		flush(w);
	memcpy(w->buffer + w->used, bytes, size);
	w->used += size;
}

static void put_text(struct json_writer *w, const char *text)
{
	put_bytes(w, text, strlen(text));
}

/* At least so many digits. */
static void put_number(struct json_writer *w, uint64_t value, unsigned base, unsigned digits)
{
	char text[24];
	size_t at = sizeof(text);

	while (value || digits || at == sizeof(text)) {
		text[--at] = "0123456789abcdef"[value % base];
		value /= base;
		digits -= digits > 0;
	}
	put_bytes(w, text + at, sizeof(text) - at);
}

/* ---- syntax -------------------------------------------------------------------------- */

static void new_line(struct json_writer *w)
{
	if (w->compact)
		return;
	put(w, '\n');
	for (unsigned i = 0; i < w->depth; i++)
		put(w, '\t');
}

void json_writer_finish(struct json_writer *w)
{
	assert(w->depth == 0);
	put(w, '\n');
	flush(w);
}

static void put_unit(struct json_writer *w, uint32_t unit)
{
	put_bytes(w, "\\u", 2);
	put_number(w, unit, 16, 4);
}

/*
 * JSON demands an escape of ", \\ and C0. The others are escaped, which loses nothing, because
 * documents are also read on terminals and pasted into JavaScript.
 */
static void put_escaped(struct json_writer *w, uint32_t c)
{
	if (c > 0xffff) {
		put_unit(w, 0xd800 | (c - 0x10000) >> 10);
		put_unit(w, 0xdc00 | (c & 0x3ff));
	} else {
		put_unit(w, c);
	}
}

static bool is_plain(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_character(struct json_writer *w, uint32_t c)
{
	char bytes[4];

	if (c == '"' || c == '\\') {
		put(w, '\\');
		put(w, (char)c);
	} else if (escape_is_harmful(c)) {
		put_escaped(w, c);
	} else {
		put_bytes(w, bytes, escape_encode(c, bytes));
	}
}

static void write_text(struct json_writer *w, const char *text)
{
	put(w, '"');
	while (*text) {
		size_t plain = 0, size;

		while (plain < JSON_BUFFER && is_plain(text[plain]))
			plain++;
		put_bytes(w, text, plain);
		text += plain;
		if (!*text || is_plain(*text))
			continue;
		put_character(w, escape_decode(text, &size));
		text += size;
	}
	put(w, '"');
}

/* What stands before a value: a comma, a new line, its key. */
static void begin_value(struct json_writer *w, const char *key)
{
	if (w->filled)
		put(w, ',');
	if (w->depth)
		new_line(w);
	w->filled = true;
	if (!key)
		return;
	write_text(w, key);
	put(w, ':');
	if (!w->compact)
		put(w, ' ');
}

static void open_scope(struct json_writer *w, const char *key, char bracket)
{
	begin_value(w, key);
	put(w, bracket);
	w->depth++;
	w->filled = false;
}

static void close_scope(struct json_writer *w, char bracket)
{
	assert(w->depth > 0);
	w->depth--;
	if (w->filled)
		new_line(w);
	put(w, bracket);
	w->filled = true;
}

void json_begin_object(struct json_writer *w, const char *key)
{
	open_scope(w, key, '{');
}

void json_end_object(struct json_writer *w)
{
	close_scope(w, '}');
}

void json_begin_array(struct json_writer *w, const char *key)
{
	open_scope(w, key, '[');
}

void json_end_array(struct json_writer *w)
{
	close_scope(w, ']');
}

void json_write_null(struct json_writer *w, const char *key)
{
	begin_value(w, key);
	put_text(w, "null");
}

void json_write_bool(struct json_writer *w, const char *key, bool value)
{
	begin_value(w, key);
	put_text(w, value ? "true" : "false");
}

void json_write_string(struct json_writer *w, const char *key, const char *text)
{
	begin_value(w, key);
	if (text)
		write_text(w, text);
	else
		put_text(w, "null");
}

static uint64_t magnitude(int64_t value)
{
	return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

void json_write_integer(struct json_writer *w, const char *key, int64_t value)
{
	begin_value(w, key);
	if (value < 0)
		put(w, '-');
	put_number(w, magnitude(value), 10, 1);
}

void json_write_count(struct json_writer *w, const char *key, uint64_t value)
{
	begin_value(w, key);
	put_number(w, value < COUNT_MAX ? value : COUNT_MAX, 10, 1);
}

void json_write_id(struct json_writer *w, const char *key, uint64_t value)
{
	begin_value(w, key);
	put(w, '"');
	put_number(w, value, 10, 1);
	put(w, '"');
}

void json_write_address(struct json_writer *w, const char *key, uint64_t value)
{
	begin_value(w, key);
	put_text(w, "\"0x");
	put_number(w, value, 16, 1);
	put(w, '"');
}

/* Written from integers: exact, and the locale has no say about the decimal point. */
void json_write_seconds(struct json_writer *w, const char *key, int64_t ns)
{
	uint64_t size = magnitude(ns);
	uint64_t fraction = size % 1000000000;
	unsigned digits = 9;

	while (digits > 1 && fraction % 10 == 0) {
		fraction /= 10;
		digits--;
	}
	begin_value(w, key);
	if (ns < 0)
		put(w, '-');
	put_number(w, size / 1000000000, 10, 1);
	put(w, '.');
	put_number(w, fraction, 10, digits);
}

void json_write_time(struct json_writer *w, const char *key, int64_t wall_ns)
{
	char text[CLOCK_ROOM];

	json_write_string(w, key, clock_rfc3339(wall_ns, 9, text));
}

/* SPDX-License-Identifier: MIT */
/* A streaming JSON writer: punctuation, escapes and the forms of numbers and times. */
#include "view/json_writer.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "view/clock.h"
#include "view/escape.h"

#define COUNT_MAX ((UINT64_C(1) << 53) - 1)

void json_writer_init(struct json_writer *w, FILE *out)
{
	*w = (struct json_writer){.out = out};
}

static void new_line(struct json_writer *w)
{
	fputc('\n', w->out);
	for (unsigned i = 0; i < w->depth; i++)
		fputc('\t', w->out);
}

void json_writer_finish(struct json_writer *w)
{
	assert(w->depth == 0);
	new_line(w);
}

/*
 * JSON demands an escape of ", \\ and C0. The others are escaped, which loses nothing, because
 * documents are also read on terminals and pasted into JavaScript.
 */
static void write_escaped(FILE *out, uint32_t c)
{
	if (c > 0xffff)
		fprintf(out, "\\u%04x\\u%04x", 0xd800 | (c - 0x10000) >> 10, 0xdc00 | (c & 0x3ff));
	else
		fprintf(out, "\\u%04x", c);
}

static void write_text(FILE *out, const char *text)
{
	char bytes[4];

	fputc('"', out);
	for (size_t size; *text; text += size) {
		uint32_t c = escape_decode(text, &size);

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", (char)c);
		else if (escape_is_harmful(c))
			write_escaped(out, c);
		else
			fwrite(bytes, 1, escape_encode(c, bytes), out);
	}
	fputc('"', out);
}

/* What stands before a value: a comma, a new line, its key. */
static void begin_value(struct json_writer *w, const char *key)
{
	if (w->filled)
		fputc(',', w->out);
	if (w->depth)
		new_line(w);
	w->filled = true;
	if (key) {
		write_text(w->out, key);
		fputs(": ", w->out);
	}
}

static void open_scope(struct json_writer *w, const char *key, char bracket)
{
	begin_value(w, key);
	fputc(bracket, w->out);
	w->depth++;
	w->filled = false;
}

static void close_scope(struct json_writer *w, char bracket)
{
	assert(w->depth > 0);
	w->depth--;
	if (w->filled)
		new_line(w);
	fputc(bracket, w->out);
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
	fputs("null", w->out);
}

void json_write_bool(struct json_writer *w, const char *key, bool value)
{
	begin_value(w, key);
	fputs(value ? "true" : "false", w->out);
}

void json_write_string(struct json_writer *w, const char *key, const char *text)
{
	begin_value(w, key);
	if (text)
		write_text(w->out, text);
	else
		fputs("null", w->out);
}

void json_write_integer(struct json_writer *w, const char *key, int64_t value)
{
	begin_value(w, key);
	fprintf(w->out, "%" PRId64, value);
}

void json_write_count(struct json_writer *w, const char *key, uint64_t value)
{
	begin_value(w, key);
	fprintf(w->out, "%" PRIu64, value < COUNT_MAX ? value : COUNT_MAX);
}

void json_write_id(struct json_writer *w, const char *key, uint64_t value)
{
	begin_value(w, key);
	fprintf(w->out, "\"%" PRIu64 "\"", value);
}

void json_write_address(struct json_writer *w, const char *key, uint64_t value)
{
	begin_value(w, key);
	fprintf(w->out, "\"0x%" PRIx64 "\"", value);
}

/* Written from integers: exact, and the locale has no say about the decimal point. */
void json_write_seconds(struct json_writer *w, const char *key, int64_t ns)
{
	uint64_t size = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
	char digits[48];
	size_t length;

	length = (size_t)snprintf(digits, sizeof(digits), "%s%" PRIu64 ".%09" PRIu64,
				  ns < 0 ? "-" : "", size / 1000000000, size % 1000000000);
	while (digits[length - 1] == '0' && digits[length - 2] != '.')
		digits[--length] = '\0';
	begin_value(w, key);
	fputs(digits, w->out);
}

void json_write_time(struct json_writer *w, const char *key, int64_t wall_ns)
{
	char text[CLOCK_ROOM];

	json_write_string(w, key, clock_rfc3339(wall_ns, 9, text));
}

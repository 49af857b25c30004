/* SPDX-License-Identifier: MIT */
/*
 * JSON, written as it goes: nothing is kept but whether a comma is due, and a small buffer.
 *
 * @key is NULL for an element of an array and at the top. Texts may hold any
 * bytes: what comes out is always valid UTF-8. Errors of the stream are the
 * caller's to ask for (ferror).
 */
#ifndef STRANDED_VIEW_JSON_WRITER_H
#define STRANDED_VIEW_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_BUFFER 8192

struct json_writer {
	FILE *out;
	unsigned depth;
	bool filled;  /* the innermost object or array has a member */
	bool compact; /* all on one line */
	size_t used;
	char buffer[JSON_BUFFER]; /* what stdio would do, without its cost for each character */
};

void json_writer_init(struct json_writer *w, FILE *out);
/* The same for a document on one line. */
void json_writer_init_line(struct json_writer *w, FILE *out);
/* Ends the document with a newline and writes it out; all objects and arrays are closed. */
void json_writer_finish(struct json_writer *w);

void json_begin_object(struct json_writer *w, const char *key);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w, const char *key);
void json_end_array(struct json_writer *w);

void json_write_null(struct json_writer *w, const char *key);
void json_write_bool(struct json_writer *w, const char *key, bool value);
void json_write_string(struct json_writer *w, const char *key, const char *text); /* NULL: null */
void json_write_integer(struct json_writer *w, const char *key, int64_t value);
/*
 * A count, as a number. One that JavaScript cannot hold exactly is written as the largest that
 * it can (2^53 - 1): counts come from targets, and one forged count must not make a reader
 * refuse the whole document.
 */
void json_write_count(struct json_writer *w, const char *key, uint64_t value);
void json_write_id(struct json_writer *w, const char *key, uint64_t value);      /* "123" */
void json_write_address(struct json_writer *w, const char *key, uint64_t value); /* "0x7b" */
void json_write_seconds(struct json_writer *w, const char *key, int64_t ns);     /* 1.5, exact */
void json_write_time(struct json_writer *w, const char *key, int64_t wall_ns);   /* RFC 3339, UTC */

#endif

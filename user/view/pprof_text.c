/* SPDX-License-Identifier: MIT */
/*
 * Writes profiles as Go's debug=1 text.
 *
 * A record is a line of counts and return addresses, its labels, and a line for each frame:
 * `#<tab>0xPC<tab>NAME+0xOFFSET<tab>FILE:LINE`, with columns aligned by tabs of 8 as Go's
 * tabwriter does. As in Go, the addresses of the frame lines are one less, inside the call.
 */
#include "view/pprof.h"

#include <inttypes.h>
#include <string.h>

#include "view/escape.h"
#include "view/place.h"

#define TAB 8

/* A frame's name column; for a place without a function the offset is in the name already. */
static const char *name_frame(const struct model_frame *f, char ret_text[PLACE_ROOM])
{
	size_t length;

	place_function(f, true, ret_text);
	if (!f->function)
		return ret_text;
	length = strlen(ret_text);
	snprintf(ret_text + length, PLACE_ROOM - length, "+0x%" PRIx64,
		 f->function_offset ? f->function_offset - 1 : 0);
	return ret_text;
}

/* A cell of a column that is so wide, and the tabs to the next: at least one. */
static void write_cell(FILE *out, const char *text, size_t widest)
{
	size_t end = (widest / TAB + 1) * TAB;

	fputs(text, out);
	for (size_t at = escape_columns(text); at < end; at = (at / TAB + 1) * TAB)
		fputc('\t', out);
}

static const char *address_text(const struct model_frame *f, char ret_text[24])
{
	snprintf(ret_text, 24, "0x%" PRIx64, f->pc ? f->pc - 1 : 0);
	return ret_text;
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static void write_frames(FILE *out, const struct model_stack *stack)
{
	char name[PLACE_ROOM], file[ESCAPE_ROOM], address[24];
	size_t addresses = 0, names = 0;

	for (size_t i = 0; i < stack->count; i++) {
		const struct model_frame *f = &stack->frames[i];

		addresses = larger(addresses, strlen(address_text(f, address)));
		names = larger(names, escape_columns(name_frame(f, name)));
	}
	for (size_t i = 0; i < stack->count; i++) {
		const struct model_frame *f = &stack->frames[i];

		fputs("#\t", out);
		write_cell(out, address_text(f, address), addresses);
		write_cell(out, name_frame(f, name), names);
		escape_text(f->file ? f->file : "??", true, sizeof(file), file);
		fprintf(out, "%s:%u\n", file, f->line);
	}
}

/* A label's value as a JSON string, which is what Go quotes them like; it is escaped already. */
static void write_quoted(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static void write_label(FILE *out, const char *key, const char *value, const char **separator)
{
	fprintf(out, "%s\"%s\":", *separator, key);
	write_quoted(out, value);
	*separator = ", ";
}

/* Sorted by key, as Go's are. */
static void write_labels(FILE *out, const struct profile *p, const struct profile_sample *s)
{
	const char *separator = "{";
	char text[PLACE_ROOM];

	fputs("# labels: ", out);
	if (s->created_by->pc)
		write_label(out, "created_by", place_line(s->created_by, true, text), &separator);
	if (p->has_processes)
		write_label(out, "process", profile_process(s->process, text), &separator);
	if (s->has_state)
		write_label(out, "state", model_task_state_text(s->state), &separator);
	write_label(out, "wait_reason", model_reason_text(s->reason), &separator);
	fputs("}\n", out);
}

/* Readers insist on one address at least; 0 is where nobody knows. */
static void write_addresses(FILE *out, const struct model_stack *stack)
{
	fputs(" @", out);
	if (!stack->count)
		fputs(" 0x0", out);
	for (size_t i = 0; i < stack->count; i++)
		fprintf(out, " 0x%" PRIx64, stack->frames[i].pc);
	fputc('\n', out);
}

static void write_header(FILE *out, const struct profile *p)
{
	if (p->kind == PROFILE_BLOCK)
		fputs("--- contention:\ncycles/second=1000000000\n", out);
	else if (p->kind == PROFILE_MUTEX)
		fputs("--- mutex:\ncycles/second=1000000000\nsampling period=1\n", out);
	else
		fprintf(out, "%s profile: total %" PRIu64 "\n", profile_name(p->kind), p->total);
}

void pprof_write_text(FILE *out, const struct profile *p)
{
	write_header(out, p);
	for (size_t i = 0; i < p->count; i++) {
		const struct profile_sample *s = &p->samples[i];

		if (profile_is_timed(p->kind)) /* a cycle is a nanosecond */
			fprintf(out, "%" PRId64 " ", s->waited_ns);
		fprintf(out, "%" PRIu64, s->count);
		write_addresses(out, s->stack);
		write_labels(out, p, s);
		write_frames(out, s->stack);
		fputc('\n', out);
	}
}

/* SPDX-License-Identifier: MIT */
/* Writes findings as SARIF 2.1.0 (OASIS), which code hosts show beside the lines. */
#include <ctype.h>
#include <string.h>

#include "view/escape.h"
#include "view/finding.h"
#include "view/json_writer.h"
#include "view/place.h"

#define URI_ROOM (3 * ESCAPE_ROOM)

/* A path as a URI reference: all but the plainest bytes in percents, a relative one stays so. */
static const char *uri_of(const char *path, char ret_uri[URI_ROOM])
{
	size_t at = 0;

	if (*path == '/')
		at = (size_t)snprintf(ret_uri, URI_ROOM, "file://");
	for (; *path && at + 4 < URI_ROOM; path++) {
		unsigned char c = (unsigned char)*path;

		if ((c < 0x80 && isalnum(c)) || strchr("/._-~", c))
			ret_uri[at++] = (char)c;
		else
			at += (size_t)snprintf(ret_uri + at, URI_ROOM - at, "%%%02X", c);
	}
	ret_uri[at] = '\0';
	return ret_uri;
}

static void write_text(struct json_writer *w, const char *key, const char *text)
{
	json_begin_object(w, key);
	json_write_string(w, "text", text);
	json_end_object(w);
}

static void write_physical(struct json_writer *w, const struct model_frame *f)
{
	char uri[URI_ROOM];

	json_begin_object(w, "physicalLocation");
	json_begin_object(w, "artifactLocation");
	json_write_string(w, "uri", uri_of(f->file, uri));
	json_end_object(w);
	if (f->line) {
		json_begin_object(w, "region");
		json_write_integer(w, "startLine", f->line);
		json_end_object(w);
	}
	json_end_object(w);
}

static void write_location(struct json_writer *w, const char *key, const struct model_frame *f,
			   const char *message)
{
	char name[PLACE_ROOM];

	json_begin_object(w, key);
	if (f->file)
		write_physical(w, f);
	json_begin_array(w, "logicalLocations");
	json_begin_object(w, NULL);
	json_write_string(w, "name", place_function(f, true, name));
	json_write_string(w, "kind", "function");
	json_end_object(w);
	json_end_array(w);
	if (message)
		write_text(w, "message", message);
	json_end_object(w);
}

static void write_stack(struct json_writer *w, const struct model_stack *stack)
{
	json_begin_array(w, "stacks");
	json_begin_object(w, NULL);
	json_begin_array(w, "frames");
	for (size_t i = 0; i < stack->count; i++) {
		json_begin_object(w, NULL);
		write_location(w, "location", &stack->frames[i], NULL);
		json_end_object(w);
	}
	json_end_array(w);
	json_end_object(w);
	json_end_array(w);
}

static void write_message(struct json_writer *w, const struct finding *f)
{
	char title[FINDING_ROOM], message[FINDING_ROOM + 64];

	snprintf(message, sizeof(message), "%zu leaked %s: %s", f->tasks,
		 f->tasks == 1 ? "task" : "tasks", finding_title(f, title));
	write_text(w, "message", message);
}

static void write_result(struct json_writer *w, const struct finding *f)
{
	const struct model_task *t = f->example;

	json_begin_object(w, NULL);
	json_write_string(w, "ruleId", "leaked-task");
	json_write_integer(w, "ruleIndex", 0);
	json_write_string(w, "level", f->kind == FINDING_NEW ? "error" : "note");
	json_write_string(w, "baselineState", f->kind == FINDING_KNOWN ? "unchanged" : "new");
	write_message(w, f);
	json_begin_array(w, "locations");
	write_location(w, NULL, t->stack.count ? &t->stack.frames[0] : &t->entry, NULL);
	json_end_array(w);
	json_begin_array(w, "relatedLocations");
	if (t->created_by.pc)
		write_location(w, NULL, &t->created_by, "created here");
	json_end_array(w);
	if (t->stack.count)
		write_stack(w, &t->stack);
	json_begin_object(w, "partialFingerprints");
	json_write_string(w, "strandedSite/v1", f->fingerprint);
	json_end_object(w);
	json_begin_array(w, "suppressions");
	if (f->kind == FINDING_IGNORED) {
		json_begin_object(w, NULL);
		json_write_string(w, "kind", "external");
		json_end_object(w);
	}
	json_end_array(w);
	json_end_object(w);
}

static void write_tool(struct json_writer *w, const struct model *m)
{
	json_begin_object(w, "tool");
	json_begin_object(w, "driver");
	json_write_string(w, "name", "stranded");
	json_write_string(w, "version", m->observer_version ? m->observer_version : "");
	json_begin_array(w, "rules");
	json_begin_object(w, NULL);
	json_write_string(w, "id", "leaked-task");
	write_text(w, "shortDescription", "A task waits for what nothing alive can ever do.");
	json_end_object(w);
	json_end_array(w);
	json_end_object(w);
	json_end_object(w);
}

/* "executionSuccessful" is what tells "no results" from "nobody could look". */
static void write_invocation(struct json_writer *w, const struct findings_context *c)
{
	json_begin_array(w, "invocations");
	json_begin_object(w, NULL);
	json_write_string(w, "commandLine", c->command);
	json_write_bool(w, "executionSuccessful", c->conclusive);
	json_end_object(w);
	json_end_array(w);
}

void view_findings_sarif(FILE *out, const struct findings_context *c)
{
	struct json_writer w;

	json_writer_init(&w, out);
	json_begin_object(&w, NULL);
	json_write_string(&w, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
	json_write_string(&w, "version", "2.1.0");
	json_begin_array(&w, "runs");
	json_begin_object(&w, NULL);
	write_tool(&w, c->model);
	write_invocation(&w, c);
	json_begin_array(&w, "results");
	for (size_t i = 0; i < c->findings->count; i++)
		write_result(&w, &c->findings->findings[i]);
	json_end_array(&w);
	json_end_object(&w);
	json_end_array(&w);
	json_end_object(&w);
	json_writer_finish(&w);
}

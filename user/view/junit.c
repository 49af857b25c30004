/* SPDX-License-Identifier: MIT */
/*
 * Writes findings as JUnit XML, in the form that Jenkins, GitLab and GitHub's actions read.
 *
 * What could not be searched is an error, so that "no failures" is never taken for "no leaks".
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "view/escape.h"
#include "view/finding.h"
#include "view/html.h"

/* Escaped twice: what acts on the text around it, and what acts on XML, which HTML shares. */
static void write_xml(FILE *out, const char *text)
{
	char safe[FINDING_ROOM];

	html_text(out, escape_text(text, true, sizeof(safe), safe));
}

static void write_attribute(FILE *out, const char *name, const char *value)
{
	fprintf(out, " %s=\"", name);
	write_xml(out, value);
	fputc('"', out);
}

static void begin_case(FILE *out, const char *name, const char *file, unsigned line)
{
	fputs("    <testcase classname=\"stranded.leaks\"", out);
	write_attribute(out, "name", name);
	if (file) {
		write_attribute(out, "file", file);
		fprintf(out, " line=\"%u\"", line);
	}
	fputs(">\n", out);
}

/* The text of one finding, as people see it: line by line, since it may be long. */
static void write_body(FILE *out, const struct finding *f)
{
	const struct findings one = {.findings = (struct finding *)f, .count = 1};
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return;
	view_findings_text(stream, &one, true);
	if (!fclose(stream)) {
		for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			write_xml(out, line);
			fputc('\n', out);
		}
	}
	free(text);
}

static void write_finding(FILE *out, const struct finding *f)
{
	const struct model_stack *stack = &f->example->stack;
	const struct model_frame *frame = stack->count ? &stack->frames[0] : &f->example->entry;
	char title[FINDING_ROOM], name[FINDING_ROOM + 32];

	finding_title(f, title);
	snprintf(name, sizeof(name), "%s [%s]", title, f->fingerprint);
	begin_case(out, name, frame->file, frame->line);
	if (f->kind == FINDING_NEW) {
		fputs("      <failure type=\"leak\"", out);
		write_attribute(out, "message", title);
		fputs(">", out);
		write_body(out, f);
		fputs("</failure>\n", out);
	} else {
		fprintf(out, "      <skipped message=\"%s leak\"/>\n", finding_kind_text(f->kind));
	}
	fputs("    </testcase>\n", out);
}

static size_t count_findings(const struct findings *f, bool is_new)
{
	size_t count = 0;

	for (size_t i = 0; i < f->count; i++)
		count += (f->findings[i].kind == FINDING_NEW) == is_new;
	return count;
}

/* One case says of the run itself whether it could be searched. */
static void write_search(FILE *out, const struct findings_context *c)
{
	begin_case(out, "search for leaks", NULL, 0);
	if (!c->conclusive)
		fputs("      <error type=\"unsearched\" message=\"not every process could be "
		      "searched: there may be more leaks\"/>\n",
		      out);
	fputs("    </testcase>\n", out);
}

void view_findings_junit(FILE *out, const struct findings_context *c)
{
	const struct findings *f = c->findings;
	char totals[256];

	snprintf(totals, sizeof(totals),
		 " tests=\"%zu\" failures=\"%zu\" errors=\"%d\" skipped=\"%zu\" "
		 "time=\"%" PRId64 ".%03d\"",
		 f->count + 1, count_findings(f, true), !c->conclusive, count_findings(f, false),
		 c->duration_ns / 1000000000, (int)(c->duration_ns / 1000000 % 1000));
	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<testsuites name=\"stranded check\"%s>\n"
		"  <testsuite",
		totals);
	write_attribute(out, "name", c->command);
	write_attribute(out, "hostname", c->model->host ? c->model->host : "");
	fprintf(out, "%s>\n", totals);
	write_search(out, c);
	for (size_t i = 0; i < f->count; i++)
		write_finding(out, &f->findings[i]);
	fputs("  </testsuite>\n</testsuites>\n", out);
}

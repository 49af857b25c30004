/* SPDX-License-Identifier: MIT */
/* Groups leaked tasks into findings, names them, and prints them as compilers print messages. */
#include "view/finding.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- fingerprints: FNV-1a ---------------------------------------------------------- */

static void mix_text(uint64_t *hash, const char *text)
{
	do {
		*hash = (*hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	} while (*text++); /* with its NUL: where a name ends counts */
}

/* By name; a place without one by its offset in the file: the same in every run of a build. */
static void mix_place(uint64_t *hash, const struct model_frame *f)
{
	char text[PLACE_ROOM];

	if (f->function || f->module)
		mix_text(hash, place_function(f, true, text));
	else
		mix_text(hash, "??");
}

static void make_fingerprint(const struct model_task *t, char ret_text[FINGERPRINT_ROOM])
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	mix_text(&hash, model_reason_text(t->reason));
	for (size_t i = 0; i < t->stack.count; i++)
		mix_place(&hash, &t->stack.frames[i]);
	mix_place(&hash, &t->created_by);
	snprintf(ret_text, FINGERPRINT_ROOM, "%016" PRIx64, hash);
}

/* ---- grouping ---------------------------------------------------------------------- */

static size_t count_leaked(const struct model *m)
{
	size_t count = 0;

	for (size_t i = 0; i < m->process_count; i++)
		for (size_t j = 0; j < m->processes[i].task_count; j++)
			count += m->processes[i].tasks[j].state == MODEL_LEAKED;
	return count;
}

static void collect(const struct model *m, struct finding *ret_findings)
{
	for (size_t i = 0; i < m->process_count; i++) {
		const struct model_process *p = &m->processes[i];

		for (size_t j = 0; j < p->task_count; j++) {
			if (p->tasks[j].state != MODEL_LEAKED)
				continue;
			*ret_findings =
				(struct finding){.process = p, .example = &p->tasks[j], .tasks = 1};
			make_fingerprint(&p->tasks[j], ret_findings->fingerprint);
			ret_findings++;
		}
	}
}

/* The first in the order of the model comes first: it becomes the example. */
static int compare(const void *x, const void *y)
{
	const struct finding *a = x, *b = y;
	int r = strcmp(a->fingerprint, b->fingerprint);

	if (!r && a->process != b->process)
		r = a->process < b->process ? -1 : 1;
	return r ? r : (a->example > b->example) - (a->example < b->example);
}

static size_t merge_equal(struct finding *findings, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (kept && !strcmp(findings[kept - 1].fingerprint, findings[i].fingerprint))
			findings[kept - 1].tasks += findings[i].tasks;
		else
			findings[kept++] = findings[i];
	}
	return kept;
}

int findings_build(const struct model *m, struct findings *ret_findings)
{
	size_t count = count_leaked(m);
	struct findings f = {.findings = calloc(count + 1, sizeof(*f.findings))};

	if (!f.findings)
		return -ENOMEM;
	collect(m, f.findings);
	qsort(f.findings, count, sizeof(*f.findings), compare);
	f.count = merge_equal(f.findings, count);
	findings_count(&f);
	*ret_findings = f;
	return 0;
}

void findings_done(struct findings *f)
{
	free(f->findings);
	memset(f, 0, sizeof(*f));
}

void findings_count(struct findings *f)
{
	memset(f->tasks, 0, sizeof(f->tasks));
	for (size_t i = 0; i < f->count; i++)
		f->tasks[f->findings[i].kind] += f->findings[i].tasks;
}

static bool is_matched(const struct model_frame *f, const char *pattern)
{
	return f->function && !fnmatch(pattern, f->function, 0);
}

bool finding_matches(const struct finding *f, const char *pattern)
{
	const struct model_task *t = f->example;

	for (size_t i = 0; i < t->stack.count; i++)
		if (is_matched(&t->stack.frames[i], pattern))
			return true;
	return is_matched(&t->created_by, pattern) || is_matched(&t->entry, pattern);
}

/* ---- texts --------------------------------------------------------------------------- */

const char *finding_kind_text(enum finding_kind kind)
{
	static const char *const texts[] = {
		[FINDING_NEW] = "new", [FINDING_KNOWN] = "known", [FINDING_IGNORED] = "ignored"};

	return texts[kind];
}

static const struct model_frame *where(const struct model_task *t)
{
	return t->stack.count ? &t->stack.frames[0] : &t->entry;
}

const char *finding_title(const struct finding *f, char ret_text[FINDING_ROOM])
{
	const struct model_task *t = f->example;
	char place[PLACE_ROOM];
	int length = snprintf(ret_text, FINDING_ROOM, "%s in %s", model_reason_text(t->reason),
			      place_function(where(t), true, place));

	if (t->created_by.pc && length < FINDING_ROOM)
		snprintf(ret_text + length, FINDING_ROOM - (size_t)length, ", created by %s",
			 place_function(&t->created_by, true, place));
	return ret_text;
}

static void print_place(FILE *out, const struct model_frame *f, bool utf8)
{
	char file[ESCAPE_ROOM];

	if (f->file)
		fprintf(out, "%s:%u: ", escape_text(f->file, utf8, sizeof(file), file), f->line);
	else if (f->module)
		fprintf(out, "%s+0x%" PRIx64 ": ", escape_text(f->module, utf8, sizeof(file), file),
			f->module_offset);
}

static void print_frame(FILE *out, const char *relation, const struct model_frame *f, bool utf8)
{
	char name[PLACE_ROOM];

	print_place(out, f, utf8);
	fprintf(out, "note: %s %s\n", relation, place_function(f, utf8, name));
}

static void print_finding(FILE *out, const struct finding *f, bool utf8)
{
	const struct model_task *t = f->example;
	char name[PLACE_ROOM], command[ESCAPE_ROOM];

	print_place(out, where(t), utf8);
	fprintf(out, "%s: %zu %s for ever (%s) in %s\n",
		f->kind == FINDING_NEW ? "leak" : "known leak", f->tasks,
		f->tasks == 1 ? "task waits" : "tasks wait", model_reason_text(t->reason),
		place_function(where(t), utf8, name));
	for (size_t i = 1; i < t->stack.count; i++)
		print_frame(out, "called by", &t->stack.frames[i], utf8);
	if (t->created_by.pc)
		print_frame(out, "created by", &t->created_by, utf8);
	fprintf(out, "    fingerprint %s, in %s (process %d)\n", f->fingerprint,
		escape_text(f->process->command, utf8, sizeof(command), command), f->process->pid);
}

void view_findings_text(FILE *out, const struct findings *f, bool utf8)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->findings[i].kind != FINDING_IGNORED)
			print_finding(out, &f->findings[i], utf8);
}

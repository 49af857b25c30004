/* SPDX-License-Identifier: MIT */
/*
 * Prints tasks as Go prints goroutines.
 *
 * The form is fixed by its readers (panicparse, goroutine-inspect):
 *   - a header `goroutine ID [STATE, N minutes]:`, minutes only if there is one;
 *   - then pairs of lines, NAME(ARGS) and <tab>FILE:LINE +0xOFFSET, at least one;
 *   - a pair `created by NAME in goroutine ID`, without ` in goroutine` if a thread created it;
 *   - an empty line between blocks.
 * ARGS is "...", which readers know from elided arguments. A place without
 * symbols becomes NAME `??@module+0xOFFSET`, so that two such places stay apart
 * where readers group by name, and FILE `??`, which they know from cgo frames:
 * nothing else without an ending .c, .go or .s parses. LINE is then 0.
 */
#include "view/go_text.h"

#include <inttypes.h>

#include "view/clock.h"
#include "view/escape.h"
#include "view/place.h"

#define MINUTE INT64_C(60000000000)

static void print_file(FILE *out, const struct model_frame *f, bool utf8)
{
	uint64_t offset = f->function ? f->function_offset : f->module ? f->module_offset : 0;
	char file[ESCAPE_ROOM];

	if (f->file)
		fprintf(out, "\t%s:%u", escape_text(f->file, utf8, sizeof(file), file), f->line);
	else
		fputs("\t??:0", out);
	fprintf(out, " +0x%" PRIx64 "\n", offset);
}

static void print_stack(FILE *out, const struct model_stack *stack, bool utf8)
{
	char name[PLACE_ROOM];

	for (size_t i = 0; i < stack->count; i++) {
		fprintf(out, "%s(...)\n", place_function(&stack->frames[i], utf8, name));
		print_file(out, &stack->frames[i], utf8);
	}
	if (!stack->count) /* a block needs a frame, and Go's words for none would be a lie here */
		fputs("?\?(...)\n\t?\?:0 +0x0\n", out);
	if (stack->truncated)
		fputs("...additional frames elided...\n", out);
}

static void print_creator(FILE *out, const struct model_task *t, bool utf8)
{
	char name[PLACE_ROOM];

	if (!t->created_by.pc)
		return;
	fprintf(out, "created by %s", place_function(&t->created_by, utf8, name));
	if (t->parent)
		fprintf(out, " in goroutine %" PRIu64, t->parent);
	fputc('\n', out);
	print_file(out, &t->created_by, utf8);
}

static void print_header(FILE *out, const struct model *m, const struct model_task *t)
{
	const char *reason = model_reason_text(t->reason);
	int64_t minutes = clock_age(m->now_ns, t->since_ns) / MINUTE;

	fprintf(out, "goroutine %" PRIu64 " [%s%s", t->id, *reason ? reason : "waiting",
		t->state == MODEL_LEAKED ? " (leaked)" : "");
	if (minutes >= 1)
		fprintf(out, ", %" PRId64 " minutes", minutes);
	fputs("]:\n", out);
}

static size_t count_leaked(const struct model_process *p)
{
	size_t count = 0;

	for (size_t i = 0; i < p->task_count; i++)
		count += p->tasks[i].state == MODEL_LEAKED;
	return count;
}

static void print_process(FILE *out, const struct model_process *p, bool utf8)
{
	char command[ESCAPE_ROOM];

	fprintf(out, "# process %d (%s): %zu waiting, %zu leaked\n\n", p->pid,
		escape_text(p->command, utf8, sizeof(command), command), p->task_count,
		count_leaked(p));
}

/* The line before the blocks of a process starts a new dump for readers: ids are per process. */
size_t view_go_text(FILE *out, const struct model *m, enum go_text_content content,
		    const struct view_style *style)
{
	size_t blocks = 0;

	for (size_t i = 0; i < m->process_count; i++) {
		const struct model_process *p = &m->processes[i];
		size_t before = blocks;

		for (size_t j = 0; j < p->task_count; j++) {
			const struct model_task *t = &p->tasks[j];

			if (content == GO_TEXT_LEAKED && t->state != MODEL_LEAKED)
				continue;
			if (blocks++)
				fputc('\n', out);
			if (blocks == before + 1)
				print_process(out, p, style->utf8);
			print_header(out, m, t);
			print_stack(out, &t->stack, style->utf8);
			print_creator(out, t, style->utf8);
		}
	}
	return blocks;
}

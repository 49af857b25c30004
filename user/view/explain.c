/* SPDX-License-Identifier: MIT */
/* One task's explanation, for people. */
#include "view/explain.h"

#include <inttypes.h>
#include <string.h>

#include "view/clock.h"
#include "view/escape.h"
#include "view/place.h"

struct explanation {
	FILE *out;
	const struct model *m;
	const struct model_process *p;
	const struct model_task *t;
	bool utf8;
};

static void print_frame(const struct explanation *x, const char *what, const struct model_frame *f)
{
	char name[PLACE_ROOM], line[PLACE_ROOM];

	fprintf(x->out, "  %s %s\n", what,
		f->file ? place_line(f, x->utf8, line) : place_function(f, x->utf8, name));
}

static void print_task(const struct explanation *x)
{
	const struct model_task *t = x->t;
	char name[ESCAPE_ROOM], age[CLOCK_ROOM];

	fprintf(x->out, "task %" PRIu64, t->id);
	if (t->name && t->name[0])
		fprintf(x->out, " \"%s\"", escape_text(t->name, x->utf8, sizeof(name), name));
	fprintf(x->out, " of process %d (%s)", x->p->pid,
		escape_text(x->p->command, x->utf8, sizeof(name), name));
	fprintf(x->out, ": %s for %s\n", model_reason_text(t->reason),
		clock_short_age(clock_age(x->m->now_ns, t->since_ns), age));
	if (t->stack.count)
		print_frame(x, "waits in", &t->stack.frames[0]);
	if (t->created_by.pc)
		print_frame(x, "created by", &t->created_by);
}

/* ---- leaked ------------------------------------------------------------------------ */

/* What a task of the explanation does, as far as it is in the model. */
static void print_other(const struct explanation *x, uint64_t id)
{
	const struct model_task *other = model_find_task(x->p, id);
	char name[PLACE_ROOM];

	fprintf(x->out, "task %" PRIu64, id);
	if (!other)
		return;
	fprintf(x->out, " (%s", model_reason_text(other->reason));
	if (other->stack.count)
		fprintf(x->out, " in %s", place_function(&other->stack.frames[0], x->utf8, name));
	fputc(')', x->out);
}

static void print_cycle(const struct explanation *x)
{
	const struct model_task *t = x->t;

	for (size_t i = 0; i < t->link_count; i++) {
		fputs("  ", x->out);
		print_other(x, t->links[i].value);
		fprintf(x->out, " waits for task %" PRIu64 "\n",
			t->links[(i + 1) % t->link_count].value);
	}
}

static void print_leak(const struct explanation *x)
{
	const struct model_task *t = x->t;
	const char *why = t->why == STRAND_WHY_UNSAID ? "nothing live can ever wake it"
						      : model_why_text(t->why);

	fprintf(x->out, "leaked: %s\n", why);
	print_cycle(x);
	if (t->why == STRAND_WHY_BEHIND && t->root) {
		fputs("  behind ", x->out);
		print_other(x, t->root);
		fputc('\n', x->out);
	} else if (t->root) {
		fprintf(x->out, "  that was task %" PRIu64 "\n", t->root);
	}
	if (t->retained)
		fprintf(x->out, "retains %" PRIu64 " bytes\n", t->retained);
}

/* ---- not leaked ---------------------------------------------------------------------- */

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void print_memory(const struct explanation *x)
{
	const struct model_task *t = x->t;
	const struct model_frame *at = &t->root_at;
	char text[ESCAPE_ROOM];

	if (at->function) {
		fprintf(x->out, "  global '%s'",
			escape_text(at->function, x->utf8, sizeof(text), text));
		if (at->function_offset)
			fprintf(x->out, " + %" PRIu64, at->function_offset);
		if (at->module)
			fprintf(x->out, " (%s)",
				escape_text(file_name(at->module), x->utf8, sizeof(text), text));
		fputc('\n', x->out);
		return;
	}
	fprintf(x->out, "  %s at 0x%" PRIx64 "\n",
		t->root_place ? escape_text(t->root_place, x->utf8, sizeof(text), text) : "memory",
		t->root);
}

static void print_root(const struct explanation *x)
{
	const struct model_task *t = x->t;

	switch (t->root_kind) {
	case STRAND_ROOT_MEMORY:
		print_memory(x);
		return;
	case STRAND_ROOT_TASK:
		fputs("  stack or data of ", x->out);
		print_other(x, t->root);
		fputc('\n', x->out);
		return;
	case STRAND_ROOT_KERNEL:
		fprintf(x->out, "  the kernel, for descriptor %" PRIu64 "\n", t->root);
		return;
	case STRAND_ROOT_DEADLINE:
		fputs("  its deadline\n", x->out);
		return;
	case STRAND_ROOT_NONE:
	case STRAND_ROOT_RUNTIME:
		break;
	}
	fputs("  the runtime, which was just using it\n", x->out);
}

static const char *object_text(enum strand_wait_reason reason)
{
	switch (reason) {
	case STRAND_WAIT_CHAN_RECEIVE:
	case STRAND_WAIT_CHAN_SEND:
	case STRAND_WAIT_SELECT:
		return "channel";
	case STRAND_WAIT_MUTEX_LOCK:
		return "mutex";
	case STRAND_WAIT_RWLOCK_RLOCK:
	case STRAND_WAIT_RWLOCK_LOCK:
		return "read-write lock";
	case STRAND_WAIT_COND_WAIT:
		return "condition";
	case STRAND_WAIT_WAITGROUP_WAIT:
		return "wait group";
	case STRAND_WAIT_SEMAPHORE_ACQUIRE:
		return "semaphore";
	case STRAND_WAIT_JOIN:
		return "handle";
	case STRAND_WAIT_SCOPE_WAIT:
		return "scope";
	default:
		return "object";
	}
}

static void print_link(const struct explanation *x, const struct model_link *link)
{
	const struct model_task *t = x->t;
	const char *arrow = x->utf8 ? "→" : "->";

	fprintf(x->out, "  %s ", arrow);
	if (link->kind == STRAND_LINK_BLOCK)
		fprintf(x->out, "heap block of %" PRIu64 " bytes", link->size);
	else if (link->value == t->object || (!t->object && link == &t->links[t->link_count - 1]))
		fputs(object_text(t->reason), x->out);
	else
		fputs("object", x->out);
	fprintf(x->out, " at 0x%" PRIx64 "\n", link->value);
}

static void print_life(const struct explanation *x)
{
	const struct model_task *t = x->t;

	fputs("not leaked, as far as can be proved; what may still wake it:\n", x->out);
	print_root(x);
	for (size_t i = 0; i < t->link_count; i++)
		print_link(x, &t->links[i]);
	fprintf(x->out, "  %s this task\n", x->utf8 ? "→" : "->");
}

void view_explain(FILE *out, const struct model *m, const struct model_process *p,
		  const struct model_task *t, const struct view_style *style)
{
	const struct explanation x = {out, m, p, t, style->utf8};

	print_task(&x);
	switch (t->verdict) {
	case STRAND_VERDICT_LEAKED:
		print_leak(&x);
		return;
	case STRAND_VERDICT_LIVE:
		print_life(&x);
		return;
	case STRAND_VERDICT_WAITING:
		break;
	}
	if (t->has_deadline)
		fputs("it will wake by itself: it has a deadline\n", out);
	else
		fputs("no search has judged this wait\n", out);
}

/* SPDX-License-Identifier: MIT */
/* Says in one line each why a process is not observed, not searched or seen with gaps. */
#include "view/messages.h"

#include <inttypes.h>

#include "view/escape.h"

struct listing {
	FILE *out;
	bool utf8;
	size_t lines;
};

static void begin_line(struct listing *l, const struct model_process *p)
{
	char command[ESCAPE_ROOM];

	l->lines++;
	fprintf(l->out, "stranded: %d (%s): ", p->pid,
		escape_text(p->command, l->utf8, sizeof(command), command));
}

/* What to say if the observer gave no reason of its own. */
static const char *default_reason(enum model_process_status status)
{
	switch (status) {
	case MODEL_DENIED:
		return "permission denied; try as root";
	case MODEL_UNSUPPORTED_ABI:
		return "its libstrand speaks another ABI; try a stranded of the same version";
	case MODEL_UNTRUSTED:
		return "what it says is malformed";
	case MODEL_NO_CONTROL:
		return "it has no control pipe";
	case MODEL_HUNG:
		return "it did not answer in time";
	case MODEL_OBSERVED:
	case MODEL_EXITED:
		break;
	}
	return "unknown reason";
}

static const char *status_prefix(const struct model_process *p)
{
	if (p->status == MODEL_NO_CONTROL)
		return "cannot be searched";
	return model_process_observed(p) ? "observed in part" : "not observed";
}

static void say_status(struct listing *l, const struct model_process *p)
{
	char reason[ESCAPE_ROOM];

	if (p->status == MODEL_OBSERVED || p->status == MODEL_EXITED)
		return;
	begin_line(l, p);
	escape_text(p->status_text ? p->status_text : default_reason(p->status), l->utf8,
		    sizeof(reason), reason);
	fprintf(l->out, "%s: %s\n", status_prefix(p), reason);
}

static void say_search(struct listing *l, const struct model_process *p)
{
	const struct model_search *s = &p->search;
	char error[ESCAPE_ROOM];

	/* That a process has ended is no news, but that it did so before it answered is. */
	if (p->status != MODEL_OBSERVED && (p->status != MODEL_EXITED || s->answered))
		return;
	if (!s->asked || model_search_proved(s))
		return;
	begin_line(l, p);
	if (!s->answered) {
		escape_text(s->error ? s->error : "no answer", l->utf8, sizeof(error), error);
		fprintf(l->out, "not searched for leaks: %s\n", error);
		return;
	}
	fprintf(l->out, "%s: %s",
		s->status == STRAND_SEARCH_REFUSED ? "search for leaks refused"
						   : "search for leaks inconclusive",
		s->cause ? model_cause_text(s->cause) : "no cause given");
	if (s->cause_detail)
		fprintf(l->out, " (detail %" PRIu64 ")", s->cause_detail);
	fputc('\n', l->out);
}

struct loss {
	uint64_t count;
	const char *what;
};

static void say_losses(struct listing *l, const struct model_process *p,
		       const struct model_losses *losses)
{
	const struct loss all[] = {
		{losses->map_full, "waiting tasks not kept: the table is full"},
		{losses->ring_full, "events lost: the buffer was full"},
		{losses->bad_record, "malformed records dropped"},
		{losses->unread, "stacks could not be read"},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!all[i].count)
			continue;
		if (p) {
			begin_line(l, p);
		} else {
			l->lines++;
			fputs("stranded: ", l->out);
		}
		fprintf(l->out, "%" PRIu64 " %s\n", all[i].count, all[i].what);
	}
}

/* A proof that was none, or a task that its own program has cancelled: either has to be known. */
static void say_retracted(struct listing *l, const struct model_process *p)
{
	uint64_t count = 0;

	for (size_t i = 0; i < p->past_count; i++)
		if (__builtin_add_overflow(count, p->pasts[i].retracted, &count))
			count = UINT64_MAX;
	if (!count)
		return;
	begin_line(l, p);
	fprintf(l->out,
		"%" PRIu64 " %s proved leaked and woken all the same: if the program has not "
		"cancelled %s itself, the proof was wrong; please report it\n",
		count, count == 1 ? "task was" : "tasks were", count == 1 ? "it" : "them");
}

size_t view_messages(FILE *out, const struct model *m, const struct view_style *style)
{
	struct listing l = {.out = out, .utf8 = style->utf8};

	for (size_t i = 0; i < m->process_count; i++) {
		say_status(&l, &m->processes[i]);
		say_search(&l, &m->processes[i]);
		say_losses(&l, &m->processes[i], &m->processes[i].losses);
		say_retracted(&l, &m->processes[i]);
	}
	say_losses(&l, NULL, &m->losses);
	return l.lines;
}

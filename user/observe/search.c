/* SPDX-License-Identifier: MIT */
/*
 * Asks targets for leak searches and keeps what their reports prove.
 *
 * S1. A verdict is given to a task only if BPF, too, has the task as waiting, in the
 *     park with the generation that the report names, begun before the world stood
 *     still. A report can thus never speak of a park that it has not seen, nor of
 *     another process.
 * S2. Only a search that was done replaces verdicts. One that failed proves nothing
 *     and disproves nothing: what was leaked stays so until that park ends.
 * S3. At most one search of a target runs, and its request number is never used again.
 */
#include "observe/search.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>
#include "observe/control.h"
#include "observe/report.h"

/* The runtime rounds since_ns up to its scheduler's tick, so a park may seem younger than it is. */
#define TICK_MAX_NS 10000000u

/* ---- results ------------------------------------------------------------- */

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Numbers of the report are claims: none becomes negative. */
static int64_t claimed_ns(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static void begin_result(struct search *s)
{
	model_search_done(&s->result);
	s->result = (struct model_search){.asked = true, .finished_ns = now_ns()};
	s->status = MODEL_OBSERVED;
	s->request = 0;
	s->has_answer = false;
}

__attribute__((format(printf, 3, 4))) static void
note_failure(struct search *s, enum model_process_status status, const char *format, ...)
{
	va_list arguments;

	free(s->result.error);
	va_start(arguments, format);
	if (vasprintf(&s->result.error, format, arguments) < 0)
		s->result.error = NULL;
	va_end(arguments);
	s->status = status;
}

const char *search_control_text(int error)
{
	switch (-error) {
	case ENOTCONN:
		return "it has no control pipe, so it cannot be asked for a search";
	case EBADMSG:
		return "the control pipe that it names is not a pipe of its own";
	case EACCES:
	case EPERM:
		return "no permission to open its control pipe; run stranded with CAP_SYS_PTRACE";
	case EAGAIN:
		return "its control pipe is full: it does not read its commands";
	case EPIPE:
		return "nobody reads its control pipe";
	case ETIMEDOUT:
		return "its control pipe could not be written in time";
	case ESRCH:
		return "it has exited";
	default:
		return "its control pipe could not be written";
	}
}

enum model_process_status search_control_status(int error)
{
	switch (-error) {
	case EBADMSG:
		return MODEL_UNTRUSTED;
	case EACCES:
	case EPERM:
		return MODEL_DENIED;
	case EAGAIN:
	case ETIMEDOUT:
		return MODEL_HUNG;
	case ESRCH:
		return MODEL_EXITED;
	default:
		return MODEL_NO_CONTROL;
	}
}

/* ---- verdicts ------------------------------------------------------------ */

static int compare_verdicts(const void *a, const void *b)
{
	const struct search_verdict *x = a, *y = b;

	return (x->task > y->task) - (x->task < y->task);
}

static struct model_link *copy_links(const struct report *report)
{
	struct model_link *links = calloc(report->link_count + 1, sizeof(*links));

	for (size_t i = 0; links && i < report->link_count; i++)
		links[i] = (struct model_link){
			.kind = report->links[i].kind,
			.value = report->links[i].value,
			.size = report->links[i].size,
		};
	return links;
}

/* Of all that a report says about tasks, no more is kept than a process may have waiting. */
static int keep_verdicts(struct search *s, const struct report *report)
{
	struct search_verdict *verdicts;
	struct model_link *links;

	if (report->task_count > WAITING_QUOTA)
		return -EFBIG;
	verdicts = calloc(report->task_count + 1, sizeof(*verdicts));
	links = copy_links(report);
	if (!verdicts || !links) {
		free(verdicts);
		free(links);
		return -ENOMEM;
	}
	for (size_t i = 0; i < report->task_count; i++)
		verdicts[i] = (struct search_verdict){
			.task = report->tasks[i].task,
			.generation = report->tasks[i].generation,
			.root = report->tasks[i].root,
			.retained = report->tasks[i].retained,
			.verdict = report->tasks[i].verdict,
			.root_kind = report->tasks[i].root_kind,
			.why = report->tasks[i].why,
			.link_count = report->tasks[i].link_count,
			.link_first = report->tasks[i].link_first,
		};
	qsort(verdicts, report->task_count, sizeof(*verdicts), compare_verdicts);
	free(s->verdicts);
	free(s->links);
	s->verdicts = verdicts;
	s->verdict_count = report->task_count;
	s->links = links;
	s->stopped_ns = report->header.stopped_ns;
	return 0;
}

static struct search_verdict *find_verdict(const struct search *s, uint64_t task)
{
	struct search_verdict key = {.task = task};

	if (!s->verdict_count)
		return NULL;
	return bsearch(&key, s->verdicts, s->verdict_count, sizeof(key), compare_verdicts);
}

int search_explain(const struct search *s, const struct search_verdict *v, struct model_task *task)
{
	task->verdict = v->verdict;
	task->root_kind = v->root_kind;
	task->root = v->root;
	task->retained = v->retained;
	task->why = v->why;
	if (!v->link_count)
		return 0;
	task->links = calloc(v->link_count, sizeof(*task->links));
	if (!task->links)
		return -ENOMEM;
	memcpy(task->links, s->links + v->link_first, v->link_count * sizeof(*task->links));
	task->link_count = v->link_count;
	return 0;
}

struct search_verdict *search_find(const struct search *s, const struct collected_task *from)
{
	struct search_verdict *v = find_verdict(s, from->key.task);

	if (!v || v->generation != from->task.generation)
		return NULL;
	/* S1. Both times are on the target's clock. */
	if (from->task.since_ns > s->stopped_ns &&
	    from->task.since_ns - s->stopped_ns > TICK_MAX_NS)
		return NULL;
	return v;
}

size_t search_unseen(const struct search *s, const struct collect_maps *maps, pid_t pid)
{
	struct waiting_key key = {.tgid = pid};
	struct process_account account = {0};
	struct waiting_task task;
	size_t unseen = 0;

	if (!bpf_map_lookup_elem(maps->processes, &key.tgid, &account))
		key.instance = account.instance;
	for (size_t i = 0; i < s->verdict_count; i++) {
		const struct search_verdict *v = &s->verdicts[i];

		key.task = v->task;
		if (v->verdict == STRAND_VERDICT_LEAKED &&
		    (bpf_map_lookup_elem(maps->waiting, &key, &task) ||
		     task.generation < v->generation))
			unseen++;
	}
	return unseen;
}

/* ---- one search ---------------------------------------------------------- */

int search_start(struct search *s, const struct collect_maps *maps, const struct target *t,
		 uint64_t request, int64_t deadline_ns)
{
	uint32_t tgid = t->pid;
	int error;

	/* Before the command: the answer may come at once, and BPF passes on only what is wanted. */
	error = bpf_map_update_elem(maps->wanted, &tgid, &request, BPF_ANY);
	if (error) {
		begin_result(s);
		note_failure(s, MODEL_OBSERVED, "the kernel has no room for another search");
		return error;
	}
	error = control_scan(t, request, 0);
	if (error) {
		search_give_up(s, maps, t, search_control_status(error),
			       search_control_text(error));
		return error;
	}
	s->request = request;
	s->deadline_ns = deadline_ns;
	s->has_answer = false;
	return 0;
}

void search_answered(struct search *s, const struct event_scan_done *event)
{
	if (!s->request || event->request != s->request)
		return;
	s->answer = *event;
	s->has_answer = true;
}

static void copy_header(struct model_search *result, const struct strand_report_header *h)
{
	int64_t since_stop = claimed_ns(h->started_ns + h->total_ns - h->stopped_ns);

	result->answered = true;
	result->status = h->status;
	result->cause = h->cause;
	result->cause_detail = h->cause_detail;
	result->pause_ns = claimed_ns(h->pause_ns);
	result->total_ns = claimed_ns(h->total_ns);
	result->scanned_bytes = h->scanned_bytes;
	result->candidates = h->candidates;
	result->leaked = h->leaked;
	result->retained_stacks = h->retained_stacks;
	result->retained_objects = h->retained_objects;
	result->retained_blocks = h->retained_blocks;
	/* Its clock may not be ours (time namespaces): count back from the end. */
	result->stopped_ns =
		since_stop < result->finished_ns ? result->finished_ns - since_stop : 0;
}

static void note_outcome(struct search *s)
{
	const char *cause = model_cause_text(s->result.cause);

	if (s->result.status == STRAND_SEARCH_INCONCLUSIVE)
		note_failure(s, MODEL_OBSERVED, "inconclusive: %s", cause);
	else if (s->result.status == STRAND_SEARCH_REFUSED)
		note_failure(s, MODEL_OBSERVED, "refused: %s", cause);
}

/* It says itself that there is no report. */
static bool take_bare_answer(struct search *s, const struct event_scan_done *answer)
{
	if (answer->status != STRAND_SEARCH_INCONCLUSIVE &&
	    answer->status != STRAND_SEARCH_REFUSED) {
		note_failure(s, MODEL_UNTRUSTED, "report: there is none");
		return false;
	}
	s->result.answered = true;
	s->result.status = answer->status;
	s->result.cause = answer->cause;
	note_outcome(s);
	return true;
}

static bool take_report(struct search *s, const void *bytes, size_t size, uint64_t request)
{
	struct report report;
	const char *reason = "malformed";
	int error = report_parse(bytes, size, request, &report, &reason);

	if (error) {
		note_failure(s, error == -EPROTONOSUPPORT ? MODEL_UNSUPPORTED_ABI : MODEL_UNTRUSTED,
			     "report: %s", reason);
		return false;
	}
	if (report.header.status == STRAND_SEARCH_DONE) {
		error = keep_verdicts(s, &report);
		if (error) {
			note_failure(s, MODEL_OBSERVED, "report: %s", strerror(-error));
			return false;
		}
	}
	copy_header(&s->result, &report.header);
	note_outcome(s);
	return true;
}

static void note_fetch_failure(struct search *s, int error)
{
	if (error == -EBADMSG)
		note_failure(s, MODEL_UNTRUSTED, "report: not a sealed memfd of the size it says");
	else if (error == -EFBIG)
		note_failure(s, MODEL_UNTRUSTED, "report: too large");
	else if (error == -ETIMEDOUT)
		note_failure(s, MODEL_HUNG, "report: could not be read in time");
	else if (error == -ESRCH)
		note_failure(s, MODEL_EXITED, "report: it has exited");
	else
		note_failure(s, MODEL_OBSERVED, "report: %s", strerror(-error));
}

bool search_finish(struct search *s, const struct target *t)
{
	struct event_scan_done answer = s->answer;
	void *bytes = NULL;
	bool usable;
	int error;

	begin_result(s);
	if (answer.report_fd < 0)
		return take_bare_answer(s, &answer);
	error = control_fetch_report(t, answer.report_fd, answer.report_size, &bytes);
	if (error) {
		note_fetch_failure(s, error);
		return false;
	}
	usable = take_report(s, bytes, answer.report_size, answer.request);
	free(bytes);
	return usable;
}

void search_give_up(struct search *s, const struct collect_maps *maps, const struct target *t,
		    enum model_process_status status, const char *why)
{
	uint32_t tgid = t->pid;

	bpf_map_delete_elem(maps->wanted, &tgid);
	begin_result(s);
	note_failure(s, status, "%s", why);
}

int search_copy_result(const struct search *s, struct model_search *ret_result)
{
	struct model_search copy = s->result;

	if (copy.error) {
		copy.error = strdup(copy.error);
		if (!copy.error)
			return -ENOMEM;
	}
	*ret_result = copy;
	return 0;
}

void search_done(struct search *s)
{
	model_search_done(&s->result);
	free(s->verdicts);
	free(s->links);
	*s = (struct search){0};
}

/* SPDX-License-Identifier: MIT */
/* The model's memory: adding, finding, sorting and freeing, and the texts of its enumerations. */
#include "model/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 16 /* tasks of a small process, processes of a small host */

/* Makes room for one more element of an array; doubles, so n additions cost O(n). */
static int grow(void **array, size_t *room, size_t count, size_t element_size)
{
	size_t wanted = *room ? *room * 2 : ROOM_FIRST;
	void *larger;

	if (count < *room)
		return 0;
	larger = reallocarray(*array, wanted, element_size);
	if (!larger)
		return -ENOMEM;
	*array = larger;
	*room = wanted;
	return 0;
}

void model_init(struct model *m)
{
	memset(m, 0, sizeof(*m));
}

void model_frame_done(struct model_frame *frame)
{
	free(frame->function);
	free(frame->file);
	free(frame->module);
	memset(frame, 0, sizeof(*frame));
}

static int copy_text(const char *from, char **ret_text)
{
	*ret_text = from ? strdup(from) : NULL;
	return from && !*ret_text ? -ENOMEM : 0;
}

int model_frame_copy(const struct model_frame *from, struct model_frame *ret_frame)
{
	struct model_frame copy = *from;

	copy.function = copy.file = copy.module = NULL;
	if (copy_text(from->function, &copy.function) || copy_text(from->file, &copy.file) ||
	    copy_text(from->module, &copy.module)) {
		model_frame_done(&copy);
		return -ENOMEM;
	}
	*ret_frame = copy;
	return 0;
}

int model_stack_copy(const struct model_stack *from, struct model_stack *ret_stack)
{
	struct model_stack copy = {.truncated = from->truncated};

	copy.frames = calloc(from->count + 1, sizeof(*copy.frames));
	if (!copy.frames)
		return -ENOMEM;
	while (copy.count < from->count) {
		if (model_frame_copy(&from->frames[copy.count], &copy.frames[copy.count])) {
			model_stack_done(&copy);
			return -ENOMEM;
		}
		copy.count++;
	}
	*ret_stack = copy;
	return 0;
}

void model_stack_done(struct model_stack *stack)
{
	for (size_t i = 0; i < stack->count; i++)
		model_frame_done(&stack->frames[i]);
	free(stack->frames);
	memset(stack, 0, sizeof(*stack));
}

void model_search_done(struct model_search *search)
{
	free(search->error);
	memset(search, 0, sizeof(*search));
}

static void task_done(struct model_task *t)
{
	free(t->name);
	free(t->links);
	free(t->root_place);
	model_frame_done(&t->root_at);
	model_stack_done(&t->stack);
	model_frame_done(&t->created_by);
	model_frame_done(&t->entry);
}

static void wait_done(struct model_wait *w)
{
	model_stack_done(&w->stack);
	model_frame_done(&w->created_by);
	model_frame_done(&w->entry);
}

static void process_done(struct model_process *p)
{
	for (size_t i = 0; i < p->wait_count; i++)
		wait_done(&p->waits[i]);
	free(p->waits);
	free(p->pasts);
	for (size_t i = 0; i < p->task_count; i++)
		task_done(&p->tasks[i]);
	free(p->tasks);
	free(p->command);
	free(p->exe);
	free(p->cgroup);
	free(p->runtime);
	free(p->status_text);
	model_search_done(&p->search);
}

void model_done(struct model *m)
{
	for (size_t i = 0; i < m->process_count; i++)
		process_done(&m->processes[i]);
	free(m->processes);
	free(m->host);
	memset(m, 0, sizeof(*m));
}

int model_add_process(struct model *m, struct model_process **ret_process)
{
	void *array = m->processes;
	int r = grow(&array, &m->process_room, m->process_count, sizeof(*m->processes));

	if (r)
		return r;
	m->processes = array;
	*ret_process = &m->processes[m->process_count++];
	memset(*ret_process, 0, sizeof(**ret_process));
	return 0;
}

void model_remove_process(struct model *m, size_t index)
{
	process_done(&m->processes[index]);
	m->process_count--;
	memmove(&m->processes[index], &m->processes[index + 1],
		(m->process_count - index) * sizeof(*m->processes));
	if (m->process_sorted > index)
		m->process_sorted--;
}

int model_add_task(struct model_process *p, struct model_task **ret_task)
{
	void *array = p->tasks;
	int r = grow(&array, &p->task_room, p->task_count, sizeof(*p->tasks));

	if (r)
		return r;
	p->tasks = array;
	*ret_task = &p->tasks[p->task_count++];
	memset(*ret_task, 0, sizeof(**ret_task));
	return 0;
}

int model_add_wait(struct model_process *p, struct model_wait **ret_wait)
{
	void *array = p->waits;
	int r = grow(&array, &p->wait_room, p->wait_count, sizeof(*p->waits));

	if (r)
		return r;
	p->waits = array;
	*ret_wait = &p->waits[p->wait_count++];
	memset(*ret_wait, 0, sizeof(**ret_wait));
	return 0;
}

int model_add_past(struct model_process *p, struct model_past **ret_past)
{
	void *array = p->pasts;
	int r = grow(&array, &p->past_room, p->past_count, sizeof(*p->pasts));

	if (r)
		return r;
	p->pasts = array;
	*ret_past = &p->pasts[p->past_count++];
	memset(*ret_past, 0, sizeof(**ret_past));
	return 0;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_processes(const void *a, const void *b)
{
	const struct model_process *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return compare_u64(x->start_ticks, y->start_ticks);
}

static int compare_tasks(const void *a, const void *b)
{
	const struct model_task *x = a, *y = b;

	return compare_u64(x->id, y->id);
}

static int compare_pasts(const void *a, const void *b)
{
	const struct model_past *x = a, *y = b;

	return compare_u64(x->fingerprint, y->fingerprint);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* What was sorted is searched by halves, what was added since one by one. */
struct model_process *model_find_process(const struct model *m, pid_t pid, uint64_t start_ticks)
{
	const struct model_process key = {.pid = pid, .start_ticks = start_ticks};
	size_t sorted = least(m->process_sorted, m->process_count);
	struct model_process *found = NULL;

	if (sorted)
		found = bsearch(&key, m->processes, sorted, sizeof(key), compare_processes);
	for (size_t i = sorted; !found && i < m->process_count; i++)
		if (!compare_processes(&key, &m->processes[i]))
			found = &m->processes[i];
	return found;
}

struct model_task *model_find_task(const struct model_process *p, uint64_t id)
{
	const struct model_task key = {.id = id};
	size_t sorted = least(p->task_sorted, p->task_count);
	struct model_task *found = NULL;

	if (sorted)
		found = bsearch(&key, p->tasks, sorted, sizeof(key), compare_tasks);
	for (size_t i = sorted; !found && i < p->task_count; i++)
		if (p->tasks[i].id == id)
			found = &p->tasks[i];
	return found;
}

const struct model_past *model_find_past(const struct model_process *p, uint64_t fingerprint)
{
	const struct model_past key = {.fingerprint = fingerprint};

	if (!p->past_count)
		return NULL;
	return bsearch(&key, p->pasts, p->past_count, sizeof(key), compare_pasts);
}

uint64_t model_task_weight(const struct model_task *task)
{
	return task->stands_for ? task->stands_for : 1;
}

static void add_claim(uint64_t *sum, uint64_t value)
{
	if (__builtin_add_overflow(*sum, value, sum))
		*sum = UINT64_MAX;
}

/* A task that stands for others tells of its own bytes only: the search has told of all. */
static uint64_t retained_by_all(const struct model_process *p)
{
	uint64_t of_tasks = 0, of_search = 0;

	for (size_t i = 0; i < p->task_count; i++)
		if (p->tasks[i].state == MODEL_LEAKED)
			add_claim(&of_tasks, p->tasks[i].retained);
	if (model_search_proved(&p->search)) {
		add_claim(&of_search, p->search.retained_stacks);
		add_claim(&of_search, p->search.retained_objects);
		add_claim(&of_search, p->search.retained_blocks);
	}
	return of_tasks > of_search ? of_tasks : of_search;
}

static void count_tasks(struct model_process *p)
{
	struct model_counts *c = &p->counts;

	if (c->known)
		return;
	for (size_t i = 0; i < p->task_count; i++) {
		const struct model_task *t = &p->tasks[i];

		if (!c->tasks[t->state] || t->since_ns < c->oldest_since_ns[t->state])
			c->oldest_since_ns[t->state] = t->since_ns;
		add_claim(&c->tasks[t->state], model_task_weight(t));
	}
	if (c->tasks[MODEL_LEAKED])
		c->retained_bytes = retained_by_all(p);
	c->known = true;
}

void model_sort(struct model *m)
{
	if (m->process_count)
		qsort(m->processes, m->process_count, sizeof(*m->processes), compare_processes);
	m->process_sorted = m->process_count;
	for (size_t i = 0; i < m->process_count; i++) {
		struct model_process *p = &m->processes[i];

		if (p->task_count)
			qsort(p->tasks, p->task_count, sizeof(*p->tasks), compare_tasks);
		p->task_sorted = p->task_count;
		if (p->past_count)
			qsort(p->pasts, p->past_count, sizeof(*p->pasts), compare_pasts);
		count_tasks(p);
	}
}

struct model model_one(const struct model *m, const struct model_process *p)
{
	struct model one = *m;

	one.processes = (struct model_process *)p;
	one.process_count = one.process_room = one.process_sorted = 1;
	return one;
}

static bool nothing_lost(const struct model_losses *l)
{
	return !l->map_full && !l->ring_full && !l->bad_record && !l->unread;
}

/* Tasks are seen by probes, so they may be there although the process itself refuses to talk. */
bool model_process_observed(const struct model_process *p)
{
	return p->status == MODEL_OBSERVED || p->status == MODEL_NO_CONTROL || p->task_count;
}

bool model_search_proved(const struct model_search *search)
{
	return search->asked && search->answered && search->status == STRAND_SEARCH_DONE;
}

static enum model_search_result search_result(const struct model_search *search)
{
	if (!search->answered)
		return MODEL_SEARCH_NO_ANSWER;
	switch (search->status) {
	case STRAND_SEARCH_DONE:
		return MODEL_SEARCH_DONE;
	case STRAND_SEARCH_REFUSED:
		return MODEL_SEARCH_REFUSED;
	case STRAND_SEARCH_INCONCLUSIVE:
		break;
	}
	return MODEL_SEARCH_INCONCLUSIVE;
}

/* The times are a target's claims: what would overflow stays at its largest. */
static void add_time(int64_t *sum, int64_t ns)
{
	if (ns > 0 && __builtin_add_overflow(*sum, ns, sum))
		*sum = INT64_MAX;
}

void model_count_search(struct model_search_totals *totals, const struct model_search *search)
{
	enum model_search_result result = search_result(search);

	totals->count[result]++;
	add_time(&totals->total_ns[result], search->total_ns);
	add_time(&totals->pause_ns[result], search->pause_ns);
}

/* Nothing of a process that has exited can leak, so there is nothing left to know about it. */
bool model_process_complete(const struct model_process *p)
{
	if (!nothing_lost(&p->losses))
		return false;
	if (p->status == MODEL_EXITED)
		return true;
	return p->status == MODEL_OBSERVED && model_search_proved(&p->search);
}

bool model_complete(const struct model *m)
{
	if (!nothing_lost(&m->losses))
		return false;
	for (size_t i = 0; i < m->process_count; i++)
		if (!model_process_complete(&m->processes[i]))
			return false;
	return true;
}

#define TEXT_AT(name, number, text) [number] = text,

static const char *const reason_texts[] = {STRAND_WAIT_REASONS(TEXT_AT)};
static const char *const why_texts[] = {STRAND_LEAK_WHYS(TEXT_AT)};
static const char *const cause_texts[] = {STRAND_SEARCH_CAUSES(TEXT_AT)};
static const char *const task_state_texts[] = {
	[MODEL_WAITING] = "waiting",
	[MODEL_LEAKED] = "leaked",
	[MODEL_SUSPECT] = "suspect",
};
static const char *const search_result_texts[] = {
	[MODEL_SEARCH_DONE] = "done",
	[MODEL_SEARCH_INCONCLUSIVE] = "inconclusive",
	[MODEL_SEARCH_REFUSED] = "refused",
	[MODEL_SEARCH_NO_ANSWER] = "no answer",
};
static const char *const process_status_texts[] = {
	[MODEL_OBSERVED] = "observed",
	[MODEL_DENIED] = "denied",
	[MODEL_UNSUPPORTED_ABI] = "unsupported",
	[MODEL_UNTRUSTED] = "untrusted",
	[MODEL_NO_CONTROL] = "no control",
	[MODEL_HUNG] = "hung",
	[MODEL_EXITED] = "exited",
};

/* The numbers come from targets: any value may arrive, also one between two known ones. */
static const char *text_of(const char *const *texts, size_t count, unsigned value)
{
	return value < count && texts[value] ? texts[value] : "unknown";
}

#define TEXT_OF(texts, value) text_of(texts, sizeof(texts) / sizeof((texts)[0]), value)

const char *model_reason_text(enum strand_wait_reason reason)
{
	return TEXT_OF(reason_texts, reason);
}

const char *model_task_state_text(enum model_task_state state)
{
	return TEXT_OF(task_state_texts, state);
}

const char *model_suspect_rule_text(enum model_suspect_rule rule)
{
	switch (rule) {
	case MODEL_SUSPECT_AGE:
		return "age";
	case MODEL_SUSPECT_GROWING:
		return "growing";
	case MODEL_SUSPECT_CROWD:
		return "crowd";
	}
	return "unknown";
}

const char *model_search_result_text(enum model_search_result result)
{
	return TEXT_OF(search_result_texts, result);
}

const char *model_cause_text(enum strand_search_cause cause)
{
	return TEXT_OF(cause_texts, cause);
}

const char *model_why_text(enum strand_leak_why why)
{
	return TEXT_OF(why_texts, why);
}

const char *model_process_status_text(enum model_process_status status)
{
	return TEXT_OF(process_status_texts, status);
}

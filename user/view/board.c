/* SPDX-License-Identifier: MIT */
/* Turns a model into rows by site, process, task and wait object. */
#include "view/board.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void add_saturating(uint64_t *sum, uint64_t more)
{
	if (__builtin_add_overflow(*sum, more, sum))
		*sum = UINT64_MAX;
}

struct row *board_add(struct board_rows *rows, enum row_kind kind, const struct model_process *p)
{
	struct row *row;

	if (rows->count == rows->room) {
		size_t room = rows->room ? rows->room * 2 : 64;
		struct row *larger = reallocarray(rows->rows, room, sizeof(*larger));

		if (!larger)
			return NULL;
		rows->rows = larger;
		rows->room = room;
	}
	row = &rows->rows[rows->count++];
	*row = (struct row){.kind = kind, .process = p};
	return row;
}

/* ---- sites and processes ------------------------------------------------------ */

static int add_sites(struct board *b)
{
	struct model_sites sites = {0};
	int r = model_sites_build(&b->model, &sites);

	for (size_t i = 0; !r && i < sites.count; i++) {
		const struct model_site *site = &sites.sites[i];
		struct row *row = board_add(&b->rows[ROW_SITE], ROW_SITE, site->process);

		if (!row) {
			r = -ENOMEM;
			break;
		}
		row->task = site->example;
		row->past = site->past;
		row->state = site->example->state;
		row->id = site->fingerprint;
		row->tasks[row->state] = site->count;
		row->retained = site->retained;
		row->oldest_since_ns = site->oldest_since_ns;
	}
	model_sites_done(&sites);
	return r;
}

static void count_process(struct row *row)
{
	const struct model_process *p = row->process;
	bool first = true;

	for (int i = 0; i < MODEL_TASK_STATES; i++) {
		row->tasks[i] = p->counts.tasks[i];
		if (!row->tasks[i])
			continue;
		if (first || p->counts.oldest_since_ns[i] < row->oldest_since_ns)
			row->oldest_since_ns = p->counts.oldest_since_ns[i];
		first = false;
	}
	if (row->tasks[MODEL_LEAKED])
		row->state = MODEL_LEAKED;
	else if (row->tasks[MODEL_SUSPECT])
		row->state = MODEL_SUSPECT;
}

static void set_retained(struct row *row)
{
	const struct model_process *p = row->process;

	row->retained = p->counts.retained_bytes;
	for (size_t i = 0; !p->counts.retained_bytes && i < p->task_count; i++)
		add_saturating(&row->retained, p->tasks[i].retained);
}

static int add_processes(struct board *b)
{
	for (size_t i = 0; i < b->model.process_count; i++) {
		const struct model_process *p = &b->model.processes[i];
		struct row *row = board_add(&b->rows[ROW_PROCESS], ROW_PROCESS, p);

		if (!row)
			return -ENOMEM;
		count_process(row);
		set_retained(row);
	}
	return 0;
}

/* ---- tasks and objects ---------------------------------------------------------- */

struct entry { /* a task to be sorted */
	const struct model_process *process;
	const struct model_task *task;
};

static int compare_urgency(const struct model_task *a, const struct model_task *b)
{
	static const int order[MODEL_TASK_STATES] = {
		[MODEL_LEAKED] = 0, [MODEL_SUSPECT] = 1, [MODEL_WAITING] = 2};

	if (a->state != b->state)
		return order[a->state] - order[b->state];
	return (a->since_ns > b->since_ns) - (a->since_ns < b->since_ns);
}

static int compare_entries(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int r = compare_urgency(a->task, b->task);

	if (!r)
		r = (a->process > b->process) - (a->process < b->process);
	return r ? r : (a->task->id > b->task->id) - (a->task->id < b->task->id);
}

static int compare_objects(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int r = (a->process > b->process) - (a->process < b->process);

	if (!r)
		r = (a->task->object > b->task->object) - (a->task->object < b->task->object);
	return r ? r : compare_entries(x, y);
}

static void count_task(struct row *row, const struct model_task *t)
{
	uint64_t weight = model_task_weight(t);

	add_saturating(&row->tasks[t->state], weight);
	add_saturating(&row->retained, t->retained);
	if (t->reason == STRAND_WAIT_CHAN_SEND)
		add_saturating(&row->senders, weight);
	if (t->reason == STRAND_WAIT_CHAN_RECEIVE)
		add_saturating(&row->receivers, weight);
	if (!row->task || t->since_ns < row->oldest_since_ns)
		row->oldest_since_ns = t->since_ns;
	if (!row->task || compare_urgency(t, row->task) < 0) {
		row->task = t;
		row->state = t->state;
	}
}

static int add_tasks(struct board_rows *rows, struct entry *entries, size_t count)
{
	size_t kept = count < BOARD_ROWS_MAX ? count : BOARD_ROWS_MAX;

	qsort(entries, count, sizeof(*entries), compare_entries);
	rows->left_out = count - kept;
	for (size_t i = 0; i < kept; i++) {
		struct row *row = board_add(rows, ROW_TASK, entries[i].process);

		if (!row)
			return -ENOMEM;
		row->id = entries[i].task->id;
		count_task(row, entries[i].task);
	}
	return 0;
}

static int compare_rows(const void *x, const void *y)
{
	const struct row *a = x, *b = y;
	int r = compare_urgency(a->task, b->task);

	return r ? r : (a->id > b->id) - (a->id < b->id);
}

static int add_objects(struct board_rows *rows, struct entry *entries, size_t count)
{
	struct row *row = NULL;

	qsort(entries, count, sizeof(*entries), compare_objects);
	for (size_t i = 0; i < count; i++) {
		const struct model_task *t = entries[i].task;

		if (!t->object)
			continue;
		if (!row || row->process != entries[i].process || row->id != t->object)
			row = board_add(rows, ROW_OBJECT, entries[i].process);
		if (!row)
			return -ENOMEM;
		row->id = t->object;
		count_task(row, t);
	}
	if (rows->count > 1)
		qsort(rows->rows, rows->count, sizeof(*rows->rows), compare_rows);
	if (rows->count > BOARD_ROWS_MAX) {
		rows->left_out = rows->count - BOARD_ROWS_MAX;
		rows->count = BOARD_ROWS_MAX;
	}
	return 0;
}

static int add_by_task(struct board *b)
{
	struct entry *entries, *next;
	size_t count = 0;
	int r;

	for (size_t i = 0; i < b->model.process_count; i++)
		count += b->model.processes[i].task_count;
	next = entries = calloc(count + 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (size_t i = 0; i < b->model.process_count; i++)
		for (size_t j = 0; j < b->model.processes[i].task_count; j++)
			*next++ = (struct entry){&b->model.processes[i],
						 &b->model.processes[i].tasks[j]};
	r = add_tasks(&b->rows[ROW_TASK], entries, count);
	if (!r)
		r = add_objects(&b->rows[ROW_OBJECT], entries, count);
	free(entries);
	return r;
}

/* ---- totals ----------------------------------------------------------------------- */

static void add_losses(uint64_t *sum, const struct model_losses *l)
{
	add_saturating(sum, l->map_full);
	add_saturating(sum, l->ring_full);
	add_saturating(sum, l->bad_record);
	add_saturating(sum, l->unread);
}

static void total_search(struct board_totals *t, const struct model_search *s)
{
	if (!s->answered || s->finished_ns <= t->searched_ns)
		return;
	t->searched_ns = s->finished_ns;
	t->pause_ns = s->pause_ns;
}

static void total_process(struct board_totals *t, const struct row *row)
{
	const struct model_process *p = row->process;
	bool observed = model_process_observed(p);

	if (observed)
		t->observed++;
	else if (p->status != MODEL_EXITED)
		t->not_observed++;
	if (observed && !model_process_complete(p))
		t->incomplete++;
	for (int i = 0; i < MODEL_TASK_STATES; i++)
		add_saturating(&t->tasks[i], row->tasks[i]);
	add_saturating(&t->retained, row->retained);
	for (size_t i = 0; i < p->past_count; i++)
		add_saturating(&t->retracted, p->pasts[i].retracted);
	add_losses(&t->lost, &p->losses);
	total_search(t, &p->search);
}

static void add_totals(struct board *b, struct trend *trend)
{
	struct board_totals *t = &b->totals;

	add_losses(&t->lost, &b->model.losses);
	for (size_t i = 0; i < b->rows[ROW_PROCESS].count; i++)
		total_process(t, &b->rows[ROW_PROCESS].rows[i]);
	trend_totals(trend, &b->model, t->tasks[MODEL_LEAKED]);
	t->ended_per_second = trend->ended_per_second;
	memcpy(t->leaked, trend->leaked, sizeof(t->leaked));
	t->leaked_count = trend->leaked_count;
	t->leaked_span_ns = trend->span_ns;
}

/* Sites and processes share one memory of counts: their kinds keep them apart. */
static int add_growth(struct board *b, struct trend *trend)
{
	struct board_rows *sites = &b->rows[ROW_SITE], *processes = &b->rows[ROW_PROCESS];
	size_t count = sites->count + processes->count;
	struct row *all = calloc(count + 1, sizeof(*all));
	int r;

	if (!all)
		return -ENOMEM;
	if (sites->count)
		memcpy(all, sites->rows, sites->count * sizeof(*all));
	if (processes->count)
		memcpy(all + sites->count, processes->rows, processes->count * sizeof(*all));
	r = trend_rows(trend, b->model.now_ns, all, count);
	if (!r && sites->count)
		memcpy(sites->rows, all, sites->count * sizeof(*all));
	if (!r && processes->count)
		memcpy(processes->rows, all + sites->count, processes->count * sizeof(*all));
	free(all);
	return r;
}

int board_build(struct model *m, struct trend *trend, struct board *ret_board)
{
	struct board *b = ret_board;
	int r;

	*b = (struct board){.model = *m};
	r = add_sites(b);
	if (!r)
		r = add_processes(b);
	if (!r)
		r = add_by_task(b);
	for (size_t i = 0; !r && i < b->model.process_count; i++)
		r = board_add_cycles(&b->rows[ROW_CYCLE], &b->model.processes[i]);
	if (!r)
		r = add_growth(b, trend);
	if (r) {
		board_done(b);
		return r;
	}
	add_totals(b, trend);
	return 0;
}

void board_done(struct board *board)
{
	for (int i = 0; i < ROW_KINDS; i++)
		free(board->rows[i].rows);
	model_done(&board->model);
	memset(board, 0, sizeof(*board));
}

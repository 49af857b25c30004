/* SPDX-License-Identifier: MIT */
/* Compares two models, process by process and site by site. */
#include "view/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "view/clock.h"
#include "view/json_writer.h"

struct key { /* of a site, the same in both models */
	pid_t pid;
	uint64_t start_ticks;
	uint64_t fingerprint;
	enum model_task_state state;
	const struct model_site *site;
};

struct side {
	struct model_sites sites;
	struct key *keys; /* sorted */
	size_t count;
};

struct events {
	FILE *out;
	const struct model *model; /* the later one */
};

/* ---- sites of interest ----------------------------------------------------------------- */

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_keys(const void *x, const void *y)
{
	const struct key *a = x, *b = y;
	int r = compare_u64((uint64_t)a->pid, (uint64_t)b->pid);

	if (!r)
		r = compare_u64(a->start_ticks, b->start_ticks);
	if (!r)
		r = compare_u64(a->fingerprint, b->fingerprint);
	return r ? r : compare_u64(a->state, b->state);
}

static void side_done(struct side *s)
{
	model_sites_done(&s->sites);
	free(s->keys);
}

/* Tasks that just wait come and go all the time: only leaked and suspect ones are news. */
static int side_build(const struct model *m, struct side *ret_side)
{
	struct side s = {0};
	int r = model_sites_build(m, &s.sites);

	if (r)
		return r;
	s.keys = calloc(s.sites.count + 1, sizeof(*s.keys));
	if (!s.keys) {
		side_done(&s);
		return -ENOMEM;
	}
	for (size_t i = 0; i < s.sites.count; i++) {
		const struct model_site *site = &s.sites.sites[i];

		if (site->example->state == MODEL_WAITING)
			continue;
		s.keys[s.count++] = (struct key){
			.pid = site->process->pid,
			.start_ticks = site->process->start_ticks,
			.fingerprint = site->fingerprint,
			.state = site->example->state,
			.site = site,
		};
	}
	qsort(s.keys, s.count, sizeof(*s.keys), compare_keys);
	*ret_side = s;
	return 0;
}

/* ---- lines ----------------------------------------------------------------------------- */

static void begin(struct events *e, struct json_writer *w, const char *event)
{
	json_writer_init_line(w, e->out);
	json_begin_object(w, NULL);
	json_write_string(w, "schema", "stranded.event/v1");
	json_write_time(w, "time", e->model->wall_ns);
	json_write_string(w, "event", event);
}

static void end(struct json_writer *w)
{
	json_end_object(w);
	json_writer_finish(w);
}

static void write_process(struct json_writer *w, const struct model_process *p)
{
	json_begin_object(w, "process");
	json_write_integer(w, "pid", p->pid);
	json_write_id(w, "start", p->start_ticks);
	json_write_integer(w, "uid", p->uid);
	json_write_string(w, "command", p->command ? p->command : "");
	json_write_string(w, "status", model_process_status_text(p->status));
	json_write_string(w, "status_text", p->status_text);
	json_end_object(w);
}

static void process_event(struct events *e, const char *event, const struct model_process *p)
{
	struct json_writer w;

	begin(e, &w, event);
	write_process(&w, p);
	end(&w);
}

static void search_event(struct events *e, const struct model_process *p)
{
	const struct model_search *s = &p->search;
	bool proved = model_search_proved(s);
	struct json_writer w;

	begin(e, &w, "searched");
	write_process(&w, p);
	json_begin_object(&w, "search");
	json_write_bool(&w, "conclusive", proved);
	json_write_string(&w, "error", s->error);
	json_write_count(&w, "leaked", proved ? s->leaked : 0);
	json_write_seconds(&w, "pause_seconds", s->pause_ns);
	json_write_seconds(&w, "total_seconds", s->total_ns);
	json_end_object(&w);
	end(&w);
}

static void write_frame(struct json_writer *w, const char *key, const struct model_frame *f)
{
	if (!f || !f->pc) {
		json_write_null(w, key);
		return;
	}
	json_begin_object(w, key);
	json_write_string(w, "function", f->function);
	json_write_string(w, "file", f->file);
	json_write_integer(w, "line", f->line);
	json_write_string(w, "module", f->module);
	json_write_address(w, "module_offset", f->module_offset);
	json_end_object(w);
}

/* @count, @before  tasks there now and at the last look */
static void site_event(struct events *e, const char *event, const struct model_site *s,
		       size_t count, size_t before)
{
	const struct model_task *t = s->example;
	char fingerprint[17];
	struct json_writer w;

	snprintf(fingerprint, sizeof(fingerprint), "%016" PRIx64, s->fingerprint);
	begin(e, &w, event);
	write_process(&w, s->process);
	json_begin_object(&w, "site");
	json_write_string(&w, "state", model_task_state_text(t->state));
	json_write_string(&w, "fingerprint", fingerprint);
	json_write_string(&w, "reason", model_reason_text(t->reason));
	json_write_count(&w, "count", count);
	json_write_count(&w, "count_before", before);
	json_write_seconds(&w, "oldest_seconds", clock_age(e->model->now_ns, s->oldest_since_ns));
	write_frame(&w, "where", t->stack.count ? &t->stack.frames[0] : NULL);
	write_frame(&w, "created_by", &t->created_by);
	json_end_object(&w);
	end(&w);
}

static void summary_event(struct events *e)
{
	const struct model *m = e->model;
	uint64_t tasks[MODEL_TASK_STATES] = {0};
	struct json_writer w;

	for (size_t i = 0; i < m->process_count; i++)
		for (unsigned s = 0; s < MODEL_TASK_STATES; s++)
			tasks[s] += m->processes[i].counts.tasks[s];
	begin(e, &w, "summary");
	json_write_string(&w, "host", m->host ? m->host : "");
	json_write_bool(&w, "complete", model_complete(m));
	json_write_count(&w, "processes", m->process_count);
	for (unsigned s = 0; s < MODEL_TASK_STATES; s++)
		json_write_count(&w, model_task_state_text(s), tasks[s]);
	end(&w);
}

/* ---- comparison -------------------------------------------------------------------------- */

static void compare_processes(struct events *e, const struct model *before)
{
	const struct model *m = e->model;

	for (size_t i = 0; i < m->process_count; i++) {
		const struct model_process *p = &m->processes[i];
		const struct model_process *was =
			before ? model_find_process(before, p->pid, p->start_ticks) : NULL;

		if (!was)
			process_event(e, "process_found", p);
		else if (was->status != p->status)
			process_event(e, "process_changed", p);
		if (p->search.asked && (!was || was->search.finished_ns != p->search.finished_ns))
			search_event(e, p);
	}
	for (size_t i = 0; before && i < before->process_count; i++) {
		const struct model_process *was = &before->processes[i];

		if (!model_find_process(m, was->pid, was->start_ticks))
			process_event(e, "process_gone", was);
	}
}

/* Both are sorted: a walk along both of them at once. */
static void compare_sites(struct events *e, const struct side *before, const struct side *after)
{
	size_t i = 0, j = 0;

	while (i < before->count || j < after->count) {
		const struct key *was = &before->keys[i], *is = &after->keys[j];
		int order = i == before->count ? 1 : j == after->count ? -1 : compare_keys(was, is);

		if (order < 0)
			site_event(e, "gone", was->site, 0, was->site->count);
		else if (order > 0)
			site_event(e, "found", is->site, is->site->count, 0);
		else if (was->site->count != is->site->count)
			site_event(e, "changed", is->site, is->site->count, was->site->count);
		i += order <= 0;
		j += order >= 0;
	}
}

int view_events(FILE *out, const struct model *before, const struct model *after)
{
	struct events e = {.out = out, .model = after};
	struct model nothing;
	struct side was = {0}, is = {0};
	int r;

	model_init(&nothing);
	r = side_build(before ? before : &nothing, &was);
	if (r)
		return r;
	r = side_build(after, &is);
	if (!r) {
		compare_processes(&e, before);
		compare_sites(&e, &was, &is);
		summary_event(&e);
		side_done(&is);
	}
	side_done(&was);
	return r;
}

/* SPDX-License-Identifier: MIT */
/* Writes the model as JSON; must agree with snapshot.schema.json, which its test checks. */
#include "view/json.h"

#include <errno.h>
#include <stdio.h>

#include "view/clock.h"
#include "view/json_writer.h"

struct document {
	struct json_writer w;
	const struct model *model;
	enum json_content content;
};

static const char *verdict_text(enum strand_verdict verdict)
{
	switch (verdict) {
	case STRAND_VERDICT_WAITING:
		return "waiting";
	case STRAND_VERDICT_LEAKED:
		return "leaked";
	case STRAND_VERDICT_LIVE:
		return "live";
	}
	return "unknown";
}

static const char *root_text(enum strand_root_kind kind)
{
	switch (kind) {
	case STRAND_ROOT_NONE:
		return "none";
	case STRAND_ROOT_MEMORY:
		return "memory";
	case STRAND_ROOT_TASK:
		return "task";
	case STRAND_ROOT_KERNEL:
		return "kernel";
	case STRAND_ROOT_DEADLINE:
		return "deadline";
	case STRAND_ROOT_RUNTIME:
		return "runtime";
	}
	return "unknown";
}

static const char *search_text(const struct model_search *search)
{
	if (!search->asked)
		return "not asked";
	if (!search->answered)
		return "no answer";
	switch (search->status) {
	case STRAND_SEARCH_DONE:
		return "done";
	case STRAND_SEARCH_INCONCLUSIVE:
		return "inconclusive";
	case STRAND_SEARCH_REFUSED:
		return "refused";
	}
	return "unknown";
}

static int64_t wall_of(const struct model *m, int64_t monotonic_ns)
{
	int64_t wall;

	if (__builtin_sub_overflow(m->wall_ns, clock_age(m->now_ns, monotonic_ns), &wall))
		return INT64_MIN;
	return wall;
}

static void write_losses(struct json_writer *w, const struct model_losses *losses)
{
	json_begin_object(w, "losses");
	json_write_count(w, "map_full", losses->map_full);
	json_write_count(w, "ring_full", losses->ring_full);
	json_write_count(w, "bad_record", losses->bad_record);
	json_write_count(w, "unread", losses->unread);
	json_end_object(w);
}

static void write_address_if(struct json_writer *w, const char *key, bool known, uint64_t address)
{
	if (known)
		json_write_address(w, key, address);
	else
		json_write_null(w, key);
}

static void write_frame(struct json_writer *w, const char *key, const struct model_frame *f)
{
	json_begin_object(w, key);
	json_write_string(w, "function", f->function);
	write_address_if(w, "function_offset", f->function, f->function_offset);
	json_write_string(w, "file", f->file);
	if (f->line)
		json_write_integer(w, "line", f->line);
	else
		json_write_null(w, "line");
	json_write_string(w, "module", f->module);
	write_address_if(w, "module_offset", f->module, f->module_offset);
	json_write_address(w, "pc", f->pc);
	json_end_object(w);
}

static void write_frame_or_null(struct json_writer *w, const char *key, const struct model_frame *f)
{
	if (f->pc)
		write_frame(w, key, f);
	else
		json_write_null(w, key);
}

static void write_root(struct json_writer *w, const struct model_task *t)
{
	if (t->root_kind == STRAND_ROOT_NONE) { /* of a leaked task root says something else */
		json_write_null(w, "root");
		return;
	}
	json_begin_object(w, "root");
	json_write_string(w, "kind", root_text(t->root_kind));
	if (t->root_kind == STRAND_ROOT_MEMORY)
		json_write_address(w, "value", t->root);
	else
		json_write_id(w, "value", t->root);
	json_write_string(w, "symbol", t->root_at.function);
	json_write_string(w, "place", t->root_at.function ? t->root_at.module : t->root_place);
	json_end_object(w);
}

static const char *link_text(enum strand_link_kind kind)
{
	switch (kind) {
	case STRAND_LINK_TASK:
		return "task";
	case STRAND_LINK_OBJECT:
		return "object";
	case STRAND_LINK_BLOCK:
		return "block";
	}
	return "unknown";
}

static void write_chain(struct json_writer *w, const struct model_task *t)
{
	json_begin_array(w, "chain");
	for (size_t i = 0; i < t->link_count && t->verdict != STRAND_VERDICT_LEAKED; i++) {
		const struct model_link *link = &t->links[i];

		json_begin_object(w, NULL);
		json_write_string(w, "kind", link_text(link->kind));
		if (link->kind == STRAND_LINK_TASK)
			json_write_id(w, "value", link->value);
		else
			json_write_address(w, "value", link->value);
		json_write_count(w, "size", link->size);
		json_end_object(w);
	}
	json_end_array(w);
}

/* Why it can never be woken, as far as the process tells. */
static void write_why(struct json_writer *w, const struct model_task *t)
{
	if (t->verdict != STRAND_VERDICT_LEAKED || t->why == STRAND_WHY_UNSAID) {
		json_write_null(w, "why");
		return;
	}
	json_begin_object(w, "why");
	json_write_string(w, "text", model_why_text(t->why));
	if (t->root)
		json_write_id(w, "task", t->root);
	else
		json_write_null(w, "task");
	json_begin_array(w, "cycle");
	for (size_t i = 0; i < t->link_count; i++)
		json_write_id(w, NULL, t->links[i].value);
	json_end_array(w);
	json_end_object(w);
}

static void write_stack(struct json_writer *w, const struct model_stack *stack)
{
	json_begin_array(w, "stack");
	for (size_t i = 0; i < stack->count; i++)
		write_frame(w, NULL, &stack->frames[i]);
	json_end_array(w);
	json_write_bool(w, "stack_truncated", stack->truncated);
}

static void write_process_key(struct json_writer *w, const struct model_process *p)
{
	json_write_integer(w, "pid", p->pid);
	json_write_id(w, "start", p->start_ticks);
	json_write_integer(w, "uid", p->uid);
	json_write_string(w, "command", p->command ? p->command : "");
}

/* @p  NULL: it is said already whose task it is */
static void write_task(struct document *d, const char *key, const struct model_process *p,
		       const struct model_task *t)
{
	struct json_writer *w = &d->w;

	json_begin_object(w, key);
	if (p)
		write_process_key(w, p);
	json_write_id(w, "id", t->id);
	json_write_string(w, "name", t->name ? t->name : "");
	json_write_string(w, "reason", model_reason_text(t->reason));
	write_address_if(w, "object", t->object, t->object);
	json_write_seconds(w, "waiting_seconds", clock_age(d->model->now_ns, t->since_ns));
	json_write_time(w, "since", wall_of(d->model, t->since_ns));
	json_write_string(w, "state", model_task_state_text(t->state));
	json_write_string(w, "verdict", verdict_text(t->verdict));
	write_root(w, t);
	write_chain(w, t);
	write_why(w, t);
	json_write_count(w, "retained_bytes", t->retained);
	json_write_bool(w, "has_deadline", t->has_deadline);
	if (t->parent)
		json_write_id(w, "parent", t->parent);
	else
		json_write_null(w, "parent");
	write_stack(w, &t->stack);
	write_frame_or_null(w, "created_by", &t->created_by);
	write_frame_or_null(w, "entry", &t->entry);
	json_end_object(w);
}

/* What only a report can say is null as long as there is none: 0 would be a claim. */
static void write_search(struct document *d, const struct model_search *s)
{
	struct json_writer *w = &d->w;

	json_begin_object(w, "search");
	json_write_string(w, "status", search_text(s));
	if (s->answered) {
		json_write_string(w, "cause", s->cause ? model_cause_text(s->cause) : NULL);
		json_write_id(w, "cause_detail", s->cause_detail);
		json_write_seconds(w, "age_seconds", clock_age(d->model->now_ns, s->finished_ns));
		json_write_seconds(w, "pause_seconds", s->pause_ns);
		json_write_seconds(w, "total_seconds", s->total_ns);
		json_write_count(w, "scanned_bytes", s->scanned_bytes);
		json_write_count(w, "candidates", s->candidates);
		json_write_count(w, "leaked", s->leaked);
		json_write_count(w, "retained_stack_bytes", s->retained_stacks);
		json_write_count(w, "retained_object_bytes", s->retained_objects);
		json_write_count(w, "retained_block_bytes", s->retained_blocks);
	} else {
		static const char *const keys[] = {"cause",
						   "cause_detail",
						   "age_seconds",
						   "pause_seconds",
						   "total_seconds",
						   "scanned_bytes",
						   "candidates",
						   "leaked",
						   "retained_stack_bytes",
						   "retained_object_bytes",
						   "retained_block_bytes"};

		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			json_write_null(w, keys[i]);
	}
	json_write_string(w, "error", s->error);
	json_end_object(w);
}

static void write_runtime(struct json_writer *w, const struct model_process *p)
{
	char abi[32];

	snprintf(abi, sizeof(abi), "%u.%u", p->abi_major, p->abi_minor);
	json_write_string(w, "runtime", p->runtime);
	json_write_string(w, "abi", p->abi_major ? abi : NULL);
	json_write_string(w, "linking", p->is_static ? "static" : "shared");
}

static void write_process(struct document *d, const struct model_process *p)
{
	struct json_writer *w = &d->w;

	json_begin_object(w, NULL);
	write_process_key(w, p);
	json_write_string(w, "exe", p->exe);
	write_runtime(w, p);
	json_write_string(w, "status", model_process_status_text(p->status));
	json_write_string(w, "status_text", p->status_text);
	json_write_bool(w, "complete", model_process_complete(p));
	json_write_count(w, "tasks_spawned", p->tasks_spawned);
	json_write_count(w, "tasks_exited", p->tasks_exited);
	write_search(d, &p->search);
	write_losses(w, &p->losses);
	if (d->content != JSON_PROCESSES) {
		json_begin_array(w, "tasks");
		for (size_t i = 0; i < p->task_count; i++)
			if (d->content == JSON_SNAPSHOT || p->tasks[i].state == MODEL_LEAKED)
				write_task(d, NULL, NULL, &p->tasks[i]);
		json_end_array(w);
	}
	json_end_object(w);
}

static void begin_document(struct json_writer *w, const struct model *m, const char *schema)
{
	json_begin_object(w, NULL);
	json_write_string(w, "schema", schema);
	json_write_string(w, "version", m->observer_version ? m->observer_version : "");
	json_write_string(w, "host", m->host ? m->host : "");
	json_write_time(w, "time", m->wall_ns);
	json_write_id(w, "monotonic_ns", m->now_ns > 0 ? (uint64_t)m->now_ns : 0);
	json_write_bool(w, "complete", model_complete(m));
	write_losses(w, &m->losses);
}

static const char *schema_of(enum json_content content)
{
	switch (content) {
	case JSON_SNAPSHOT:
		break;
	case JSON_LEAKS:
		return "stranded.leaks/v1";
	case JSON_PROCESSES:
		return "stranded.processes/v1";
	case JSON_TASKS:
		return "stranded.tasks/v1";
	}
	return "stranded.snapshot/v1";
}

static void write_all_tasks(struct document *d)
{
	const struct model *m = d->model;

	json_begin_array(&d->w, "tasks");
	for (size_t i = 0; i < m->process_count; i++)
		for (size_t j = 0; j < m->processes[i].task_count; j++)
			write_task(d, NULL, &m->processes[i], &m->processes[i].tasks[j]);
	json_end_array(&d->w);
}

static void write_document(struct document *d)
{
	const struct model *m = d->model;
	struct json_writer *w = &d->w;

	begin_document(w, m, schema_of(d->content));
	if (d->content == JSON_TASKS) {
		write_all_tasks(d);
	} else {
		json_begin_array(w, "processes");
		for (size_t i = 0; i < m->process_count; i++)
			write_process(d, &m->processes[i]);
		json_end_array(w);
	}
	json_end_object(w);
	json_writer_finish(w);
}

static void write_site(struct document *d, const struct model_site *site)
{
	const struct model_past *past = site->past;
	const struct model *m = d->model;
	struct json_writer *w = &d->w;

	json_begin_object(w, NULL);
	write_process_key(w, site->process);
	json_write_address(w, "fingerprint", site->fingerprint);
	json_write_string(w, "state", model_task_state_text(site->example->state));
	json_write_string(w, "reason", model_reason_text(site->example->reason));
	json_write_count(w, "count", site->count);
	json_write_seconds(w, "oldest_seconds", clock_age(m->now_ns, site->oldest_since_ns));
	json_write_count(w, "retained_bytes", site->retained);
	if (past)
		json_write_time(w, "first_seen", wall_of(m, past->first_seen_ns));
	else
		json_write_null(w, "first_seen");
	json_write_count(w, "searches_seen", past ? past->searches_seen : 0);
	json_write_count(w, "retracted", past ? past->retracted : 0);
	write_task(d, "example", NULL, site->example);
	json_end_object(w);
}

int view_json_sites(FILE *out, const struct model *m)
{
	struct model_sites sites;
	struct document d;

	if (model_sites_build(m, &sites))
		return -ENOMEM;
	d.model = m;
	d.content = JSON_TASKS;
	json_writer_init(&d.w, out);
	begin_document(&d.w, m, "stranded.sites/v1");
	json_begin_array(&d.w, "sites");
	for (size_t i = 0; i < sites.count; i++)
		write_site(&d, &sites.sites[i]);
	json_end_array(&d.w);
	json_end_object(&d.w);
	json_writer_finish(&d.w);
	model_sites_done(&sites);
	return 0;
}

void view_json(FILE *out, const struct model *m, enum json_content content)
{
	struct document d;

	d.model = m;
	d.content = content;
	json_writer_init(&d.w, out);
	write_document(&d);
}

void view_json_line(FILE *out, const struct model *m, enum json_content content)
{
	struct document d;

	d.model = m;
	d.content = content;
	json_writer_init_line(&d.w, out);
	write_document(&d);
}

/* SPDX-License-Identifier: MIT */
/* The models that the tests of the views look at: a fixed one, and one of hostile values. */
#ifndef TESTS_UNIT_VIEW_MODEL_H
#define TESTS_UNIT_VIEW_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

#define SECOND INT64_C(1000000000)
#define NOW    (100000 * SECOND)
#define WALL   (INT64_C(1795456876) * SECOND + 123456789) /* 2026-11-23T18:01:16 UTC */
#define HOSTILE        \
	"a\"\\\n\033[" \
	"2J\x7f\xc2\x9b\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8b\xff\xe2\x82\xf3\xa0\x81\x81z"
#define MODULE "/usr/lib/libfoo.so"

/* Fixtures may abort: they run in tests only. */
static inline char *text(const char *from)
{
	char *copy = strdup(from);

	if (!copy)
		abort();
	return copy;
}

static inline struct model_process *add_process(struct model *m, pid_t pid, const char *command)
{
	struct model_process *p;

	if (model_add_process(m, &p))
		abort();
	p->pid = pid;
	p->start_ticks = (uint64_t)pid * 100;
	p->uid = 1000;
	p->command = text(command);
	return p;
}

static inline struct model_task *add_task(struct model_process *p, uint64_t id,
					  enum strand_wait_reason reason, int64_t age_ns)
{
	struct model_task *t;

	if (model_add_task(p, &t))
		abort();
	t->id = id;
	t->name = text("worker");
	t->reason = reason;
	t->since_ns = NOW - age_ns;
	return t;
}

/* function NULL: only the module is known; file NULL: no line. */
static inline struct model_frame frame(uint64_t pc, const char *function, const char *file,
				       unsigned line)
{
	return (struct model_frame){
		.pc = pc,
		.function = function ? text(function) : NULL,
		.function_offset = function ? pc & 0xff : 0,
		.file = file ? text(file) : NULL,
		.line = line,
		.module = text(MODULE),
		.module_offset = pc & 0xffff,
	};
}

static inline void push_frame(struct model_task *t, struct model_frame f)
{
	struct model_stack *s = &t->stack;

	s->frames = reallocarray(s->frames, s->count + 1, sizeof(*s->frames));
	if (!s->frames)
		abort();
	s->frames[s->count++] = f;
}

static inline void add_link(struct model_task *t, enum strand_link_kind kind, uint64_t value,
			    uint64_t size)
{
	t->links = reallocarray(t->links, t->link_count + 1, sizeof(*t->links));
	if (!t->links)
		abort();
	t->links[t->link_count++] = (struct model_link){kind, value, size};
}

static inline void add_receiver(struct model_process *p, uint64_t id, int64_t age_ns)
{
	struct model_task *t = add_task(p, id, STRAND_WAIT_CHAN_RECEIVE, age_ns);

	t->state = MODEL_LEAKED;
	t->verdict = STRAND_VERDICT_LEAKED;
	t->object = 0x7f0000001000;
	t->why = STRAND_WHY_CYCLE;
	add_link(t, STRAND_LINK_TASK, id, 0);
	t->retained = 8192;
	t->parent = 1;
	push_frame(t, frame(0x40101e, "recv_loop", "src/worker.c", 42));
	push_frame(t, frame(0x402005, "worker_main", "src/worker.c", 9));
	t->created_by = frame(0x403067, "spawn_all", "src/app.c", 17);
	t->entry = frame(0x402000, "worker_main", "src/worker.c", 5);
}

static inline void add_observed(struct model *m)
{
	struct model_process *p = add_process(m, 42, "app");
	struct model_task *t;

	p->exe = text("/usr/bin/app");
	p->runtime = text("0.1.0");
	p->abi_major = 1;
	p->is_static = true;
	p->tasks_spawned = 12;
	p->tasks_exited = 8;
	p->search = (struct model_search){
		.asked = true,
		.answered = true,
		.status = STRAND_SEARCH_DONE,
		.finished_ns = NOW - SECOND / 2,
		.pause_ns = 1500000,
		.total_ns = 12000000,
		.candidates = 4,
		.leaked = 2,
	};
	add_receiver(p, 7, 150 * SECOND);
	add_receiver(p, 8, 59 * SECOND);
	t = add_task(p, 9, STRAND_WAIT_SELECT, SECOND * 2 / 5);
	t->verdict = STRAND_VERDICT_LIVE;
	t->root_kind = STRAND_ROOT_TASK;
	t->root = 3;
	push_frame(t, frame(0x7f0000001234, NULL, NULL, 0));
	t->stack.truncated = true;
	t->created_by = (struct model_frame){.pc = 0x55aa};
	t = add_task(p, 10, STRAND_WAIT_MUTEX_LOCK, 3 * 3600 * SECOND);
	t->state = MODEL_SUSPECT;
	t->verdict = STRAND_VERDICT_LIVE;
	t->root_kind = STRAND_ROOT_MEMORY;
	t->root = 0x404040;
	t->root_at = frame(0x404040, "jobs", NULL, 0);
	t->root_at.function_offset = 0;
	t->object = 0x707000;
	add_link(t, STRAND_LINK_BLOCK, 0x606000, 48);
	add_link(t, STRAND_LINK_OBJECT, 0x707000, 128);
}

static inline void fixed_model(struct model *m)
{
	struct model_process *p;

	model_init(m);
	m->host = text("web1");
	m->observer_version = "0.1.0";
	m->wall_ns = WALL;
	m->now_ns = NOW;
	add_observed(m);
	p = add_process(m, 43, "bad\n\033[2J");
	p->status = MODEL_DENIED;
	p->status_text = text("its memory cannot be read: Permission denied; try as root");
	model_sort(m);
}

/* Whatever a target can put into its records, its names and its report. */
static inline void hostile_model(struct model *m)
{
	struct model_process *p;
	struct model_task *t;

	model_init(m);
	m->host = text(HOSTILE);
	m->observer_version = "0.1.0";
	m->wall_ns = INT64_MAX;
	m->now_ns = INT64_MAX;
	memset(&m->losses, 0xff, sizeof(m->losses));
	p = add_process(m, 2147483647, HOSTILE);
	p->exe = text(HOSTILE);
	p->runtime = text(HOSTILE);
	p->abi_major = p->abi_minor = UINT32_MAX;
	p->start_ticks = p->tasks_spawned = p->tasks_exited = UINT64_MAX;
	memset(&p->losses, 0xff, sizeof(p->losses));
	p->search = (struct model_search){
		.asked = true,
		.answered = true,
		.status = (enum strand_search_status)77,
		.cause = (enum strand_search_cause)0xffffffff,
		.cause_detail = UINT64_MAX,
		.finished_ns = INT64_MIN,
		.pause_ns = INT64_MIN,
		.total_ns = INT64_MAX,
		.scanned_bytes = UINT64_MAX,
		.candidates = UINT64_MAX,
		.leaked = UINT64_MAX,
		.error = text(HOSTILE),
	};
	t = add_task(p, UINT64_MAX, (enum strand_wait_reason)200, 0);
	free(t->name);
	t->name = text(HOSTILE);
	t->since_ns = INT64_MIN;
	t->object = t->parent = t->root = UINT64_MAX;
	t->verdict = (enum strand_verdict)99;
	t->root_kind = (enum strand_root_kind)99;
	t->root_at = frame(UINT64_MAX, HOSTILE, HOSTILE, UINT32_MAX);
	t->root_place = text(HOSTILE);
	t->why = (enum strand_leak_why)99;
	t->retained = UINT64_MAX;
	add_link(t, (enum strand_link_kind)99, UINT64_MAX, UINT64_MAX);
	push_frame(t, frame(UINT64_MAX, HOSTILE, HOSTILE, UINT32_MAX));
	t->created_by = frame(UINT64_MAX, HOSTILE, HOSTILE, UINT32_MAX);
	t->entry = frame(UINT64_MAX, NULL, HOSTILE, 0);
	add_task(p, 0, STRAND_WAIT_NONE, 0)->since_ns = INT64_MAX;
	model_sort(m);
}

/* A stream whose text is in *ret_text after fclose(); the caller frees it. */
static inline FILE *capture(char **ret_text)
{
	static size_t size;
	FILE *stream = open_memstream(ret_text, &size);

	if (!stream)
		abort();
	return stream;
}

#endif

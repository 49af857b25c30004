/* SPDX-License-Identifier: MIT */
/*
 * Builds the model of one moment: maps, verdicts and stacks of every watched process.
 *
 * N1. A task is in the model if BPF has it as waiting and nothing says that this park is over.
 * N2. A stack that cannot be read makes its process incomplete (losses.unread), never a
 *     task vanish.
 */
#include "observe/observer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "observe/procfs.h"
#include "observe/stacks.h"
#include "observe/watch.h"

#define FRAMES_MAX 128

/* A snapshot reads so many stacks of a process, the tasks with the lowest numbers first. */
#define STACKS_MAX 65536

/* Frames that were named already, by address: tasks of a site share all of theirs. */
#define CACHE_SIZE 1024

struct cached_frame {
	bool used, is_return;
	struct model_frame frame;
};

struct filler { /* one process on its way into the model */
	struct observer *o;
	struct watch *w;
	struct collected_slice slice;
	struct model_process *p;
	struct symbol_process *symbols; /* NULL: addresses only */
	struct cached_frame *cache;
};

/* ---- frames -------------------------------------------------------------- */

static int resolve(struct filler *f, uint64_t pc, bool is_return, struct model_frame *ret_frame)
{
	struct symbol_location location = {0};
	int error = f->symbols ? symbol_resolve(f->symbols, pc, is_return, &location) : 0;

	if (error)
		return error;
	*ret_frame = (struct model_frame){
		.pc = pc,
		.function = location.function,
		.file = location.file,
		.line = location.line,
		.function_offset = location.function_offset,
		.module = location.module,
		.module_offset = location.module_offset,
	};
	return 0;
}

static int name_frame(struct filler *f, uint64_t pc, bool is_return, struct model_frame *ret_frame)
{
	struct cached_frame *c = &f->cache[(pc ^ (pc >> 10)) % CACHE_SIZE];
	int error;

	if (!c->used || c->frame.pc != pc || c->is_return != is_return) {
		model_frame_done(&c->frame);
		*c = (struct cached_frame){0};
		error = resolve(f, pc, is_return, &c->frame);
		if (error)
			return error;
		c->used = true;
		c->is_return = is_return;
	}
	return model_frame_copy(&c->frame, ret_frame);
}

static int name_ends(struct filler *f, struct model_task *t)
{
	uint64_t created_pc = t->created_by.pc, fn = t->entry.pc;
	int error = 0;

	if (created_pc)
		error = name_frame(f, created_pc, true, &t->created_by);
	if (!error && fn)
		error = name_frame(f, fn, false, &t->entry);
	return error;
}

/*
 * A task's function returns into the runtime, at one address that its descriptor names: what is
 * there is of no interest, and having got there says that the walk is whole.
 */
static size_t end_stack(const struct filler *f, const uint64_t *pcs, size_t count, bool *truncated)
{
	uint64_t end = f->w->target->descriptor.task_end_pc;

	for (size_t i = 1; i < count && end; i++) {
		if (pcs[i] == end) {
			*truncated = false;
			return i;
		}
	}
	return count;
}

static int add_stack(struct filler *f, const struct waiting_task *w, const struct stack_copy *copy,
		     struct model_stack *ret_stack)
{
	struct symbol_stack_copy stack = {
		.pc = w->pc, .sp = w->sp, .fp = w->fp, .bytes = copy->bytes, .size = copy->size};
	uint64_t pcs[FRAMES_MAX] = {w->pc};
	size_t count = w->pc != 0;

	if (copy->state == STACK_READ && f->symbols)
		count = symbol_unwind(f->symbols, &stack, pcs, FRAMES_MAX, &ret_stack->truncated);
	else
		ret_stack->truncated = true;
	count = end_stack(f, pcs, count, &ret_stack->truncated);
	ret_stack->frames = calloc(count + 1, sizeof(*ret_stack->frames));
	if (!ret_stack->frames)
		return -ENOMEM;
	/* The function's last act was the call, made as a jump: its own frame is gone. */
	if (w->pc && w->pc == f->w->target->descriptor.task_end_pc) {
		ret_stack->truncated = false;
		ret_stack->count = 1;
		return name_frame(f, w->fn, false, &ret_stack->frames[0]);
	}
	for (size_t i = 0; i < count; i++) {
		/* The innermost pc is one, too: where the blocking call returns to. */
		int error = name_frame(f, pcs[i], true, &ret_stack->frames[i]);

		if (error)
			return error;
		ret_stack->count++;
	}
	return 0;
}

/* ---- tasks --------------------------------------------------------------- */

static int add_task(struct filler *f, const struct collected_task *from,
		    const struct stack_copy *copy)
{
	struct model_task *t;
	int error = collect_add_task(from, f->p, &t);

	if (error)
		return error;
	error = search_apply(&f->w->search, from, t);
	if (error || !copy)
		return error;
	if (copy->state != STACK_READ)
		f->p->losses.unread++;
	error = name_ends(f, t);
	return error ? error : add_stack(f, &from->task, copy, &t->stack);
}

/* Something is wrong with its memory: say so, unless a worse thing is known. */
static void note_unreadable(struct filler *f, int error)
{
	if (error == -ETIMEDOUT)
		f->w->stacks_hang = true;
	if (f->p->status != MODEL_OBSERVED)
		return;
	f->p->status = error == -ETIMEDOUT ? MODEL_HUNG
		       : error == -ESRCH   ? MODEL_EXITED
					   : MODEL_DENIED;
	if (asprintf(&f->p->status_text, "its stacks cannot be read: %s", strerror(-error)) < 0)
		f->p->status_text = NULL;
}

static int add_chunk(struct filler *f, const struct collected_task *tasks, size_t count,
		     bool with_stacks)
{
	static const struct stack_copy unreadable = {.state = STACK_UNREADABLE};
	struct stack_copies copies = {0};
	bool have_copies = false;
	int error = 0;

	if (with_stacks && !f->w->stacks_hang) {
		int failure = stacks_read(f->w->target, tasks, count, &copies);

		have_copies = !failure;
		if (failure)
			note_unreadable(f, failure);
	}
	for (size_t i = 0; i < count && !error; i++) {
		const struct stack_copy *copy = have_copies ? &copies.copy[i] : &unreadable;

		if (copy->state == STACK_ENDED && !collect_still_waiting(&f->o->maps, &tasks[i]))
			continue;
		error = add_task(f, &tasks[i], f->o->options.stacks ? copy : NULL);
	}
	if (have_copies)
		stacks_done(&copies);
	return error;
}

static int add_tasks(struct filler *f)
{
	for (size_t at = 0; at < f->slice.count; at += STACKS_CHUNK) {
		size_t left = f->slice.count - at;
		bool with_stacks = f->o->options.stacks && at < STACKS_MAX;
		int error = add_chunk(f, f->slice.tasks + at,
				      left < STACKS_CHUNK ? left : STACKS_CHUNK, with_stacks);

		if (error)
			return error;
	}
	return 0;
}

/* ---- processes ----------------------------------------------------------- */

static void set_status(struct model_process *p, enum model_process_status status, const char *text)
{
	if (p->status != MODEL_OBSERVED || status == MODEL_OBSERVED)
		return;
	p->status = status;
	p->status_text = text ? strdup(text) : NULL;
}

static void fill_status(struct filler *f)
{
	const struct target *t = f->w->target;
	const struct watch *w = f->w;
	struct model_process *p = f->p;
	int error = observer_attach_error(f->o, w);

	set_status(p, t->status, t->status_text);
	if (error && p->status == MODEL_OBSERVED) {
		p->status = MODEL_DENIED;
		if (asprintf(&p->status_text, "the kernel refuses its probes: %s",
			     strerror(-error)) < 0)
			p->status_text = NULL;
	}
	if (w->hello_error)
		set_status(p, search_control_status(w->hello_error),
			   search_control_text(w->hello_error));
	set_status(p, w->search.status, w->search.result.error);
}

static int fill_process(struct filler *f)
{
	struct target *t = f->w->target;
	struct model_process *p = f->p;

	p->pid = t->pid;
	p->start_ticks = t->start_ticks;
	p->uid = t->uid;
	p->command = strndup(t->command, sizeof(t->command));
	p->exe = t->exe ? strdup(t->exe) : NULL;
	p->cgroup = procfs_read_cgroup(t->proc_fd);
	if (t->status == MODEL_OBSERVED)
		target_read_descriptor(t); /* its counters; if it fails, those of before */
	if (t->has_descriptor) {
		p->runtime = strndup(t->descriptor.build, sizeof(t->descriptor.build));
		p->tasks_spawned = t->descriptor.tasks_spawned;
		p->tasks_exited = t->descriptor.tasks_exited;
	}
	if (t->binary) {
		p->abi_major = t->binary->image.abi_major;
		p->abi_minor = t->binary->image.abi_minor;
		p->is_static = !t->binary->image.is_shared_library;
	}
	p->losses = collect_losses(&f->slice);
	fill_status(f);
	return search_copy_result(&f->w->search, &p->search);
}

static void free_cache(struct cached_frame *cache)
{
	for (size_t i = 0; cache && i < CACHE_SIZE; i++)
		model_frame_done(&cache[i].frame);
	free(cache);
}

static int add_process(struct observer *o, struct watch *w, const struct collected *c,
		       struct model *m)
{
	struct filler f = {.o = o, .w = w};
	int error = model_add_process(m, &f.p);

	if (error)
		return error;
	f.slice = collect_slice(c, w->target->pid, w->target->start_ticks);
	f.cache = calloc(CACHE_SIZE, sizeof(*f.cache));
	error = f.cache ? fill_process(&f) : -ENOMEM;
	if (!error && o->symboliser && f.slice.count)
		symbol_process_new(o->symboliser, w->target->proc_fd, w->target->pid, &f.symbols);
	if (!error)
		error = add_tasks(&f);
	free_cache(f.cache);
	symbol_process_free(f.symbols);
	return error;
}

static int add_host(struct model *m)
{
	char host[256] = "";
	struct timespec wall;

	gethostname(host, sizeof(host) - 1);
	clock_gettime(CLOCK_REALTIME, &wall);
	m->host = strdup(host);
	m->wall_ns = wall.tv_sec * 1000000000LL + wall.tv_nsec;
	m->now_ns = observe_now_ns();
	m->observer_version = STRANDED_VERSION;
	return m->host ? 0 : -ENOMEM;
}

int observer_snapshot(struct observer *o, struct model *ret_model)
{
	struct collected c;
	struct model m;
	int error = collect_read(&o->maps, &c);

	if (error)
		return error;
	collect_purge(&o->maps, &c);
	o->purge_wanted = false;
	model_init(&m);
	error = add_host(&m);
	m.searches = o->searches;
	m.losses.ring_full = c.counters.ring_full;
	m.losses.map_full = c.counters.processes_full;
	for (size_t i = 0; i < o->watch_count && !error; i++)
		if (target_alive(o->watches[i]->target))
			error = add_process(o, o->watches[i], &c, &m);
	collect_done(&c);
	if (error) {
		model_done(&m);
		return error;
	}
	model_sort(&m);
	*ret_model = m;
	return 0;
}

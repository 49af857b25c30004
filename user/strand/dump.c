/* SPDX-License-Identifier: MIT */
/*
 * All tasks with their stacks, as text.
 *
 * D1. Nothing is stopped: a task may run while it is described. What is read of it is
 *     copied first; if its generation or state has changed by then its stack is not shown.
 * D2. The pool's lock is held while a task is copied, so that no stack is unmapped. It is
 *     tried and not taken, as a signal handler may have interrupted its holder; and it is not
 *     held while anything is written.
 * D3. Without STRAND_DUMP_SYMBOLS nothing here allocates, locks or uses stdio.
 */
#include <dlfcn.h>
#include <errno.h>
#include <strand.h>
#include <string.h>

#include "strand/backtrace.h"
#include "strand/line.h"
#include "strand/load.h"
#include "strand/runtime.h"
#include "strand/sched.h"

/* Tries of the pool's lock, whose holders hold it for microseconds. */
#define LOCK_TRIES 1000000

#define FRAMES_MAX 64

struct dump {
	struct runtime *rt;
	int fd;
	unsigned flags;
	strand_time now;
	const struct task *self; /* who dumps, NULL: a plain thread */
	struct frame where;      /* its frame */
};

struct picture { /* of one task */
	uint64_t id, parent, generation;
	uint32_t state;
	enum strand_wait_reason reason;
	strand_time since, deadline;
	uintptr_t object, created_pc;
	const struct worker *worker;
	size_t stack_size, stack_used;
	char name[STRAND_NAME_MAX];
	uintptr_t pcs[FRAMES_MAX];
	size_t pc_count;
};

/* ---- taking it ---------------------------------------------------------------------- */

static const char *reason_text(enum strand_wait_reason reason)
{
	switch (reason) {
#define STRAND_X(name, number, text) \
	case STRAND_WAIT_##name:     \
		return text;
		STRAND_WAIT_REASONS(STRAND_X)
#undef STRAND_X
	default:
		return "unknown";
	}
}

static void copy_task(const struct dump *d, const struct task *task, struct picture *ret_picture)
{
	*ret_picture = (struct picture){
		.id = task->id,
		.parent = task->parent,
		.generation = atomic_load(&task->generation),
		.state = atomic_load(&task->state),
		.reason = (enum strand_wait_reason)task->reason,
		.since = task->since,
		.deadline = task->deadline,
		.object = task->object,
		.created_pc = task->created_pc,
		.worker = atomic_load(&task->worker),
		.stack_size = task->stack.size,
		.stack_used = stack_used(&task->stack),
	};
	memcpy(ret_picture->name, task->name, sizeof(ret_picture->name));

	struct frame frame = task == d->self ? d->where : backtrace_resume_frame(task);

	ret_picture->pc_count = backtrace_from(task, &frame, ret_picture->pcs, FRAMES_MAX);
	if (atomic_load(&task->generation) != ret_picture->generation ||
	    atomic_load(&task->state) != ret_picture->state)
		ret_picture->pc_count = 0; /* D1 */
}

/* Returns 1, 0 if there is no such task any more, or -EBUSY. */
static int take_picture(const struct dump *d, const struct task *task, struct picture *ret_picture)
{
	struct lock *lock = &d->rt->tasks.lock;
	int r = 0;

	for (unsigned tries = 0; !lock_try(lock); tries++) {
		if (tries == LOCK_TRIES)
			return -EBUSY;
		cpu_relax();
	}
	uint32_t state = atomic_load(&task->state);

	if (state != TASK_FREE && state != TASK_MAKING) {
		copy_task(d, task, ret_picture);
		r = 1;
	}
	lock_release(lock);
	return r;
}

/* ---- writing it ---------------------------------------------------------------------- */

static void add_running(struct line *line, const struct dump *d, const struct picture *p)
{
	for (unsigned i = 0; i < d->rt->worker_count; i++) {
		struct worker *w = d->rt->workers[i];
		strand_time ns = w == p->worker ? load_running_ns(w, d->now) : 0;

		if (ns >= STRAND_MILLISECOND) {
			line_add(line, ", never yielded for ");
			line_add_seconds(line, ns);
		}
	}
}

static void add_state(struct line *line, const struct dump *d, const struct picture *p)
{
	switch (p->state) {
	case TASK_PARKED:
		line_add(line, reason_text(p->reason));
		line_add(line, ", ");
		line_add_seconds(line, p->since ? d->now - p->since : 0);
		if (p->deadline != STRAND_FOREVER)
			line_add(line, ", has a deadline");
		break;
	case TASK_RUNNING:
		line_add(line, "running");
		add_running(line, d, p);
		break;
	case TASK_NEW:
		line_add(line, "new");
		break;
	default:
		line_add(line, "ready");
	}
}

static int write_task(const struct dump *d, const struct picture *p)
{
	struct line line = {.length = 0};

	line_add(&line, "task ");
	line_add_number(&line, p->id);
	line_add(&line, " ");
	line_add_quoted(&line, p->name, sizeof(p->name));
	line_add(&line, " [");
	add_state(&line, d, p);
	line_add(&line, "]: ");
	if (p->state == TASK_PARKED && p->object) {
		line_add(&line, "object ");
		line_add_hex(&line, p->object);
		line_add(&line, ", ");
	}
	if (p->worker) {
		line_add(&line, "worker ");
		line_add_number(&line, p->worker->index);
		line_add(&line, ", ");
	}
	line_add(&line, "stack ");
	line_add_kib(&line, p->stack_used);
	line_add(&line, " of ");
	line_add_kib(&line, p->stack_size);
	line_add(&line, "\n");
	return line_write(&line, d->fd);
}

/* Ends the line with a return address, and writes it. */
static int write_pc(const struct dump *d, struct line *line, uintptr_t pc)
{
	Dl_info info;

	line_add_hex(line, pc);
	/* A return address may be the first byte of the next function. */
	if ((d->flags & STRAND_DUMP_SYMBOLS) && dladdr((void *)(pc - 1), &info)) {
		line_add(line, " ");
		if (info.dli_sname) {
			line_add(line, info.dli_sname);
			line_add(line, "+");
			line_add_hex(line, pc - (uintptr_t)info.dli_saddr);
			line_add(line, " ");
		}
		line_add(line, "(");
		line_add(line, info.dli_fname);
		line_add(line, "+");
		line_add_hex(line, pc - (uintptr_t)info.dli_fbase);
		line_add(line, ")");
	}
	line_add(line, "\n");
	return line_write(line, d->fd);
}

static int write_picture(const struct dump *d, const struct picture *p)
{
	struct line line = {.length = 0};
	int r = write_task(d, p);

	for (size_t i = 0; r == 0 && i < p->pc_count; i++) {
		line_add(&line, "\t");
		r = write_pc(d, &line, p->pcs[i]);
	}
	if (r == 0 && p->created_pc) {
		line_add(&line, p->parent ? "\tcreated by task " : "\tcreated by a thread");
		if (p->parent)
			line_add_number(&line, p->parent);
		line_add(&line, " at ");
		r = write_pc(d, &line, p->created_pc);
	}
	line_add(&line, "\n");
	return r < 0 ? r : line_write(&line, d->fd);
}

static int write_all(const struct dump *d)
{
	const struct task_slab *slab = __atomic_load_n(&d->rt->tasks.slabs, __ATOMIC_ACQUIRE);
	struct picture picture;
	int r = 0;

	for (; r >= 0 && slab; slab = slab->next) {
		for (size_t i = 0; r >= 0 && i < slab->count; i++) {
			r = take_picture(d, &slab->tasks[i], &picture);
			if (r > 0)
				r = write_picture(d, &picture);
		}
	}
	return r < 0 ? r : 0;
}

int strand_dump(int fd, unsigned flags)
{
	struct dump d = {
		.rt = runtime_get(),
		.fd = fd,
		.flags = flags,
		.now = strand_now(),
		.self = sched_current_task(),
		.where = CALLER_FRAME(),
	};

	if (flags & ~STRAND_DUMP_SYMBOLS)
		return -EINVAL;
	return d.rt ? write_all(&d) : -ENXIO;
}

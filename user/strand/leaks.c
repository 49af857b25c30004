/* SPDX-License-Identifier: MIT */
/*
 * What the leak search is told of the runtime.
 *
 * L1. All memory of the runtime is masked; of it only live stack areas, arguments of tasks
 *     that have not started, and buffers of channels are scanned, each as a part of its node.
 * L2. A task is a candidate only if it is PARKED for one of the reasons below without a
 *     deadline. In every other state, and for reasons that are not listed, it is live.
 * L3. An object whose lock is held is in motion and live: between a waker's unlinking
 *     of a waiter and setting its task READY, the lock is held (task.h). Who waits in a bucket
 *     of the parking lot whose lock is held is no candidate. The rest: leaks_locks.c.
 * L4. freeze() holds the locks of the runtime's tables, so no list is half changed.
 */
#include "strand/leaks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "leakgc/leakgc.h"
#include "leakgc/snapshot.h"
#include "strand/chan.h"
#include "strand/declared.h"
#include "strand/handle.h"
#include "strand/leak_sites.h"
#include "strand/leaks_live.h"
#include "strand/leaks_locks.h"
#include "strand/leaks_world.h"
#include "strand/parking.h"
#include "strand/probes.h"
#include "strand/runtime.h"
#include "strand/sched.h"

/* Tries of a lock before the search gives up; its holders hold it for microseconds. */
#define FREEZE_TRIES 100000

/* One search. */
struct scan {
	struct runtime *rt;
	struct task_index index;
	struct live_cursor cursor;
};

/* For tests and for measuring; else the search chooses. */
static enum leakgc_method wanted_method(void)
{
	const char *text = getenv("STRAND_SEARCH");

	if (text && !strcmp(text, "clone"))
		return LEAKGC_METHOD_CLONE;
	if (text && !strcmp(text, "tracking"))
		return LEAKGC_METHOD_TRACKING;
	return LEAKGC_METHOD_BEST;
}

int leaks_init(struct control *c)
{
	static int signal; /* a handler is a process's, not a runtime's; callers hold `starting` */
	int r = signal ? 0 : leakgc_stop_init(&signal);

	leakgc_heap_init();
	c->stop_signal = signal;
	c->search_method = wanted_method();
	return r;
}

void leaks_limits(const struct runtime *rt, struct leakgc_limits *ret_limits)
{
	leakgc_limits_default(ret_limits);
	ret_limits->method = rt->control.search_method;
}

/* ---- freezing ------------------------------------------------------------------- */

#define FROZEN_LOCKS 7

/* Memory's last: the others are held while memory is mapped. */
static void frozen_locks(struct runtime *rt, struct lock *ret_locks[FROZEN_LOCKS])
{
	ret_locks[0] = &rt->tasks.lock;
	ret_locks[1] = &rt->stacks.lock;
	ret_locks[2] = &rt->objects->lock;
	ret_locks[3] = &rt->objects->memory.lock;
	ret_locks[4] = &lot_get()->memory.lock;
	ret_locks[5] = &rt->memory.lock;
	ret_locks[6] = declared_lock();
}

static void thaw(void *context)
{
	struct lock *locks[FROZEN_LOCKS];

	frozen_locks(((struct scan *)context)->rt, locks);
	for (int i = FROZEN_LOCKS; i-- > 0;)
		lock_release(locks[i]);
}

static int freeze(void *context)
{
	struct lock *locks[FROZEN_LOCKS];

	frozen_locks(((struct scan *)context)->rt, locks);
	for (int i = 0; i < FROZEN_LOCKS; i++) {
		unsigned tries = 0;

		while (!lock_try(locks[i])) {
			if (++tries < FREEZE_TRIES) {
				cpu_relax();
				continue;
			}
			while (i-- > 0)
				lock_release(locks[i]);
			return -EBUSY;
		}
	}
	return 0;
}

/* ---- the world -------------------------------------------------------------------- */

struct leakgc_object leaks_object(const struct object *o)
{
	const struct strand_chan *chan = (const struct strand_chan *)o;
	struct leakgc_object object = {
		.cookie = o,
		.lo = (uintptr_t)o,
		/* Objects are opaque: no pointer to one's end exists, and the end is the next. */
		.hi = (uintptr_t)o + o->chunk->slot_size - 1,
		.live = object_lock_is_held(&o->lock),
	};

	if (o->kind == OBJECT_CHAN) {
		object.content_lo = (uintptr_t)chan->buffer;
		object.content_hi = object.content_lo + chan->capacity * chan->element_size;
	}
	return object;
}

int leaks_describe_object(struct leakgc_world *world, struct object *o)
{
	struct leakgc_object object = leaks_object(o);

	return leakgc_world_add_object(world, &object, &o->chunk->nodes[object_index(o)]);
}

static int describe_objects(struct leakgc_world *world, const struct object_pool *pool)
{
	for (struct object_chunk *chunk = pool->chunks; chunk; chunk = chunk->next) {
		for (size_t i = 0; i < chunk->slots; i++) {
			struct object *o = object_slot(chunk, i);
			int r = o->kind == OBJECT_FREE ? 0 : leaks_describe_object(world, o);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static bool waits_only_for_others(const struct task *task)
{
	switch ((enum strand_wait_reason)task->reason) {
	case STRAND_WAIT_CHAN_RECEIVE_NIL:
	case STRAND_WAIT_CHAN_SEND_NIL:
	case STRAND_WAIT_CHAN_RECEIVE:
	case STRAND_WAIT_CHAN_SEND:
	case STRAND_WAIT_SELECT:
	case STRAND_WAIT_SELECT_NO_CASES:
	case STRAND_WAIT_JOIN:
	case STRAND_WAIT_SCOPE_WAIT:
		return task->deadline == STRAND_FOREVER;
	default:
		return leaks_waits_in_lot(task) && task->deadline == STRAND_FOREVER &&
		       !leaks_lot_is_in_motion(task);
	}
}

bool leaks_waits_on_nothing(enum strand_wait_reason reason, const struct strand_task *handle)
{
	switch (reason) {
	case STRAND_WAIT_CHAN_RECEIVE_NIL:
	case STRAND_WAIT_CHAN_SEND_NIL:
	case STRAND_WAIT_SELECT_NO_CASES:
		return !handle;
	default:
		return false;
	}
}

static bool is_candidate(const struct task *task, const struct leakgc_limits *limits,
			 strand_time now)
{
	if (task->state != TASK_PARKED || !waits_only_for_others(task))
		return false;
	if (task->cancelled) /* its worker may just not have got round to waking it */
		return false;
	if (!limits->min_age_ns)
		return true;
	return task->since && (uint64_t)(now - task->since) >= limits->min_age_ns;
}

uintptr_t leaks_live_stack_lo(const struct task *task, const struct leakgc_thread *threads,
			      size_t thread_count)
{
	uintptr_t base = (uintptr_t)task->stack.base, top = (uintptr_t)stack_top(&task->stack);

	if (task->state == TASK_MAKING)
		return top - STACK_TOP_UNUSED;
	if (task->state == TASK_PARKED || task->state == TASK_READY || task->state == TASK_NEW)
		return (uintptr_t)task->sp;
	for (size_t i = 0; task->state == TASK_RUNNING && i < thread_count; i++) {
		if (threads[i].sp_low >= base && threads[i].sp_low < top)
			return threads[i].sp_low;
	}
	return base;
}

static int describe_task(struct leakgc_world *world, struct task *task,
			 const struct leakgc_thread *threads, size_t thread_count, strand_time now)
{
	struct leakgc_task t = {
		.id = task->id,
		.generation = task->generation,
		.object_name = task->object,
		.stack_lo = leaks_live_stack_lo(task, threads, thread_count),
		.stack_hi = (uintptr_t)stack_top(&task->stack) - STACK_TOP_UNUSED,
		.stack_base = (uintptr_t)task->stack.base,
		.data_lo = (uintptr_t)&task->arg,
		.data_hi = (uintptr_t)(task->locals + STRAND_LOCALS_MAX),
		.candidate = is_candidate(task, leakgc_world_limits(world), now),
		.deadline = task->state == TASK_PARKED && task->deadline != STRAND_FOREVER,
		.unwakeable = leaks_waits_on_nothing(task->reason, task->handle),
	};

	return leakgc_world_add_task(world, &t, &task->leak->node);
}

static int waits_on(struct leakgc_world *world, const struct task *task, const struct object *o)
{
	return leakgc_world_add_wait(world, task->leak->node, o->chunk->nodes[object_index(o)]);
}

static int describe_select(struct leakgc_world *world, const struct task *task)
{
	const struct sleeper *sleeper = task->sleeper;
	int r = 0;

	for (size_t i = 0; r == 0 && i < sleeper->case_count; i++) {
		const struct strand_case *c = &sleeper->cases[i];

		if (c->chan && c->op != STRAND_CASE_NONE)
			r = waits_on(world, task, &c->chan->object);
	}
	return r;
}

/* The last of a scope's tasks to end wakes who waits for it: so each of them may. */
static int describe_scope_wait(struct leakgc_world *world, const struct task *task,
			       const struct strand_scope *scope)
{
	int r = waits_on(world, task, &scope->object);

	for (const struct list *l = scope->handles.next; r == 0 && l != &scope->handles;
	     l = l->next) {
		const struct strand_task *handle = list_entry(l, struct strand_task, in_scope);

		if (handle->task)
			r = leakgc_world_add_owner_wait(world, task->leak->node,
							handle->task->leak->node);
	}
	return r;
}

static int describe_join(struct leakgc_world *world, const struct task *task,
			 const struct strand_task *handle)
{
	int r = waits_on(world, task, &handle->object);

	if (r == 0 && handle->task)
		r = leakgc_world_add_owner_wait(world, task->leak->node, handle->task->leak->node);
	return r;
}

/* What can wake it: what it waits on, and who holds its handle or its scope. */
static int describe_wait(struct leakgc_world *world, const struct task *task, bool is_candidate)
{
	int r = 0;

	if (task->handle)
		r = waits_on(world, task, &task->handle->object);
	if (r == 0 && task->handle && task->handle->scope)
		r = waits_on(world, task, &task->handle->scope->object);
	if (r < 0 || !is_candidate)
		return r;
	switch ((enum strand_wait_reason)task->reason) {
	case STRAND_WAIT_CHAN_RECEIVE:
	case STRAND_WAIT_CHAN_SEND:
		return waits_on(world, task, (const struct object *)task->object);
	case STRAND_WAIT_SELECT:
		return describe_select(world, task);
	case STRAND_WAIT_JOIN:
		return describe_join(world, task, (const struct strand_task *)task->object);
	case STRAND_WAIT_SCOPE_WAIT:
		return describe_scope_wait(world, task, (const struct strand_scope *)task->object);
	default:
		return 0;
	}
}

static int describe_tasks(struct leakgc_world *world, const struct runtime *rt,
			  struct task_index *index, const struct leakgc_thread *threads,
			  size_t thread_count)
{
	strand_time now = strand_now();

	for (struct task_slab *slab = rt->tasks.slabs; slab; slab = slab->next) {
		for (size_t i = 0; i < slab->count; i++) {
			struct task *task = &slab->tasks[i];
			int r;

			if (task->state == TASK_FREE)
				continue;
			r = describe_task(world, task, threads, thread_count, now);
			if (r < 0)
				return r;
			task_index_add(index, task);
		}
	}
	for (struct task_slab *slab = rt->tasks.slabs; slab; slab = slab->next) {
		for (size_t i = 0; i < slab->count; i++) {
			struct task *task = &slab->tasks[i];
			int r = 0;

			if (task->state == TASK_PARKED)
				r = describe_wait(world, task,
						  is_candidate(task, leakgc_world_limits(world),
							       now));
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int each_of(struct leakgc_world *world, const struct memory *m, leaks_region_fn *fn)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->count; i++)
		r = fn(world, m->regions[i].lo, m->regions[i].hi);
	return r;
}

int leaks_each_region(struct leakgc_world *world, const struct runtime *rt, leaks_region_fn *fn)
{
	struct lot *lot = lot_get();
	int r = each_of(world, &rt->memory, fn);

	if (r == 0)
		r = each_of(world, &rt->objects->memory, fn);
	if (r == 0)
		r = each_of(world, &lot->memory, fn);
	return r < 0 ? r : fn(world, (uintptr_t)lot, (uintptr_t)(lot + 1));
}

static int describe(void *context, struct leakgc_world *world, const struct leakgc_thread *threads,
		    size_t thread_count)
{
	struct scan *scan = context;
	struct runtime *rt = scan->rt;
	int r = leaks_each_region(world, rt, leakgc_world_mask);

	if (r == 0)
		r = declared_describe(world);
	if (r == 0)
		r = describe_objects(world, rt->objects);
	if (r == 0)
		r = describe_tasks(world, rt, &scan->index, threads, thread_count);
	return r < 0 ? r : leaks_describe_lot(world, rt, &scan->index);
}

static int describe_live(void *context, struct leakgc_world *world)
{
	struct scan *scan = context;

	return leaks_describe_live(world, scan->rt, &scan->cursor);
}

static int describe_changes(void *context, struct leakgc_world *world,
			    const struct leakgc_thread *threads, size_t thread_count,
			    const struct leakgc_page_run *written, size_t written_count)
{
	const struct scan *scan = context;

	return leaks_describe_changes(world, scan->rt, threads, thread_count, written,
				      written_count);
}

/* ---- the report ------------------------------------------------------------------- */

static void fill_report(void *bytes, uint64_t size, uint64_t request,
			const struct leakgc_result *result)
{
	struct strand_report_header *h = bytes;
	struct strand_report_task *tasks = (struct strand_report_task *)(h + 1);
	struct strand_report_link *links =
		(struct strand_report_link *)(tasks + result->verdict_count);

	*h = (struct strand_report_header){
		.magic = STRAND_REPORT_MAGIC,
		.abi_major = STRAND_ABI_MAJOR,
		.abi_minor = STRAND_ABI_MINOR,
		.header_size = sizeof(*h),
		.section_count = 2,
		.total_size = size,
		.request = request,
		.status = result->status,
		.cause = result->cause,
		.cause_detail = result->cause_detail,
		.started_ns = (uint64_t)result->started_ns,
		.stopped_ns = (uint64_t)result->stopped_ns,
		.stop_ns = (uint64_t)result->stop_ns,
		.pause_ns = (uint64_t)result->pause_ns,
		.total_ns = (uint64_t)result->total_ns,
		.scanned_bytes = result->scanned_bytes,
		.candidates = result->candidates,
		.leaked = result->leaked,
		.retained_stacks = result->retained_stacks,
		.retained_objects = result->retained_objects,
		.retained_blocks = result->retained_blocks,
	};
	h->section[0] = (struct strand_report_section){
		.type = STRAND_SECTION_TASKS,
		.record_size = sizeof(*tasks),
		.offset = sizeof(*h),
		.count = result->verdict_count,
	};
	h->section[1] = (struct strand_report_section){
		.type = STRAND_SECTION_LINKS,
		.record_size = sizeof(*links),
		.offset = (uint64_t)((char *)links - (char *)bytes),
		.count = result->link_count,
	};
	for (size_t i = 0; i < result->verdict_count; i++) {
		const struct leakgc_verdict *v = &result->verdicts[i];

		tasks[i] = (struct strand_report_task){
			.task = v->task,
			.generation = v->generation,
			.object = v->object_name,
			.verdict = v->verdict,
			.root_kind = v->root_kind,
			.root = v->root,
			.why = v->why,
			.link_count = v->link_count,
			.link_first = v->link_first,
			.retained = v->retained,
		};
	}
	if (result->link_count)
		memcpy(links, result->links, result->link_count * sizeof(*links));
}

/* A sealed memfd with the report, or -errno. */
static int make_report(uint64_t request, const struct leakgc_result *result, uint64_t *ret_size)
{
	uint64_t size = sizeof(struct strand_report_header) +
			result->verdict_count * sizeof(struct strand_report_task) +
			result->link_count * sizeof(struct strand_report_link);
	int fd = memfd_create("strand-report", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0)
		r = -errno;

	void *bytes =
		r < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (bytes != MAP_FAILED) {
		fill_report(bytes, size, request, result);
		munmap(bytes, size);
		if (fcntl(fd, F_ADD_SEALS,
			  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
			r = -errno;
	} else if (r == 0) {
		r = -errno;
	}
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_size = size;
	return fd;
}

static void fire_scan_done(uint64_t request, enum strand_search_status status,
			   enum strand_search_cause cause, int fd, uint64_t size)
{
	struct strand_rec_scan_done record = {
		.h = PROBE_HEADER(STRAND_PROBE_SCAN_DONE, record),
		.request = request,
		.report_fd = fd,
		.status = status,
		.cause = cause,
		.report_size = size,
	};

	if (probes_observed())
		strand_probe_scan_done(&record);
}

void leaks_refuse(uint64_t request, enum strand_search_cause cause)
{
	fire_scan_done(request, STRAND_SEARCH_REFUSED, cause, -1, 0);
}

/* A poller that is opened later counts as the program's: its data words point nowhere. */
static size_t list_own_fds(const struct runtime *rt, int ret_fds[3 + 2 * WORKERS_MAX])
{
	size_t count = 0;

	ret_fds[count++] = rt->control.read_fd;
	ret_fds[count++] = rt->control.write_fd;
	ret_fds[count++] = rt->control.report_fd;
	for (unsigned i = 0; i < rt->worker_count; i++) {
		ret_fds[count++] = rt->workers[i]->poller.epoll_fd;
		ret_fds[count++] = rt->workers[i]->poller.event_fd;
	}
	return count;
}

void leaks_search(struct runtime *rt, const struct leakgc_limits *limits,
		  struct leakgc_result *ret_result)
{
	struct scan scan = {.rt = rt, .index = task_index_new(rt)};
	struct control *c = &rt->control;
	int own_fds[3 + 2 * WORKERS_MAX];
	struct leakgc_runtime runtime = {
		.context = &scan,
		.freeze = freeze,
		.thaw = thaw,
		.describe = describe,
		.describe_live = describe_live,
		.describe_changes = describe_changes,
		.own_fds = own_fds,
		.own_fd_count = list_own_fds(rt, own_fds),
		.stop_signal = c->stop_signal,
	};

	c->cancel = 0;
	leakgc_search_without(&runtime, limits, &c->cancel, c->without, false, ret_result);
	leak_sites_note(rt, ret_result);
	task_index_free(rt, &scan.index);
	__atomic_fetch_add(&strand_descriptor.searches, 1, __ATOMIC_RELAXED);
}

void leaks_scan(struct runtime *rt, const struct strand_command *command)
{
	struct control *c = &rt->control;
	struct leakgc_limits limits;
	struct leakgc_result result;
	uint64_t size = 0;

	leaks_limits(rt, &limits);
	limits.min_age_ns = command->min_age_ns;
	if (command->time_budget_ns && command->time_budget_ns < (uint64_t)limits.time_ns)
		limits.time_ns = (int64_t)command->time_budget_ns;
	if (command->pause_budget_ns && command->pause_budget_ns < (uint64_t)limits.pause_ns)
		limits.pause_ns = (int64_t)command->pause_budget_ns;
	leaks_search(rt, &limits, &result);
	if (c->report_fd >= 0)
		close(c->report_fd);
	c->report_fd = make_report(command->request, &result, &size);
	fire_scan_done(command->request, result.status, result.cause, c->report_fd, size);
	leakgc_result_done(&result);
}

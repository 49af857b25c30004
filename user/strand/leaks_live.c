/* SPDX-License-Identifier: MIT */
/*
 * What the leak search is told of a runtime whose tasks run on meanwhile.
 *
 * The world is described a slice at a time, with the runtime's tables frozen but no thread
 * stopped; when the world stands still at last, what is still open is compared with what was told.
 *
 * V1. While the tables are frozen nothing is unmapped that they name, and no object is handed
 *     out again: objects keep their types, and every pointer that was true in the slice can be
 *     followed.
 * V2. What is told of a parked task was read between two looks that found it in the same park
 *     (look(), is_same()). It is true as long as the task is in that park: its stack, its wait
 *     and its handle do not change before it is woken, and a new park has a new generation.
 * V3. No lock of an object is taken: that would end the solo of the worker (object_lock.h), and
 *     slow the program for good. So who waits in the lot (leaks_locks.c) is live here.
 * V4. The user's memory (the cases of a select) may be unmapped once the task runs: it is copied.
 * V5. Whoever has changed since tracking began has written to its page: its state, its kind, its
 *     place in a table. What the search writes for itself lies elsewhere (struct task_leak).
 */
#include "strand/leaks_live.h"

#include <errno.h>

#include "leakgc/memory.h"
#include "strand/chan.h"
#include "strand/handle.h"
#include "strand/leaks_world.h"
#include "strand/sched.h"

/* A task's parked state, as it was at one moment. */
struct look {
	const struct task *task;
	uint64_t generation;
	uintptr_t stack_lo;
	enum strand_wait_reason reason;
	uintptr_t object;
	strand_time deadline, since;
	struct strand_task *handle;
	bool cancelled;
	size_t case_count;
	struct strand_case cases[STRAND_SELECT_MAX];
};

/* ---- looking ----------------------------------------------------------------------- */

static bool is_same(const struct look *l)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&l->task->state, memory_order_relaxed) == TASK_PARKED &&
	       atomic_load_explicit(&l->task->generation, memory_order_relaxed) == l->generation;
}

/* V4. Returns false if it was woken meanwhile, or its cases cannot be read. */
static bool look_at_cases(struct leakgc_world *world, struct look *l)
{
	const struct sleeper *sleeper = l->task->sleeper;
	const struct strand_case *cases;

	if (!is_same(l) || !sleeper)
		return false;
	cases = sleeper->cases;
	l->case_count = sleeper->case_count;
	return is_same(l) && l->case_count <= STRAND_SELECT_MAX &&
	       leakgc_world_read(world, cases, l->cases, l->case_count * sizeof(*cases)) == 0 &&
	       is_same(l);
}

/* V2. Returns false if it is not parked, or not long enough to tell. */
static bool look(struct leakgc_world *world, const struct task *task, struct look *l)
{
	l->task = task;
	l->generation = atomic_load_explicit(&task->generation, memory_order_acquire);
	if (atomic_load_explicit(&task->state, memory_order_acquire) != TASK_PARKED)
		return false;
	l->stack_lo = (uintptr_t)task->sp;
	l->reason = task->reason;
	l->object = task->object;
	l->deadline = task->deadline;
	l->since = task->since;
	l->handle = task->handle;
	l->cancelled = atomic_load(&task->cancelled);
	l->case_count = 0;
	if (!is_same(l))
		return false;
	return l->reason != STRAND_WAIT_SELECT || look_at_cases(world, l);
}

static bool is_candidate(const struct look *l, const struct leakgc_limits *limits, strand_time now)
{
	switch (l->reason) {
	case STRAND_WAIT_CHAN_RECEIVE_NIL:
	case STRAND_WAIT_CHAN_SEND_NIL:
	case STRAND_WAIT_CHAN_RECEIVE:
	case STRAND_WAIT_CHAN_SEND:
	case STRAND_WAIT_SELECT:
	case STRAND_WAIT_SELECT_NO_CASES:
	case STRAND_WAIT_JOIN:
	case STRAND_WAIT_SCOPE_WAIT:
		break;
	default:
		return false; /* V3 */
	}
	if (l->deadline != STRAND_FOREVER || l->cancelled)
		return false;
	return !limits->min_age_ns ||
	       (l->since && (uint64_t)(now - l->since) >= limits->min_age_ns);
}

/* ---- waits -------------------------------------------------------------------------- */

/* Returns 0, -ENOMEM, or -ESRCH: the object is newer than the description. */
static int waits_on(struct leakgc_world *world, const struct task *task, const struct object *o)
{
	leakgc_node node = o->chunk->nodes[object_index(o)];

	if (!leakgc_world_is_node(world, node, o))
		return -ESRCH;
	return leakgc_world_add_wait(world, task->leak->node, node);
}

static int waits_for(struct leakgc_world *world, const struct task *task, const struct task *owner)
{
	if (!owner)
		return 0;
	if (!leakgc_world_is_node(world, owner->leak->node, owner) ||
	    !leakgc_world_is_park(world, owner->leak->node, owner->id, owner->generation))
		return -ESRCH;
	return leakgc_world_add_owner_wait(world, task->leak->node, owner->leak->node);
}

static int describe_select(struct leakgc_world *world, const struct look *l)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->case_count; i++) {
		const struct strand_case *c = &l->cases[i];

		if (c->chan && c->op != STRAND_CASE_NONE)
			r = waits_on(world, l->task, &c->chan->object);
	}
	return r;
}

/* All tasks of the scope, where nobody can change its list. */
static int describe_scope(struct leakgc_world *world, const struct look *l)
{
	const struct strand_scope *scope = (const struct strand_scope *)l->object;
	int r = 0;

	for (const struct list *i = scope->handles.next; r == 0 && i != &scope->handles;
	     i = i->next)
		r = waits_for(world, l->task, list_entry(i, struct strand_task, in_scope)->task);
	return r;
}

/* What can wake it: what it waits on, and who holds its handle or its scope. */
static int describe_wait(struct leakgc_world *world, const struct look *l, bool stopped)
{
	const struct strand_task *joined = (const struct strand_task *)l->object;
	int r = 0;

	if (l->handle)
		r = waits_on(world, l->task, &l->handle->object);
	if (r == 0 && l->handle && l->handle->scope)
		r = waits_on(world, l->task, &l->handle->scope->object);
	if (r < 0)
		return r;
	switch (l->reason) {
	case STRAND_WAIT_CHAN_RECEIVE:
	case STRAND_WAIT_CHAN_SEND:
		return waits_on(world, l->task, (const struct object *)l->object);
	case STRAND_WAIT_SELECT:
		return describe_select(world, l);
	case STRAND_WAIT_JOIN:
	case STRAND_WAIT_SCOPE_WAIT:
		r = waits_on(world, l->task, (const struct object *)l->object);
		break;
	default:
		return 0;
	}
	if (r < 0 || !stopped) /* whom else it waits for is told when it stands still */
		return r;
	return l->reason == STRAND_WAIT_JOIN ? waits_for(world, l->task, joined->task)
					     : describe_scope(world, l);
}

/* ---- the description ------------------------------------------------------------------- */

/* Its saved stack pointer, if it has one that is true until its structure is written to. */
static uintptr_t saved_sp(const struct task *task)
{
	uint32_t state = atomic_load_explicit(&task->state, memory_order_acquire);
	uint64_t generation = atomic_load_explicit(&task->generation, memory_order_acquire);
	uintptr_t sp = (uintptr_t)task->sp;

	atomic_thread_fence(memory_order_acquire);
	if ((state == TASK_PARKED || state == TASK_READY || state == TASK_NEW) &&
	    atomic_load_explicit(&task->state, memory_order_relaxed) == state &&
	    atomic_load_explicit(&task->generation, memory_order_relaxed) == generation)
		return sp;
	return (uintptr_t)task->stack.base;
}

static int describe_task(struct leakgc_world *world, struct task *task, strand_time now)
{
	struct look l;
	bool candidate = look(world, task, &l) && is_candidate(&l, leakgc_world_limits(world), now);
	struct leakgc_task t = {
		.cookie = task,
		.id = task->id,
		.generation = l.generation,
		.object_name = task->object,
		.stack_lo = candidate ? l.stack_lo : saved_sp(task),
		.stack_hi = (uintptr_t)stack_top(&task->stack) - STACK_TOP_UNUSED,
		.data_lo = (uintptr_t)&task->arg,
		.data_hi = (uintptr_t)(task->locals + STRAND_LOCALS_MAX),
		.candidate = candidate,
		.deadline = !candidate && task->deadline != STRAND_FOREVER,
		.unwakeable = candidate && leaks_waits_on_nothing(l.reason, l.handle),
	};

	return leakgc_world_add_task(world, &t, &task->leak->node);
}

/* A task that was woken since it was described is found out in the end. */
static int describe_task_wait(struct leakgc_world *world, struct task *task)
{
	leakgc_node node = task->leak->node;
	struct look l;
	int r;

	if (!leakgc_world_is_node(world, node, task) || !leakgc_world_is_open(world, node) ||
	    !look(world, task, &l) || !leakgc_world_is_park(world, node, task->id, l.generation))
		return 0;
	r = describe_wait(world, &l, false);
	return r == -ESRCH ? 0 : r;
}

static int describe_slab(struct leakgc_world *world, struct live_cursor *cursor, strand_time now)
{
	struct task_slab *slab = cursor->slab;
	int r = 0;

	for (size_t i = 0; r == 0 && i < slab->count; i++) {
		struct task *task = &slab->tasks[i];

		if (atomic_load_explicit(&task->state, memory_order_acquire) == TASK_FREE)
			continue;
		r = cursor->phase == LIVE_TASKS ? describe_task(world, task, now)
						: describe_task_wait(world, task);
	}
	cursor->slab = slab->next;
	return r;
}

static int describe_chunk(struct leakgc_world *world, struct object_pool *pool)
{
	struct object_chunk *chunk = pool->leak_next;
	int r = 0;

	for (size_t i = 0; r == 0 && i < chunk->slots; i++) {
		struct object *o = object_slot(chunk, i);

		if (atomic_load_explicit(&o->kind, memory_order_acquire) != OBJECT_FREE)
			r = leaks_describe_object(world, o);
	}
	pool->leak_next = chunk->next;
	return r;
}

/* One step: a chunk or a slab. Returns 1, 0 at the end, or -errno. */
static int step(struct leakgc_world *world, struct runtime *rt, struct live_cursor *cursor,
		strand_time now)
{
	bool objects = cursor->phase == LIVE_OBJECTS;
	int r = 0;

	if (cursor->phase == LIVE_MASKS)
		r = leaks_each_region(world, rt, leakgc_world_mask);
	else if (objects ? rt->objects->leak_next != NULL : cursor->slab != NULL)
		return objects ? describe_chunk(world, rt->objects) ?: 1
			       : describe_slab(world, cursor, now) ?: 1;
	if (r < 0 || cursor->phase == LIVE_WAITS)
		return r;
	cursor->phase++;
	rt->objects->leak_next = cursor->phase == LIVE_OBJECTS ? rt->objects->chunks : NULL;
	cursor->slab = rt->tasks.slabs;
	return 1;
}

int leaks_describe_live(struct leakgc_world *world, struct runtime *rt, struct live_cursor *cursor)
{
	strand_time began = strand_now(), now = began;
	int r;

	do {
		r = step(world, rt, cursor, now);
		now = strand_now();
	} while (r > 0 && now - began < LEAKGC_SLICE_NS);
	return r;
}

/* ---- changes ------------------------------------------------------------------------------ */

struct changes {
	struct leakgc_world *world;
	const struct leakgc_thread *threads;
	size_t thread_count;
	const struct leakgc_page_run *written;
	size_t written_count;
};

/* Returns 0, -ESRCH if the task is not as it was described, or -ENOMEM. */
static int check_task(struct leakgc_world *world, leakgc_node node, const struct task *task)
{
	struct look l;

	if (!look(world, task, &l) || !leakgc_world_is_park(world, node, task->id, l.generation) ||
	    !is_candidate(&l, leakgc_world_limits(world), strand_now()))
		return -ESRCH;
	if (l.reason == STRAND_WAIT_SCOPE_WAIT &&
	    object_lock_is_held(&((const struct strand_scope *)l.object)->object.lock))
		return -ESRCH;
	return describe_wait(world, &l, true);
}

static int check_object(struct leakgc_world *world, leakgc_node node, const struct object *o)
{
	struct leakgc_object before = leakgc_world_object_of(world, node), now;

	if (!leakgc_world_is_kept(world, (uintptr_t)o) || o->kind == OBJECT_FREE)
		return -ESRCH;
	now = leaks_object(o);
	return now.live || now.content_lo != before.content_lo ||
			       now.content_hi != before.content_hi
		       ? -ESRCH
		       : 0;
}

static int check_open(struct leakgc_world *world)
{
	size_t at = 0;
	leakgc_node node;
	const void *cookie;
	int r = 0;

	while (r == 0 && (cookie = leakgc_world_next_open(world, &at, &node))) {
		r = leakgc_world_is_task(world, node) ? check_task(world, node, cookie)
						      : check_object(world, node, cookie);
		if (r != -ESRCH)
			continue;
		leakgc_world_changed(world, node);
		r = 0;
	}
	return r;
}

static int add_task_roots(const struct changes *c, const struct task *task)
{
	int r = leakgc_world_add_root(c->world,
				      leaks_live_stack_lo(task, c->threads, c->thread_count),
				      (uintptr_t)stack_top(&task->stack) - STACK_TOP_UNUSED);

	if (r < 0)
		return r;
	return leakgc_world_add_root(c->world, (uintptr_t)&task->arg,
				     (uintptr_t)(task->locals + STRAND_LOCALS_MAX));
}

/* In a written page: new, or not where it was? */
static int look_at_task(const struct changes *c, const struct task *task)
{
	leakgc_node node = task->leak->node;

	if (task->state == TASK_FREE)
		return 0;
	if (task->state == TASK_PARKED && leakgc_world_is_node(c->world, node, task) &&
	    leakgc_world_is_park(c->world, node, task->id, task->generation))
		return 0;
	return add_task_roots(c, task);
}

static int look_at_object(const struct changes *c, const struct object *o)
{
	leakgc_node node = o->chunk->nodes[object_index(o)];
	struct leakgc_object before, now;

	if (o->kind == OBJECT_FREE)
		return 0;
	now = leaks_object(o);
	if (leakgc_world_is_node(c->world, node, o)) {
		before = leakgc_world_object_of(c->world, node);
		if (now.content_lo == before.content_lo && now.content_hi == before.content_hi)
			return 0;
	}
	return leakgc_world_add_root(c->world, now.content_lo, now.content_hi);
}

/* The first run that ends behind an address. */
static size_t first_written(const struct changes *c, uintptr_t address)
{
	size_t low = 0, high = c->written_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->written[middle].hi <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Call fn for each item of an array that lies in a written page. */
static int each_written(const struct changes *c, uintptr_t array, size_t size, size_t count,
			int (*fn)(const struct changes *c, const void *item))
{
	uintptr_t end = array + count * size;
	size_t next = 0;
	int r = 0;

	for (size_t i = first_written(c, array); r == 0 && i < c->written_count; i++) {
		uintptr_t lo = c->written[i].lo, hi = c->written[i].hi;
		size_t first = lo > array ? (lo - array) / size : 0;

		if (lo >= end)
			break;
		if (first < next)
			first = next;
		for (next = first; r == 0 && next < count && array + next * size < hi; next++)
			r = fn(c, (const void *)(array + next * size));
	}
	return r;
}

static int look_at_task_item(const struct changes *c, const void *item)
{
	return look_at_task(c, item);
}

static int look_at_object_item(const struct changes *c, const void *item)
{
	return look_at_object(c, item);
}

/* Its stack grows without a word in its structure. */
static int look_at_worker(const struct changes *c, const struct worker *w)
{
	int r = w->current ? add_task_roots(c, w->current) : 0;

	return r == 0 && w->leaving ? add_task_roots(c, w->leaving) : r;
}

int leaks_describe_changes(struct leakgc_world *world, const struct runtime *rt,
			   const struct leakgc_thread *threads, size_t thread_count,
			   const struct leakgc_page_run *written, size_t written_count)
{
	struct changes c = {world, threads, thread_count, written, written_count};
	int r = leaks_each_region(world, rt, leakgc_world_keep_mask);

	if (r == 0)
		r = check_open(world);
	for (unsigned i = 0; r == 0 && i < rt->worker_count; i++)
		r = look_at_worker(&c, rt->workers[i]);
	for (struct task_slab *slab = rt->tasks.slabs; r == 0 && slab; slab = slab->next)
		r = each_written(&c, (uintptr_t)slab->tasks, sizeof(slab->tasks[0]), slab->count,
				 look_at_task_item);
	for (struct object_chunk *k = rt->objects->chunks; r == 0 && k; k = k->next)
		r = each_written(&c, (uintptr_t)object_slot(k, 0), k->slot_size, k->slots,
				 look_at_object_item);
	return r;
}

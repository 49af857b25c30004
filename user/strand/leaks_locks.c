/* SPDX-License-Identifier: MIT */
/*
 * Who can wake those who wait for locks, conditions, wait groups and semaphores.
 *
 * Each queue of the lot that somebody waits in gets a node. Edges (if the first is LIVE, so is
 * the second):
 *
 *   K1. node -> its waiters.
 *   K2. Mutex, rwlock: owner -> node, and nothing else: only an owner can unlock, so it does not
 *       matter who knows the address, and the node lies where no pointer leads. Ids are not
 *       reused: an owner that is no task any more has ended with the lock, and will not unlock.
 *   K3. Rwlock: each task that has the lock on its list of reads -> node (rwlock.c, R1), even if
 *       it still waits for it.
 *   K4. Rwlock held by readers: a queued writer -> node. If it gives up, readers get in. (While
 *       waiters lie on stacks and link to their neighbours, these links say so, too.) The first
 *       such writer -> the readers behind it: no more than K1 says, but whom they wait for.
 *   K5. The others: whoever reaches the primitive. The node is its memory: LIVE in global or
 *       heap memory, reached through a live stack that holds it or a pointer to it. A waiter ->
 *       node, for it came with a pointer.
 *   K6. The node is LIVE if an owner is a plain thread or unknown, if a plain thread waits where
 *       its leaving lets others in (K4) or where it reaches the primitive (K5), if somebody has
 *       left the queue but not settled that (parking.c, P4), or if there is no owner at all: that
 *       should not be, and what is not understood is a root.
 *
 * A queue whose bucket is locked gets no node; who waits there is no candidate (leaks.c, L3).
 */
#include "strand/leaks_locks.h"

#include <strand/abi.h>

#include "strand/mutex.h"
#include "strand/owner.h"
#include "strand/parking.h"
#include "strand/rwlock.h"

#define NO_NODE UINT32_MAX

/* ---- tasks by id ------------------------------------------------------------------- */

struct task_index task_index_new(struct runtime *rt)
{
	struct task_index index = {NULL, 64};
	size_t tasks = 0;

	lock_take(&rt->tasks.lock);
	for (const struct task_slab *slab = rt->tasks.slabs; slab; slab = slab->next)
		tasks += slab->count;
	lock_release(&rt->tasks.lock);
	while (index.size < tasks)
		index.size *= 2;
	index.heads = memory_map(&rt->memory, index.size * sizeof(struct task *));
	return index;
}

void task_index_free(struct runtime *rt, struct task_index *index)
{
	if (index->heads)
		memory_unmap(&rt->memory, index->heads, index->size * sizeof(struct task *));
	index->heads = NULL;
}

/* Ids are dense: they are their own hash. */
void task_index_add(struct task_index *index, struct task *task)
{
	if (!index->heads)
		return;
	task->leak->next = index->heads[task->id & (index->size - 1)];
	index->heads[task->id & (index->size - 1)] = task;
}

static const struct task *task_by_id(const struct task_index *index, uint64_t id)
{
	const struct task *task = index->heads[id & (index->size - 1)];

	while (task && task->id != id)
		task = task->leak->next;
	return task;
}

/* ---- one task's wait ---------------------------------------------------------------- */

static bool lot_kind_of(const struct task *task, enum lot_kind *ret_kind)
{
	switch ((enum strand_wait_reason)task->reason) {
	case STRAND_WAIT_MUTEX_LOCK:
		*ret_kind = LOT_MUTEX;
		return true;
	case STRAND_WAIT_RWLOCK_RLOCK:
	case STRAND_WAIT_RWLOCK_LOCK:
		*ret_kind = LOT_RWLOCK;
		return true;
	case STRAND_WAIT_SEMAPHORE_ACQUIRE:
		*ret_kind = LOT_SEMAPHORE;
		return true;
	case STRAND_WAIT_WAITGROUP_WAIT:
		*ret_kind = LOT_WAITGROUP;
		return true;
	case STRAND_WAIT_COND_WAIT:
		*ret_kind = LOT_COND;
		return true;
	default:
		return false;
	}
}

bool leaks_waits_in_lot(const struct task *task)
{
	enum lot_kind kind;

	return lot_kind_of(task, &kind);
}

bool leaks_lot_is_in_motion(const struct task *task)
{
	enum lot_kind kind;

	return lot_kind_of(task, &kind) &&
	       object_lock_is_held(&lot_bucket(lot_get(), task->object, kind)->lock);
}

/* ---- queues ------------------------------------------------------------------------- */

static size_t primitive_size(enum lot_kind kind)
{
	switch (kind) {
	case LOT_SEMAPHORE:
		return sizeof(struct strand_semaphore);
	case LOT_WAITGROUP:
		return sizeof(struct strand_waitgroup);
	case LOT_COND:
		return sizeof(struct strand_cond);
	case LOT_MUTEX:
	case LOT_RWLOCK:
		break;
	}
	return 0;
}

static bool has_owner(const struct lot_queue *queue)
{
	return queue->kind == LOT_MUTEX || queue->kind == LOT_RWLOCK;
}

static uint64_t word_of(const struct lot_queue *queue)
{
	return __atomic_load_n((const uint64_t *)queue->key, __ATOMIC_RELAXED);
}

/* The id that the word names as the one owner, 0: none. */
static uint64_t owner_of(const struct lot_queue *queue)
{
	return queue->kind == LOT_MUTEX ? mutex_owner(word_of(queue))
					: rwlock_writer(word_of(queue));
}

static bool is_held_by_readers(const struct lot_queue *queue)
{
	return queue->kind == LOT_RWLOCK && rwlock_readers(word_of(queue)) != 0;
}

/* K6, but for plain threads that wait. */
static bool is_owner_unknown(const struct lot_queue *queue, const struct task_index *index)
{
	if (!index->heads || owner_of(queue) >= THREAD_ID_FIRST)
		return true;
	if (is_held_by_readers(queue))
		return rwlock_unknown_readers(word_of(queue)) != 0;
	return owner_of(queue) == 0;
}

static bool leads_in_others(const struct lot_queue *queue, const struct lot_waiter *waiter)
{
	if (!has_owner(queue))
		return true;                                                     /* K5 */
	return is_held_by_readers(queue) && waiter->wants == RWLOCK_WANTS_WRITE; /* K4 */
}

static bool is_live(const struct lot_queue *queue, const struct task_index *index)
{
	size_t listed = 0;

	if (has_owner(queue) && is_owner_unknown(queue, index))
		return true;
	for (const struct list *l = queue->waiters.next; l != &queue->waiters; l = l->next) {
		const struct lot_waiter *waiter = list_entry(l, struct lot_waiter, waiter.link);

		if (!waiter->sleeper.task && leads_in_others(queue, waiter))
			return true;
		listed++;
	}
	return listed != lot_entered(queue);
}

/* The one owner, if it is a task that has ended; else 0. Of readers: find_dead_readers(). */
static uint64_t dead_owner(const struct lot_queue *queue, const struct task_index *index)
{
	uint64_t owner = has_owner(queue) ? owner_of(queue) : 0;

	if (!owner || owner >= THREAD_ID_FIRST || !index->heads || task_by_id(index, owner))
		return 0;
	return owner;
}

static int add_node(struct leakgc_world *world, struct lot_queue *queue,
		    const struct task_index *index)
{
	struct leakgc_object object = {
		.live = is_live(queue, index),
		.name = queue->key,
		.dead_owner = dead_owner(queue, index),
	};

	if (has_owner(queue)) {
		object.lo = object.hi = (uintptr_t)queue->leak_address;
	} else {
		object.lo = queue->key;
		object.hi = queue->key + primitive_size(queue->kind);
	}
	return leakgc_world_add_object(world, &object, &queue->leak_node);
}

static int add_waiters(struct leakgc_world *world, const struct lot_queue *queue)
{
	const struct task *writer = NULL; /* K4: the first */
	int r = 0;

	for (const struct list *l = queue->waiters.next; r == 0 && l != &queue->waiters;
	     l = l->next) {
		const struct lot_waiter *waiter = list_entry(l, struct lot_waiter, waiter.link);
		const struct task *task = waiter->sleeper.task;

		if (!task)
			continue;
		r = leakgc_world_add_wait(world, task->leak->node, queue->leak_node);
		if (r == 0 && leads_in_others(queue, waiter))
			r = leakgc_world_add_reach(world, task->leak->node, queue->leak_node);
		if (!is_held_by_readers(queue))
			continue;
		if (r == 0 && writer && waiter->wants != RWLOCK_WANTS_WRITE)
			r = leakgc_world_add_owner_wait(world, task->leak->node,
							writer->leak->node);
		if (!writer && waiter->wants == RWLOCK_WANTS_WRITE)
			writer = task;
	}
	return r;
}

static int describe_queue(struct leakgc_world *world, struct lot_queue *queue,
			  const struct task_index *index)
{
	const struct task *owner;
	int r = add_node(world, queue, index);

	if (r == 0)
		r = add_waiters(world, queue);
	if (r < 0 || !has_owner(queue) || !index->heads)
		return r;
	owner = task_by_id(index, owner_of(queue));
	return owner ? leakgc_world_add_hold(world, owner->leak->node, queue->leak_node) : 0;
}

static int describe_bucket(struct leakgc_world *world, struct lot_bucket *bucket,
			   const struct task_index *index)
{
	if (object_lock_is_held(&bucket->lock))
		return 0;
	for (struct lot_queue *queue = bucket->queues; queue; queue = queue->next) {
		int r = 0;

		queue->leak_node = NO_NODE;
		queue->leak_readers = 0;
		if (!list_is_empty(&queue->waiters))
			r = describe_queue(world, queue, index);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- readers (K3) -------------------------------------------------------------------- */

static struct lot_queue *find_queue(uintptr_t lock)
{
	struct lot_bucket *bucket = lot_bucket(lot_get(), lock, LOT_RWLOCK);
	struct lot_queue *queue = object_lock_is_held(&bucket->lock) ? NULL : bucket->queues;

	while (queue && (queue->key != lock || queue->kind != LOT_RWLOCK))
		queue = queue->next;
	return queue && queue->leak_node != NO_NODE ? queue : NULL;
}

/* Of a lock on its list that it waits for, one entry is the one that it does not have yet. */
static bool waits_to_read(const struct task *task, uintptr_t lock)
{
	return task->state == TASK_PARKED && task->reason == STRAND_WAIT_RWLOCK_RLOCK &&
	       task->object == lock;
}

static int describe_reads(struct leakgc_world *world, const struct task *task)
{
	bool pending = true;
	int r = 0;

	for (int i = 0; r == 0 && i < READS_MAX; i++) {
		uintptr_t lock = task->reads.lock[i];
		struct lot_queue *queue = lock ? find_queue(lock) : NULL;

		if (!queue)
			continue;
		if (pending && waits_to_read(task, lock)) {
			pending = false;
			r = leakgc_world_add_reach(world, task->leak->node, queue->leak_node);
			continue;
		}
		queue->leak_readers++;
		r = leakgc_world_add_hold(world, task->leak->node, queue->leak_node);
	}
	return r;
}

/* More have the lock than have it on their list: the others have ended with it. */
static void find_dead_readers(struct leakgc_world *world, const struct lot_bucket *bucket)
{
	if (object_lock_is_held(&bucket->lock))
		return;
	for (const struct lot_queue *queue = bucket->queues; queue; queue = queue->next)
		if (queue->leak_node != NO_NODE && is_held_by_readers(queue) &&
		    queue->leak_readers < rwlock_readers(word_of(queue)))
			leakgc_world_set_dead_owner(world, queue->leak_node, LEAKGC_SOME_TASK);
}

int leaks_describe_lot(struct leakgc_world *world, const struct runtime *rt,
		       const struct task_index *index)
{
	struct lot *lot = lot_get();
	int r = 0;

	for (size_t i = 0; r == 0 && i < LOT_BUCKETS; i++) {
		r = describe_bucket(world, &lot->conditions[i], index);
		if (r == 0)
			r = describe_bucket(world, &lot->others[i], index);
	}
	for (const struct task_slab *slab = rt->tasks.slabs; slab; slab = slab->next) {
		for (size_t i = 0; r == 0 && i < slab->count; i++) {
			if (slab->tasks[i].state != TASK_FREE)
				r = describe_reads(world, &slab->tasks[i]);
		}
	}
	for (size_t i = 0; r == 0 && i < LOT_BUCKETS; i++)
		find_dead_readers(world, &lot->others[i]);
	return r;
}

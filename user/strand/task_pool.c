/* SPDX-License-Identifier: MIT */
/*
 * Free tasks: last in, first out, and no more memory than lately needed.
 *
 * The stack that was used last is still in the cache and in the page tables, so warm tasks
 * are taken from the front of a list. A burst leaves many behind: those that were free all
 * through an interval are at its back. They are the surplus: their stacks' memory goes
 * back to the system, and they to the cold list, which is used when nothing is warm. So a
 * program whose bursts come more often than the interval never pays for new pages.
 *
 * Each worker keeps a few free tasks to itself and exchanges them with the pool many at a
 * time: the pool's lock costs as much as a third of starting and ending a task.
 */
#include "strand/task_pool.h"

#include "strand/runtime.h"
#include "strand/sched.h"
#include "strand/stack.h"
#include "strand/task.h"

/*
 * The first slab, and the largest: each has twice the tasks of the one before. The last page of
 * its tasks is half used, so large slabs waste less; small ones suit small programs.
 */
#define SLAB_TASKS_MIN ((size_t)128)
#define SLAB_TASKS_MAX ((size_t)2048)

/* A free stack costs 4 to 64 KiB of memory, a page fault 1 us and more. */
#define TRIM_INTERVAL  (1 * STRAND_SECOND)

/* So many warm tasks stay for ever: 256 KiB, if each has touched one page. */
#define TRIM_RESERVE   64

/* What a worker keeps at most, which is never trimmed, and how many it exchanges at once. */
#define OWN_MAX        32
#define OWN_EXCHANGE   16

void task_pool_init(struct task_pool *pool)
{
	list_init(&pool->warm);
}

/* Called with the pool's lock held. */
static void add_slab(struct runtime *rt)
{
	size_t before = rt->tasks.slabs ? rt->tasks.slabs->count : SLAB_TASKS_MIN / 2;
	size_t count = before < SLAB_TASKS_MAX ? before * 2 : SLAB_TASKS_MAX;
	struct task_slab *slab =
		memory_map(&rt->memory, sizeof(*slab) + count * (sizeof(struct task) +
								 sizeof(struct task_leak)));
	struct task_leak *leaks;

	if (!slab)
		return;
	leaks = (struct task_leak *)&slab->tasks[count];
	for (size_t i = count; i-- > 0;) {
		slab->tasks[i].leak = &leaks[i];
		slab->tasks[i].next = rt->tasks.bare;
		rt->tasks.bare = &slab->tasks[i];
	}
	slab->count = count;
	slab->next = rt->tasks.slabs;
	__atomic_store_n(&rt->tasks.slabs, slab, __ATOMIC_RELEASE);
}

static struct task *pop(struct task **list)
{
	struct task *task = *list;

	if (task)
		*list = task->next;
	return task;
}

static void push(struct task **list, struct task *task)
{
	task->next = *list;
	*list = task;
}

/* task_pool_trim looks at it without the lock. */
static void set_warm_count(struct task_pool *pool, size_t count)
{
	__atomic_store_n(&pool->warm_count, count, __ATOMIC_RELAXED);
}

static struct task *take_warm(struct task_pool *pool, struct list *node)
{
	list_remove(node);
	set_warm_count(pool, pool->warm_count - 1);
	if (pool->warm_count < pool->warm_min)
		pool->warm_min = pool->warm_count;
	return list_entry(node, struct task, parked);
}

static struct task *take_cold(struct task_pool *pool)
{
	struct task *task = pop(&pool->cold);

	if (task)
		pool->cold_count--;
	return task;
}

/* Only its worker writes it; others read it for statistics. */
static void set_own_count(struct worker *w, unsigned count)
{
	atomic_store_explicit(&w->own_free_count, count, memory_order_relaxed);
}

static unsigned own_count(const struct worker *w)
{
	return atomic_load_explicit(&w->own_free_count, memory_order_relaxed);
}

static void give_own(struct worker *w, struct task *task)
{
	push(&w->own_free, task);
	set_own_count(w, own_count(w) + 1);
}

static struct task *take_own(struct worker *w)
{
	struct task *task = pop(&w->own_free);

	set_own_count(w, own_count(w) - 1);
	return task;
}

static void give_warm(struct task_pool *pool, struct task *task)
{
	list_prepend(&pool->warm, &task->parked);
	set_warm_count(pool, pool->warm_count + 1);
}

static __attribute__((noinline)) void refill_own(struct task_pool *pool, struct worker *w)
{
	lock_take(&pool->lock);
	while (pool->warm_count && own_count(w) < OWN_EXCHANGE)
		give_own(w, take_warm(pool, pool->warm.next));
	lock_release(&pool->lock);
}

static __attribute__((noinline)) void empty_own(struct task_pool *pool, struct worker *w)
{
	lock_take(&pool->lock);
	while (own_count(w) > OWN_MAX - OWN_EXCHANGE)
		give_warm(pool, take_own(w));
	lock_release(&pool->lock);
}

struct task *task_pool_take(struct runtime *rt, bool with_stack)
{
	struct task_pool *pool = &rt->tasks;
	struct worker *w = sched_this_worker;
	struct task *task = NULL;

	if (with_stack && w) {
		if (!w->own_free && __atomic_load_n(&pool->warm_count, __ATOMIC_RELAXED))
			refill_own(pool, w);
		if (w->own_free)
			return take_own(w);
	}
	lock_take(&pool->lock);
	if (with_stack)
		task = pool->warm_count ? take_warm(pool, pool->warm.next) : take_cold(pool);
	if (!task && !pool->bare)
		add_slab(rt);
	if (!task)
		task = pop(&pool->bare);
	lock_release(&pool->lock);
	return task;
}

void task_pool_give(struct runtime *rt, struct task *task)
{
	struct task_pool *pool = &rt->tasks;
	struct worker *w = sched_this_worker;
	bool special = task->stack.base && task->stack.size != STACK_DEFAULT_SIZE;

	/* When the main task has ended, others may still use what lies on its stack. */
	if (special && atomic_load(&rt->stopping))
		return;
	if (w && !special && task->stack.base) {
		if (own_count(w) == OWN_MAX)
			empty_own(pool, w);
		give_own(w, task);
		return;
	}
	lock_take(&pool->lock);
	if (special) /* under the lock: strand_dump() reads stacks */
		stack_free(&rt->stacks, &rt->memory, &task->stack);
	if (task->stack.base)
		give_warm(pool, task);
	else
		push(&pool->bare, task);
	lock_release(&pool->lock);
}

/* Take up to max surplus tasks from the back of the warm ones. */
static struct task *take_surplus(struct task_pool *pool, strand_time now, unsigned max)
{
	struct task *taken = NULL;

	if (now - pool->trim_started >= TRIM_INTERVAL) {
		pool->surplus = pool->warm_min;
		pool->warm_min = pool->warm_count;
		pool->trim_started = now;
	}
	while (max-- && pool->surplus && pool->warm_count > TRIM_RESERVE) {
		push(&taken, take_warm(pool, pool->warm.prev));
		pool->surplus--;
	}
	return taken;
}

strand_time task_pool_trim(struct runtime *rt, strand_time now, unsigned max)
{
	struct task_pool *pool = &rt->tasks;
	struct task *taken, *task;
	strand_time again;

	if (__atomic_load_n(&pool->warm_count, __ATOMIC_RELAXED) <= TRIM_RESERVE)
		return STRAND_FOREVER;
	lock_take(&pool->lock);
	taken = take_surplus(pool, now, max);
	lock_release(&pool->lock);
	for (task = taken; task; task = task->next)
		stack_trim(&task->stack);
	lock_take(&pool->lock);
	while ((task = pop(&taken))) {
		push(&pool->cold, task);
		pool->cold_count++;
	}
	again = pool->surplus ? now : pool->trim_started + TRIM_INTERVAL;
	if (pool->warm_count <= TRIM_RESERVE)
		again = STRAND_FOREVER;
	lock_release(&pool->lock);
	return again;
}

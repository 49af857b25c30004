/* SPDX-License-Identifier: MIT */
/* strand_leaks: asking, searching, and telling what was found. */
#include "strand/inquiry.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "leakgc/leakgc.h"
#include "strand/futex.h"
#include "strand/leak_sites.h"
#include "strand/leaks.h"
#include "strand/probes.h"
#include "strand/runtime.h"
#include "strand/sched.h"
#include "strand/waiter.h"

/* Return addresses that are kept of each leaked task. */
#define STACK_MAX 32

struct leak_record {
	struct strand_leak leak;
	char name[STRAND_NAME_MAX];
	uintptr_t stack[STACK_MAX];
	size_t cycle; /* where its cycle begins, in the answer's numbers */
};

struct inquiry_answer {
	size_t size; /* of the mapping */
	size_t count, room;
	uint64_t *numbers; /* ids of tasks; behind the records */
	struct leak_record records[];
};

static const char *reason_text(enum strand_wait_reason reason)
{
	static const char *const texts[] = {
#define STRAND_X(name, number, text) [number] = text,
		STRAND_WAIT_REASONS(STRAND_X)
#undef STRAND_X
	};

	return (size_t)reason < sizeof(texts) / sizeof(texts[0]) ? texts[reason] : "";
}

/* ---- on the control thread --------------------------------------------------------- */

/* A leaked task's stack does not change. Frame pointers, as far as they stay on it. */
static size_t walk_stack(const struct task *task, uintptr_t *ret_pcs)
{
	uintptr_t lo = task->where.sp, hi = (uintptr_t)stack_top(&task->stack);
	uintptr_t pc = task->where.pc, fp = task->where.fp;
	size_t count = 0;

	/* The function's last act was the call, made as a jump: its own frame is gone. */
	if (pc == strand_descriptor.task_end_pc)
		ret_pcs[count++] = (uintptr_t)task->fn + 1;
	while (pc && pc != strand_descriptor.task_end_pc && count < STACK_MAX) {
		ret_pcs[count++] = pc;
		if (fp < lo || fp > hi - 2 * sizeof(uintptr_t) || fp % sizeof(uintptr_t))
			break;
		lo = fp + 2 * sizeof(uintptr_t);
		pc = ((const uintptr_t *)fp)[1];
		fp = ((const uintptr_t *)fp)[0];
	}
	return count;
}

static const char *why_text(enum strand_leak_why why)
{
	static const char *const texts[] = {
#define STRAND_X(name, number, text) [number] = text,
		STRAND_LEAK_WHYS(STRAND_X)
#undef STRAND_X
	};

	return (size_t)why < sizeof(texts) / sizeof(texts[0]) ? texts[why] : "";
}

/* Pointers into the record and the answer are set when it stays where it is: place_answer(). */
static void record_leak(struct leak_record *r, struct runtime *rt, const struct task *task,
			const struct leakgc_verdict *v)
{
	memcpy(r->name, task->name, sizeof(r->name));
	r->cycle = v->link_first;
	r->leak = (struct strand_leak){
		.size = sizeof(r->leak),
		.task = task->id,
		.parent = task->parent,
		.reason = reason_text(task->reason),
		.object = task->object,
		.since = task->since,
		.entry = task->fn,
		.created_pc = task->created_pc,
		.stack_count = walk_stack(task, r->stack),
		.why = why_text(v->why),
		.behind = v->root,
		.cycle_count = v->link_count,
		.retained = v->retained,
		.searches_seen = leak_sites_seen(rt, task),
	};
}

struct recording {
	struct runtime *rt;
	struct inquiry_answer *answer;
};

static void record(void *context, struct task *task, const struct leakgc_verdict *v)
{
	struct recording *recording = context;
	struct inquiry_answer *answer = recording->answer;

	if (answer->count < answer->room)
		record_leak(&answer->records[answer->count++], recording->rt, task, v);
}

static struct inquiry_answer *make_answer(struct runtime *rt, const struct leakgc_result *result)
{
	struct recording recording = {.rt = rt};
	size_t records = result->leaked * sizeof(struct leak_record);
	size_t size =
		sizeof(struct inquiry_answer) + records + result->link_count * sizeof(uint64_t);
	struct inquiry_answer *answer = memory_map(&rt->memory, size);

	if (!answer)
		return NULL;
	answer->size = size;
	answer->room = result->leaked;
	answer->numbers = (uint64_t *)(answer->records + result->leaked);
	for (size_t i = 0; i < result->link_count; i++)
		answer->numbers[i] = result->links[i].value;
	recording.answer = answer;
	leak_sites_visit(rt, result, record, &recording);
	return answer;
}

/* Let its pointers point to where it lies. */
static void place_answer(struct inquiry_answer *answer)
{
	answer->numbers = (uint64_t *)(answer->records + answer->room);
	for (size_t i = 0; i < answer->count; i++) {
		struct leak_record *r = &answer->records[i];

		r->leak.name = r->name;
		r->leak.stack = r->stack;
		r->leak.cycle = answer->numbers + r->cycle;
	}
}

static void answer(struct inquiry *q)
{
	struct sleeper *waiting;

	lock_take(&q->lock); /* free once its stack is saved */
	waiting = q->waiting;
	q->waiting = NULL;
	lock_release(&q->lock);
	sleeper_finish(waiting, 0);
}

static bool take_question(struct inquiry *q)
{
	bool mine;

	lock_take(&q->lock);
	mine = q->asked && !q->taken;
	if (mine)
		q->taken = true;
	lock_release(&q->lock);
	return mine;
}

void inquiry_serve(struct runtime *rt)
{
	struct inquiry *q = &rt->control.inquiry;
	struct leakgc_limits limits;
	struct leakgc_result result;

	if (!take_question(q))
		return;
	leaks_limits(rt, &limits);
	limits.min_age_ns = (uint64_t)q->min_age;
	leaks_search(rt, &limits, &result);
	q->result = (struct strand_leaks_result){
		.leaked = result.leaked,
		.candidates = result.candidates,
		.cause = leakgc_cause_text(result.cause),
		.pause = result.pause_ns,
		.total = result.total_ns,
	};
	q->answer = result.status == STRAND_SEARCH_DONE ? make_answer(rt, &result) : NULL;
	if (q->answer && q->cancel)
		leak_sites_cancel(rt, &result);
	leakgc_result_done(&result);
	answer(q);
}

void inquiry_abandon(struct runtime *rt)
{
	struct inquiry *q = &rt->control.inquiry;

	lock_take(&q->lock);
	q->closed = true;
	lock_release(&q->lock);
	if (!take_question(q))
		return;
	q->result = (struct strand_leaks_result){.cause = "the runtime is stopping"};
	answer(q);
}

/* ---- plain threads and the runtime's end ------------------------------------------------ */

/*
 * A plain thread may ask just when the runtime ends. Those that look at it are counted; the
 * runtime is unmapped when there are none. Tasks need no such care: with the workers gone,
 * they do not look at anything.
 */
static struct lock entering;
static _Atomic unsigned threads_inside;

static struct runtime *enter(bool is_thread)
{
	struct runtime *rt;

	lock_take(&entering);
	rt = runtime_get();
	if (rt && is_thread)
		atomic_fetch_add(&threads_inside, 1);
	lock_release(&entering);
	return rt;
}

static void leave(bool is_thread)
{
	if (is_thread && atomic_fetch_sub(&threads_inside, 1) == 1)
		futex_wake_one(&threads_inside);
}

void inquiry_await_threads(void)
{
	unsigned inside;

	/* Whoever has not entered by now finds no runtime. */
	lock_take(&entering);
	lock_release(&entering);
	while ((inside = atomic_load(&threads_inside)))
		futex_wait(&threads_inside, inside, STRAND_FOREVER);
}

/* ---- in the caller ------------------------------------------------------------------ */

static void release(void *lock)
{
	lock_release(lock);
}

/* Park until answered. Returns 0, -EBUSY if another caller is being served, -ENXIO. */
static int ask(struct runtime *rt, const struct strand_leaks_options *o, const struct frame *where)
{
	struct inquiry *q = &rt->control.inquiry;
	struct wait_info info = {STRAND_WAIT_BLOCKING_CALL, 0, where};
	struct sleeper sleeper = sleeper_here();

	sleeper.uncancellable = true; /* the answer has to be taken */
	lock_take(&q->lock);
	if (q->asked || q->closed) {
		lock_release(&q->lock);
		return q->closed ? -ENXIO : -EBUSY;
	}
	q->asked = true;
	q->taken = false;
	q->min_age = o->min_age < 0 ? 0 : o->min_age;
	q->cancel = o->on_leak == STRAND_ON_LEAK_CANCEL;
	q->answer = NULL;
	q->waiting = &sleeper;
	control_wake(rt);
	return sleeper_wait(&sleeper, &info, STRAND_FOREVER, release, &q->lock);
}

/* What a thread reads after it has left: not the runtime's, which may be gone by then. */
static struct inquiry_answer *copy_out(struct runtime *rt, struct inquiry_answer *answer)
{
	struct inquiry_answer *copy = mmap(NULL, answer->size, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (copy != MAP_FAILED)
		memcpy(copy, answer, answer->size);
	memory_unmap(&rt->memory, answer, answer->size);
	return copy != MAP_FAILED ? copy : NULL;
}

static int take_answer(struct runtime *rt, bool is_thread, struct strand_leaks_result *ret_result,
		       struct inquiry_answer **ret_answer)
{
	struct inquiry *q = &rt->control.inquiry;
	struct inquiry_answer *answer = q->answer;

	if (ret_result)
		*ret_result = q->result;
	lock_take(&q->lock);
	q->asked = false;
	lock_release(&q->lock);
	if (answer && is_thread)
		answer = copy_out(rt, answer);
	if (!answer)
		return -EAGAIN;
	*ret_answer = answer;
	return 0;
}

static int inquire(const struct strand_leaks_options *options, const struct frame *where,
		   void (*callback)(const struct strand_leak *leak, void *arg), void *arg,
		   struct strand_leaks_result *ret_result)
{
	bool is_thread = !sched_current_task();
	struct inquiry_answer *answer = NULL;
	struct runtime *rt = enter(is_thread);
	int r;

	if (!rt)
		return -ENXIO;
	r = control_need(rt);
	if (r == 0)
		r = ask(rt, options, where);
	if (r == 0)
		r = take_answer(rt, is_thread, ret_result, &answer);
	leave(is_thread);
	if (r < 0)
		return r;
	place_answer(answer);
	for (size_t i = 0; callback && i < answer->count; i++)
		callback(&answer->records[i].leak, arg);
	r = (int)answer->count;
	if (is_thread)
		munmap(answer, answer->size);
	else
		memory_unmap(&rt->memory, answer, answer->size);
	return r;
}

int strand_leaks_with(const struct strand_leaks_options *options,
		      void (*callback)(const struct strand_leak *leak, void *arg), void *arg,
		      struct strand_leaks_result *ret_result)
{
	struct frame where = CALLER_FRAME();
	struct strand_leaks_options o = {0};

	if (!options || options->size < sizeof(options->size))
		return -EINVAL;
	memcpy(&o, options, options->size < sizeof(o) ? options->size : sizeof(o));
	if (o.on_leak > STRAND_ON_LEAK_CANCEL)
		return -EINVAL;
	return inquire(&o, &where, callback, arg, ret_result);
}

int strand_leaks(strand_time min_age, void (*callback)(const struct strand_leak *leak, void *arg),
		 void *arg, struct strand_leaks_result *ret_result)
{
	struct frame where = CALLER_FRAME();
	const struct strand_leaks_options options = {.size = sizeof(options), .min_age = min_age};

	return inquire(&options, &where, callback, arg, ret_result);
}

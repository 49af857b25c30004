/* SPDX-License-Identifier: MIT */
/* strand_leaks: asking, searching, and telling what was found. */
#include "strand/inquiry.h"

#include <errno.h>
#include <string.h>

#include "leakgc/leakgc.h"
#include "strand/leaks.h"
#include "strand/probes.h"
#include "strand/runtime.h"
#include "strand/waiter.h"

/* Return addresses that are kept of each leaked task. */
#define STACK_MAX 32

struct leak_record {
	struct strand_leak leak;
	char name[STRAND_NAME_MAX];
	uintptr_t stack[STACK_MAX];
};

struct inquiry_answer {
	size_t size; /* of the mapping */
	size_t count;
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

static void record_leak(struct leak_record *r, const struct task *task)
{
	memcpy(r->name, task->name, sizeof(r->name));
	r->leak = (struct strand_leak){
		.size = sizeof(r->leak),
		.task = task->id,
		.parent = task->parent,
		.name = r->name,
		.reason = reason_text(task->reason),
		.object = task->object,
		.since = task->since,
		.entry = task->fn,
		.created_pc = task->created_pc,
		.stack = r->stack,
		.stack_count = walk_stack(task, r->stack),
	};
}

static bool is_same_park(const struct task *task, const struct leakgc_verdict *v)
{
	return task->id == v->task && task->generation == v->generation &&
	       task->state == TASK_PARKED;
}

/*
 * Verdicts are in the order in which the search was told of the tasks, which is that of the
 * slabs; slabs that are newer than the search come first and match nothing.
 */
static void record_leaks(const struct runtime *rt, const struct leakgc_result *result,
			 struct inquiry_answer *answer, size_t room)
{
	size_t at = 0;

	for (const struct task_slab *slab = rt->tasks.slabs; slab; slab = slab->next) {
		for (size_t i = 0; i < slab->count && at < result->verdict_count; i++) {
			const struct leakgc_verdict *v = &result->verdicts[at];

			if (slab->tasks[i].id != v->task)
				continue;
			at++;
			if (v->verdict == STRAND_VERDICT_LEAKED && answer->count < room &&
			    is_same_park(&slab->tasks[i], v))
				record_leak(&answer->records[answer->count++], &slab->tasks[i]);
		}
	}
}

static struct inquiry_answer *make_answer(struct runtime *rt, const struct leakgc_result *result)
{
	struct inquiry_answer *answer;
	size_t size = sizeof(*answer) + result->leaked * sizeof(answer->records[0]);

	answer = memory_map(&rt->memory, size);
	if (!answer)
		return NULL;
	answer->size = size;
	lock_take(&rt->tasks.lock); /* no slab is added meanwhile */
	record_leaks(rt, result, answer, result->leaked);
	lock_release(&rt->tasks.lock);
	return answer;
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
	leakgc_limits_default(&limits);
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
	leakgc_result_done(&result);
	answer(q);
}

void inquiry_abandon(struct runtime *rt)
{
	struct inquiry *q = &rt->control.inquiry;

	if (!take_question(q))
		return;
	q->result = (struct strand_leaks_result){.cause = "the runtime is stopping"};
	answer(q);
}

/* ---- in the caller ------------------------------------------------------------------ */

static void release(void *lock)
{
	lock_release(lock);
}

/* Park until answered. Returns 0, -EBUSY if another caller is being served. */
static int ask(struct runtime *rt, strand_time min_age, const struct frame *where)
{
	struct inquiry *q = &rt->control.inquiry;
	struct wait_info info = {STRAND_WAIT_BLOCKING_CALL, 0, where};
	struct sleeper sleeper = sleeper_here();

	sleeper.uncancellable = true; /* the answer has to be taken */
	lock_take(&q->lock);
	if (q->asked) {
		lock_release(&q->lock);
		return -EBUSY;
	}
	q->asked = true;
	q->taken = false;
	q->min_age = min_age;
	q->answer = NULL;
	q->waiting = &sleeper;
	control_wake(rt);
	return sleeper_wait(&sleeper, &info, STRAND_FOREVER, release, &q->lock);
}

int strand_leaks(strand_time min_age, void (*callback)(const struct strand_leak *leak, void *arg),
		 void *arg, struct strand_leaks_result *ret_result)
{
	struct frame where = CALLER_FRAME();
	struct runtime *rt = runtime_get();
	struct strand_leaks_result result;
	struct inquiry_answer *answer;
	int r;

	if (!rt)
		return -ENXIO;
	r = control_need(rt);
	if (r == 0)
		r = ask(rt, min_age < 0 ? 0 : min_age, &where);
	if (r < 0)
		return r;
	result = rt->control.inquiry.result;
	answer = rt->control.inquiry.answer;
	lock_take(&rt->control.inquiry.lock);
	rt->control.inquiry.asked = false;
	lock_release(&rt->control.inquiry.lock);
	if (ret_result)
		*ret_result = result;
	if (!answer)
		return -EAGAIN;
	for (size_t i = 0; callback && i < answer->count; i++)
		callback(&answer->records[i].leak, arg);
	r = (int)answer->count;
	memory_unmap(&rt->memory, answer, answer->size);
	return r;
}

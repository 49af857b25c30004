/* SPDX-License-Identifier: MIT */
/*
 * A scene for tests of the leak search: tasks and objects that lie in one masked
 * mapping, named by number. No address of them is ever stored but by the test
 * itself: they are computed from the start of the mapping, on the thread that
 * searches, whose stack is in the mapping, too.
 */
#ifndef LEAKGC_SCENE_H
#define LEAKGC_SCENE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "leakgc/leakgc.h"
#include "leakgc/snapshot.h"

#define SCENE_SIZE       (8u << 20)
#define SCENE_OBJECTS    (64u << 10) /* offsets in the mapping */
#define SCENE_STACKS     (1u << 20)
#define SCENE_ALTSTACK   (4u << 20)
#define SCENE_SEARCHER   (6u << 20)
#define SCENE_UNMASKED   (64u << 10) /* at the end */
#define SCENE_OBJECT     256         /* sizes */
#define SCENE_STACK      16384
#define SCENE_ALT_SIZE   (256u << 10)
#define SCENE_MAX        16
#define SCENE_TASK_ID(i) (100 + (uint64_t)(i))

struct scene_task {
	bool used, live;
	int object; /* waits on it; -1: on nothing */
	int owner;  /* waits for this task; -1: for none */
};

struct scene_object {
	bool used, live;
	int on_stack_of;  /* -1: in the slab */
	bool is_static;   /* like a global variable: in memory that nobody masks */
	uintptr_t not_at; /* else 0, or the complement of where it lies */
};

struct scene {
	uintptr_t base;
	int signal;
	struct scene_task tasks[SCENE_MAX];
	struct scene_object objects[SCENE_MAX];
	void (*describe_hook)(void); /* in the snapshot, before anything is described */
	int freezes;
	void (*before_stop)(void); /* by tracking only: when all has been searched once */
	int (*changes_hook)(struct leakgc_world *w); /* while the world stands still */
	int describe_error;
	struct leakgc_limits limits;
	volatile int cancel;
};

static struct scene scene;

static inline uintptr_t scene_stack(int i)
{
	return scene.base + SCENE_STACKS + (uintptr_t)i * SCENE_STACK;
}

/* Live part of a stack: its upper half. */
static inline uintptr_t scene_sp(int i)
{
	return scene_stack(i) + SCENE_STACK / 2;
}

static inline uintptr_t scene_object(int i)
{
	const struct scene_object *o = &scene.objects[i];

	if (o->not_at)
		return ~o->not_at;
	if (o->is_static)
		return scene.base + SCENE_SIZE + SCENE_OBJECT;
	if (o->on_stack_of >= 0)
		return scene_sp(o->on_stack_of) + 1024;
	return scene.base + SCENE_OBJECTS + (uintptr_t)i * SCENE_OBJECT;
}

static inline void scene_put(uintptr_t address, uint64_t word)
{
	memcpy((void *)address, &word, sizeof(word));
}

/* By tracking: once for the description, and once more right before the world is stopped. */
static int scene_freeze(void *context)
{
	(void)context;
	if (++scene.freezes == 2 && scene.before_stop)
		scene.before_stop();
	return 0;
}

static void scene_thaw(void *context)
{
	(void)context;
}

static int scene_describe(void *context, struct leakgc_world *w,
			  const struct leakgc_thread *threads, size_t thread_count)
{
	leakgc_node tasks[SCENE_MAX], objects[SCENE_MAX];

	(void)context;
	(void)threads;
	(void)thread_count;
	if (scene.describe_hook)
		scene.describe_hook();
	if (scene.describe_error)
		return scene.describe_error;
	leakgc_world_mask(w, scene.base, scene.base + SCENE_SIZE);
	for (int i = 0; i < SCENE_MAX; i++) {
		struct leakgc_task task = {.cookie = &scene.tasks[i],
					   .id = SCENE_TASK_ID(i),
					   .stack_lo = scene_sp(i),
					   .stack_hi = scene_stack(i) + SCENE_STACK,
					   .stack_base = scene_stack(i),
					   .candidate = !scene.tasks[i].live};
		struct leakgc_object object = {.cookie = &scene.objects[i],
					       .lo = scene_object(i),
					       .hi = scene_object(i) + SCENE_OBJECT,
					       .content_lo = scene_object(i) + 64,
					       .content_hi = scene_object(i) + 128,
					       .live = scene.objects[i].live};

		if (scene.tasks[i].used && leakgc_world_add_task(w, &task, &tasks[i]) < 0)
			return -ENOMEM;
		if (scene.objects[i].used && leakgc_world_add_object(w, &object, &objects[i]) < 0)
			return -ENOMEM;
	}
	for (int i = 0; i < SCENE_MAX; i++) {
		const struct scene_task *t = &scene.tasks[i];

		if (t->used && t->object >= 0)
			leakgc_world_add_wait(w, tasks[i], objects[t->object]);
		if (t->used && t->owner >= 0)
			leakgc_world_add_owner_wait(w, tasks[i], tasks[t->owner]);
	}
	return 0;
}

/* The scene does not change while it is searched; tests of change say what does. */
static int scene_describe_live(void *context, struct leakgc_world *w)
{
	return scene_describe(context, w, NULL, 0);
}

static int scene_describe_changes(void *context, struct leakgc_world *w,
				  const struct leakgc_thread *threads, size_t thread_count,
				  const struct leakgc_page_run *written, size_t written_count)
{
	(void)context;
	(void)threads;
	(void)thread_count;
	(void)written;
	(void)written_count;
	leakgc_world_keep_mask(w, scene.base, scene.base + SCENE_SIZE);
	return scene.changes_hook ? scene.changes_hook(w) : 0;
}

/* ---- setting up -------------------------------------------------------------- */

static inline void scene_add_task(int i, int object)
{
	scene.tasks[i] = (struct scene_task){.used = true, .object = object, .owner = -1};
}

static inline void scene_add_object(int i)
{
	scene.objects[i] = (struct scene_object){.used = true, .on_stack_of = -1};
}

/* How the searches of a test are made, unless it says otherwise. */
static enum leakgc_method scene_method = LEAKGC_METHOD_CLONE;

/* One task that waits on one object that nobody knows: leaked. */
static inline void scene_reset(void)
{
	uintptr_t base = scene.base;
	int signal = scene.signal;

	memset(&scene, 0, sizeof(scene));
	scene.base = base;
	scene.signal = signal;
	memset((void *)base, 0, SCENE_SEARCHER);
	leakgc_limits_default(&scene.limits);
	scene.limits.stop_ns = 500000000; /* the machines that run tests are busy ones */
	scene.limits.time_ns = 60000000000;
	scene.limits.pause_ns = 10000000000;
	scene.limits.method = scene_method;
	scene_add_object(0);
	scene_add_task(0, 0);
}

static inline int scene_group_setup(void **state)
{
	(void)state;
	scene.base = (uintptr_t)mmap(NULL, SCENE_SIZE + SCENE_UNMASKED, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return scene.base == (uintptr_t)MAP_FAILED ? -1 : leakgc_stop_init(&scene.signal);
}

static inline int scene_setup(void **state)
{
	(void)state;
	scene_reset();
	return 0;
}

/* ---- searching ------------------------------------------------------------------ */

struct scene_run {
	void (*arrange)(void); /* on the searching thread: may store pointers */
	unsigned without;
	bool in_place;
	struct leakgc_result result;
};

static inline void scene_search(struct scene_run *run)
{
	struct leakgc_runtime runtime = {.freeze = scene_freeze,
					 .thaw = scene_thaw,
					 .describe = scene_describe,
					 .describe_live = scene_describe_live,
					 .describe_changes = scene_describe_changes,
					 .stop_signal = scene.signal};

	scene.freezes = 0;
	if (run->arrange)
		run->arrange();
	leakgc_search_without(&runtime, &scene.limits, &scene.cancel, run->without, run->in_place,
			      &run->result);
}

static void *scene_thread(void *run)
{
	scene_search(run);
	return NULL;
}

/* Search on a thread whose stack is masked, as the runtime does. The caller is stopped. */
static inline struct leakgc_result scene_run(void (*arrange)(void), unsigned without)
{
	struct scene_run run = {.arrange = arrange, .without = without};
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, (void *)(scene.base + SCENE_SEARCHER),
			      SCENE_SIZE - SCENE_SEARCHER);
	assert_int_equal(pthread_create(&thread, &attributes, scene_thread, &run), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attributes);
	return run.result;
}

static ucontext_t scene_home;

static void scene_enter(unsigned high, unsigned low)
{
	scene_search((struct scene_run *)((uintptr_t)high << 32 | low));
}

/* The same without threads and without a snapshot. */
static inline struct leakgc_result scene_run_in_place(void (*arrange)(void), unsigned without)
{
	struct scene_run run = {.arrange = arrange, .without = without, .in_place = true};
	uintptr_t argument = (uintptr_t)&run;
	ucontext_t there;

	getcontext(&there);
	there.uc_stack.ss_sp = (void *)(scene.base + SCENE_SEARCHER);
	there.uc_stack.ss_size = SCENE_SIZE - SCENE_SEARCHER;
	there.uc_link = &scene_home;
	makecontext(&there, (void (*)(void))scene_enter, 2, (unsigned)(argument >> 32),
		    (unsigned)argument);
	swapcontext(&scene_home, &there);
	return run.result;
}

static inline const struct leakgc_verdict *scene_verdict(const struct leakgc_result *r, int task)
{
	for (size_t i = 0; i < r->verdict_count; i++)
		if (r->verdicts[i].task == SCENE_TASK_ID(task))
			return &r->verdicts[i];
	return NULL;
}

static inline void scene_expect(struct leakgc_result r, int task, enum strand_verdict verdict)
{
	const struct leakgc_verdict *found = scene_verdict(&r, task);
	struct leakgc_verdict v = {.verdict = STRAND_VERDICT_WAITING};

	if (r.cause)
		print_error("inconclusive: %s (%llu)\n", leakgc_cause_text(r.cause),
			    (unsigned long long)r.cause_detail);
	if (found)
		v = *found;
	leakgc_result_done(&r); /* it names the object: what is asserted may leave from here */
	v.object_name = 0;
	assert_int_equal(r.status, STRAND_SEARCH_DONE);
	if (v.verdict == STRAND_VERDICT_LIVE && verdict != v.verdict)
		print_error("live by %d, root 0x%llx\n", v.root_kind, (unsigned long long)v.root);
	assert_int_equal(v.verdict, verdict);
}

static inline void scene_expect_cause(struct leakgc_result r, enum strand_search_cause cause)
{
	if (r.cause != cause)
		print_error("cause: %s (%llu)\n", leakgc_cause_text(r.cause),
			    (unsigned long long)r.cause_detail);
	assert_int_equal(r.cause, cause);
	assert_int_not_equal(r.status, STRAND_SEARCH_DONE);
	assert_int_equal(r.leaked, 0);
	assert_null(r.verdicts);
}

/*
 * A soundness hole: with its treatment the task is LIVE, or the search says why it
 * cannot tell; without the treatment the same scene gives the false positive.
 */
static inline void scene_expect_hole(void (*arrange)(void), unsigned without,
				     enum strand_search_cause cause)
{
	if (cause)
		scene_expect_cause(scene_run(arrange, 0), cause);
	else
		scene_expect(scene_run(arrange, 0), 0, STRAND_VERDICT_LIVE);
	/* Without a snapshot, where the registers were saved is written memory of its own. */
	if (without == LEAKGC_WITHOUT_REGISTERS && scene_method == LEAKGC_METHOD_TRACKING)
		return;
	scene_expect(scene_run(arrange, without), 0, STRAND_VERDICT_LEAKED);
}

/* All tests, by each method. Returns how many failed. */
static inline int scene_run_both(const struct CMUnitTest *tests, size_t count)
{
	struct leakgc_result r;
	int failed;

	scene_method = LEAKGC_METHOD_CLONE;
	failed = _cmocka_run_group_tests("clone", tests, count, scene_group_setup, NULL);
	scene_method = LEAKGC_METHOD_TRACKING;
	scene_reset();
	r = scene_run(NULL, 0);
	leakgc_result_done(&r);
	if (r.status == STRAND_SEARCH_REFUSED) { /* an old kernel, or a filter */
		print_message("[  SKIPPED ] %zu test(s): no tracking: %s\n", count,
			      strerror((int)r.cause_detail));
		return failed;
	}
	return failed + _cmocka_run_group_tests("tracking", tests, count, scene_group_setup, NULL);
}

#define SCENE_RUN_BOTH(tests) scene_run_both(tests, sizeof(tests) / sizeof((tests)[0]))

#endif

/* SPDX-License-Identifier: MIT */
/* Starting and stopping the runtime. */
#include "strand/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "strand/parking.h"
#include "strand/idle.h"
#include "strand/leaks.h"
#include "strand/object_lock.h"
#include "strand/probes.h"
#include "strand/sched.h"
#include "strand/switch.h"

/* Announced unless the observer says otherwise: parks of this age. */
#define DEFAULT_THRESHOLD (10 * STRAND_MILLISECOND)

/* The main task may be a whole program: it gets what a main thread gets by default. */
#define MAIN_STACK_SIZE   ((size_t)8 << 20)

/* What a process has once: at most one runtime, started and stopped under `starting`. */
static struct runtime *_Atomic the_runtime;
static struct lock starting;

struct runtime *runtime_get(void)
{
	return atomic_load_explicit(&the_runtime, memory_order_acquire);
}

static void close_pollers(struct runtime *rt)
{
	for (unsigned i = 0; i < rt->worker_count; i++)
		poller_done(&rt->workers[i]->poller);
}

/* A child of fork has one thread and no scheduler: the parent's runtime is not its own. */
static void forked(void)
{
	struct runtime *rt = runtime_get();

	strand_descriptor.pid = 0;
	sched_this_worker = NULL;
	lock_release(&starting);
	seed_end();
	solo_forked();
	lot_forked();
	if (!rt)
		return;
	control_forked(rt);
	close_pollers(rt);
	atomic_store(&the_runtime, NULL);
}

static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, forked);
}

static unsigned workers_wanted(void)
{
	const char *text = getenv("STRAND_WORKERS");
	long n = text ? strtol(text, NULL, 10) : 1;

	return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

/* The best guard that may be used: worse ones only to test them, or a kernel's absence of them. */
static enum stack_guard guard_wanted(void)
{
	const char *text = getenv("STRAND_GUARD");

	if (text && strcmp(text, "canary") == 0)
		return STACK_GUARD_CANARY;
	return text && strcmp(text, "mprotect") == 0 ? STACK_GUARD_MPROTECT : STACK_GUARD_MADVISE;
}

static bool has_shadow_stack(void)
{
#if defined(__x86_64__)
	const long arch_shstk_status = 0x5005, arch_shstk_shstk = 1; /* asm/prctl.h, Linux 6.6 */
	unsigned long features = 0;

	return syscall(SYS_arch_prctl, arch_shstk_status, &features) == 0 &&
	       (features & arch_shstk_shstk);
#else
	return false;
#endif
}

/* Not where the probes must be silent: whoever asks would wait for answers that never come. */
static bool observation_wanted(void)
{
	const char *text = getenv("STRAND_OBSERVE");

	return !strand_probes_deadly && (!text || strcmp(text, "0") != 0);
}

static void *worker_main(void *arg)
{
	sched_run(arg);
	return NULL;
}

static void stop(struct runtime *rt)
{
	atomic_store(&rt->stopping, true);
	atomic_store(&rt->unusual, true);
	for (unsigned i = 0; i < rt->worker_count; i++)
		idle_kick(rt->workers[i]);
}

struct main_call {
	int (*fn)(void *);
	void *arg; /* until the main task has started, then cleared */
};

static void main_task(void *runtime)
{
	struct runtime *rt = runtime;
	void *arg = rt->main_call->arg;

	rt->main_call->arg = NULL;
	leaks_before_main();
	rt->main_result = leaks_at_exit(rt->main_call->fn(arg));
	stop(rt);
}

static int make_workers(struct runtime *rt)
{
	unsigned wanted = rt->unusual ? 1 : workers_wanted(); /* seeded: one */

	rt->workers = memory_map(&rt->memory, wanted * sizeof(*rt->workers));
	if (!rt->workers)
		return -ENOMEM;
	while (rt->worker_count < wanted) {
		struct worker *w = sched_worker_new(rt, rt->worker_count);

		if (!w)
			return -ENOMEM;
		rt->workers[rt->worker_count++] = w;
	}
	return 0;
}

/* Returns how many threads were started beside the calling one, or -errno. */
static int start_threads(struct runtime *rt)
{
	for (unsigned i = 1; i < rt->worker_count; i++) {
		int r = pthread_create(&rt->workers[i]->thread, NULL, worker_main, rt->workers[i]);

		if (r) {
			stop(rt);
			while (--i > 0)
				pthread_join(rt->workers[i]->thread, NULL);
			return -r;
		}
	}
	return 0;
}

/*
 * Tasks that never came to an end may still be in the queues of objects, and threads may still
 * wake them: then everything stays where it is.
 */
static bool has_abandoned_tasks(const struct runtime *rt)
{
	for (const struct task_slab *slab = rt->tasks.slabs; slab; slab = slab->next) {
		for (size_t i = 0; i < slab->count; i++) {
			if (slab->tasks[i].state != TASK_FREE)
				return true;
		}
	}
	return false;
}

static void forget_stacks(const struct runtime *rt)
{
	for (struct task_slab *slab = rt->tasks.slabs; slab; slab = slab->next) {
		for (size_t i = 0; i < slab->count; i++)
			stack_forget(&slab->tasks[i].stack);
	}
}

static void runtime_free(struct runtime *rt)
{
	close_pollers(rt);
	if (has_abandoned_tasks(rt))
		return;

	struct memory memory = rt->memory; /* rt itself lies in it */

	/* A blocking call that still runs may use its task's stack: then all of it stays. */
	if (block_is_over(&rt->blocking)) {
		forget_stacks(rt);
		memory_done(&memory);
	}
}

static int runtime_new(struct runtime **ret_runtime)
{
	struct memory memory = {0};
	struct runtime *rt = memory_map(&memory, sizeof(*rt));
	int r;

	if (!rt)
		return -ENOMEM;
	rt->memory = memory;
	rt->stacks.best = guard_wanted();
	task_pool_init(&rt->tasks);
	rt->objects = object_pool_get();
	block_init(&rt->blocking);
	rt->unusual = seed_begin(&rt->seed);
	rt->control.read_fd = rt->control.write_fd = rt->control.report_fd = -1;
	r = rt->objects ? make_workers(rt) : -ENOMEM;
	if (r < 0) {
		runtime_free(rt);
		return r;
	}
	*ret_runtime = rt;
	return 0;
}

static void describe_runtime(const struct runtime *rt)
{
	strand_descriptor.workers = rt->worker_count;
	__atomic_store_n(&strand_descriptor.threshold_ns, DEFAULT_THRESHOLD, __ATOMIC_RELAXED);
	strand_descriptor.task_end_pc = (uintptr_t)switch_task_end_pc;
	strand_descriptor.pid = getpid();
}

static int spawn_main(struct runtime *rt, uintptr_t created_pc)
{
	struct strand_task_options options = {
		.size = sizeof(options), .name = "main", .stack_size = MAIN_STACK_SIZE};
	struct task *task = task_new(rt, &options, main_task, rt, created_pc);

	if (!task)
		return -ENOMEM;
	rt->workers[0]->spawned++;
	rt->workers[0]->next = task; /* on the calling thread, and first */
	return 0;
}

/* It would count as abandoned, and keep everything. */
static void drop_main(struct runtime *rt)
{
	struct task *task = rt->workers[0]->next;

	rt->workers[0]->next = NULL;
	task_free(rt, task);
}

static int start(struct runtime *rt, uintptr_t created_pc)
{
	int r = spawn_main(rt, created_pc);

	if (r < 0)
		return r;
	describe_runtime(rt);
	if (rt->worker_count == 1)
		solo_begin();
	atomic_store_explicit(&the_runtime, rt, memory_order_release);
	if (observation_wanted())
		r = control_start(rt);
	if (r == 0)
		r = start_threads(rt);
	if (r < 0)
		drop_main(rt);
	return r;
}

static void finish(struct runtime *rt)
{
	for (unsigned i = 1; i < rt->worker_count; i++)
		pthread_join(rt->workers[i]->thread, NULL);
	block_stop(&rt->blocking);
	lot_forget_tasks();
	strand_descriptor.pid = 0;
	atomic_store(&the_runtime, NULL);
}

int strand_main(int (*fn)(void *), void *arg)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct main_call call = {fn, arg};
	struct runtime *rt = NULL;
	int r;

	if (!fn)
		return -EINVAL;
	if (has_shadow_stack())
		return -ENOTSUP;
	pthread_once(&once, watch_forks);
	if (!lock_try(&starting))
		return -EBUSY;
	r = runtime_new(&rt);
	if (r == 0) {
		rt->main_call = &call;
		overflow_install();
		r = start(rt, (uintptr_t)__builtin_return_address(0));
		if (r == 0) {
			sched_run(rt->workers[0]);
			finish(rt);
			r = rt->main_result;
		}
		atomic_store(&rt->stopping, true);
		control_stop(rt);
		overflow_uninstall();
		strand_descriptor.pid = 0;
		atomic_store(&the_runtime, NULL);
		inquiry_await_threads();
		runtime_free(rt);
	}
	seed_end();
	lock_release(&starting);
	return r;
}

/* SPDX-License-Identifier: MIT */
/* The runtime, its tasks, task-locals, joining, cancelling, scopes. See strand.h. */
#ifndef STRAND_API_TASKS_H
#define STRAND_API_TASKS_H

#include <strand/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the runtime and its tasks ------------------------------------------- */

/*
 * strand_main - start the runtime, run fn(arg) as its main task, and stop the runtime.
 *
 * Returns what fn returned, as soon as the tasks that run on other workers at that
 * moment have parked, yielded or ended. Tasks are not waited for and never run again, like
 * the other threads of a process that exits; what they hold is not freed. Channels and
 * handles stay valid until their last reference is dropped. Or, without having called fn:
 *   -EBUSY    the runtime runs already
 *   -ENOMEM   no memory for it
 *   -ENOTSUP  the thread has a shadow stack (CET): tasks cannot switch stacks. Build the program
 *             with -fcf-protection=none, or run it with GLIBC_TUNABLES=glibc.cpu.hwcaps=-SHSTK
 *   -errno    a thread or a pipe could not be made
 * Context: a plain thread, usually main's. The calling thread becomes a worker.
 * Environment: STRAND_WORKERS=N sets the number of workers (1 if unset);
 * STRAND_OBSERVE=0 makes no control pipe, so no observer can ask for a search.
 * STRAND_LEAKS=exit prints leaked tasks to stderr when fn has returned; if there are any, or
 * the search is inconclusive, and fn returned 0, strand_main returns 1, or N with
 * STRAND_LEAKS=exit,status=N.
 * STRAND_SEED=N makes one worker and draws from N in which order tasks run, also where they
 * need not let others run: at the beginning of a call. Time is virtual then: it jumps when all
 * tasks wait. The same N repeats a run of tasks that use nothing from outside.
 * STRAND_GUARD=mprotect or canary guards stacks as on kernels before Linux 6.13.
 * While it runs, SIGSEGV has a handler that names the task whose stack has overflowed, and then
 * passes every fault on to the handler or the default that was there before.
 */
STRAND_API int strand_main(int (*fn)(void *), void *arg);

/* Optional settings of a new task; set size, leave the rest zero for defaults. */
struct strand_task_options {
	size_t size;       /* sizeof(struct strand_task_options) */
	const char *name;  /* copied; cut to 23 bytes; NULL: the name of its creator */
	size_t stack_size; /* bytes, rounded up to pages; 0: 64 KiB; at most 1 GiB */
	unsigned flags;    /* STRAND_MIGRATE */
};

/*
 * A task that has started stays on its worker, so that a compiler that keeps errno's or another
 * thread-local's address over a blocking call stays right. With this flag a woken task may go on
 * on any idle worker; its functions must not use thread-locals across blocking calls.
 */
#define STRAND_MIGRATE 1u

/*
 * strand_go - start a task that nobody waits for.
 * @fn, @arg   the task runs fn(arg) and ends when fn returns
 * @options    NULL for the defaults; not used after the call
 * Returns 0, or
 *   -ENOMEM   no memory for its stack
 *   -EINVAL   fn is NULL, options are out of range, or options->size is 0
 *   -ENXIO    the runtime is not running
 * Context: a task or a plain thread. The new task is made ready; the caller goes on.
 */
STRAND_API int strand_go(void (*fn)(void *), void *arg);
STRAND_API int strand_go_with(const struct strand_task_options *options, void (*fn)(void *),
			      void *arg);

/*
 * strand_yield - let other ready tasks run first.
 * Context: a task; in a plain thread it is sched_yield().
 */
STRAND_API void strand_yield(void);

/*
 * strand_sleep - park until the given time.
 * @until   absolute; in the past: only yields. STRAND_FOREVER: for ever.
 * Returns 0, or -ECANCELED if the task was cancelled.
 * Context: a task or a plain thread. Parks as `sleep`.
 */
STRAND_API int strand_sleep(strand_time until);

/*
 * strand_task_id - the id of the calling task, never reused; 0 in a plain thread.
 * For people and logs: no call takes an id.
 */
STRAND_API uint64_t strand_task_id(void);

/*
 * strand_task_name - the name of the calling task, "" in a plain thread.
 * The string belongs to the task: copy it to keep it.
 */
STRAND_API const char *strand_task_name(void);

/*
 * strand_task_set_name - name the calling task; copied, cut to 23 bytes.
 * Returns 0, -EINVAL if name is NULL, -ENXIO in a plain thread.
 */
STRAND_API int strand_task_set_name(const char *name);

/* ---- task-local storage ------------------------------------------------------------ */

#define STRAND_LOCALS_MAX 8 /* keys in a process */

/*
 * strand_local_new - make a key under which each task keeps a pointer of its own.
 * @destructor  called with the pointer when a task ends that has set one; may be NULL. Runs in
 *              that task and may park.
 * Returns the key (0 or more), or -ENOSPC: all are taken. Keys are never given back.
 */
STRAND_API int strand_local_new(void (*destructor)(void *));

/* strand_local_get - the calling task's pointer; NULL if it has set none, or in a plain thread. */
STRAND_API void *strand_local_get(int key);

/* strand_local_set - returns 0, -EINVAL (no such key), -ENXIO (in a plain thread). */
STRAND_API int strand_local_set(int key, void *value);

/* ---- tasks that somebody waits for ---------------------------------------------- */

/*
 * A handle of a task: to wait for its end, and to cancel it. Reference-counted; whoever
 * holds a handle can wake the task, so for the leak search a reachable handle keeps its
 * task from being leaked.
 */
struct strand_task;

/*
 * strand_spawn - start a task that somebody waits for.
 * @options   NULL for the defaults
 * @fn, @arg  the task runs fn(arg); what fn returns is its result
 * @ret_task  a handle with one reference, which is the caller's; drop it with
 *            strand_task_unref, at any time
 * Returns 0, -ENOMEM, -EINVAL or -ENXIO as strand_go.
 * Context: a task or a plain thread.
 */
STRAND_API int strand_spawn(const struct strand_task_options *options, int (*fn)(void *), void *arg,
			    struct strand_task **ret_task);

/*
 * strand_join - wait until the task has ended.
 * @ret_result  what its function returned; NULL if that does not matter
 * Returns 0, -ETIMEDOUT (it still runs), -ECANCELED (the caller was cancelled), -EDEADLK (the
 * caller is that task), -EINVAL for NULL. Any number of tasks may join, any number of times.
 * Context: a task or a plain thread. Parks as `join`.
 */
STRAND_API int strand_join(struct strand_task *task, strand_time deadline, int *ret_result);

/*
 * strand_cancel - ask a task to end.
 * The task's blocking call, or its next one that has to park, returns -ECANCELED, and so
 * does every later one: cancellation is sticky. A call that need not park goes on to work, so
 * that clean-up can close, unlock and hand over. Returns 0 (also if it was cancelled or has
 * ended before), -EINVAL for NULL. Context: a task or a plain thread; never parks.
 */
STRAND_API int strand_cancel(struct strand_task *task);

/* strand_cancelled - has the calling task been cancelled? 1 or 0; 0 in a plain thread. */
STRAND_API int strand_cancelled(void);

/* Take and drop a reference; NULL is allowed. They return the argument, and NULL. */
STRAND_API struct strand_task *strand_task_ref(struct strand_task *task);
STRAND_API struct strand_task *strand_task_unref(struct strand_task *task);

/* ---- scopes ---------------------------------------------------------------------- */

/*
 * A scope owns the tasks that are started in it: it does not end before they have. The
 * first task that returns a negative value cancels the others. A scope's deadline holds for
 * every blocking call of its tasks, and of scopes that they make.
 */
struct strand_scope;

/*
 * strand_scope_new - open a scope.
 * @deadline  for the blocking calls of its tasks; STRAND_FOREVER: none but the caller's own
 * Returns 0, -ENOMEM or -ENXIO. Context: a task or a plain thread.
 */
STRAND_API int strand_scope_new(strand_time deadline, struct strand_scope **ret_scope);

/*
 * strand_scope_go - start a task in a scope.
 * Returns 0, -ENOMEM, -EINVAL (also: the scope has been waited for), -ECANCELED (the scope
 * was cancelled; not started).
 */
STRAND_API int strand_scope_go(struct strand_scope *scope,
			       const struct strand_task_options *options, int (*fn)(void *),
			       void *arg);

/* strand_scope_cancel - cancel every task in the scope and those yet to come. Returns 0. */
STRAND_API int strand_scope_cancel(struct strand_scope *scope);

/*
 * strand_scope_wait - wait until every task has ended, then free the scope.
 * If the caller is cancelled meanwhile, the tasks are cancelled too, and still waited for.
 * Returns the first negative result of a task, else 0. The scope must not be used again.
 * Context: a task or a plain thread. Parks as `scope wait`.
 */
STRAND_API int strand_scope_wait(struct strand_scope *scope);

#ifdef __cplusplus
}
#endif

#endif

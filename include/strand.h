/* SPDX-License-Identifier: MIT */
/*
 * libstrand: coroutines for C, whose leaks can be proved.
 *
 * A task is a coroutine with a stack of its own. Tasks run on workers (OS
 * threads), talk over channels and park when they have to wait. A parked task
 * that nothing alive can ever wake is leaked; the runtime can prove it and the
 * observer `stranded` shows it.
 *
 * Conventions that hold for every call:
 *   - errors are returned as -errno; nothing sets errno, nothing prints;
 *   - a blocking call takes an absolute deadline on CLOCK_MONOTONIC in
 *     nanoseconds: STRAND_FOREVER never expires, 0 only tries;
 *   - ret_ parameters come last and are written only on success;
 *   - a pointer to an object is not a number that may be made up: an object
 *     whose last reference is dropped must not be used again.
 */
#ifndef STRAND_H
#define STRAND_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STRAND_VERSION_MAJOR 0
#define STRAND_VERSION_MINOR 1
#define STRAND_VERSION_PATCH 0
#define STRAND_VERSION       "0.1.0"

#if defined(__GNUC__)
#define STRAND_API __attribute__((visibility("default")))
#else
#define STRAND_API
#endif

/* ---- time ---------------------------------------------------------------- */

typedef int64_t strand_time; /* nanoseconds on CLOCK_MONOTONIC */

#define STRAND_FOREVER     INT64_MAX
#define STRAND_MICROSECOND ((strand_time)1000)
#define STRAND_MILLISECOND ((strand_time)1000000)
#define STRAND_SECOND      ((strand_time)1000000000)

/*
 * strand_now - the time, for building deadlines: strand_now() + 2 * STRAND_SECOND.
 * Context: anywhere.
 */
STRAND_API strand_time strand_now(void);

/* ---- the runtime and its tasks ------------------------------------------- */

/*
 * strand_main - start the runtime, run fn(arg) as task 1, and stop the runtime.
 *
 * Returns what fn returned, as soon as it returned: other tasks are not waited
 * for and never run again, like the other threads of a process that exits. What
 * they hold is not freed. Or, without having called fn:
 *   -EBUSY    the runtime runs already
 *   -ENOMEM   no memory for it
 *   -errno    a thread or a pipe could not be made
 * Context: a plain thread, usually main's. The calling thread becomes a worker.
 * Environment: STRAND_WORKERS=N sets the number of workers (1 if unset);
 * STRAND_OBSERVE=0 makes no control pipe, so no observer can ask for a search.
 */
STRAND_API int strand_main(int (*fn)(void *), void *arg);

/* Optional settings of a new task; set size, leave the rest zero for defaults. */
struct strand_task_options {
	size_t size;       /* sizeof(struct strand_task_options) */
	const char *name;  /* copied; cut to 23 bytes; NULL: the name of its creator */
	size_t stack_size; /* bytes, rounded up to pages; 0: 64 KiB; at most 1 GiB */
};

/*
 * strand_go - start a task that nobody waits for.
 * @fn, @arg   the task runs fn(arg) and ends when fn returns
 * @options    NULL for the defaults; not used after the call
 * Returns 0, or
 *   -ENOMEM   no memory for its stack
 *   -EINVAL   fn is NULL, or options are out of range
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

/* ---- channels ------------------------------------------------------------ */

/*
 * A channel carries elements of one size from senders to receivers, in the order
 * in which they were sent. Capacity 0: a sender waits until a receiver takes
 * the element. A NULL channel is allowed in send and receive and blocks until
 * the deadline, as in Go.
 *
 * Channels are reference-counted. Each reference is a pointer that some code
 * holds; the leak search looks for exactly these pointers in memory, so keep
 * them as they are: not encoded, not only in a file or another process.
 */
struct strand_chan;

/*
 * strand_chan_new - make a channel.
 * @element_size  bytes of an element, 0 (a signal) to 64 KiB
 * @capacity      elements that are buffered, 0 for none
 * @ret_chan      the channel with one reference, which is the caller's
 * Returns 0, -EINVAL (element too large), -ENOMEM, -ENXIO (runtime not running).
 * Context: a task or a plain thread.
 */
STRAND_API int strand_chan_new(size_t element_size, size_t capacity, struct strand_chan **ret_chan);

/*
 * strand_chan_ref, strand_chan_unref - take and drop a reference.
 * The last unref frees the channel and what it buffers. NULL is allowed. A
 * channel must not lose its last reference while a task waits on it.
 * strand_chan_ref returns its argument, strand_chan_unref returns NULL.
 */
STRAND_API struct strand_chan *strand_chan_ref(struct strand_chan *chan);
STRAND_API struct strand_chan *strand_chan_unref(struct strand_chan *chan);

/*
 * strand_chan_send - give one element, parking until it is buffered or taken.
 * @chan      caller holds a reference; NULL blocks
 * @element   element_size bytes, copied; may be NULL if element_size is 0
 * @deadline  absolute; STRAND_FOREVER waits, 0 tries
 * Returns 0, or
 *   -EPIPE      the channel is closed; not sent
 *   -ETIMEDOUT  not sent in time (with deadline 0: not possible at once)
 *   -ECANCELED  the task was cancelled; not sent
 * Context: a task or a plain thread. Parks as `chan send`.
 */
STRAND_API int strand_chan_send(struct strand_chan *chan, const void *element,
				strand_time deadline);

/*
 * strand_chan_recv - take one element, parking until there is one.
 * @chan         caller holds a reference; NULL blocks
 * @deadline     absolute; STRAND_FOREVER waits, 0 tries
 * @ret_element  element_size bytes; NULL drops the element
 * Returns 0, or
 *   -EPIPE      closed and drained; final
 *   -ETIMEDOUT  nothing came in time (with deadline 0: nothing there)
 *   -ECANCELED  the task was cancelled; nothing taken
 * Context: a task or a plain thread. Parks as `chan receive`.
 */
STRAND_API int strand_chan_recv(struct strand_chan *chan, strand_time deadline, void *ret_element);

/*
 * strand_chan_close - nothing more will be sent.
 * Wakes every waiting receiver and sender with -EPIPE; buffered elements can
 * still be received. Returns 0, -EPIPE if it was closed already, -EINVAL for NULL.
 * Context: a task or a plain thread; never parks.
 */
STRAND_API int strand_chan_close(struct strand_chan *chan);

/* Elements that are buffered now, and the capacity. 0 for NULL. */
STRAND_API size_t strand_chan_len(const struct strand_chan *chan);
STRAND_API size_t strand_chan_cap(const struct strand_chan *chan);

/* ---- select ---------------------------------------------------------------------- */

enum strand_case_op { STRAND_CASE_NONE = 0, STRAND_CASE_SEND, STRAND_CASE_RECV };

struct strand_case {
	enum strand_case_op op;   /* STRAND_CASE_NONE is never chosen */
	struct strand_chan *chan; /* NULL is never ready */
	void *element; /* what to send (not changed), or where to put what comes; may be NULL */
	int result;    /* of the chosen case: 0, or -EPIPE if its channel is closed */
};

#define STRAND_SELECT_MAX 256

/*
 * strand_select - do exactly one of several sends and receives.
 * @cases     count of them; a channel may occur more than once
 * @deadline  absolute; 0: only if one is ready now (a default case)
 * Of those that are ready one is chosen at random, so none starves. A closed channel is ready.
 * Returns the index of the case that was done, with its result filled in, or
 *   -ETIMEDOUT  none became ready in time; nothing was sent or taken
 *   -ECANCELED  the task was cancelled; nothing was sent or taken
 *   -EINVAL     count is larger than STRAND_SELECT_MAX, or an op is unknown
 * No cases, or only NULL channels, wait for ever, as in Go.
 * Context: a task or a plain thread. Parks as `select` (`select (no cases)`).
 */
STRAND_API int strand_select(struct strand_case *cases, size_t count, strand_time deadline);

#ifdef __cplusplus
}
#endif

#endif

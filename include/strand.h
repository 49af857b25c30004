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
 *     nanoseconds: STRAND_FOREVER never expires, 0 only tries; where it has to wait and there
 *     is no memory to do so in time, it returns -ENOMEM and has done nothing;
 *   - ret_ parameters come last and are written only on success;
 *   - a pointer to an object is not a number that may be made up: an object
 *     whose last reference is dropped must not be used again.
 */
#ifndef STRAND_H
#define STRAND_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

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

/* ---- locks and the like ------------------------------------------------------------ */

/*
 * Mutexes, read-write locks, conditions, wait groups, semaphores and once are small structures
 * that lie where you put them: in a global variable, in a structure, on a stack. All zero is
 * ready for use; there is nothing to free. Their fields are the library's. One that somebody
 * holds or waits for must be neither moved nor overwritten, and its memory must stay.
 *
 * Tasks and plain threads use them alike, in one process. Who waits longest goes first:
 * a lock is handed over, and nobody overtakes those who wait.
 *
 * Threads may use them before the runtime starts and after it has ended. A call that has to
 * wait returns -ENOMEM if there is no memory to queue up.
 */

/* A mutex knows its owner, and nobody else can unlock it. */
struct strand_mutex {
	uint64_t word;
};

/*
 * strand_mutex_lock - become the owner.
 * @deadline  absolute; STRAND_FOREVER waits, 0 tries
 * Returns 0, -ETIMEDOUT, -ECANCELED, -EINVAL for NULL. Whoever locks a mutex that it owns waits
 * for itself: a deadlock, which the leak search proves.
 * Context: a task or a plain thread. Parks as `mutex lock`.
 */
STRAND_API int strand_mutex_lock(struct strand_mutex *mutex, strand_time deadline);

/*
 * strand_mutex_unlock - give the mutex to who waits longest, or leave it free.
 * Returns 0, -EPERM if the caller is not the owner, -EINVAL for NULL.
 * Context: a task or a plain thread; never parks.
 */
STRAND_API int strand_mutex_unlock(struct strand_mutex *mutex);

/*
 * A read-write lock has one writer, or any number of readers, and knows them. First come,
 * first served: a waiting writer holds back new readers. So to read-lock it again while one
 * holds it for reading is a deadlock if a writer came in between.
 */
struct strand_rwlock {
	uint64_t word;
};

/*
 * strand_rwlock_rlock, strand_rwlock_lock - hold it for reading, or for writing.
 * @deadline  absolute; STRAND_FOREVER waits, 0 tries
 * Returns 0, -ETIMEDOUT, -ECANCELED, -EINVAL for NULL.
 * Context: a task or a plain thread. Parks as `rwlock rlock`, `rwlock lock`.
 */
STRAND_API int strand_rwlock_rlock(struct strand_rwlock *lock, strand_time deadline);
STRAND_API int strand_rwlock_lock(struct strand_rwlock *lock, strand_time deadline);

/*
 * strand_rwlock_runlock, strand_rwlock_unlock - end reading, or writing.
 * Return 0, -EPERM if the caller does not read (write), -EINVAL for NULL. With more than four
 * read locks held at once, the caller's right to end one is only checked roughly.
 * Context: a task or a plain thread; never park.
 */
STRAND_API int strand_rwlock_runlock(struct strand_rwlock *lock);
STRAND_API int strand_rwlock_unlock(struct strand_rwlock *lock);

/* A condition: to wait until something that a mutex protects has changed. */
struct strand_cond {
	uint64_t word;
};

/*
 * strand_cond_wait - unlock the mutex, wait for a signal, and lock the mutex again.
 * @mutex     owned by the caller, before and after, whatever is returned
 * @deadline  absolute; for the signal: the mutex is waited for without one
 * Returns 0 (woken: look whether what you wait for is so), -ETIMEDOUT, -ECANCELED, -EPERM if
 * the caller does not own the mutex, -EINVAL for NULL. No signal comes between unlock and wait.
 * Context: a task or a plain thread. Parks as `cond wait`, then perhaps as `mutex lock`.
 */
STRAND_API int strand_cond_wait(struct strand_cond *cond, struct strand_mutex *mutex,
				strand_time deadline);

/*
 * strand_cond_signal, strand_cond_broadcast - wake who waits longest, or all.
 * The mutex may be held or not. Return 0, -EINVAL for NULL.
 * Context: a task or a plain thread; never park.
 */
STRAND_API int strand_cond_signal(struct strand_cond *cond);
STRAND_API int strand_cond_broadcast(struct strand_cond *cond);

/* A wait group counts what is not done yet. */
struct strand_waitgroup {
	uint64_t word;
};

/*
 * strand_waitgroup_add, strand_waitgroup_done - change the count; done takes one off.
 * At zero, all who wait go on. Return 0, -EINVAL if the count would become negative (it stays
 * as it is; also for NULL), -EOVERFLOW above 2^61. Add before you start what will be done.
 * Context: a task or a plain thread; never park.
 */
STRAND_API int strand_waitgroup_add(struct strand_waitgroup *group, int64_t count);
STRAND_API int strand_waitgroup_done(struct strand_waitgroup *group);

/*
 * strand_waitgroup_wait - wait until the count is zero.
 * @deadline  absolute; STRAND_FOREVER waits, 0 tries
 * Returns 0, -ETIMEDOUT, -ECANCELED, -EINVAL for NULL. After 0 the memory may be freed.
 * Context: a task or a plain thread. Parks as `waitgroup wait`.
 */
STRAND_API int strand_waitgroup_wait(struct strand_waitgroup *group, strand_time deadline);

/* A semaphore holds permits: none at first, or STRAND_SEMAPHORE_INIT(n). */
struct strand_semaphore {
	uint64_t word;
};

/* clang-format off */
#define STRAND_SEMAPHORE_INIT(permits) {(uint64_t)(permits) << 1}
/* clang-format on */

/*
 * strand_semaphore_acquire - take permits, all at once.
 * @permits   at least 1
 * @deadline  absolute; STRAND_FOREVER waits, 0 tries
 * Who waits for many is not overtaken by who wants few. Returns 0, -ETIMEDOUT, -ECANCELED
 * (nothing taken), -EINVAL for no permits or NULL.
 * Context: a task or a plain thread. Parks as `semaphore acquire`.
 */
STRAND_API int strand_semaphore_acquire(struct strand_semaphore *semaphore, uint32_t permits,
					strand_time deadline);

/*
 * strand_semaphore_release - add permits; anybody may.
 * Returns 0, -EINVAL for no permits or NULL, -EOVERFLOW above 2^62 (nothing added).
 * Context: a task or a plain thread; never parks.
 */
STRAND_API int strand_semaphore_release(struct strand_semaphore *semaphore, uint32_t permits);

/* For what has to be done once. */
struct strand_once {
	struct strand_mutex mutex;
	uint64_t done;
};

/*
 * strand_once - call fn(arg) if nobody has yet with this structure.
 * When it returns 0, the one call has returned. Who comes meanwhile waits for it; an fn that
 * calls its own once waits for itself. Returns 0, -ECANCELED or -ETIMEDOUT (the
 * caller was cancelled, or its scope's deadline passed, while it waited), -EINVAL for NULL.
 * Context: a task or a plain thread. Parks as `mutex lock`.
 */
STRAND_API int strand_once(struct strand_once *once, void (*fn)(void *), void *arg);

/* ---- input and output -------------------------------------------------------------- */

/*
 * These calls are tried first, and park the task as `IO wait` only where they would block.
 * Beside what is listed they return what the system call of the same name would put into
 * errno, as -errno. A task that is parked here is never leaked: the kernel may wake it.
 *
 * Sockets may be in blocking mode. Everything else, and sockets to accept on or to connect,
 * has to be in non-blocking mode (strand_fd_nonblock): -EINVAL if not, since the call would
 * hold up all tasks of the worker. For files on disks, non-blocking mode changes nothing: use
 * strand_block where they are slow.
 *
 * Any number of tasks may use one descriptor at the same time. Close it by strand_close
 * if one of them may be waiting: after close(2) they wait on, for their deadline or for what
 * next gets that number, like threads in poll(2).
 *
 * Context of all of them: a task or a plain thread. Common results:
 *   -ETIMEDOUT  not possible in time (with deadline 0: not at once); nothing was done
 *   -ECANCELED  the task was cancelled; nothing was done
 *   -EBADF      not an open descriptor, or strand_close was called meanwhile
 */
enum strand_io { STRAND_READABLE = 1, STRAND_WRITABLE = 2 };

struct iovec;

/*
 * strand_wait_fd - wait until a descriptor can be read or written without blocking.
 * @events  what to wait for, of enum strand_io; whichever comes first ends the wait
 * Returns which of them are true (an error or a hang-up makes all true: the next call tells),
 * or -EINVAL for no or unknown events. It is no promise: another task may be faster.
 */
STRAND_API int strand_wait_fd(int fd, unsigned events, strand_time deadline);

/*
 * strand_read, strand_readv - take what is there, at least one byte; 0 is the end of the file.
 * strand_write, strand_writev - give what there is room for, at least one byte.
 * Return the number of bytes. On sockets there is no SIGPIPE, only -EPIPE.
 */
STRAND_API ssize_t strand_read(int fd, void *data, size_t size, strand_time deadline);
STRAND_API ssize_t strand_readv(int fd, const struct iovec *parts, int count, strand_time deadline);
STRAND_API ssize_t strand_write(int fd, const void *data, size_t size, strand_time deadline);
STRAND_API ssize_t strand_writev(int fd, const struct iovec *parts, int count,
				 strand_time deadline);

/* strand_recvmsg, strand_sendmsg - like recvmsg(2) and sendmsg(2), without SIGPIPE. */
STRAND_API ssize_t strand_recvmsg(int fd, struct msghdr *message, int flags, strand_time deadline);
STRAND_API ssize_t strand_sendmsg(int fd, const struct msghdr *message, int flags,
				  strand_time deadline);

/*
 * strand_accept - take a connection from a listening socket.
 * @ret_peer, @ret_peer_size  as for accept(2); may be NULL
 * @flags                     of accept4(2), for the new socket: SOCK_CLOEXEC, SOCK_NONBLOCK
 * Returns the new descriptor.
 */
STRAND_API int strand_accept(int fd, struct sockaddr *ret_peer, socklen_t *ret_peer_size, int flags,
			     strand_time deadline);

/*
 * strand_connect - connect a socket.
 * Returns 0. After -ETIMEDOUT or -ECANCELED the attempt may still be under way: close the
 * socket. -EAGAIN: a local socket's queue of connections is full; there is no waiting for that.
 */
STRAND_API int strand_connect(int fd, const struct sockaddr *peer, socklen_t peer_size,
			      strand_time deadline);

/*
 * strand_close - close a descriptor and wake the tasks that wait for it, with -EBADF.
 * Plain threads that wait for it are not woken. Returns 0 or -errno; never parks.
 */
STRAND_API int strand_close(int fd);

/* strand_fd_nonblock - put a descriptor into non-blocking mode. Returns 0 or -errno. */
STRAND_API int strand_fd_nonblock(int fd);

/*
 * strand_block - run a call that blocks on a helper thread, while other tasks run.
 * @fn, @arg    fn(arg) is called on another thread, where it is no task
 * @deadline    for the call to begin: once begun it is waited for, deadline or not, since it
 *              may use the task's stack. 0: only if a thread is free, or may be started
 * @ret_result  what fn returned; may be NULL
 * Returns 0, with errno as fn has left it, or
 *   -ETIMEDOUT  not begun in time: all helper threads were busy
 *   -ECANCELED  the task was cancelled before the call had begun
 *   -EAGAIN     no helper thread could be started
 *   -EINVAL     fn is NULL
 * Context: a task, parked as `blocking call`; in a plain thread fn is just called.
 * At most 64 calls run at a time (environment: STRAND_BLOCKING_THREADS=N); others queue. A
 * thread without work ends after 10 seconds. When strand_main returns, calls that still run
 * are not waited for, and what they use stays valid.
 */
STRAND_API int strand_block(int (*fn)(void *), void *arg, strand_time deadline, int *ret_result);

/* ---- leaks ------------------------------------------------------------------------ */

/* One leaked task. Valid during the callback; fields at the end may be added. */
struct strand_leak {
	size_t size; /* of this structure, as the library was built */
	uint64_t task;
	uint64_t parent; /* id of the task that created it, 0: a plain thread */
	const char *name;
	const char *reason;     /* why it is parked, e.g. "chan receive" */
	uint64_t object;        /* address of what it waits on, 0: nothing or several */
	strand_time since;      /* when it parked */
	void (*entry)(void *);  /* the function it was started with */
	uintptr_t created_pc;   /* return address of the call that created it */
	const uintptr_t *stack; /* return addresses, innermost first: where it waits */
	size_t stack_count;
	const char *why; /* why nothing can ever wake it, for people */
	uint64_t
		behind; /* the leaked task that it waits behind, or the one that has ended with the */
			/* lock that it waits for; 0: none, or not known */
	const uint64_t *cycle; /* its wait-for cycle: tasks that each wait for the next one */
	size_t cycle_count;    /* 0: it is on none */
	size_t retained;       /* bytes kept because it is leaked; of all leaks each byte once */
	size_t searches_seen; /* searches that have found leaks where it waits, this one included */
};

/* What a search found, beside the leaks. */
struct strand_leaks_result {
	size_t leaked;
	size_t candidates; /* parked tasks that were judged */
	const char *cause; /* why nothing could be proved; "" if the search was conclusive */
	strand_time pause; /* how long all threads stood still, nanoseconds */
	strand_time total; /* how long the search took */
};

/*
 * strand_leaks - prove which tasks of this process are leaked, now.
 * @min_age     only tasks that have been parked for at least so many nanoseconds; 0: all
 * @callback    called for each leaked task, after the search, in the caller's context; NULL: none
 * @ret_result  may be NULL
 * Returns the number of leaked tasks, or
 *   -EAGAIN   the search was inconclusive: nothing is known; ret_result->cause says why
 *   -EBUSY    another search is running
 *   -ENXIO    the runtime is not running, or about to end
 * The caller's own stack is live: what it points to is not leaked. Needs no privileges.
 * Context: a task or a plain thread. Parks as `blocking call`.
 */
STRAND_API int strand_leaks(strand_time min_age,
			    void (*callback)(const struct strand_leak *leak, void *arg), void *arg,
			    struct strand_leaks_result *ret_result);

enum strand_on_leak {
	STRAND_ON_LEAK_TELL = 0,
	STRAND_ON_LEAK_CANCEL, /* wake it: its call returns -ECANCELED, as after strand_cancel */
};

struct strand_leaks_options {
	size_t size;         /* sizeof(struct strand_leaks_options) */
	strand_time min_age; /* as strand_leaks */
	enum strand_on_leak on_leak;
};

/*
 * strand_leaks_with - strand_leaks, with options.
 * With STRAND_ON_LEAK_CANCEL each leaked task is told of, cancelled, and can clean up and end:
 * nobody else can ever wake it, so nobody else can give back what it holds. It runs on as it
 * would after strand_cancel, and must be written for that: check results, and not use what it
 * was only lent for the time of a call that has long returned.
 * Returns as strand_leaks, and -EINVAL (options).
 */
STRAND_API int strand_leaks_with(const struct strand_leaks_options *options,
				 void (*callback)(const struct strand_leak *leak, void *arg),
				 void *arg, struct strand_leaks_result *ret_result);

/*
 * strand_leak_pin - what object points into is reachable, and all that this leads to, until it is
 *                   unpinned as often as it was pinned.
 * For pointers that the search cannot see: encoded ones, offsets, those that only a file or
 * another process has. Any address in the object, its block or its channel will do.
 * Returns 0, -EINVAL (NULL), -ENOMEM. Context: anywhere but in signal handlers; never parks.
 */
STRAND_API int strand_leak_pin(const void *object);

/* strand_leak_unpin - undo one strand_leak_pin. Returns 0, -ENOENT (is not pinned), -EINVAL. */
STRAND_API int strand_leak_unpin(const void *object);

/*
 * strand_leak_region - declare memory of an allocator of the program's own.
 * @base, @size  of memory that is mapped, or a block of malloc
 * @block_size   it consists of blocks of this size, from base on; 0: is one block
 * Memory that is not understood counts as reachable. In here, a block counts only if there is a
 * pointer into it, as with malloc. So this is right only if the program, too, comes to a block by
 * none but such pointers: not if it computes their addresses from the base, say by an index.
 * Regions must not overlap. Of more than 1024 the search takes notice of so many.
 * Returns 0, -EEXIST (overlaps another), -EINVAL, -ENOMEM. Context: as strand_leak_pin.
 */
STRAND_API int strand_leak_region(const void *base, size_t size, size_t block_size);

/*
 * strand_leak_region_end - undo strand_leak_region. To be called before the memory is given back.
 * Returns 0, or -ENOENT: no region begins there.
 */
STRAND_API int strand_leak_region_end(const void *base);

/* ---- looking inside ------------------------------------------------------------------ */

#define STRAND_STATS_REASONS 32

/* Counters. Fields are only ever added at the end. */
struct strand_stats {
	size_t size; /* set it to sizeof(struct strand_stats); smaller on return: an older library */
	uint64_t tasks_alive;   /* started or to be started, and not ended */
	uint64_t tasks_spawned; /* since the process started, like the other totals */
	uint64_t tasks_exited;
	uint64_t tasks_ready; /* new ones included */
	uint64_t tasks_running;
	uint64_t tasks_parked;
	uint64_t parked_by_reason[STRAND_STATS_REASONS]; /* by enum strand_wait_reason of abi.h */
	uint64_t switches;     /* times that a task was run or asked to yield */
	uint64_t steals;       /* new tasks taken from another worker */
	uint64_t remote_wakes; /* tasks woken or started by another worker or a plain thread */
	uint64_t stacks_used;
	uint64_t stacks_free;    /* kept for the next tasks */
	uint64_t stacks_trimmed; /* those of the free ones that hold no memory */
	uint64_t stack_bytes;    /* address space of all stacks; memory is what was touched */
	uint64_t timers;         /* armed: sleeps and deadlines */
	uint64_t searches;       /* leak searches finished */
	uint64_t workers;
	uint64_t workers_idle;
	int64_t longest_run_ns; /* the longest that a running task is known not to have parked or */
	uint64_t
		longest_run_task; /* yielded, at least, and its id: call twice to see it; 0: none */
	uint64_t leaks_retracted; /* tasks that were reported as leaked and woken all the same */
};

/*
 * strand_stats - fill in the counters. They are read while everything runs: each is right, and
 * all are of about the same moment. Costs a look at every task.
 * Returns 0, -EINVAL (stats is NULL or its size is too small), -ENXIO (runtime not running).
 * Context: a task or a plain thread; never parks.
 */
STRAND_API int strand_stats(struct strand_stats *stats);

/*
 * strand_task_stack_used - bytes of its stack that the calling task has used at most, or tasks
 * before it that had the same stack: to find a good stack_size. 0 in a plain thread.
 */
STRAND_API size_t strand_task_stack_used(void);

#define STRAND_DUMP_SYMBOLS 1u /* names of functions, where the dynamic linker knows them */

/*
 * strand_dump - write every task to a descriptor: what it waits for and how long, on what
 * object, its stack, its creator, and running tasks that have not yielded for long.
 * @flags  0, or STRAND_DUMP_SYMBOLS
 * Stacks are walked by frame pointers: code built with -fomit-frame-pointer cuts them short.
 * Returns 0, or
 *   -EBUSY   a signal handler interrupted the runtime just when it changed its tables: try later
 *   -EINVAL  unknown flags
 *   -ENXIO   the runtime is not running
 *   -errno   of write(2); some of it may have been written
 * Context: anywhere, signal handlers included unless STRAND_DUMP_SYMBOLS is given.
 */
STRAND_API int strand_dump(int fd, unsigned flags);

/*
 * strand_leaks_print - search as strand_leaks does, and write what is leaked to a descriptor, as
 * Go prints goroutines. Returns as strand_leaks, or -errno if it could not be written.
 */
STRAND_API int strand_leaks_print(int fd, strand_time min_age);

enum strand_leaks_form {
	STRAND_LEAKS_DEBUG_2 = 0, /* as Go prints goroutines, leaked ones only */
	STRAND_LEAKS_DEBUG_1,     /* as Go prints a profile: each different stack with its count */
	STRAND_LEAKS_JSON,        /* an object; "searched" tells whether "tasks" are all leaks */
};

/*
 * strand_leaks_write - strand_leaks_print, in one of several forms.
 * Names are read from the symbol tables of the program's files, static functions included.
 * Returns as strand_leaks_print, and -EINVAL (form), -ENOMEM.
 */
STRAND_API int strand_leaks_write(int fd, enum strand_leaks_form form, strand_time min_age);

/*
 * strand_assert_no_leaks - for the end of a test: search, and write leaks to stderr.
 * @settle  as long as tasks still run, or the search is inconclusive, look again, for at most so
 *          many nanoseconds: a task that runs keeps alive what it points to
 * @ignore  names of functions, up to a NULL: leaks that wait in one, were started with one, or
 *          created by one do not count; may be NULL
 * Returns 0: there are none; the number of leaks; or an error as strand_leaks, where nothing is
 * known. It does not abort: test libraries want to fail the test and go on with the next one, and
 * assert(!strand_assert_no_leaks(...)) does both.
 * Context: a task or a plain thread. Parks as `blocking call` and `sleep`.
 */
STRAND_API int strand_assert_no_leaks(strand_time settle, const char *const *ignore);

#ifdef __cplusplus
}
#endif

#endif

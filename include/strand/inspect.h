/* SPDX-License-Identifier: MIT */
/* Looking inside: dumps and counters. See strand.h. */
#ifndef STRAND_API_INSPECT_H
#define STRAND_API_INSPECT_H

#include <strand/base.h>

#ifdef __cplusplus
extern "C" {
#endif

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

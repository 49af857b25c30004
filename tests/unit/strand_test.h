/* SPDX-License-Identifier: MIT */
/*
 * What the tests of libstrand share: checks that work inside a task, runs with
 * several numbers of workers, and counting what a process holds.
 *
 * cmocka's assertions leave a function by longjmp(), which must not cross from
 * one stack to another. So tasks and threads use expect_*(), which only count;
 * run_tasks() asserts afterwards that nothing was counted.
 */
#ifndef STRAND_TEST_H
#define STRAND_TEST_H

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <strand.h>

static int test_failures; /* of the running test; atomic */

/* A leak that was reported and is none is a wrong proof: no test may go on after one. */
__attribute__((constructor)) static void die_of_retractions(void)
{
	setenv("STRAND_RETRACTED", "abort", 0);
}

#define expect_true(condition)                                             \
	do {                                                               \
		if (!(condition))                                          \
			test_report(__FILE__, __LINE__, #condition, 0, 1); \
	} while (0)

#define expect_eq(actual, wanted)                                                       \
	do {                                                                            \
		long long actual_ = (long long)(actual), wanted_ = (long long)(wanted); \
		if (actual_ != wanted_)                                                 \
			test_report(__FILE__, __LINE__, #actual, actual_, wanted_);     \
	} while (0)

/* One failure can repeat a million times: the first ones say enough. */
static inline void test_report(const char *file, int line, const char *what, long long actual,
			       long long wanted)
{
	if (__atomic_fetch_add(&test_failures, 1, __ATOMIC_SEQ_CST) < 10)
		dprintf(STDERR_FILENO, "%s:%d: %s is %lld, not %lld\n", file, line, what, actual,
			wanted);
}

/* In a build with ThreadSanitizer; tests that it cannot run are skipped there. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

#define SKIP_UNDER_TSAN(why)                        \
	do {                                        \
		if (UNDER_TSAN) {                   \
			print_message("%s\n", why); \
			skip();                     \
		}                                   \
	} while (0)

static inline void set_workers(int workers)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", workers);
	setenv("STRAND_WORKERS", text, 1);
}

/* cmocka's handlers leave by longjmp(), which is wrong on another stack: rather die at once. */
static inline void crash_plainly(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
}

/* Run fn(arg) as the main task, with so many workers; nothing may have failed in it. */
static inline void run_tasks_with(int workers, int (*fn)(void *), void *arg)
{
	int r;

	__atomic_store_n(&test_failures, 0, __ATOMIC_SEQ_CST);
	set_workers(workers);
	crash_plainly();
	r = strand_main(fn, arg);
	if (r || test_failures)
		print_error("with %d workers: strand_main() = %d, %d failed checks\n", workers, r,
			    test_failures);
	assert_int_equal(r, 0);
	assert_int_equal(test_failures, 0);
}

static const int test_worker_counts[] = {1, 2, 4};

static inline void run_tasks(int (*fn)(void *), void *arg)
{
	for (size_t i = 0; i < sizeof(test_worker_counts) / sizeof(test_worker_counts[0]); i++)
		run_tasks_with(test_worker_counts[i], fn, arg);
}

/* Of a channel that must come into being; NULL would block everything for ever. */
static inline struct strand_chan *new_chan(size_t element_size, size_t capacity)
{
	struct strand_chan *chan = NULL;
	int r = strand_chan_new(element_size, capacity, &chan);

	if (r || !chan) {
		dprintf(STDERR_FILENO, "strand_chan_new(%zu, %zu): %d\n", element_size, capacity,
			r);
		abort();
	}
	return chan;
}

/* A signal: a message without content. */
static inline void signal_chan(struct strand_chan *chan)
{
	expect_eq(strand_chan_send(chan, NULL, STRAND_FOREVER), 0);
}

/* As the function of a task. */
static inline void signal_task(void *chan)
{
	signal_chan(chan);
}

static inline void await_chan(struct strand_chan *chan, size_t times)
{
	for (size_t i = 0; i < times; i++)
		expect_eq(strand_chan_recv(chan, STRAND_FOREVER, NULL), 0);
}

/* With one worker: every task that was ready has run until it parked, ended or yielded. */
static inline void let_others_run(void)
{
	for (int i = 0; i < 3; i++)
		strand_yield();
}

static inline size_t count_entries(const char *folder)
{
	DIR *dir = opendir(folder);
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* The number in a line "name: 1234 kB" of /proc/self/status, in KiB; 0 if there is none. */
static inline size_t status_kib(const char *name)
{
	FILE *file = fopen("/proc/self/status", "re");
	size_t length = strlen(name), kib = 0;
	char line[256];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length) && line[length] == ':')
			kib = strtoul(line + length + 1, NULL, 10);
	fclose(file);
	return kib;
}

static inline void start_thread(pthread_t *ret_thread, void *(*fn)(void *), void *arg)
{
	int r = pthread_create(ret_thread, NULL, fn, arg);

	if (r) {
		dprintf(STDERR_FILENO, "pthread_create(): %s\n", strerror(r));
		abort();
	}
}

/*
 * The status (as of waitpid) of a child that runs fn and exits with what fn
 * returns. A child that hangs is ended by SIGALRM.
 */
static inline int run_child(int (*fn)(void))
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		crash_plainly();
		alarm(20);
		_exit(fn());
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		dprintf(STDERR_FILENO, "fork or waitpid: %s\n", strerror(errno));
	return status;
}

#endif

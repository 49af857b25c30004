/* SPDX-License-Identifier: MIT */
/* Tests of disposable children: answers, deaths, hangs, and what they leave behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "observe/disposable.h"

#define SECOND_NS 1000000000LL
#define LONG_NS   (20 * SECOND_NS) /* never reached unless something is broken */

static ssize_t answer_text(void *context, void *buffer, size_t room)
{
	size_t length = strlen(context);

	if (length > room)
		return -ENOSPC;
	memcpy(buffer, context, length);
	return (ssize_t)length;
}

static void takes_the_answer(void **state)
{
	char text[] = "an answer";
	void *buffer = NULL;

	(void)state;
	assert_int_equal(disposable_run(answer_text, text, 16, LONG_NS, &buffer), 9);
	assert_memory_equal(buffer, text, 9);
	disposable_buffer_free(buffer, 16);
	/* The child is reaped: there is none left to wait for. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static ssize_t fill_all(void *context, void *buffer, size_t room)
{
	(void)context;
	memset(buffer, 0x5a, room);
	return (ssize_t)room;
}

static void large_and_empty_buffers(void **state)
{
	size_t room = (4u << 20) + 13;
	void *buffer;

	(void)state;
	assert_int_equal(disposable_run(fill_all, NULL, room, LONG_NS, &buffer), room);
	for (size_t i = 0; i < room; i++)
		assert_int_equal(((unsigned char *)buffer)[i], 0x5a);
	disposable_buffer_free(buffer, room);
	assert_int_equal(disposable_run(fill_all, NULL, 0, LONG_NS, &buffer), 0);
	disposable_buffer_free(buffer, 0);
	disposable_buffer_free(NULL, 0);
	assert_int_equal(disposable_run(fill_all, NULL, SIZE_MAX, LONG_NS, &buffer), -ENOMEM);
}

static void passes_errors_on(void **state)
{
	char text[] = "too long for the room";
	void *buffer = text;

	(void)state;
	assert_int_equal(disposable_run(answer_text, text, 4, LONG_NS, &buffer), -ENOSPC);
	assert_ptr_equal(buffer, text); /* untouched on failure */
}

static ssize_t claim_too_much(void *context, void *buffer, size_t room)
{
	(void)context;
	(void)buffer;
	return (ssize_t)room + 1;
}

static void does_not_believe_sizes(void **state)
{
	void *buffer;

	(void)state;
	assert_int_equal(disposable_run(claim_too_much, NULL, 8, LONG_NS, &buffer), -EOVERFLOW);
}

static ssize_t crash(void *context, void *buffer, size_t room)
{
	(void)buffer;
	(void)room;
	if (context) /* a polite end without an answer */
		_exit(0);
	kill(getpid(), SIGKILL);
	return 0;
}

static void child_dies(void **state)
{
	void *buffer;

	(void)state;
	assert_int_equal(disposable_run(crash, NULL, 8, LONG_NS, &buffer), -ECHILD);
	assert_int_equal(disposable_run(crash, "", 8, LONG_NS, &buffer), -ECHILD);
}

static ssize_t never_end(void *context, void *buffer, size_t room)
{
	(void)context;
	(void)buffer;
	(void)room;
	while (pause()) /* interrupted: every signal but one is blocked */
		;
	return 0;
}

/* Not a matter of timing: without the deadline this test would never end. */
static void child_never_ends(void **state)
{
	void *buffer;

	(void)state;
	assert_int_equal(disposable_run(never_end, NULL, 8, SECOND_NS / 50, &buffer), -ETIMEDOUT);
	assert_int_equal(disposable_stuck(), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static ssize_t signal_state(void *context, void *buffer, size_t room)
{
	sigset_t blocked;

	(void)context;
	(void)room;
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	*(int *)buffer = sigismember(&blocked, SIGINT) && sigismember(&blocked, SIGPIPE) &&
			 sigismember(&blocked, SIGTERM);
	return sizeof(int);
}

static void signals_are_blocked_in_the_child_only(void **state)
{
	sigset_t before, after;
	void *buffer;

	(void)state;
	sigprocmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(disposable_run(signal_state, NULL, sizeof(int), LONG_NS, &buffer),
			 sizeof(int));
	assert_int_equal(*(int *)buffer, 1);
	disposable_buffer_free(buffer, sizeof(int));
	sigprocmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
}

static void answers_with_sigchld_ignored(void **state)
{
	char text[] = "x";
	void *buffer;

	(void)state;
	signal(SIGCHLD, SIG_IGN);
	assert_int_equal(disposable_run(answer_text, text, 8, LONG_NS, &buffer), 1);
	disposable_buffer_free(buffer, 8);
	signal(SIGCHLD, SIG_DFL);
}

static ssize_t count_open(void *context, void *buffer, size_t room)
{
	int keep = *(int *)context, open = 0;

	(void)room;
	disposable_keep_only(keep);
	for (int fd = 0; fd < 256; fd++)
		open += fcntl(fd, F_GETFD) >= 0;
	((int *)buffer)[0] = open;
	((int *)buffer)[1] = keep >= 0 ? fcntl(keep, F_GETFD) >= 0 : -1;
	return 2 * sizeof(int);
}

static void keeps_only_what_it_needs(void **state)
{
	int keeps[] = {-1, 0, open("/dev/null", O_RDONLY)};
	void *buffer;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(disposable_run(count_open, &keeps[i], 8, LONG_NS, &buffer) > 0);
		assert_int_equal(((int *)buffer)[0], i != 0);
		assert_int_equal(((int *)buffer)[1], i ? 1 : -1);
		disposable_buffer_free(buffer, 8);
	}
	assert_true(fcntl(keeps[2], F_GETFD) >= 0); /* nothing was closed here */
	close(keeps[2]);
}

static int exit_handler_ran;

static void exit_handler(void)
{
	/* In a child this would be seen by the parent as the byte in the pipe. */
	if (exit_handler_ran > 0 && write(exit_handler_ran, "x", 1) != 1)
		abort();
}

static void no_exit_handlers_in_the_child(void **state)
{
	int ends[2];
	char text[] = "", byte;
	void *buffer;

	(void)state;
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	exit_handler_ran = ends[1];
	atexit(exit_handler);
	assert_int_equal(disposable_run(answer_text, text, 8, LONG_NS, &buffer), 0);
	disposable_buffer_free(buffer, 8);
	exit_handler_ran = 0;
	assert_int_equal(read(ends[0], &byte, 1), -1); /* the child has ended: nothing will come */
	close(ends[0]);
	close(ends[1]);
}

/* ---- children that cannot be ended --------------------------------------- */

#define STUCK_MAX 16 /* as in disposable.c */

/*
 * Attaches to the children whose pids it reads and keeps what is left of them after SIGKILL:
 * until a tracer lets go, a parent can't reap. Ends when `until` is closed.
 */
static void hold_children(int pids, int ready, int until)
{
	char byte = 0;
	pid_t pid;

	while (read(pids, &pid, sizeof(pid)) == sizeof(pid)) {
		if (ptrace(PTRACE_SEIZE, pid, NULL, NULL))
			_exit(1);
		if (write(ready, &byte, 1) != 1)
			_exit(1);
	}
	_exit(read(until, &byte, 1) < 0);
}

struct hostage {
	int pids, ready;
};

static ssize_t become_hostage(void *context, void *buffer, size_t room)
{
	struct hostage *h = context;
	pid_t pid = getpid();
	char byte;

	(void)buffer;
	(void)room;
	if (write(h->pids, &pid, sizeof(pid)) != sizeof(pid) || read(h->ready, &byte, 1) != 1)
		return -EIO;
	while (pause())
		;
	return 0;
}

static void stuck_children_are_counted_and_limited(void **state)
{
	int pids[2], ready[2], until[2];
	struct hostage h;
	void *buffer;
	pid_t holder;

	(void)state;
	assert_int_equal(pipe(pids) | pipe(ready) | pipe(until), 0);
	holder = fork();
	if (holder == 0) {
		close(pids[1]);
		close(until[1]);
		hold_children(pids[0], ready[1], until[0]);
	}
	h = (struct hostage){pids[1], ready[0]};
	for (unsigned i = 1; i <= STUCK_MAX; i++) {
		assert_int_equal(disposable_run(become_hostage, &h, 8, SECOND_NS / 20, &buffer),
				 -ETIMEDOUT);
		assert_int_equal(disposable_stuck(), i);
	}
	assert_int_equal(disposable_run(never_end, NULL, 8, LONG_NS, &buffer), -EAGAIN);

	/* The tracer's end lets go of them, and they are reaped later. */
	close(pids[1]);
	close(until[1]);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	assert_int_equal(disposable_stuck(), 0);
	assert_int_equal(disposable_run(answer_text, "", 8, LONG_NS, &buffer), 0);
	disposable_buffer_free(buffer, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_the_answer),
		cmocka_unit_test(large_and_empty_buffers),
		cmocka_unit_test(passes_errors_on),
		cmocka_unit_test(does_not_believe_sizes),
		cmocka_unit_test(child_dies),
		cmocka_unit_test(child_never_ends),
		cmocka_unit_test(signals_are_blocked_in_the_child_only),
		cmocka_unit_test(answers_with_sigchld_ignored),
		cmocka_unit_test(keeps_only_what_it_needs),
		cmocka_unit_test(no_exit_handlers_in_the_child),
		cmocka_unit_test(stuck_children_are_counted_and_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

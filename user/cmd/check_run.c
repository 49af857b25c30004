/* SPDX-License-Identifier: MIT */
/*
 * Runs a command with STRAND_LEAKS=report:PATH in its environment and takes the reports.
 *
 * The command stays in our process group, so that a terminal's signals reach it; we ignore the
 * first of them, as make and shells do, and end when the command has.
 */
#include "cmd/check_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/interrupt.h"
#include "cmd/session.h"
#include "observe/exit_reports.h"

#define SECOND         INT64_C(1000000000)
#define MILLISECOND    INT64_C(1000000)
#define KILL_AFTER     (10 * SECOND) /* from SIGTERM */
#define STATUS_TIMEOUT 124           /* as timeout(1) */

struct run {
	struct exit_reports *reports;
	struct model model;
	pid_t child;
	int child_fd;
	int64_t next_ns; /* when the next signal is due; INT64_MAX: never */
	int next_signal;
	bool timed_out, interrupted;
};

/* Where the socket lies: only we may look inside. */
static int make_folder(char folder[64])
{
	strcpy(folder, "/tmp/stranded-check.XXXXXX");
	return mkdtemp(folder) ? 0 : -errno;
}

static void become(char **argv, const char *socket_path, int error_fd)
{
	char setting[128];
	int error;

	snprintf(setting, sizeof(setting), "report:%s", socket_path);
	setenv("STRAND_LEAKS", setting, 1);
	signal(SIGPIPE, SIG_DFL); /* ours alone is ignored */
	execvp(argv[0], argv);
	error = errno;
	if (write(error_fd, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

/* Returns 0, or what execvp said: the pipe closes without a word when it has succeeded. */
static int start(struct run *r, char **argv, const char *socket_path)
{
	int fds[2], error = 0;
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	fflush(NULL);
	r->child = fork();
	if (r->child == 0)
		become(argv, socket_path, fds[1]);
	error = errno;
	close(fds[1]);
	n = r->child < 0 ? (ssize_t)sizeof(error) : read(fds[0], &error, sizeof(error));
	close(fds[0]);
	if (n == 0) {
		r->child_fd = (int)syscall(SYS_pidfd_open, r->child, 0);
		return r->child_fd < 0 ? -errno : 0;
	}
	if (r->child > 0)
		waitpid(r->child, NULL, 0);
	return -error;
}

/* A signal that came to us alone has to be passed on; one from the terminal it has got, too. */
static void pass_on(struct run *r)
{
	if (!interrupt_signal() || r->interrupted)
		return;
	r->interrupted = true;
	if (interrupt_signal() == SIGTERM)
		kill(r->child, SIGTERM);
}

static void signal_if_due(struct run *r)
{
	if (session_now() < r->next_ns)
		return;
	r->timed_out = true;
	kill(r->child, r->next_signal);
	r->next_ns = r->next_signal == SIGKILL ? INT64_MAX : session_now() + KILL_AFTER;
	r->next_signal = SIGKILL;
}

/* A report that is none is in the model as such. Only a broken socket would come again and again. */
static int take_reports(struct run *r)
{
	int error;

	do {
		error = exit_reports_take(r->reports, &r->model);
	} while (!error || error == -EBADMSG || error == -ETIMEDOUT || error == -ECONNRESET);
	return error == -EAGAIN ? 0 : error;
}

static int wait_some(struct run *r, bool *ret_ended)
{
	struct pollfd fds[] = {{.fd = exit_reports_fd(r->reports), .events = POLLIN},
			       {.fd = r->child_fd, .events = POLLIN}};
	int64_t left_ns = r->next_ns - session_now();
	int timeout_ms = left_ns > 200 * MILLISECOND ? 200 : (int)(left_ns / MILLISECOND) + 1;

	*ret_ended = false;
	if (poll(fds, 2, timeout_ms < 0 ? 0 : timeout_ms) < 0)
		return errno == EINTR ? 0 : -errno;
	*ret_ended = fds[1].revents != 0;
	return take_reports(r);
}

static int follow(struct run *r, int *ret_status)
{
	bool ended = false;
	int error = 0, status;

	while (!ended && !error) {
		pass_on(r);
		signal_if_due(r);
		error = wait_some(r, &ended);
	}
	if (error)
		kill(r->child, SIGTERM);
	if (waitpid(r->child, &status, 0) < 0)
		return -errno;
	*ret_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (r->timed_out)
		*ret_status = STATUS_TIMEOUT;
	return error;
}

static int run_in(const char *folder, char **argv, struct run *r, int *ret_status,
		  const char **ret_what)
{
	char path[80];
	int error;

	snprintf(path, sizeof(path), "%s/socket", folder);
	*ret_what = "listen for reports";
	error = exit_reports_new(path, &r->reports);
	if (error)
		return error;
	error = exit_reports_begin(&r->model);
	if (!error) {
		*ret_what = "run it";
		error = start(r, argv, path);
	}
	if (!error) {
		*ret_what = "follow it";
		error = follow(r, ret_status);
		close(r->child_fd);
	}
	exit_reports_free(r->reports);
	return error;
}

int check_run(char **argv, int64_t timeout_ns, struct check_run *ret_run, const char **ret_what)
{
	struct run r = {.next_ns = INT64_MAX, .next_signal = SIGTERM};
	int64_t started_ns = session_now();
	char folder[64];
	int status = 0, error;

	*ret_what = "make a folder in /tmp";
	error = make_folder(folder);
	if (error)
		return error;
	interrupt_install();
	if (timeout_ns)
		r.next_ns = started_ns + timeout_ns;
	error = run_in(folder, argv, &r, &status, ret_what);
	rmdir(folder);
	if (error) {
		model_done(&r.model);
		return error;
	}
	model_sort(&r.model);
	*ret_run = (struct check_run){
		.model = r.model,
		.status = status,
		.duration_ns = session_now() - started_ns,
	};
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Starts tests/e2e/fake_runtime and speaks with it, a line at a time.
 */
#ifndef TEST_FAKE_PROCESS_H
#define TEST_FAKE_PROCESS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct fake_process {
	pid_t pid;
	FILE *to, *from;
};

/* tests/unit/test_x and tests/e2e/fake_runtime are built side by side. */
static inline void fake_program(char *ret_path, size_t room)
{
	char self[512];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(length > 0);
	self[length] = 0;
	*strrchr(self, '/') = 0;
	snprintf(ret_path, room, "%s/../e2e/fake_runtime", self);
}

static inline void fake_expect(struct fake_process *f, const char *expected)
{
	char line[64];

	assert_non_null(fgets(line, sizeof(line), f->from));
	line[strcspn(line, "\n")] = 0;
	assert_string_equal(line, expected);
}

static inline void fake_child(const char *option, int in, int out)
{
	char path[600];

	fake_program(path, sizeof(path));
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(in, 0);
	dup2(out, 1);
	execl(path, "fake_runtime", option, (char *)NULL);
	_exit(127);
}

/* @option may be NULL */
static inline struct fake_process fake_start(const char *option)
{
	struct fake_process f;
	int in[2], out[2];

	assert_return_code(pipe2(in, O_CLOEXEC), errno);
	assert_return_code(pipe2(out, O_CLOEXEC), errno);
	f.pid = fork();
	assert_return_code(f.pid, errno);
	if (!f.pid)
		fake_child(option, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	f.to = fdopen(in[1], "w");
	f.from = fdopen(out[0], "r");
	fake_expect(&f, "ready");
	return f;
}

static inline void fake_send(struct fake_process *f, const char *command)
{
	fprintf(f->to, "%s\n", command);
	fflush(f->to);
}

/* Its "ok" says that the probe has been hit, and BPF has done its work. */
static inline void fake_tell(struct fake_process *f, const char *command)
{
	fake_send(f, command);
	fake_expect(f, "ok");
}

static inline int fake_semaphore(struct fake_process *f)
{
	char line[64];

	fake_send(f, "semaphore");
	assert_non_null(fgets(line, sizeof(line), f->from));
	return atoi(line);
}

static inline void fake_stop(struct fake_process *f)
{
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	fclose(f->to);
	fclose(f->from);
}

#endif

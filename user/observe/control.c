/* SPDX-License-Identifier: MIT */
/*
 * Writes commands to a target's control pipe and copies its reports.
 *
 * I1. Only a disposable process opens, writes or reads anything of the target's: O_NONBLOCK
 *     does not cover the pipe's own lock, and any file may hide behind a descriptor's number.
 * I2. Every file is first opened O_PATH, which does nothing to it, and checked; then an open
 *     file description of our own is made of it. The target's description, and with it the
 *     flags that the target sees, is never touched.
 * I3. A command goes to a pipe without a name that the process itself has open for writing.
 *     So nothing is written that the process could not write itself. (The pipe's owner is not
 *     asked for: it is root's if the program dropped its privileges after the start.)
 * I4. A report is copied out of a memfd that is sealed against every change.
 */
#include "observe/control.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "observe/disposable.h"

#define SEND_TIMEOUT_NS  1000000000LL

/* Copying STRAND_REPORT_SIZE_MAX takes a fraction of a second. */
#define FETCH_TIMEOUT_NS 5000000000LL

#define SEALS_NEEDED     (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

_Static_assert(sizeof(struct strand_command) == 64, "commands are written whole, 64 bytes each");

/* An O_PATH descriptor of what the target has open under a number. */
static int open_target_fd(int proc_fd, int fd)
{
	char name[32];
	int path_fd;

	snprintf(name, sizeof(name), "fd/%d", fd);
	path_fd = openat(proc_fd, name, O_PATH | O_CLOEXEC);
	if (path_fd >= 0)
		return path_fd;
	return errno == ENOENT ? -EBADMSG : -errno;
}

/* An open file description of our own. */
static int reopen(int path_fd, int flags)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* ---- commands ------------------------------------------------------------ */

struct send_job {
	int proc_fd;
	int control_fd;
	const struct strand_command *command;
};

/* A FIFO on a real file system could be anybody's; a pipe cannot be reached by name. */
static bool is_nameless_pipe(int path_fd)
{
	struct stat st;
	struct statfs fs;

	return !fstat(path_fd, &st) && S_ISFIFO(st.st_mode) && !fstatfs(path_fd, &fs) &&
	       fs.f_type == PIPEFS_MAGIC;
}

static bool is_open_for_writing(int proc_fd, int fd)
{
	char name[32], text[512];
	unsigned flags;
	const char *at;
	ssize_t n;
	int info;

	snprintf(name, sizeof(name), "fdinfo/%d", fd);
	info = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return false;
	n = read(info, text, sizeof(text) - 1);
	close(info);
	if (n <= 0)
		return false;
	text[n] = '\0';
	at = strstr(text, "flags:");
	return at && sscanf(at, "flags: %o", &flags) == 1 && !(flags & O_PATH) &&
	       (flags & O_ACCMODE) != O_RDONLY;
}

static ssize_t send_work(void *context, void *buffer, size_t room)
{
	const struct send_job *job = context;
	int path_fd, fd;
	ssize_t n;

	(void)buffer;
	(void)room;
	disposable_keep_only(job->proc_fd);
	signal(SIGPIPE, SIG_IGN);
	path_fd = open_target_fd(job->proc_fd, job->control_fd);
	if (path_fd < 0)
		return path_fd;
	if (!is_nameless_pipe(path_fd) || !is_open_for_writing(job->proc_fd, job->control_fd))
		return -EBADMSG;
	fd = reopen(path_fd, O_WRONLY);
	if (fd < 0)
		return fd == -ENXIO ? -EPIPE : fd; /* no reader */
	n = write(fd, job->command, sizeof(*job->command));
	if (n < 0)
		return -errno;
	/* Below PIPE_BUF a write to a pipe is whole or not at all. */
	return n == sizeof(*job->command) ? 0 : -EIO;
}

/* The target's own failures as control.h names them. */
static int settle(const struct target *t, ssize_t result)
{
	if (result == -EPERM)
		result = -EACCES;
	/* What is missing in a dead process's directory is no lie of the process. */
	if ((result == -EBADMSG || result == -EACCES) && !target_alive(t))
		result = -ESRCH;
	return (int)result;
}

/* Is there somebody to talk to? No further child for a process that made one hang. */
static int check_target(const struct target *t)
{
	if (t->status == MODEL_HUNG)
		return -ETIMEDOUT;
	if (!t->has_descriptor || !t->descriptor.pid ||
	    (t->inner_pid && t->descriptor.pid != t->inner_pid))
		return -ENOTCONN;
	return 0;
}

int control_send(const struct target *t, const struct strand_command *command)
{
	struct send_job job = {t->proc_fd, t->descriptor.control_fd, command};
	int err = check_target(t);
	void *buffer;
	ssize_t n;

	if (err)
		return err;
	if (job.control_fd < 0)
		return -ENOTCONN;
	n = disposable_run(send_work, &job, 0, SEND_TIMEOUT_NS, &buffer);
	if (n >= 0)
		disposable_buffer_free(buffer, 0);
	return settle(t, n);
}

static struct strand_command new_command(enum strand_command_type type)
{
	return (struct strand_command){
		.magic = STRAND_COMMAND_MAGIC, .abi_major = STRAND_ABI_MAJOR, .type = type};
}

int control_hello(const struct target *t, uint64_t threshold_ns)
{
	struct strand_command command = new_command(STRAND_COMMAND_HELLO);

	command.threshold_ns = threshold_ns;
	return control_send(t, &command);
}

int control_scan(const struct target *t, uint64_t request, uint64_t min_age_ns)
{
	struct strand_command command = new_command(STRAND_COMMAND_SCAN);

	command.request = request;
	command.min_age_ns = min_age_ns;
	return control_send(t, &command);
}

/* ---- reports ------------------------------------------------------------- */

struct fetch_job {
	int proc_fd;
	int report_fd;
};

/* A descriptor to read the memfd with; -EBADMSG if it is anything else or may still change. */
static int open_sealed(const struct fetch_job *job, uint64_t size)
{
	int path_fd = open_target_fd(job->proc_fd, job->report_fd);
	struct stat st;
	int fd, seals;

	if (path_fd < 0)
		return path_fd;
	if (fstat(path_fd, &st) || !S_ISREG(st.st_mode))
		return -EBADMSG;
	fd = reopen(path_fd, O_RDONLY);
	if (fd < 0)
		return fd;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS_NEEDED) != SEALS_NEEDED)
		return -EBADMSG;
	/* Only now can the size not change any more. */
	if (fstat(fd, &st) || st.st_size < 0 || (uint64_t)st.st_size != size)
		return -EBADMSG;
	return fd;
}

static ssize_t fetch_work(void *context, void *buffer, size_t room)
{
	const struct fetch_job *job = context;
	size_t done = 0;
	int fd;

	disposable_keep_only(job->proc_fd);
	fd = open_sealed(job, room);
	if (fd < 0)
		return fd;
	while (done < room) {
		ssize_t n = pread(fd, (char *)buffer + done, room - done, (off_t)done);

		if (n < 0)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		done += n;
	}
	return (ssize_t)room;
}

int control_fetch_report(const struct target *t, int fd, uint64_t size, void **ret_report)
{
	struct fetch_job job = {t->proc_fd, fd};
	int err = check_target(t);
	void *buffer, *copy;
	ssize_t n;

	if (err)
		return err;
	if (fd < 0 || size == 0)
		return -EBADMSG;
	if (size > STRAND_REPORT_SIZE_MAX)
		return -EFBIG;
	n = disposable_run(fetch_work, &job, size, FETCH_TIMEOUT_NS, &buffer);
	if (n < 0)
		return settle(t, n);
	copy = malloc(size);
	if (copy) {
		memcpy(copy, buffer, size);
		*ret_report = copy;
	}
	disposable_buffer_free(buffer, size);
	return copy ? 0 : -ENOMEM;
}

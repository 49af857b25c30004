/* SPDX-License-Identifier: MIT */
/*
 * Tests of the control pipe and of fetching reports, with a child process as the target and
 * every wrong thing behind the numbers that it names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "observe/control.h"
#include "observe/disposable.h"
#include "observe/procfs.h"
#include "unanswered_page.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* A child that has the descriptors of the test and does nothing until it is ended. */
static pid_t start_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing behind */
		while (pause())
			;
	}
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* The child as discovery would have it, with `fd` as its control descriptor. */
static struct target target_of(pid_t pid, int control_fd)
{
	struct target t = {
		.pid = pid, .inner_pid = pid, .proc_fd = procfs_open(pid), .has_descriptor = true};
	struct procfs_stat stat;

	assert_true(t.proc_fd >= 0);
	assert_int_equal(procfs_read_stat(t.proc_fd, &stat), 0);
	t.start_ticks = stat.start_ticks;
	t.descriptor.pid = pid;
	t.descriptor.control_fd = control_fd;
	return t;
}

/* Send to a child that has `fd`; every descriptor of the test is open in the child. */
static int send_to(int fd)
{
	pid_t pid = start_child();
	struct target t = target_of(pid, fd);
	int err = control_hello(&t, 0);

	close(t.proc_fd);
	end_child(pid);
	return err;
}

/* Fetch from a child that has `fd`, after which the test's own copy is closed. */
static int fetch(int fd, uint64_t size, void **ret_report)
{
	pid_t pid = start_child();
	struct target t = target_of(pid, -1);
	int err = control_fetch_report(&t, fd, size, ret_report);

	end_child(pid);
	close(t.proc_fd);
	if (fd >= 0)
		close(fd);
	return err;
}

static void commands_arrive(void **state)
{
	struct strand_command got;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = start_child();
	struct target t = target_of(pid, ends[1]);

	assert_int_equal(control_hello(&t, 12345), 0);
	assert_int_equal(read(ends[0], &got, sizeof(got)), sizeof(got));
	assert_int_equal(got.magic, STRAND_COMMAND_MAGIC);
	assert_int_equal(got.abi_major, STRAND_ABI_MAJOR);
	assert_int_equal(got.type, STRAND_COMMAND_HELLO);
	assert_int_equal(got.threshold_ns, 12345);
	assert_int_equal(control_scan(&t, 7, 1000), 0);
	assert_int_equal(read(ends[0], &got, sizeof(got)), sizeof(got));
	assert_int_equal(got.type, STRAND_COMMAND_SCAN);
	assert_int_equal(got.request, 7);
	assert_int_equal(got.min_age_ns, 1000);
	/* The target's own description blocks as before. */
	assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
	end_child(pid);
	close(t.proc_fd);
	close(ends[0]);
	close(ends[1]);
}

/* As libstrand makes it: the inode's mode lets others write, O_CLOEXEC, O_NONBLOCK. */
static void full_pipe(void **state)
{
	char page[4096] = "";
	int ends[2], fill;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	fill = fcntl(ends[1], F_GETFL);
	assert_int_equal(fcntl(ends[1], F_SETFL, fill | O_NONBLOCK), 0);
	while (write(ends[1], page, sizeof(page)) > 0)
		;
	assert_int_equal(fcntl(ends[1], F_SETFL, fill), 0); /* blocking, for the target */
	assert_int_equal(send_to(ends[1]), -EAGAIN);
	/* One page free: 64 bytes fit again. */
	assert_int_equal(read(ends[0], page, sizeof(page)), sizeof(page));
	assert_int_equal(send_to(ends[1]), 0);
	close(ends[0]);
	close(ends[1]);
}

static void pipe_without_reader(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(send_to(ends[1]), -EPIPE);
	close(ends[1]);
}

/* Opening alone can have effects: what is no pipe and no report is not opened at all. */
static void strangers_files_are_not_opened(void **state)
{
	char folder[] = "/tmp/test-control-XXXXXX", fifo[64], event[4096];
	int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	void *report;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	int fd = open(fifo, O_RDWR);
	assert_true(fd >= 0);
	assert_true(inotify_add_watch(inotify, fifo, IN_OPEN | IN_MODIFY) >= 0);
	assert_int_equal(send_to(fd), -EBADMSG);
	assert_int_equal(fetch(dup(fd), 8, &report), -EBADMSG);
	assert_int_equal(read(inotify, event, sizeof(event)), -1);
	assert_int_equal(errno, EAGAIN);
	close(open(fifo, O_RDWR)); /* this would have been seen */
	assert_true(read(inotify, event, sizeof(event)) > 0);
	unlink(fifo);
	rmdir(folder);
	close(inotify);
	close(fd);
}

/* Whatever else may hide behind the number is no pipe. */
static void no_pipe(void **state)
{
	char folder[] = "/tmp/test-control-XXXXXX", fifo[64], file[64];
	int ends[2], sockets[2], fds[6];

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
	snprintf(file, sizeof(file), "%s/file", folder);
	assert_int_equal(mkfifo(fifo, 0622), 0);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
	fds[0] = open(fifo, O_RDWR);                 /* a FIFO with a name: could be anybody's */
	fds[1] = open(file, O_RDWR | O_CREAT, 0600); /* a regular file */
	fds[2] = sockets[0];                         /* a socket */
	fds[3] = open("/dev/null", O_RDWR);          /* a device */
	fds[4] = ends[0];                            /* only the read end of a pipe */
	fds[5] = memfd_create("no-pipe", MFD_CLOEXEC);
	for (int i = 0; i < 6; i++) {
		assert_true(fds[i] >= 0);
		if (send_to(fds[i]) != -EBADMSG)
			fail_msg("descriptor %d was taken for a control pipe", i);
	}
	assert_int_equal(lseek(fds[1], 0, SEEK_END), 0);
	assert_int_equal(send_to(987), -EBADMSG); /* closed */
	/* A pipe that the target merely refers to, as it may to a stranger's. */
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[1]);
	int reference = open(path, O_PATH);
	assert_int_equal(send_to(reference), -EBADMSG);
	close(reference);
	for (int i = 0; i < 6; i++)
		close(fds[i]);
	close(sockets[1]);
	close(ends[1]);
	unlink(fifo);
	unlink(file);
	rmdir(folder);
}

static void nobody_to_talk_to(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = start_child();
	struct target t = target_of(pid, ends[1]);
	void *report;

	t.has_descriptor = false;
	assert_int_equal(control_hello(&t, 0), -ENOTCONN);
	t = target_of(pid, -1);
	assert_int_equal(control_hello(&t, 0), -ENOTCONN);
	t = target_of(pid, ends[1]);
	t.descriptor.pid = pid + 1; /* it has inherited the descriptor, and the pipe, by fork */
	assert_int_equal(control_hello(&t, 0), -ENOTCONN);
	assert_int_equal(control_fetch_report(&t, ends[1], 8, &report), -ENOTCONN);
	t.inner_pid = 0; /* unless that cannot be known */
	assert_int_equal(control_hello(&t, 0), 0);
	t.status = MODEL_HUNG;
	assert_int_equal(control_hello(&t, 0), -ETIMEDOUT);
	t = target_of(pid, ends[1]);
	end_child(pid);
	assert_int_equal(control_hello(&t, 0), -ESRCH);
	assert_int_equal(control_fetch_report(&t, ends[1], 8, &report), -ESRCH);
}

static int make_memfd(const char *bytes, size_t size, int seals)
{
	int fd = memfd_create("report", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void sealed_report(void **state)
{
	size_t size = (1u << 20) + 3;
	char *bytes = malloc(size);
	void *report = NULL;

	(void)state;
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(i * 7);
	assert_int_equal(fetch(make_memfd(bytes, size, SEALS), size, &report), 0);
	assert_memory_equal(report, bytes, size);
	free(report);
	free(bytes);
}

static void no_sealed_report(void **state)
{
	static const int missing[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, SEALS};
	void *report = NULL;
	int ends[2];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(fetch(make_memfd("report", 6, SEALS & ~missing[i]), 6, &report),
				 -EBADMSG);
	assert_int_equal(fetch(make_memfd("report", 6, SEALS), 5, &report), -EBADMSG);
	assert_int_equal(fetch(make_memfd("report", 6, SEALS), 7, &report), -EBADMSG);
	assert_int_equal(fetch(make_memfd("report", 6, SEALS), 0, &report), -EBADMSG);
	assert_int_equal(fetch(make_memfd("report", 6, SEALS), STRAND_REPORT_SIZE_MAX + 1ul,
			       &report),
			 -EFBIG);
	assert_int_equal(fetch(-1, 6, &report), -EBADMSG);
	assert_int_equal(fetch(open("/proc/self/exe", O_RDONLY), 6, &report), -EBADMSG);
	assert_int_equal(fetch(open("/dev/zero", O_RDONLY), 6, &report), -EBADMSG);
	assert_int_equal(pipe(ends), 0);
	close(ends[1]);
	assert_int_equal(fetch(ends[0], 6, &report), -EBADMSG);
	assert_null(report);
}

/* Reads its own pipe into a page that never comes, and so holds the pipe's lock for ever. */
static void read_into_nowhere(int pipe_fd, int uffd_socket)
{
	void *page;
	int uffd = unanswered_page(NULL, &page);
	char data[CMSG_SPACE(sizeof(int))] = "", byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = data,
			   .msg_controllen = sizeof(data)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &uffd, sizeof(int));
	if (uffd < 0 || sendmsg(uffd_socket, &m, 0) != 1)
		_exit(1);
	_exit(read(pipe_fd, page, 4096) != 0);
}

static int receive_descriptor(int from)
{
	char data[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = data,
			   .msg_controllen = sizeof(data)};
	int fd = -1;

	assert_int_equal(recvmsg(from, &m, 0), 1);
	assert_non_null(CMSG_FIRSTHDR(&m));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	return fd;
}

/*
 * The measured hazard: a target that holds its pipe's lock stops even a non-blocking open, in a
 * sleep that SIGKILL does not end. The observer goes on, and the child is reaped when it can be.
 */
static void target_that_holds_the_lock(void **state)
{
	struct timespec tick = {.tv_nsec = 1000000};
	int ends[2], sockets[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	pid_t pid = fork();
	if (pid == 0)
		read_into_nowhere(ends[0], sockets[1]);
	struct target t = target_of(pid, ends[1]);
	struct pollfd fault = {.fd = receive_descriptor(sockets[0]), .events = POLLIN};
	assert_int_equal(poll(&fault, 1, -1), 1); /* it holds the lock now */

	assert_int_equal(control_hello(&t, 0), -ETIMEDOUT);
	assert_int_equal(disposable_stuck(), 1);
	end_child(pid);
	close(fault.fd);
	while (disposable_stuck()) /* for ever if it is not reaped */
		nanosleep(&tick, NULL);
	close(t.proc_fd);
	for (int i = 0; i < 2; i++) {
		close(ends[i]);
		close(sockets[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_arrive),
		cmocka_unit_test(full_pipe),
		cmocka_unit_test(pipe_without_reader),
		cmocka_unit_test(no_pipe),
		cmocka_unit_test(strangers_files_are_not_opened),
		cmocka_unit_test(nobody_to_talk_to),
		cmocka_unit_test(target_that_holds_the_lock),
		cmocka_unit_test(sealed_report),
		cmocka_unit_test(no_sealed_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

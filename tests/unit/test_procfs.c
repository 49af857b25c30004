/* SPDX-License-Identifier: MIT */
/*
 * Tests of the /proc reader on older kernels and with fewer rights: the mappings of this very
 * process, as seen with and without PROCMAP_QUERY and map_files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "observe/procfs.h"

#define MAPPINGS_MAX 64

struct seen {
	struct procfs_mapping m[MAPPINGS_MAX];
	unsigned count;
	unsigned stop_after;
};

static bool see(void *context, const struct procfs_mapping *m)
{
	struct seen *s = context;

	if (s->count == MAPPINGS_MAX)
		return false;
	s->m[s->count] = *m;
	s->m[s->count++].path = m->path ? strdup(m->path) : NULL;
	return s->count != s->stop_after;
}

/* Run a check in a child, where it may give up rights. */
static void in_child(void (*check)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		check();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* In a child cmocka's asserts would go on with the parent's tests. */
#define CHECK(condition)                                                   \
	do {                                                               \
		if (!(condition)) {                                        \
			fprintf(stderr, "%d: %s\n", __LINE__, #condition); \
			_exit(1);                                          \
		}                                                          \
	} while (0)

static void forbid_queries(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static void text_and_queries_agree(void)
{
	int proc_fd = procfs_open(getpid());
	struct seen asked = {0}, parsed = {0};

	CHECK(!procfs_each_executable(proc_fd, see, &asked));
	forbid_queries();
	CHECK(!procfs_each_executable(proc_fd, see, &parsed));
	CHECK(asked.count > 2); /* the program, libc, ld.so */
	CHECK(asked.count == parsed.count);
	for (unsigned i = 0; i < asked.count; i++) {
		const struct procfs_mapping *a = &asked.m[i], *b = &parsed.m[i];

		CHECK(a->start == b->start && a->end == b->end && a->offset == b->offset);
		CHECK(a->inode == b->inode && a->dev_major == b->dev_major &&
		      a->dev_minor == b->dev_minor);
		CHECK(a->path && b->path && !strcmp(a->path, b->path));
	}
}

static void older_kernel(void **state)
{
	(void)state;
	in_child(text_and_queries_agree);
}

/* More lines than one read returns, and lines that only look right. */
static void many_mappings(void)
{
	static const char name[] = "/tmp/test procfs 1-2 r-xp (deleted)\n55-66 r-xp 0 1:1 1 x";
	int proc_fd = procfs_open(getpid());
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct seen parsed = {0};

	CHECK(fd >= 0 && !unlink(name) && !ftruncate(fd, 4096));
	forbid_queries();
	for (int i = 0; i < 2000; i++) /* neighbours differ, so none are merged */
		CHECK(mmap(NULL, 4096, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE, fd,
			   0) != MAP_FAILED);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED);
	CHECK(!procfs_each_executable(proc_fd, see, &parsed));
	struct stat st;
	unsigned found = 0;
	CHECK(!fstat(fd, &st));
	for (unsigned i = 0; i < parsed.count; i++) {
		CHECK(parsed.m[i].inode != 1);
		if (parsed.m[i].inode != st.st_ino)
			continue;
		CHECK(!parsed.m[i].path); /* it has a newline */
		found++;
	}
	CHECK(found == 1);
}

static void long_maps(void **state)
{
	(void)state;
	in_child(many_mappings);
}

static void visitor_may_stop(void **state)
{
	int proc_fd = procfs_open(getpid());
	struct seen s = {.stop_after = 2};

	(void)state;
	assert_int_equal(procfs_each_executable(proc_fd, see, &s), 0);
	assert_int_equal(s.count, 2);
	for (unsigned i = 0; i < s.count; i++)
		free((char *)s.m[i].path);
	close(proc_fd);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {{0}};

	CHECK(!syscall(SYS_capset, &header, none));
}

/* Each mapping leads to the inode that it maps, by whatever way is allowed. */
static void check_files(int proc_fd, const struct seen *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		int fd = procfs_open_mapped(proc_fd, &s->m[i]);
		struct stat st;

		CHECK(fd >= 0);
		CHECK(!fstat(fd, &st) && st.st_ino == s->m[i].inode);
		CHECK(fcntl(fd, F_GETFL) & O_PATH);
		close(fd);
	}
}

static void files_by_name(void)
{
	int proc_fd = procfs_open(getpid());
	struct seen s = {0};

	CHECK(!procfs_each_executable(proc_fd, see, &s));
	check_files(proc_fd, &s);
	drop_capabilities();
	check_files(proc_fd, &s);
	/* A path that leads to another file than the one that is mapped is not followed. */
	for (unsigned i = 0; i < s.count; i++) {
		s.m[i].path = "/etc/passwd";
		int fd = procfs_open_mapped(proc_fd, &s.m[i]);
		struct stat st;

		CHECK(fd < 0 || (!fstat(fd, &st) && st.st_ino == s.m[i].inode));
		s.m[i].path = NULL;
		s.m[i].inode++; /* nor does the program's own link stand for any mapping */
		CHECK(procfs_open_mapped(proc_fd, &s.m[i]) < 0);
	}
}

static void no_map_files(void **state)
{
	(void)state;
	in_child(files_by_name);
}

static void identity(void **state)
{
	int proc_fd = procfs_open(getpid());
	struct procfs_status status;
	struct procfs_stat stat;
	char command[16], *exe = procfs_read_exe(proc_fd);

	(void)state;
	assert_int_equal(procfs_read_stat(proc_fd, &stat), 0);
	assert_int_equal(stat.state, 'R');
	assert_int_equal(stat.threads, 1);
	assert_true(stat.start_ticks > 0);
	assert_true(stat.stack_start > (uintptr_t)&stat); /* the stack grows down from it */
	assert_false(procfs_has_exited(&stat));
	assert_int_equal(procfs_read_status(proc_fd, &status), 0);
	assert_int_equal(status.uid, geteuid());
	assert_int_equal(status.inner_pid, getpid());
	procfs_read_command(proc_fd, command);
	assert_string_equal(command, "test_procfs");
	assert_non_null(strstr(exe, "test_procfs"));
	free(exe);
	close(proc_fd);
}

/* A name that looks like the end of the name and what follows it. */
static void name_like_numbers(void **state)
{
	int proc_fd = procfs_open(getpid());
	struct procfs_stat before, after;
	char name[16] = "", command[16];

	(void)state;
	prctl(PR_GET_NAME, name);
	assert_int_equal(procfs_read_stat(proc_fd, &before), 0);
	prctl(PR_SET_NAME, ") Z 1 (x\nUid:");
	assert_int_equal(procfs_read_stat(proc_fd, &after), 0);
	procfs_read_command(proc_fd, command);
	prctl(PR_SET_NAME, name);
	assert_string_equal(command, ") Z 1 (x\nUid:");
	assert_int_equal(after.state, before.state);
	assert_int_equal(after.start_ticks, before.start_ticks);
	assert_int_equal(after.stack_start, before.stack_start);
	close(proc_fd);
}

/* What is asked of a directory whose process has gone is an error and never another's. */
static void gone(void **state)
{
	struct procfs_status status;
	struct procfs_stat stat;
	struct seen s = {0};
	char command[16];
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		while (pause())
			;
	}
	int proc_fd = procfs_open(pid);
	assert_true(proc_fd >= 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(procfs_open(pid), -ESRCH);
	assert_int_equal(procfs_read_stat(proc_fd, &stat), -ESRCH);
	assert_int_equal(procfs_read_status(proc_fd, &status), -ESRCH);
	assert_int_equal(procfs_each_executable(proc_fd, see, &s), -ESRCH);
	procfs_read_command(proc_fd, command);
	assert_string_equal(command, "");
	assert_null(procfs_read_exe(proc_fd));
	close(proc_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(older_kernel),
		cmocka_unit_test(long_maps),
		cmocka_unit_test(visitor_may_stop),
		cmocka_unit_test(no_map_files),
		cmocka_unit_test(identity),
		cmocka_unit_test(name_like_numbers),
		cmocka_unit_test(gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * The walls of front and renderer: identity, limits, Landlock, seccomp.
 *
 * The list of system calls is one of what is allowed; all else fails with EPERM, so that a libc
 * which tries something new is told no, and not killed. Neither opens files, starts programs or
 * processes, or touches another process.
 */
#include "serve/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY     65534
#define FIRST_KEPT (STDERR_FILENO + 1)

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SHADOW_MEMORY 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAS_SHADOW_MEMORY 1
#endif

#if defined(__x86_64__)
#define NATIVE_AUDIT_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_AUDIT_ARCH AUDIT_ARCH_AARCH64
#endif

/* All file rights of Landlock's first version. */
#define LANDLOCK_RIGHTS ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static const int allowed_calls[] = {
	/* sockets and documents */
	SYS_accept4,
	SYS_recvfrom,
	SYS_recvmsg,
	SYS_sendto,
	SYS_sendmsg,
	SYS_sendfile,
	SYS_getsockopt,
	SYS_setsockopt,
	SYS_getsockname,
	SYS_getpeername,
	SYS_shutdown,
	SYS_read,
	SYS_write,
	SYS_writev,
	SYS_pread64,
	SYS_lseek,
	SYS_fstat,
	SYS_newfstatat, /* fstat() of newer libcs; without a path there is nothing to find */
	SYS_fcntl,
	SYS_close,
	SYS_ftruncate,
	/* waiting */
	SYS_epoll_create1,
	SYS_epoll_ctl,
	SYS_epoll_pwait,
	SYS_ppoll,
	SYS_eventfd2,
	SYS_clock_gettime,
	SYS_clock_nanosleep,
	SYS_futex,
	SYS_sched_yield,
	/* memory and ends */
	SYS_brk,
	SYS_munmap,
	SYS_mremap,
	SYS_madvise,
	SYS_getrandom,
	SYS_getpid,
	SYS_gettid,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_sigaltstack,
	SYS_exit,
	SYS_exit_group,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
#ifdef SYS_poll
	SYS_poll,
#endif
#ifdef SYS_time
	SYS_time,
#endif
};

#define CALLS_ALLOWED (sizeof(allowed_calls) / sizeof(allowed_calls[0]))

void confine_inherit(const char *name, const int *keep, size_t count)
{
	int safe[8];
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	signal(SIGINT, SIG_IGN); /* of the terminal; the end of the server is the end of this */
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NAME, name);
	if (count > sizeof(safe) / sizeof(safe[0]))
		_exit(1);
	for (size_t i = 0; i < count; i++) { /* out of the way of those that they become */
		safe[i] = fcntl(keep[i], F_DUPFD, FIRST_KEPT + (int)count);
		if (safe[i] < 0)
			_exit(1);
	}
	for (size_t i = 0; i < count; i++)
		if (dup2(safe[i], FIRST_KEPT + (int)i) < 0)
			_exit(1);
	if (syscall(SYS_close_range, FIRST_KEPT + (unsigned)count, ~0u, 0) < 0)
		for (int fd = FIRST_KEPT + (int)count; fd < (int)sysconf(_SC_OPEN_MAX); fd++)
			close(fd);
}

void confine_identity(struct confinement *c)
{
	const struct passwd *user = getpwnam("stranded");

	c->uid = user && user->pw_uid ? user->pw_uid : NOBODY;
	c->gid = user && user->pw_uid ? user->pw_gid : NOBODY;
}

static int drop_identity(const struct confinement *c)
{
	if (geteuid() != 0)
		return 0; /* nothing to drop, and not allowed to */
	if (setgroups(0, NULL) < 0 || setresgid(c->gid, c->gid, c->gid) < 0 ||
	    setresuid(c->uid, c->uid, c->uid) < 0)
		return -errno;
	return 0;
}

static int limit(int resource, rlim_t value)
{
	struct rlimit old, new = {value, value};

	if (getrlimit(resource, &old) < 0)
		return -errno;
	if (old.rlim_max < value)
		new.rlim_cur = new.rlim_max = old.rlim_max;
	return setrlimit(resource, &new) < 0 ? -errno : 0;
}

static int limit_resources(const struct confinement *c)
{
	int error = limit(RLIMIT_NOFILE, c->descriptors_max);

	if (!error)
		error = limit(RLIMIT_FSIZE, c->file_max);
	if (!error)
		error = limit(RLIMIT_CORE, 0);
	if (!error)
		error = limit(RLIMIT_NPROC, 0);
#ifndef HAS_SHADOW_MEMORY
	if (!error && c->memory_max)
		error = limit(RLIMIT_AS, c->memory_max);
#endif
	return error;
}

/* No file at all. A kernel before 5.13 has no Landlock: seccomp refuses to open them, too. */
static void confine_files(void)
{
	struct landlock_ruleset_attr rights = {.handled_access_fs = LANDLOCK_RIGHTS};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof(rights), 0);

	if (ruleset < 0)
		return;
	syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
}

#define FIELD(name) ((unsigned)offsetof(struct seccomp_data, name))
#define LOAD(name)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FIELD(name))
#define RETURN(how) BPF_STMT(BPF_RET | BPF_K, (how))
#define HEAD_LENGTH 10
#define TAIL_LENGTH 2

/* Memory yes, code no; and the number of an allowed call jumps to the last instruction. */
static int filter_calls(void)
{
	struct sock_filter filter[HEAD_LENGTH + CALLS_ALLOWED + TAIL_LENGTH] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_AUDIT_ARCH, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 4),
		LOAD(args[2]),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
		RETURN(SECCOMP_RET_ERRNO | EPERM),
		RETURN(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
	size_t end = HEAD_LENGTH + CALLS_ALLOWED;

	_Static_assert(CALLS_ALLOWED < 255, "a jump has 8 bits");
	for (size_t i = 0; i < CALLS_ALLOWED; i++)
		filter[HEAD_LENGTH + i] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						     (unsigned)allowed_calls[i],
						     (uint8_t)(CALLS_ALLOWED - i), 0);
	filter[end] = (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | EPERM);
	filter[end + 1] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

void confine_end(pid_t pid, int pidfd)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	kill(pid, SIGKILL); /* if we may */
	while (poll(&end, 1, 1000) < 0 && errno == EINTR)
		;
	waitpid(pid, NULL, WNOHANG);
}

int confine_enter(const struct confinement *c)
{
	int error = limit_resources(c);

	alarm(c->life_seconds); /* the filter leaves it no way to ask for more */
	if (!error)
		error = drop_identity(c);
	/* After the change of identity, which clears it. */
	if (!error && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		error = -errno;
	if (!error && prctl(PR_SET_DUMPABLE, 0) < 0)
		error = -errno;
	if (!error && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		error = -errno;
	if (error)
		return error;
	confine_files();
	return filter_calls();
}

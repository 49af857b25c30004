/* SPDX-License-Identifier: MIT */
/*
 * The sandbox's walls: identity, limits, Landlock, seccomp.
 *
 * The seccomp filter is a list of what is allowed; all else fails with EPERM, so
 * that a libc which tries something new is told no, and not killed. Files can be
 * opened only where Landlock (Linux 5.13) confines that to the debug directory;
 * without it, not at all, and there is no separate debug info.
 */
#include "symbol/lockdown.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY         65534
#define MEMORY_MAX     (4ULL << 30) /* address space: the debug info of a browser fits */
#define CPU_SECONDS    600          /* in a life; then the sandbox is started anew */
#define DESCRIPTOR_MAX 65536        /* one for each binary known */

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

/* All file rights of Landlock's first version: reading is among what is then denied. */
#define LANDLOCK_RIGHTS ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static int drop_identity(void)
{
	if (geteuid() != 0)
		return 0; /* nothing to drop, and not allowed to */
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
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

static int limit_resources(void)
{
	int err = limit(RLIMIT_NOFILE, DESCRIPTOR_MAX);

	if (!err)
		err = limit(RLIMIT_CPU, CPU_SECONDS);
	if (!err)
		err = limit(RLIMIT_FSIZE, 0);
	if (!err)
		err = limit(RLIMIT_CORE, 0);
	if (!err)
		err = limit(RLIMIT_NPROC, 0);
#ifndef HAS_SHADOW_MEMORY
	if (!err)
		err = limit(RLIMIT_AS, MEMORY_MAX);
#endif
	return err;
}

/* Returns whether file access is confined. Without a debug directory it is to nothing at all. */
static bool confine_files(void)
{
	struct landlock_ruleset_attr rights = {.handled_access_fs = LANDLOCK_RIGHTS};
	struct landlock_path_beneath_attr beneath = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
	};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof(rights), 0);
	bool confined;

	if (ruleset < 0)
		return false;
	beneath.parent_fd = open(LOCKDOWN_DEBUG_DIRECTORY, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (beneath.parent_fd >= 0) {
		syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
		close(beneath.parent_fd);
	}
	confined = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
	close(ruleset);
	return confined;
}

#define FIELD(name) ((unsigned)offsetof(struct seccomp_data, name))
#define LOAD(name)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FIELD(name))
#define RETURN(how) BPF_STMT(BPF_RET | BPF_K, (how))
#define DENY        RETURN(SECCOMP_RET_ERRNO | EPERM)
#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), RETURN(SECCOMP_RET_ALLOW)
/* Allowed unless one of these bits is set in the argument. Leaves the call's number loaded. */
#define ALLOW_WITHOUT(call, argument, bits)                                          \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 4), LOAD(args[argument]), \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), 0, 1), DENY,            \
		RETURN(SECCOMP_RET_ALLOW)

static int filter_calls(bool may_open)
{
	struct sock_filter filter[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_AUDIT_ARCH, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		ALLOW(pread64),
		ALLOW(recvmsg),
		ALLOW(sendmsg),
		ALLOW(read),
		ALLOW(write),
		ALLOW(lseek),
		ALLOW(close),
		ALLOW(fstat),
		ALLOW(newfstatat),
		ALLOW(readlinkat),
		ALLOW(getdents64),
		ALLOW(fcntl),
		ALLOW(brk),
		ALLOW(munmap),
		ALLOW(mremap),
		ALLOW(madvise),
		ALLOW(futex),
		ALLOW(clock_gettime),
		ALLOW(getrandom),
		ALLOW(getpid),
		ALLOW(gettid),
		ALLOW(rt_sigaction),
		ALLOW(rt_sigprocmask),
		ALLOW(rt_sigreturn),
		ALLOW(sigaltstack),
		ALLOW(sched_yield),
		ALLOW(exit),
		ALLOW(exit_group),
#ifdef SYS_readlink
		ALLOW(readlink),
#endif
#ifdef SYS_open
		ALLOW_WITHOUT(open, 1, may_open ? O_ACCMODE | O_CREAT | O_TRUNC : ~0u),
#endif
		ALLOW_WITHOUT(openat, 2, may_open ? O_ACCMODE | O_CREAT | O_TRUNC : ~0u),
		ALLOW_WITHOUT(mmap, 2, PROT_EXEC),
		ALLOW_WITHOUT(mprotect, 2, PROT_EXEC),
		DENY,
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

int lockdown_enter(void)
{
	int err = limit_resources();

	if (!err)
		err = drop_identity();
	if (!err && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		err = -errno;
	if (!err)
		err = filter_calls(confine_files());
	return err;
}

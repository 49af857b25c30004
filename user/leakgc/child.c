/* SPDX-License-Identifier: MIT */
/* How a searching process begins, and how its parent waits for its end. */
#include "leakgc/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "leakgc/syscall.h"

#define POLL_MS       20

/* The child ends by itself when its time is up; only then, a little later, it is killed. */
#define KILL_GRACE_NS 200000000

/* ---- in the child -------------------------------------------------------------- */

_Noreturn void leakgc_child_leave(int status)
{
	for (;;)
		LEAKGC_SYS1(SYS_exit_group, status);
}

/* The target's handlers would run its crash reporter, or worse, in the child. */
void leakgc_child_reset_signals(void)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	struct { /* struct sigaction of the kernel; all zero is SIG_DFL */
		unsigned long handler, flags, restorer, mask;
	} fallback = {0};

	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		LEAKGC_SYS4(SYS_rt_sigaction, fatal[i], &fallback, NULL, sizeof(fallback.mask));
}

void leakgc_child_limit(int parent_pid, int64_t time_ns)
{
	struct rlimit none = {0, 0};
	rlim_t seconds = (rlim_t)(time_ns / LEAKGC_NSEC) + 2;
	struct rlimit processor = {seconds, seconds};

	LEAKGC_SYS4(SYS_prlimit64, 0, RLIMIT_CORE, &none, NULL);
	LEAKGC_SYS4(SYS_prlimit64, 0, RLIMIT_CPU, &processor, NULL);
	LEAKGC_SYS5(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (LEAKGC_SYS1(SYS_getppid, 0) != parent_pid)
		leakgc_child_leave(1); /* the target ended before the line above */
	LEAKGC_SYS3(SYS_setpriority, PRIO_PROCESS, 0, 10);
}

/* ---- in the parent ------------------------------------------------------------- */

static void kill_child(const struct leakgc_child *child)
{
	if (child->pidfd < 0 ||
	    LEAKGC_SYS4(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0) == -ENOSYS)
		LEAKGC_SYS2(SYS_kill, child->pid, SIGKILL);
}

enum strand_search_cause leakgc_child_wait(const struct leakgc_child *child,
					   const volatile int *cancel, int64_t deadline_ns)
{
	enum strand_search_cause cause = STRAND_CAUSE_NONE;
	struct pollfd poll = {.fd = child->pidfd, .events = POLLIN};
	int status = 0;
	long r;

	while ((r = LEAKGC_SYS4(SYS_wait4, child->pid, &status, WNOHANG | __WALL, NULL)) == 0) {
		struct timespec step = {0, POLL_MS * 1000000L};

		if (!cause && cancel && *cancel)
			cause = STRAND_CAUSE_CANCELLED;
		else if (!cause && leakgc_now() > deadline_ns + KILL_GRACE_NS)
			cause = STRAND_CAUSE_TIME_BUDGET;
		if (cause)
			kill_child(child);
		LEAKGC_SYS5(SYS_ppoll, &poll, 1, &step, NULL, 8);
	}
	if (cause)
		return cause;
	/* -ECHILD: a wait for any child took the status; what the child wrote last tells. */
	return r > 0 && status != 0 ? STRAND_CAUSE_CHILD_DIED : STRAND_CAUSE_NONE;
}

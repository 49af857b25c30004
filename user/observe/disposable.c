/* SPDX-License-Identifier: MIT */
/*
 * Children with a deadline, for steps that a hostile process could make hang.
 *
 * I1. The parent never waits for a child without a deadline, not even after SIGKILL.
 * I2. A child has every signal blocked from its first instruction: no handler of the parent
 *     runs in it, and writing to a pipe without reader is EPIPE.
 * I3. A child leaves with _exit: no atexit handler, no buffer flushed twice.
 * I4. A child dies with the thread that made it, unless the kernel cannot end it.
 * I5. A child that could not be ended is remembered until it can be reaped, so its number
 *     stays its own; with STUCK_MAX of them nothing new is started.
 */
#include "observe/disposable.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STUCK_MAX 16

/* How long a killed child may take to die: killing is quick unless the kernel cannot. */
#define GRACE_NS  200000000LL

/* Without pidfds (Linux < 5.3) the end of a child is polled for. */
#define POLL_NS   1000000L

/* In front of the buffer, in the memory that is shared with the child. */
struct answer {
	ssize_t result;
	bool given; /* written last */
};

/*
 * The stuck children. Not in a structure of the caller's: they belong to the whole process,
 * which is their parent, and outlive whatever asked for them.
 */
static struct {
	pid_t pid[STUCK_MAX];
	unsigned count;
} stuck;

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* One page for the answer, then the buffer. Returns 0 if room is absurd. */
static size_t mapped_size(size_t room)
{
	size_t size;

	return __builtin_add_overflow(room, page_size(), &size) ? 0 : size;
}

static void forget_reaped(void)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < stuck.count; i++)
		if (waitpid(stuck.pid[i], NULL, WNOHANG) == 0)
			stuck.pid[kept++] = stuck.pid[i];
	stuck.count = kept;
}

/* Wait for the child's end without reaping it. True if it has ended. */
static bool wait_pidfd(int pidfd, int64_t until_ns)
{
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};

	for (;;) {
		int64_t left = until_ns - now_ns();
		struct timespec ts = {0};

		if (left > 0) {
			ts.tv_sec = left / 1000000000;
			ts.tv_nsec = left % 1000000000;
		}
		int n = ppoll(&pfd, 1, &ts, NULL);
		if (n > 0)
			return true;
		if (n == 0 || errno != EINTR)
			return false;
	}
}

/* Reap the child, by until_ns. Returns 0, -ETIMEDOUT, or -ECHILD if somebody else did. */
static int reap(pid_t pid, int pidfd, int64_t until_ns, int *ret_status)
{
	/* What has ended can be reaped at once, unless a debugger has it: then it takes a moment. */
	if (pidfd >= 0 && wait_pidfd(pidfd, until_ns))
		until_ns = now_ns() + GRACE_NS;
	for (;;) {
		pid_t got = waitpid(pid, ret_status, WNOHANG);
		struct timespec pause = {.tv_nsec = POLL_NS};

		if (got == pid)
			return 0;
		if (got < 0)
			return -ECHILD;
		if (now_ns() >= until_ns)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
}

static void run_child(pid_t parent, ssize_t (*work)(void *, void *, size_t), void *context,
		      struct answer *answer, size_t room)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before the line above: nobody wants an answer */
		_exit(1);
	answer->result = work(context, (char *)answer + page_size(), room);
	__atomic_store_n(&answer->given, true, __ATOMIC_RELEASE);
	_exit(0);
}

/* Fork with every signal blocked in the child from the start. Returns the pid or -errno. */
static pid_t start_child(ssize_t (*work)(void *, void *, size_t), void *context,
			 struct answer *answer, size_t room)
{
	pid_t parent = getpid();
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0)
		run_child(parent, work, context, answer, room);
	if (pid < 0)
		pid = -errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return pid;
}

/* End a child whose time is up, or remember it as stuck. */
static void end_child(pid_t pid, int pidfd)
{
	int status;

	kill(pid, SIGKILL); /* not reaped yet, so the number is still its own */
	if (reap(pid, pidfd, now_ns() + GRACE_NS, &status) == -ETIMEDOUT)
		stuck.pid[stuck.count++] = pid;
}

/* Wait for the answer, and for the child's end: what it shared is written no more. */
static ssize_t await_answer(pid_t pid, const struct answer *answer, size_t room, int64_t timeout_ns)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	int status = 0;
	int err = reap(pid, pidfd, now_ns() + timeout_ns, &status);

	if (err == -ETIMEDOUT)
		end_child(pid, pidfd);
	if (pidfd >= 0)
		close(pidfd);
	if (err == -ETIMEDOUT)
		return err;
	/* Reaped by somebody else (SIGCHLD ignored): then the answer alone tells of success. */
	if (!__atomic_load_n(&answer->given, __ATOMIC_ACQUIRE))
		return -ECHILD;
	return answer->result > 0 && (size_t)answer->result > room ? -EOVERFLOW : answer->result;
}

ssize_t disposable_run(ssize_t (*work)(void *context, void *buffer, size_t room), void *context,
		       size_t room, int64_t timeout_ns, void **ret_buffer)
{
	size_t size = mapped_size(room);
	struct answer *answer;
	ssize_t result;
	pid_t pid;

	forget_reaped();
	if (stuck.count == STUCK_MAX)
		return -EAGAIN;
	if (!size)
		return -ENOMEM;
	answer = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (answer == MAP_FAILED)
		return -errno;
	pid = start_child(work, context, answer, room);
	result = pid < 0 ? pid : await_answer(pid, answer, room, timeout_ns);
	if (result < 0)
		munmap(answer, size);
	else
		*ret_buffer = (char *)answer + page_size();
	return result;
}

void disposable_buffer_free(void *buffer, size_t room)
{
	if (buffer)
		munmap((char *)buffer - page_size(), mapped_size(room));
}

unsigned disposable_stuck(void)
{
	forget_reaped();
	return stuck.count;
}

/* close_range(2) by number: the C library's wrapper is younger than the call (Linux 5.9). */
static void close_span(unsigned first, unsigned last)
{
#ifdef SYS_close_range
	if (first > last || !syscall(SYS_close_range, first, last, 0))
		return;
#endif
	long limit = sysconf(_SC_OPEN_MAX);

	for (long fd = first; fd < limit && fd <= (long)last; fd++)
		close(fd);
}

void disposable_keep_only(int keep)
{
	if (keep > 0)
		close_span(0, keep - 1);
	close_span(keep + 1, ~0u);
}

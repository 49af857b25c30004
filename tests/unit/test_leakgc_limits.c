/* SPDX-License-Identifier: MIT */
/*
 * Searches where something is forbidden or scarce: each ends well or says why not, and the
 * process that is searched lives on. Each test runs in a process of its own.
 */
#include "leakgc_scene.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void nothing_arranged(void)
{
}

/* What a test's process says in its exit status. */
enum answer { SEARCHED = 0, INCONCLUSIVE, WRONG, FILTER_FAILED };

static enum answer search(enum leakgc_method method, enum strand_search_cause cause)
{
	struct leakgc_result r;

	scene.limits.method = method;
	r = scene_run(nothing_arranged, 0);
	if (r.status == STRAND_SEARCH_DONE) {
		if (r.leaked != 1)
			print_error("by %d: %d leaked\n", method, (int)r.leaked);
		return r.leaked == 1 ? SEARCHED : WRONG;
	}
	if (r.cause == cause && r.leaked == 0)
		return INCONCLUSIVE;
	print_error("%s (%llu)\n", leakgc_cause_text(r.cause), (unsigned long long)r.cause_detail);
	return WRONG;
}

static void expect_answer(enum answer (*body)(void), enum answer expected)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(body());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), expected);
}

/* ---- filters -------------------------------------------------------------------------- */

/* From here on the calls end as the filter says, in all threads. */
static bool forbid(const unsigned *calls, size_t count, unsigned how)
{
	struct sock_filter code[16];
	struct sock_fprog program = {.filter = code};
	unsigned short n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < count; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, how);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = n;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) ==
		       0;
}

#define FORBID(how, ...)                        \
	forbid((const unsigned[]){__VA_ARGS__}, \
	       sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned), (how))

/* As Docker's default profile has it: both calls fail. A long pause would be predicted. */
static enum answer denied(void)
{
	if (!FORBID(SECCOMP_RET_ERRNO | EPERM, SYS_userfaultfd, SYS_process_vm_readv))
		return FILTER_FAILED;
	if (search(LEAKGC_METHOD_BEST, 0) != SEARCHED)
		return WRONG;
	return search(LEAKGC_METHOD_TRACKING, STRAND_CAUSE_SYSTEM);
}

/* The filter kills: not the process that is searched, but the child that tries first. */
static enum answer deadly(void)
{
	if (!FORBID(SECCOMP_RET_KILL_PROCESS, SYS_userfaultfd, SYS_process_vm_readv))
		return FILTER_FAILED;
	if (search(LEAKGC_METHOD_CLONE, 0) != SEARCHED)
		return WRONG;
	return search(LEAKGC_METHOD_TRACKING, STRAND_CAUSE_SYSTEM);
}

/* A filter that allows all that is needed: searches by both methods, without process_vm_readv. */
static enum answer harmless(void)
{
	if (!FORBID(SECCOMP_RET_KILL_PROCESS, SYS_process_vm_readv))
		return FILTER_FAILED;
	if (search(LEAKGC_METHOD_CLONE, 0) != SEARCHED)
		return WRONG;
	return search(LEAKGC_METHOD_TRACKING, STRAND_CAUSE_NONE);
}

static void test_filters(void **state)
{
	(void)state;
	expect_answer(denied, INCONCLUSIVE);
	expect_answer(deadly, INCONCLUSIVE);
	expect_answer(harmless, SEARCHED);
}

/* No further process may be made; threads may. */
static bool forbid_processes(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x10000 /* CLONE_THREAD */, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

/* As at a limit of processes (pids.max, RLIMIT_NPROC), which root is not bound by. */
static enum answer no_processes(void)
{
	if (!forbid_processes())
		return FILTER_FAILED;
	if (search(LEAKGC_METHOD_CLONE, STRAND_CAUSE_CLONE_FAILED) != INCONCLUSIVE)
		return WRONG;
	return search(LEAKGC_METHOD_TRACKING, STRAND_CAUSE_SYSTEM);
}

static void test_no_processes(void **state)
{
	(void)state;
	expect_answer(no_processes, INCONCLUSIVE);
}

/* ---- budgets --------------------------------------------------------------------------- */

static enum answer little_address_space(void)
{
	struct rlimit limit = {64u << 20, 64u << 20};

	setrlimit(RLIMIT_AS, &limit);
	return search(LEAKGC_METHOD_BEST, STRAND_CAUSE_MEMORY_BUDGET);
}

static void test_address_space(void **state)
{
	(void)state;
	expect_answer(little_address_space, INCONCLUSIVE);
}

static void test_budgets(void **state)
{
	(void)state;
	for (int i = LEAKGC_METHOD_CLONE; i <= LEAKGC_METHOD_TRACKING; i++) {
		scene_reset();
		scene.limits.method = i;
		scene.limits.pause_ns = 1;
		scene_expect_cause(scene_run(nothing_arranged, 0), STRAND_CAUSE_PAUSE_BUDGET);
	}
	scene_reset();
	scene.limits.method = LEAKGC_METHOD_TRACKING;
	scene.limits.memory = 1; /* a clone's tables are smaller, and fit what there is at least */
	scene_expect_cause(scene_run(nothing_arranged, 0), STRAND_CAUSE_MEMORY_BUDGET);
}

/* ---- a debugger -------------------------------------------------------------------------- */

static pid_t debugger;
static int debugged[2];

/* Attached and stopped in another thread: it will not answer. */
static void *sleeper(void *told)
{
	pid_t tid = (pid_t)syscall(SYS_gettid);

	if (write(*(int *)told, &tid, sizeof(tid)) == sizeof(tid))
		for (;;)
			pause();
	return NULL;
}

static void debug_thread(int from, int to)
{
	pid_t tid;

	if (read(from, &tid, sizeof(tid)) != sizeof(tid) ||
	    ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0 ||
	    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 || waitpid(tid, NULL, __WALL) != tid ||
	    write(to, &tid, 1) != 1)
		_exit(1);
	if (read(from, &tid, sizeof(tid)) < 0) /* until the other end is closed */
		_exit(1);
	_exit(0);
}

static enum answer under_debugger(void)
{
	pthread_t thread;
	int ready[2];
	char byte;

	if (pipe(debugged) < 0 || pipe(ready) < 0)
		return WRONG;
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	debugger = fork();
	if (debugger == 0) {
		close(debugged[1]);
		debug_thread(debugged[0], ready[1]);
	}
	pthread_create(&thread, NULL, sleeper, &debugged[1]);
	if (read(ready[0], &byte, 1) != 1)
		return WRONG;
	for (int i = LEAKGC_METHOD_CLONE; i <= LEAKGC_METHOD_TRACKING; i++) {
		scene.limits.stop_ns = 50000000;
		if (search(i, STRAND_CAUSE_TRACED) != INCONCLUSIVE)
			return WRONG;
	}
	return INCONCLUSIVE;
}

static void test_debugger(void **state)
{
	(void)state;
	expect_answer(under_debugger, INCONCLUSIVE);
}

#define LIMITS(f) cmocka_unit_test_setup(f, scene_setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIMITS(test_filters), LIMITS(test_no_processes), LIMITS(test_address_space),
		LIMITS(test_budgets), LIMITS(test_debugger),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, NULL);
}

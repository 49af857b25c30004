/* SPDX-License-Identifier: MIT */
/* Stack overflows: what is said, who is asked next, and how the program dies. */
#include "strand_test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include "strand/stack.h"

/* Faults belong to the sanitizers in their builds: they print a report of their own and exit. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FAULTS_ARE_TAKEN true
#else
#define FAULTS_ARE_TAKEN false
#endif

static char said[16 << 10]; /* on stderr, by the last child */

/* run_child(), with its stderr in `said` and without a core file. */
static int run_child_aloud(int (*fn)(void))
{
	int fd = memfd_create("stderr", MFD_CLOEXEC), saved = dup(STDERR_FILENO), status;
	struct rlimit none = {0, 0}, before;
	ssize_t n;

	assert_true(fd >= 0 && saved >= 0);
	assert_return_code(getrlimit(RLIMIT_CORE, &before), errno);
	none.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_CORE, &none);
	dup2(fd, STDERR_FILENO);
	status = run_child(fn);
	dup2(saved, STDERR_FILENO);
	setrlimit(RLIMIT_CORE, &before);
	n = pread(fd, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(saved);
	close(fd);
	return status;
}

/* The number of the task is not ours to know: ids go on from test to test. */
static void hide_number(char *text)
{
	char *at = strstr(text, ": task "), *end;

	if (!at)
		return;
	at += strlen(": task ");
	end = at + strspn(at, "0123456789");
	if (end == at)
		return;
	*at = '#';
	memmove(at + 1, end, strlen(end) + 1);
}

static void expect_said(const char *text)
{
	hide_number(said);
	if (!strstr(said, text))
		print_error("not said: %s\nsaid: %s\n", text, said);
	assert_non_null(strstr(said, text));
}

static __attribute__((noinline)) int recurse(int depth)
{
	volatile char frame[512];

	frame[0] = (char)depth;
	frame[511] = (char)depth;
	return depth ? recurse(depth - 1) + frame[0] + frame[511] : 0;
}

static struct strand_chan *never;
static struct strand_task_options options = {.size = sizeof(options), .name = "deep \"one\"\n"};

static void overflow(void *arg)
{
	(void)arg;
	recurse(1 << 30);
}

static int overflow_main(void *arg)
{
	(void)arg;
	never = new_chan(0, 0);
	expect_eq(strand_go_with(&options, overflow, NULL), 0);
	await_chan(never, 1);
	return 0;
}

static int overflow_child(void)
{
	return strand_main(overflow_main, NULL);
}

static void skip_where_faults_are_taken(void)
{
	if (FAULTS_ARE_TAKEN) {
		print_message("skipped: the sanitizer handles faults\n");
		skip();
	}
}

static void test_names_the_task(void **state)
{
	int status;

	(void)state;
	skip_where_faults_are_taken();
	for (int workers = 1; workers <= 4; workers *= 2) {
		set_workers(workers);
		options.stack_size = 0;
		status = run_child_aloud(overflow_child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
		expect_said(
			"strand: stack overflow: task # \"deep ?one??\" (64 KiB stack) at pc 0x");
		assert_null(strstr(strstr(said, "overflow:") + 1, "overflow:")); /* once */
		options.stack_size = 1 << 20;
		status = run_child_aloud(overflow_child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
		expect_said("(1028 KiB stack)");
	}
	options.stack_size = 0;
}

static void test_mprotect_guard(void **state)
{
	int status;

	(void)state;
	skip_where_faults_are_taken();
	set_workers(1);
	setenv("STRAND_GUARD", "mprotect", 1);
	status = run_child_aloud(overflow_child);
	unsetenv("STRAND_GUARD");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	expect_said("strand: stack overflow: task # ");
}

/* ---- canaries ------------------------------------------------------------------------ */

/*
 * Only the canary: what lies below it belongs to the neighbour. Below a fresh stack's frames
 * all is zero down to it.
 */
__attribute__((noinline, no_sanitize("address", "thread"))) static void touch_canary(void)
{
	uintptr_t at = ((uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)7) - (16 << 10);

	while (!*(volatile uintptr_t *)at)
		at -= sizeof(uintptr_t);
	*(volatile uintptr_t *)at = 1;
}

static void overflow_a_little(void *how)
{
	touch_canary();
	if (how)
		strand_yield();
}

static int canary_main(void *arg)
{
	never = new_chan(0, 0);
	expect_eq(strand_go_with(&options, overflow_a_little, arg), 0);
	expect_eq(strand_go(signal_task, never), 0);
	await_chan(never, 1);
	strand_yield();
	return 0;
}

static int canary_child_that_ends(void)
{
	return strand_main(canary_main, NULL);
}

static int canary_child_that_yields(void)
{
	return strand_main(canary_main, &options);
}

static void test_canary(void **state)
{
	int (*const children[])(void) = {canary_child_that_ends, canary_child_that_yields};

	(void)state;
	set_workers(1);
	setenv("STRAND_GUARD", "canary", 1);
	for (int i = 0; i < 2; i++) {
		int status = run_child_aloud(children[i]);

		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
		expect_said("strand: stack overflow: task # \"deep ?one??\" (64 KiB stack), seen");
	}
	unsetenv("STRAND_GUARD");
}

static int harmless_main(void *arg)
{
	(void)arg;
	never = new_chan(0, 0);
	for (int i = 0; i < 100; i++) {
		expect_eq(strand_go(signal_task, never), 0);
		await_chan(never, 1);
	}
	strand_chan_unref(never);
	return 0;
}

static void test_intact_canaries(void **state)
{
	(void)state;
	setenv("STRAND_GUARD", "canary", 1);
	run_tasks(harmless_main, NULL);
	unsetenv("STRAND_GUARD");
}

/* ---- who had the signal before, and who takes it later ----------------------------------- */

static void earlier_handler(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	_exit(info->si_addr ? 42 : 43);
}

static int child_with_earlier_handler(void)
{
	struct sigaction action = {.sa_sigaction = earlier_handler, .sa_flags = SA_SIGINFO};

	sigaction(SIGSEGV, &action, NULL);
	return strand_main(overflow_main, NULL);
}

static struct sigaction replaced;
static volatile sig_atomic_t calls;

/* As crash reporters do: does its work, then calls who was there before. */
static void later_handler(int signal, siginfo_t *info, void *context)
{
	if (++calls > 1)
		_exit(44);
	replaced.sa_sigaction(signal, info, context);
}

static int take_later(void *arg)
{
	struct sigaction action = {.sa_sigaction = later_handler,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigaction(SIGSEGV, &action, &replaced);
	return overflow_main(arg);
}

static int child_with_later_handler(void)
{
	return strand_main(take_later, NULL);
}

static void test_earlier_handler(void **state)
{
	int status;

	(void)state;
	skip_where_faults_are_taken();
	status = run_child_aloud(child_with_earlier_handler);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	expect_said("strand: stack overflow: task # ");
}

static void test_later_handler(void **state)
{
	int status;

	(void)state;
	skip_where_faults_are_taken();
	status = run_child_aloud(child_with_later_handler);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	expect_said("strand: stack overflow: task # ");
}

/* A handler that survives two runs of the runtime and is both our successor and predecessor. */
static int take_and_return(void *arg)
{
	struct sigaction action = {.sa_sigaction = later_handler,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK};

	(void)arg;
	sigaction(SIGSEGV, &action, &replaced);
	return 0;
}

static int child_with_circle(void)
{
	strand_main(take_and_return, NULL);
	return strand_main(overflow_main, NULL);
}

static void test_circle(void **state)
{
	int status;

	(void)state;
	skip_where_faults_are_taken();
	status = run_child_aloud(child_with_circle);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static volatile int *volatile nowhere;

static int plain_fault(void *arg)
{
	(void)arg;
	return *nowhere;
}

static int plain_fault_child(void)
{
	return strand_main(plain_fault, NULL);
}

static int sent_signal(void *arg)
{
	(void)arg;
	raise(SIGSEGV);
	return 0;
}

static int sent_signal_child(void)
{
	return strand_main(sent_signal, NULL);
}

static int ignored_signal_child(void)
{
	signal(SIGSEGV, SIG_IGN);
	return strand_main(sent_signal, NULL) == 0 ? 7 : 8;
}

/* Not overflows: nothing is said, and they end as without us. */
static void test_other_faults(void **state)
{
	int status;

	(void)state;
	skip_where_faults_are_taken();
	status = run_child_aloud(plain_fault_child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	assert_string_equal(said, "");
	status = run_child_aloud(sent_signal_child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	assert_string_equal(said, "");
	status = run_child_aloud(ignored_signal_child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static int alt_is_set(void *arg)
{
	stack_t now;

	(void)arg;
	expect_eq(sigaltstack(NULL, &now), 0);
	expect_true(!(now.ss_flags & SS_DISABLE));
	return 0;
}

/* What the runtime has taken it gives back; what the program has set it leaves alone. */
static void test_gives_back(void **state)
{
	static char own[64 << 10];
	stack_t mine = {.ss_sp = own, .ss_size = sizeof(own)}, none = {.ss_flags = SS_DISABLE}, now;
	struct sigaction before, after;

	(void)state;
	crash_plainly();
	sigaltstack(&none, NULL);
	assert_return_code(sigaction(SIGSEGV, NULL, &before), errno);
	run_tasks_with(2, alt_is_set, NULL);
	assert_return_code(sigaction(SIGSEGV, NULL, &after), errno);
	assert_true(before.sa_handler == after.sa_handler);
	assert_return_code(sigaltstack(NULL, &now), errno);
	assert_true(now.ss_flags & SS_DISABLE);

	assert_return_code(sigaltstack(&mine, NULL), errno);
	run_tasks_with(1, alt_is_set, NULL);
	assert_return_code(sigaltstack(NULL, &now), errno);
	assert_ptr_equal(now.ss_sp, own);
	assert_return_code(sigaltstack(&none, NULL), errno);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_the_task),  cmocka_unit_test(test_mprotect_guard),
		cmocka_unit_test(test_canary),          cmocka_unit_test(test_intact_canaries),
		cmocka_unit_test(test_earlier_handler), cmocka_unit_test(test_later_handler),
		cmocka_unit_test(test_circle),          cmocka_unit_test(test_other_faults),
		cmocka_unit_test(test_gives_back),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

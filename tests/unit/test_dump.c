/* SPDX-License-Identifier: MIT */
/* strand_dump(): what it says of tasks in each state, and from where it may be called. */
#include "strand_test.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include "strand/line.h"

static char text[1 << 20]; /* of the last dump */

static __attribute__((noinline)) int dump(unsigned flags)
{
	int fd = memfd_create("dump", MFD_CLOEXEC), r = strand_dump(fd, flags);
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return r;
}

static void expect_text(const char *wanted)
{
	if (strstr(text, wanted))
		return;
	dprintf(STDERR_FILENO, "not in the dump: %s\n%s", wanted, text);
	expect_true(false);
}

static size_t count(const char *what)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
		n++;
	return n;
}

static struct strand_chan *chan;
static struct strand_task_options named = {.size = sizeof(named)};

__attribute__((noinline)) static void wait_inside(void)
{
	strand_chan_recv(chan, STRAND_FOREVER, NULL);
	__asm__ volatile("");
}

static void waiter(void *arg)
{
	(void)arg;
	wait_inside();
	__asm__ volatile("");
}

static void sleeper(void *arg)
{
	(void)arg;
	strand_sleep(STRAND_FOREVER - 1);
}

static void yielder(void *arg)
{
	volatile bool *stop = arg;

	while (!*stop)
		strand_yield();
}

/* The line after the one that has `what`. */
static const char *line_after(const char *what)
{
	const char *at = strstr(text, what);

	at = at ? strchr(at, '\n') : NULL;
	return at ? at + 1 : "";
}

static uintptr_t pc_at(const char *line)
{
	return *line == '\t' ? (uintptr_t)strtoull(line + 1, NULL, 16) : 0;
}

static bool lies_in(uintptr_t pc, const void *fn)
{
	return pc - (uintptr_t)fn < 512;
}

static int every_state(void *arg)
{
	volatile bool stop = false;
	char wanted[64];

	(void)arg;
	chan = new_chan(0, 0);
	named.name = "waits \"here\"\n";
	expect_eq(strand_go_with(&named, waiter, NULL), 0);
	named.name = "sleeps";
	expect_eq(strand_go_with(&named, sleeper, NULL), 0);
	named.name = "yields";
	expect_eq(strand_go_with(&named, yielder, (void *)&stop), 0);
	let_others_run();
	named.name = "is new";
	named.stack_size = 1 << 20;
	expect_eq(strand_go_with(&named, waiter, NULL), 0);
	named.stack_size = 0;
	expect_eq(dump(0), 0);
	expect_eq(count("task 1 \"main\" [running"), 1);
	expect_text("task 2 \"waits ?here??\" [chan receive, 0.");
	snprintf(wanted, sizeof(wanted), "]: object 0x%lx, worker 0, stack ", (unsigned long)chan);
	expect_text(wanted);
	expect_text("task 3 \"sleeps\" [sleep, 0.");
	expect_text(", has a deadline]: worker 0, stack ");
	expect_text("task 4 \"yields\" [ready]: worker 0, stack ");
	expect_text("task 5 \"is new\" [new]: stack ");
	expect_text(" of 1028 KiB\n");
	expect_eq(count("\tcreated by task 1 at 0x"), 4);
	expect_eq(count("\tcreated by a thread at 0x"), 1);

	const char *line = line_after("task 2 ");

	expect_true(lies_in(pc_at(line), wait_inside));
	expect_true(lies_in(pc_at(strchr(line, '\n') + 1), waiter));
	expect_true(lies_in(pc_at(line_after("task 1 ")), dump)); /* its own stack, from the call */
	stop = true;
	let_others_run();
	return 0;
}

static void test_every_state(void **state)
{
	(void)state;
	run_tasks_with(1, every_state, NULL);
}

static int with_symbols(void *arg)
{
	(void)arg;
	chan = new_chan(0, 0);
	expect_eq(strand_go(waiter, NULL), 0);
	let_others_run();
	expect_eq(dump(STRAND_DUMP_SYMBOLS), 0);
	expect_text("/test_dump+0x"); /* the binary, whatever it exports */
	return 0;
}

static void test_symbols(void **state)
{
	(void)state;
	run_tasks_with(1, with_symbols, NULL);
}

static int refusals(void *arg)
{
	int pipes[2];

	(void)arg;
	expect_eq(strand_dump(-1, 0), -EBADF);
	expect_eq(strand_dump(STDERR_FILENO, 1u << 31), -EINVAL);
	expect_eq(pipe(pipes), 0);
	close(pipes[0]);
	signal(SIGPIPE, SIG_IGN);
	expect_eq(strand_dump(pipes[1], 0), -EPIPE);
	close(pipes[1]);
	return 0;
}

static void test_refusals(void **state)
{
	(void)state;
	assert_int_equal(strand_dump(STDERR_FILENO, 0), -ENXIO);
	run_tasks_with(1, refusals, NULL);
}

/* ---- from elsewhere --------------------------------------------------------------------- */

static int null_fd = -1;
static _Atomic int dumps, busy, wrong;

static void on_signal(int number)
{
	int saved_errno = errno, r = strand_dump(null_fd, 0);

	(void)number;
	if (r == 0)
		dumps++;
	else if (r == -EBUSY)
		busy++;
	else
		wrong++;
	errno = saved_errno;
}

static _Atomic bool over;

static void *interrupt_main(void *arg)
{
	pthread_t main_thread = *(pthread_t *)arg;

	for (int sent = 0; !atomic_load(&over); sched_yield()) {
		if (dumps + busy + wrong == sent && ++sent)
			pthread_kill(main_thread, SIGUSR1);
	}
	return NULL;
}

static void come_and_go(void *arg)
{
	strand_yield();
	signal_chan(arg);
}

/* The handler interrupts spawns and ends with special stacks, which hold the pool's lock. */
static int busy_main(void *arg)
{
	struct strand_task_options options = {.size = sizeof(options), .stack_size = 16 << 10};
	struct strand_chan *done = new_chan(0, 0);
	pthread_t self = pthread_self(), thread;

	(void)arg;
	start_thread(&thread, interrupt_main, &self);
	for (int i = 0; i < 1000 || (dumps < 10 && i < 1000000); i++) {
		expect_eq(strand_go_with(i % 2 ? &options : NULL, come_and_go, done), 0);
		await_chan(done, 1);
	}
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	strand_chan_unref(done);
	return 0;
}

static void test_in_signal_handler(void **state)
{
	(void)state;
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	signal(SIGUSR1, on_signal);
	run_tasks_with(1, busy_main, NULL);
	assert_true(dumps >= 10);
	assert_int_equal(wrong, 0);
	signal(SIGUSR1, SIG_DFL);
	close(null_fd);
}

static void *dump_for_long(void *arg)
{
	(void)arg;
	while (!atomic_load(&over))
		expect_eq(strand_dump(null_fd, 0), 0);
	return NULL;
}

/* A plain thread dumps while tasks of all workers come, park and go. */
static int churn(void *arg)
{
	struct strand_task_options options = {.size = sizeof(options), .stack_size = 16 << 10};
	struct strand_chan *done = new_chan(0, 0);
	pthread_t thread;

	(void)arg;
	atomic_store(&over, false);
	start_thread(&thread, dump_for_long, NULL);
	for (int i = 0; i < 300; i++) {
		for (int n = 0; n < 8; n++)
			expect_eq(strand_go_with(n % 2 ? &options : NULL, come_and_go, done), 0);
		await_chan(done, 8);
	}
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	strand_chan_unref(done);
	return 0;
}

static void test_while_all_runs(void **state)
{
	(void)state;
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	run_tasks(churn, NULL);
	close(null_fd);
}

/* ---- lines -------------------------------------------------------------------------------- */

static void test_lines(void **state)
{
	struct line line = {.length = 0};

	(void)state;
	line_add_number(&line, 0);
	line_add(&line, " ");
	line_add_number(&line, UINT64_MAX);
	line_add(&line, " ");
	line_add_hex(&line, 0);
	line_add_hex(&line, UINT64_MAX);
	line_add(&line, " ");
	line_add_seconds(&line, 61 * STRAND_SECOND + 5 * STRAND_MILLISECOND);
	line_add_seconds(&line, -1);
	line_add(&line, " ");
	line_add_kib(&line, 1025);
	line_add_quoted(&line, "a\x80\x1b\"b\0c", 7);
	line_add_quoted(&line, "abc", 2);
	line.text[line.length] = '\0';
	assert_string_equal(line.text, "0 18446744073709551615 0x00xffffffffffffffff "
				       "61.005s0.000s 2 KiB\"a???b\"\"ab\"");
	for (int i = 0; i < 1000; i++)
		line_add(&line, "x");
	assert_int_equal(line.length, sizeof(line.text));
	errno = 7;
	assert_int_equal(line_write(&line, -1), -EBADF);
	assert_int_equal(errno, 7);
	assert_int_equal(line.length, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_state),    cmocka_unit_test(test_symbols),
		cmocka_unit_test(test_refusals),       cmocka_unit_test(test_in_signal_handler),
		cmocka_unit_test(test_while_all_runs), cmocka_unit_test(test_lines),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * attach.c: loading, both ways to place probes, quotas, and what it says when it may not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "observe/attach.h"
#include "observe/collect.h"
#include "observe/image.h"
#include "fake_process.h"

#define QUOTA 50

struct fixture {
	struct fake_process one, other;
	struct attacher *attacher;
	struct binary binary;
};

static void open_binary(struct binary *binary)
{
	char path[600];

	fake_program(path, sizeof(path));
	binary->fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_return_code(binary->fd, errno);
	assert_int_equal(image_read(binary->fd, &binary->image), 0);
}

static struct fixture *begin(void **state, enum attach_method method)
{
	const struct attach_options options = {.waiting_quota = QUOTA, .method = method};
	struct fixture *f = *state;
	char *error = NULL;

	if (geteuid())
		skip();
	f->one = fake_start(NULL);
	f->other = fake_start(NULL);
	open_binary(&f->binary);
	if (attacher_new(&options, &f->attacher, &error))
		fail_msg("%s", error);
	return f;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->binary.fd = -1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	attacher_detach(&f->binary);
	attacher_free(f->attacher);
	if (f->binary.fd >= 0)
		close(f->binary.fd);
	if (f->one.pid)
		fake_stop(&f->one);
	if (f->other.pid)
		fake_stop(&f->other);
	free(f);
	return 0;
}

static struct process_account account_of(struct fixture *f, pid_t pid)
{
	struct collect_maps maps = attacher_maps(f->attacher);
	struct process_account account = {0};
	struct collected c;

	assert_int_equal(collect_read(&maps, &c), 0);
	for (size_t i = 0; i < c.process_count; i++)
		if (c.processes[i].tgid == (uint32_t)pid)
			account = c.processes[i].account;
	collect_done(&c);
	return account;
}

static void check_method(void **state, enum attach_method method)
{
	struct fixture *f = begin(state, method);
	struct process_account account;

	assert_int_equal(attacher_method(f->attacher), method);
	assert_int_equal(attacher_attach(f->attacher, &f->binary), 0);
	/* At least: another observer may be at work on this machine. */
	assert_true(fake_semaphore(&f->one) >= STRAND_PROBE_COUNT);
	fake_tell(&f->one, "park 7 1 0");
	fake_tell(&f->one, "park 8 1 0");
	fake_tell(&f->one, "unpark 7 1");
	account = account_of(f, f->one.pid);
	assert_int_equal(account.waiting, 1);
	assert_int_equal(account.records[STRAND_PROBE_PARK], 2);
	assert_int_equal(account.records[STRAND_PROBE_UNPARK], 1);
	attacher_detach(&f->binary);
	assert_null(f->binary.link);
	fake_tell(&f->one, "park 9 1 0");
	assert_int_equal(account_of(f, f->one.pid).records[STRAND_PROBE_PARK], 2);
}

static void test_uprobe_multi_places_all_probes(void **state)
{
	check_method(state, ATTACH_UPROBE_MULTI);
}

static void test_perf_places_all_probes(void **state)
{
	check_method(state, ATTACH_PERF);
}

static void check_one_process(void **state, enum attach_method method)
{
	struct fixture *f = begin(state, method);
	struct target one = {.pid = f->one.pid, .binary = &f->binary};
	int before = fake_semaphore(&f->other);

	assert_int_equal(attacher_attach_target(f->attacher, &one), 0);
	assert_true(fake_semaphore(&f->one) >= STRAND_PROBE_COUNT);
	assert_int_equal(fake_semaphore(&f->other), before);
	fake_tell(&f->one, "park 7 1 0");
	fake_tell(&f->other, "park 7 1 0");
	assert_int_equal(account_of(f, f->one.pid).waiting, 1);
	assert_int_equal(account_of(f, f->other.pid).records[STRAND_PROBE_PARK], 0);
	attacher_detach_target(&one);
	assert_null(one.link);
	fake_tell(&f->one, "park 8 1 0");
	assert_int_equal(account_of(f, f->one.pid).waiting, 1);
}

static void test_uprobe_multi_can_leave_others_alone(void **state)
{
	check_one_process(state, ATTACH_UPROBE_MULTI);
}

static void test_perf_can_leave_others_alone(void **state)
{
	check_one_process(state, ATTACH_PERF);
}

static void test_the_quota_of_one_leaves_the_other_alone(void **state)
{
	struct fixture *f = begin(state, ATTACH_BEST);
	struct process_account one, other;

	assert_int_equal(attacher_attach(f->attacher, &f->binary), 0);
	fake_tell(&f->one, "crowd 120");
	fake_tell(&f->other, "crowd 30");
	one = account_of(f, f->one.pid);
	other = account_of(f, f->other.pid);
	assert_int_equal(one.waiting, QUOTA);
	assert_int_equal(one.over_quota, 120 - QUOTA);
	assert_int_equal(other.waiting, 30);
	assert_int_equal(other.over_quota, 0);
	/* What ends makes room: the count follows the entries. */
	fake_tell(&f->one, "unpark 1000 1");
	fake_tell(&f->one, "unpark 1000 1");
	fake_tell(&f->one, "exit 1001");
	assert_int_equal(account_of(f, f->one.pid).waiting, QUOTA - 2);
	fake_tell(&f->one, "park 1 1 0");
	fake_tell(&f->one, "park 1 2 0"); /* the same entry */
	assert_int_equal(account_of(f, f->one.pid).waiting, QUOTA - 1);
}

static void test_a_wrong_offset_is_an_error(void **state)
{
	struct fixture *f = begin(state, ATTACH_BEST);

	f->binary.image.semaphore_offset++; /* must be aligned */
	assert_true(attacher_attach(f->attacher, &f->binary) < 0);
	assert_null(f->binary.link);
}

/* Status 0: loading failed with this error, and the line for people has this advice in it. */
static void expect_refusal(int expected, const char *advice)
{
	const struct attach_options options = {0};
	struct attacher *attacher;
	char *error = NULL;

	if (attacher_new(&options, &attacher, &error) != -expected || !error)
		_exit(3);
	_exit(strncmp(error, "stranded: cannot ", 17) || !strstr(error, advice) ? 4 : 0);
}

static void become_nobody(void)
{
	if (setgid(65534) || setuid(65534))
		_exit(2);
	expect_refusal(EPERM, "CAP_BPF");
}

static void lose_bpf(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(2);
	expect_refusal(ENOSYS, "without the bpf system call");
}

/* In a child: neither step can be taken back. */
static void check_refusal(void (*step)(void))
{
	int status;
	pid_t child;

	if (geteuid())
		skip();
	child = fork();
	if (!child)
		step();
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_without_rights_it_says_which_are_missing(void **state)
{
	(void)state;
	check_refusal(become_nobody);
}

static void test_without_bpf_it_says_so(void **state)
{
	(void)state;
	check_refusal(lose_bpf);
}

static void test_slow_probes_are_told_from_fast_ones(void **state)
{
	(void)state;
#if defined(__x86_64__)
	assert_false(attach_probe_is_slow(0x90)); /* nop */
	assert_false(attach_probe_is_slow(0x0f)); /* nop5 */
	assert_false(attach_probe_is_slow(0x55)); /* push %rbp */
	assert_true(attach_probe_is_slow(0xf3));  /* endbr64 */
	assert_true(attach_probe_is_slow(0x48));  /* sub $8, %rsp */
#else
	assert_false(attach_probe_is_slow(0x1f));
	assert_true(attach_probe_is_slow(0xfd));
#endif
}

#define ATTACHED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ATTACHED(test_uprobe_multi_places_all_probes),
		ATTACHED(test_perf_places_all_probes),
		ATTACHED(test_uprobe_multi_can_leave_others_alone),
		ATTACHED(test_perf_can_leave_others_alone),
		ATTACHED(test_the_quota_of_one_leaves_the_other_alone),
		ATTACHED(test_a_wrong_offset_is_an_error),
		cmocka_unit_test(test_without_rights_it_says_which_are_missing),
		cmocka_unit_test(test_without_bpf_it_says_so),
		cmocka_unit_test(test_slow_probes_are_told_from_fast_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

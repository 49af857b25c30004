/* SPDX-License-Identifier: MIT */
/* Tests reports of programs that end: what is taken over, and what malformed ones come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "observe/exit_reports.h"

struct fixture {
	char path[64];
	struct exit_reports *reports;
	struct model model;
	int client;
};

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (!f)
		return -1;
	snprintf(f->path, sizeof(f->path), "/tmp/test_exit_reports.%d", getpid());
	if (exit_reports_new(f->path, &f->reports) || exit_reports_begin(&f->model))
		return -1;
	strcpy(address.sun_path, f->path);
	f->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*state = f;
	return connect(f->client, (struct sockaddr *)&address, sizeof(address));
}

static int end(void **state)
{
	struct fixture *f = *state;

	if (f->client >= 0)
		close(f->client);
	model_done(&f->model);
	exit_reports_free(f->reports);
	if (access(f->path, F_OK) == 0)
		return -1;
	free(f);
	return 0;
}

static void say(struct fixture *f, const void *bytes, size_t size)
{
	assert_int_equal(send(f->client, bytes, size, MSG_NOSIGNAL), size);
}

static void hang_up(struct fixture *f)
{
	close(f->client);
	f->client = -1;
}

static struct strand_exit_task a_task(uint64_t id)
{
	struct strand_exit_task t = {
		.h = {.magic = STRAND_EXIT_MAGIC,
		      .abi_major = STRAND_ABI_MAJOR,
		      .type = STRAND_EXIT_TASK,
		      .size = sizeof(t)},
		.task = id,
		.parent = 3,
		.waited_ns = 5000000000,
		.created_pc = (uintptr_t)a_task + 1,
		.stack_count = 1,
		.stack = {(uintptr_t)say + 1},
		.name = "worker",
		.reason = "chan send",
	};

	return t;
}

static struct strand_exit_end an_end(void)
{
	struct strand_exit_end e = {
		.h = {.magic = STRAND_EXIT_MAGIC,
		      .abi_major = STRAND_ABI_MAJOR,
		      .type = STRAND_EXIT_END,
		      .size = sizeof(e)},
		.leaked = 1,
		.status = STRAND_SEARCH_DONE,
		.build = "strand 9",
	};

	return e;
}

static void a_report_becomes_a_process(void **state)
{
	struct fixture *f = *state;
	struct strand_exit_task task = a_task(7);
	struct strand_exit_end ending = an_end();
	const struct model_process *p;
	const struct model_task *t;
	char byte;

	say(f, &task, sizeof(task));
	say(f, &ending, sizeof(ending));
	assert_int_equal(exit_reports_take(f->reports, &f->model), 0);
	assert_int_equal(recv(f->client, &byte, 1, 0), 0); /* we may go on */
	assert_int_equal(f->model.process_count, 1);
	p = &f->model.processes[0];
	assert_int_equal(p->pid, getpid());
	assert_int_equal(p->uid, getuid());
	assert_true(model_search_proved(&p->search));
	assert_string_equal(p->runtime, "strand 9");
	assert_int_equal(p->task_count, 1);
	t = &p->tasks[0];
	assert_int_equal(t->id, 7);
	assert_int_equal(t->reason, STRAND_WAIT_CHAN_SEND);
	assert_int_equal(t->state, MODEL_LEAKED);
	assert_int_equal(f->model.now_ns - t->since_ns, 5000000000);
	assert_string_equal(t->stack.frames[0].function, "say");
	assert_string_equal(t->created_by.function, "a_task");
	assert_non_null(strstr(t->stack.frames[0].file, "test_exit_reports.c"));
	assert_int_equal(exit_reports_take(f->reports, &f->model), -EAGAIN);
}

/* Records that we don't know are skipped; shorter ones of an older program are read as far as they go. */
static void old_and_new_records_are_read(void **state)
{
	struct fixture *f = *state;
	struct strand_exit_task task = a_task(7);
	struct strand_exit_end ending = an_end();
	struct strand_exit_header unknown = task.h;
	char body[64] = "?";

	unknown.type = 77;
	unknown.size = sizeof(unknown) + sizeof(body);
	say(f, &unknown, sizeof(unknown));
	say(f, body, sizeof(body));
	task.h.size = offsetof(struct strand_exit_task, reason);
	say(f, &task, task.h.size);
	say(f, &ending, sizeof(ending));
	assert_int_equal(exit_reports_take(f->reports, &f->model), 0);
	assert_int_equal(f->model.processes[0].task_count, 1);
	assert_string_equal(f->model.processes[0].tasks[0].name, "worker");
}

static void an_inconclusive_search_says_why(void **state)
{
	struct fixture *f = *state;
	struct strand_exit_end ending = an_end();

	ending.status = STRAND_SEARCH_INCONCLUSIVE;
	memset(ending.cause, 'x', sizeof(ending.cause)); /* not terminated */
	memset(ending.build, 'y', sizeof(ending.build));
	say(f, &ending, sizeof(ending));
	assert_int_equal(exit_reports_take(f->reports, &f->model), 0);
	assert_false(model_search_proved(&f->model.processes[0].search));
	assert_int_equal(strlen(f->model.processes[0].search.error), sizeof(ending.cause));
	assert_int_equal(strlen(f->model.processes[0].runtime), sizeof(ending.build));
}

/* Whatever is malformed is a process that was not searched, never one without leaks. */
static void assert_unsearched(struct fixture *f)
{
	assert_int_equal(exit_reports_take(f->reports, &f->model), -EBADMSG);
	assert_int_equal(f->model.process_count, 1);
	assert_false(model_search_proved(&f->model.processes[0].search));
	assert_non_null(f->model.processes[0].search.error);
}

static void a_report_that_ends_early_proves_nothing(void **state)
{
	struct fixture *f = *state;
	struct strand_exit_task task = a_task(7);

	say(f, &task, sizeof(task));
	hang_up(f);
	assert_unsearched(f);
}

static void wrong_headers_are_refused(void **state)
{
	struct fixture *f = *state;
	struct strand_exit_end ending = an_end();

	ending.h.magic++;
	say(f, &ending, sizeof(ending));
	assert_unsearched(f);
}

static void too_large_records_are_refused(void **state)
{
	struct fixture *f = *state;
	struct strand_exit_end ending = an_end();

	ending.h.size = STRAND_EXIT_RECORD_MAX + 1;
	say(f, &ending, sizeof(ending));
	assert_unsearched(f);
}

static void too_small_records_are_refused(void **state)
{
	struct fixture *f = *state;
	struct strand_exit_end ending = an_end();

	ending.h.size = sizeof(ending.h) - 1;
	say(f, &ending, sizeof(ending));
	assert_unsearched(f);
}

static void too_deep_stacks_are_refused(void **state)
{
	struct fixture *f = *state;
	struct strand_exit_task task = a_task(7);

	task.stack_count = STRAND_EXIT_FRAMES + 1;
	say(f, &task, sizeof(task));
	assert_unsearched(f);
}

static void random_bytes_are_refused(void **state)
{
	struct fixture *f = *state;
	unsigned char bytes[512];
	uint32_t seed = 1;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = (unsigned char)(seed >> 24);
	}
	say(f, bytes, sizeof(bytes));
	hang_up(f);
	assert_unsearched(f);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_report_becomes_a_process),
		TEST(old_and_new_records_are_read),
		TEST(an_inconclusive_search_says_why),
		TEST(a_report_that_ends_early_proves_nothing),
		TEST(wrong_headers_are_refused),
		TEST(too_large_records_are_refused),
		TEST(too_small_records_are_refused),
		TEST(too_deep_stacks_are_refused),
		TEST(random_bytes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

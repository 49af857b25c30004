/* SPDX-License-Identifier: MIT */
/* Tests the explanation of one task: golden output, and that hostile values come out harmless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "view/explain.h"
#include "view_model.h"

static char *explain(const struct model *m, uint64_t task)
{
	const struct view_style style = {.utf8 = true};
	char *out;
	FILE *stream = capture(&out);

	view_explain(stream, m, &m->processes[0], model_find_task(&m->processes[0], task), &style);
	fclose(stream);
	return out;
}

static void expect(const struct model *m, uint64_t task, const char *wanted)
{
	char *out = explain(m, task);

	assert_string_equal(out, wanted);
	free(out);
}

static void golden(void **state)
{
	struct model_task *t;
	struct model m;

	(void)state;
	fixed_model(&m);
	expect(&m, 7,
	       "task 7 \"worker\" of process 42 (app): chan receive for 2m30s\n"
	       "  waits in recv_loop worker.c:42\n"
	       "  created by spawn_all app.c:17\n"
	       "leaked: it is part of a wait-for cycle\n"
	       "  task 7 (chan receive in recv_loop) waits for task 7\n"
	       "retains 8192 bytes\n");
	expect(&m, 10,
	       "task 10 \"worker\" of process 42 (app): mutex lock for 3h00m\n"
	       "not leaked, as far as can be proved; what may still wake it:\n"
	       "  global 'jobs' (libfoo.so)\n"
	       "  → heap block of 48 bytes at 0x606000\n"
	       "  → mutex at 0x707000\n"
	       "  → this task\n");
	t = model_find_task(&m.processes[0], 7);
	t->why = STRAND_WHY_BEHIND;
	t->link_count = 0;
	t->root = 10;
	t->retained = 0;
	t->stack.count = 1;
	expect(&m, 7,
	       "task 7 \"worker\" of process 42 (app): chan receive for 2m30s\n"
	       "  waits in recv_loop worker.c:42\n"
	       "  created by spawn_all app.c:17\n"
	       "leaked: only leaked tasks reach what it waits for\n"
	       "  behind task 10 (mutex lock)\n");
	t->stack.count = 2;
	model_done(&m);
}

static void roots(void **state)
{
	static const struct {
		enum strand_root_kind kind;
		const char *text;
	} cases[] = {
		{STRAND_ROOT_TASK,
		 "\n  stack or data of task 9 (select in ?\?@libfoo.so+0x1234)\n"},
		{STRAND_ROOT_KERNEL, "\n  the kernel, for descriptor 9\n"},
		{STRAND_ROOT_DEADLINE, "\n  its deadline\n"},
		{STRAND_ROOT_RUNTIME, "\n  the runtime, which was just using it\n"},
		{STRAND_ROOT_MEMORY, "\n  stack of thread 5 at 0x9\n"},
	};
	struct model_task *t;
	struct model m;

	(void)state;
	fixed_model(&m);
	t = model_find_task(&m.processes[0], 10);
	t->root = 9;
	t->root_place = text("stack of thread 5");
	model_frame_done(&t->root_at);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *out;

		t->root_kind = cases[i].kind;
		out = explain(&m, 10);
		assert_non_null(strstr(out, cases[i].text));
		free(out);
	}
	model_done(&m);
}

static void hostile(void **state)
{
	static const enum strand_verdict verdicts[] = {STRAND_VERDICT_WAITING,
						       STRAND_VERDICT_LEAKED, STRAND_VERDICT_LIVE,
						       (enum strand_verdict)99};
	struct model_task *t;
	struct model m;

	(void)state;
	hostile_model(&m);
	t = model_find_task(&m.processes[0], UINT64_MAX);
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		for (int kind = 0; kind <= STRAND_ROOT_RUNTIME; kind++) {
			char *out;

			t->verdict = verdicts[i];
			t->root_kind = (enum strand_root_kind)kind;
			out = explain(&m, UINT64_MAX);
			assert_null(strpbrk(out, "\033\x7f\r"));
			free(out);
		}
	}
	model_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden),
		cmocka_unit_test(roots),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

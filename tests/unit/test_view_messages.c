/* SPDX-License-Identifier: MIT */
/* Tests what is said about processes that are not, or not wholly, observed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "view/escape.h"
#include "view/messages.h"
#include "view_model.h"

static void check(struct model *m, const char *expected)
{
	const struct view_style style = {.utf8 = true};
	char *out;
	FILE *stream = capture(&out);
	size_t lines = 0;

	lines = view_messages(stream, m, &style);
	fclose(stream);
	assert_string_equal(out, expected);
	for (const char *p = out; *p; p++)
		lines -= *p == '\n';
	assert_int_equal(lines, 0);
	free(out);
}

static void silence_if_all_is_well(void **state)
{
	struct model m;

	(void)state;
	model_init(&m);
	check(&m, "");
	add_observed(&m);
	check(&m, "");
	add_process(&m, 99, "gone")->status = MODEL_EXITED;
	check(&m, "");
	model_done(&m);
}

static void one_line_for_each_process(void **state)
{
	struct model m;
	struct model_process *p;

	(void)state;
	model_init(&m);
	p = add_process(&m, 1234, "foo");
	p->status = MODEL_UNSUPPORTED_ABI;
	p->status_text = text("its libstrand speaks ABI 3, this stranded speaks 1");
	p->search.asked = true; /* said once is enough */
	add_process(&m, 1235, "x\n\033[2J\xff")->status = MODEL_DENIED;
	p = add_process(&m, 1235, "part");
	p->status = MODEL_HUNG;
	add_task(p, 1, STRAND_WAIT_SELECT, 0);
	p = add_process(&m, 1236, "bar");
	p->status = MODEL_NO_CONTROL;
	p->status_text = text("STRAND_OBSERVE=0\nstranded: forged line");
	check(&m,
	      "stranded: 1234 (foo): not observed: its libstrand speaks ABI 3, this stranded "
	      "speaks 1\n"
	      "stranded: 1235 (x\\n\\x1b[2J\ufffd): not observed: permission denied; try as root\n"
	      "stranded: 1235 (part): observed in part: it did not answer in time\n"
	      "stranded: 1236 (bar): cannot be searched: STRAND_OBSERVE=0\\nstranded: forged "
	      "line\n");
	model_done(&m);
}

static void searches_without_proof(void **state)
{
	struct model m;
	struct model_search *s;

	(void)state;
	model_init(&m);
	s = &add_process(&m, 7, "app")->search;
	check(&m, ""); /* not asked: nothing went wrong */
	s->asked = true;
	check(&m, "stranded: 7 (app): not searched for leaks: no answer\n");
	s->error = text("it did not answer in 15 s");
	check(&m, "stranded: 7 (app): not searched for leaks: it did not answer in 15 s\n");
	s->answered = true;
	s->status = STRAND_SEARCH_INCONCLUSIVE;
	s->cause = STRAND_CAUSE_KERNEL_PIPE;
	s->cause_detail = 5;
	check(&m, "stranded: 7 (app): search for leaks inconclusive: unread bytes in a pipe or "
		  "socket (detail 5)\n");
	s->status = STRAND_SEARCH_REFUSED;
	s->cause = STRAND_CAUSE_BUSY;
	s->cause_detail = 0;
	check(&m, "stranded: 7 (app): search for leaks refused: another search is running\n");
	s->cause = (enum strand_search_cause)999;
	s->status = (enum strand_search_status)999;
	check(&m, "stranded: 7 (app): search for leaks inconclusive: unknown\n");
	model_done(&m);
}

static void losses_are_told(void **state)
{
	struct model m;
	struct model_process *p;

	(void)state;
	model_init(&m);
	p = add_process(&m, 7, "app");
	p->losses = (struct model_losses){.map_full = UINT64_MAX, .unread = 2};
	m.losses = (struct model_losses){.ring_full = 3, .bad_record = 4};
	check(&m, "stranded: 7 (app): 18446744073709551615 waiting tasks not kept: the table is "
		  "full\n"
		  "stranded: 7 (app): 2 stacks could not be read\n"
		  "stranded: 3 events lost: the buffer was full\n"
		  "stranded: 4 malformed records dropped\n");
	model_done(&m);
}

static void a_wrong_proof_is_an_alarm(void **state)
{
	struct model_process *p;
	struct model_past *past;
	struct model m;

	(void)state;
	model_init(&m);
	p = add_process(&m, 7, "foo");
	assert_int_equal(model_add_past(p, &past), 0);
	check(&m, "");
	past->retracted = 1;
	check(&m,
	      "stranded: 7 (foo): 1 task was proved leaked and woken all the same: if "
	      "the program has not cancelled it itself, the proof was wrong; please report it\n");
	assert_int_equal(model_add_past(p, &past), 0);
	past->retracted = UINT64_MAX;
	check(&m, "stranded: 7 (foo): 18446744073709551615 tasks were proved leaked and "
		  "woken all the same: if the program has not cancelled them itself, the proof was "
		  "wrong; please report it\n");
	model_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence_if_all_is_well),
		cmocka_unit_test(one_line_for_each_process),
		cmocka_unit_test(searches_without_proof),
		cmocka_unit_test(losses_are_told),
		cmocka_unit_test(a_wrong_proof_is_an_alarm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

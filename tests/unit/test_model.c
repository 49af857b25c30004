/* SPDX-License-Identifier: MIT */
/* Tests the model's memory, its finding and sorting, and what it calls complete. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "view_model.h"

static void empty_model_is_complete_and_freed(void **state)
{
	struct model m;

	(void)state;
	model_init(&m);
	assert_true(model_complete(&m));
	assert_null(model_find_process(&m, 1, 1));
	model_sort(&m);
	model_done(&m);
	model_done(&m);
}

static void finds_before_and_after_sorting(void **state)
{
	struct model m;
	struct model_process *p;

	(void)state;
	model_init(&m);
	for (pid_t pid = 100; pid > 0; pid--)
		p = add_process(&m, pid, "x");
	for (uint64_t id = 1000; id > 0; id--)
		add_task(p, id, STRAND_WAIT_SELECT, 0);
	for (int sorted = 0; sorted < 2; sorted++) {
		for (pid_t pid = 1; pid <= 100; pid++) {
			assert_int_equal(model_find_process(&m, pid, (uint64_t)pid * 100)->pid,
					 pid);
			assert_null(model_find_process(&m, pid, 7));
		}
		p = model_find_process(&m, 1, 100);
		for (uint64_t id = 1; id <= 1000; id++)
			assert_int_equal(model_find_task(p, id)->id, id);
		assert_null(model_find_task(p, 0));
		assert_null(model_find_task(p, 1001));
		model_sort(&m);
		assert_int_equal(m.processes[0].pid, 1);
		assert_int_equal(m.processes[0].tasks[999].id, 1000);
	}
	p = model_find_process(&m, 1, 100);
	add_task(p, UINT64_MAX, STRAND_WAIT_SELECT, 0); /* after the sorted ones */
	assert_int_equal(model_find_task(p, UINT64_MAX)->id, UINT64_MAX);
	assert_int_equal(model_find_task(p, 500)->id, 500);
	model_done(&m);
}

static void same_pid_other_start_is_another_process(void **state)
{
	struct model m;

	(void)state;
	model_init(&m);
	add_process(&m, 5, "new")->start_ticks = 9;
	add_process(&m, 5, "old")->start_ticks = 8;
	model_sort(&m);
	assert_string_equal(m.processes[0].command, "old");
	assert_string_equal(model_find_process(&m, 5, 9)->command, "new");
	assert_null(model_find_process(&m, 5, 10));
	model_done(&m);
}

static void frame_copy_is_deep(void **state)
{
	struct model_frame from = frame(0x1234, "f", "f.c", 3), to = {0}, none = {0};

	(void)state;
	assert_int_equal(model_frame_copy(&from, &to), 0);
	assert_ptr_not_equal(from.function, to.function);
	model_frame_done(&from);
	assert_null(from.function);
	assert_string_equal(to.function, "f");
	assert_string_equal(to.file, "f.c");
	assert_string_equal(to.module, MODULE);
	assert_int_equal(to.line, 3);
	assert_int_equal(to.pc, 0x1234);
	model_frame_done(&to);
	assert_int_equal(model_frame_copy(&none, &to), 0);
	assert_null(to.function);
	model_frame_done(&to);
}

static void texts_cover_every_number(void **state)
{
	(void)state;
	assert_string_equal(model_reason_text(STRAND_WAIT_CHAN_SEND_NIL), "chan send (nil chan)");
	assert_string_equal(model_reason_text(STRAND_WAIT_NONE), "");
	assert_string_equal(model_reason_text(STRAND_WAIT_REASON_COUNT), "unknown");
	assert_string_equal(model_reason_text((enum strand_wait_reason) - 1), "unknown");
	for (int i = 0; i < STRAND_WAIT_REASON_COUNT; i++)
		assert_string_not_equal(model_reason_text(i), "unknown");
	for (int i = 0; i < STRAND_SEARCH_CAUSE_COUNT; i++)
		assert_string_not_equal(model_cause_text(i), "unknown");
	assert_string_equal(model_cause_text(STRAND_CAUSE_TRACED), "a debugger is attached");
	assert_string_equal(model_cause_text((enum strand_search_cause)12345), "unknown");
	for (int i = MODEL_OBSERVED; i <= MODEL_EXITED; i++)
		assert_string_not_equal(model_process_status_text(i), "unknown");
	assert_string_equal(model_process_status_text(MODEL_EXITED + 1), "unknown");
}

/* "complete" must not be said when anything is missing: no leaks would then read as a fact. */
static void complete_only_if_nothing_is_missing(void **state)
{
	struct model m;
	struct model_process *p;

	(void)state;
	model_init(&m);
	add_observed(&m);
	p = &m.processes[0];
	assert_true(model_complete(&m));

	uint64_t *losses[] = {&m.losses.map_full,   &m.losses.unread,      &p->losses.map_full,
			      &p->losses.ring_full, &p->losses.bad_record, &p->losses.unread};
	for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
		*losses[i] = 1;
		assert_false(model_complete(&m));
		*losses[i] = 0;
	}
	p->search.status = STRAND_SEARCH_INCONCLUSIVE;
	assert_false(model_complete(&m));
	p->search.status = STRAND_SEARCH_REFUSED;
	assert_false(model_complete(&m));
	p->search.status = STRAND_SEARCH_DONE;
	p->search.answered = false;
	assert_false(model_complete(&m));
	p->search.asked = false;
	assert_false(model_complete(&m));
	p->search.asked = p->search.answered = true;
	for (int status = MODEL_DENIED; status <= MODEL_HUNG; status++) {
		p->status = status;
		assert_false(model_complete(&m));
	}
	p->status = MODEL_OBSERVED;
	assert_true(model_complete(&m));
	model_search_done(&p->search);
	assert_false(model_search_proved(&p->search));
	p->status = MODEL_EXITED;
	assert_true(model_complete(&m));
	model_done(&m);
}

static void sorting_counts_the_tasks(void **state)
{
	struct model m, one;
	const struct model_counts *c;

	(void)state;
	fixed_model(&m);
	c = &model_find_process(&m, 42, 4200)->counts;
	assert_int_equal(c->tasks[MODEL_WAITING], 1);
	assert_int_equal(c->tasks[MODEL_LEAKED], 2);
	assert_int_equal(c->tasks[MODEL_SUSPECT], 1);
	assert_int_equal(c->oldest_since_ns[MODEL_LEAKED], NOW - 150 * SECOND);
	assert_int_equal(c->retained_bytes, 2 * 8192);
	one = model_one(&m, &m.processes[1]);
	assert_int_equal(one.process_count, 1);
	assert_ptr_equal(&one.processes[0], &m.processes[1]);
	assert_int_equal(one.now_ns, m.now_ns);
	model_done(&m);
}

/* Of many leaked tasks one may be listed: what they all retain is known from the search. */
static void retained_memory_is_that_of_all(void **state)
{
	struct model m;
	struct model_process *p;
	struct model_task *t;

	(void)state;
	model_init(&m);
	p = add_process(&m, 1, "x");
	t = add_task(p, 1, STRAND_WAIT_SELECT, 0);
	t->state = MODEL_LEAKED;
	t->stands_for = 10;
	t->retained = 4096;
	p->search = (struct model_search){.asked = true,
					  .answered = true,
					  .status = STRAND_SEARCH_DONE,
					  .retained_stacks = 40960,
					  .retained_blocks = 100};
	model_sort(&m);
	assert_int_equal(m.processes[0].counts.tasks[MODEL_LEAKED], 10);
	assert_int_equal(m.processes[0].counts.retained_bytes, 41060);
	model_done(&m);
}

static void counts_that_are_known_stay(void **state)
{
	struct model m;
	struct model_process *p;

	(void)state;
	model_init(&m);
	p = add_process(&m, 1, "x");
	add_task(p, 1, STRAND_WAIT_SELECT, 0);
	p->counts = (struct model_counts){.known = true, .tasks = {[MODEL_WAITING] = 1000000}};
	model_sort(&m);
	assert_int_equal(m.processes[0].counts.tasks[MODEL_WAITING], 1000000);
	model_done(&m);
}

static void searches_are_counted_by_their_end(void **state)
{
	struct model_search_totals totals = {0};
	struct model_search s = {.asked = true, .total_ns = INT64_MAX, .pause_ns = -5};

	(void)state;
	model_count_search(&totals, &s);
	s.answered = true;
	s.status = STRAND_SEARCH_DONE;
	model_count_search(&totals, &s);
	model_count_search(&totals, &s);
	s.status = (enum strand_search_status)77;
	model_count_search(&totals, &s);
	assert_int_equal(totals.count[MODEL_SEARCH_NO_ANSWER], 1);
	assert_int_equal(totals.count[MODEL_SEARCH_DONE], 2);
	assert_int_equal(totals.count[MODEL_SEARCH_INCONCLUSIVE], 1);
	assert_int_equal(totals.count[MODEL_SEARCH_REFUSED], 0);
	assert_true(totals.total_ns[MODEL_SEARCH_DONE] == INT64_MAX);
	assert_int_equal(totals.pause_ns[MODEL_SEARCH_DONE], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_model_is_complete_and_freed),
		cmocka_unit_test(finds_before_and_after_sorting),
		cmocka_unit_test(same_pid_other_start_is_another_process),
		cmocka_unit_test(frame_copy_is_deep),
		cmocka_unit_test(texts_cover_every_number),
		cmocka_unit_test(complete_only_if_nothing_is_missing),
		cmocka_unit_test(sorting_counts_the_tasks),
		cmocka_unit_test(retained_memory_is_that_of_all),
		cmocka_unit_test(counts_that_are_known_stay),
		cmocka_unit_test(searches_are_counted_by_their_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

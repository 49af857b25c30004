/* SPDX-License-Identifier: MIT */
/* Tests the stream of changes: which lines two models make, each a document of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "view/events.h"
#include "view_model.h"

#define LINES_MAX 32

struct lines {
	json_t *line[LINES_MAX];
	size_t count;
};

static struct lines compare(const struct model *before, const struct model *after)
{
	struct lines l = {.count = 0};
	char *out, *save = NULL;
	FILE *stream = capture(&out);

	assert_int_equal(view_events(stream, before, after), 0);
	fclose(stream);
	for (char *at = strtok_r(out, "\n", &save); at; at = strtok_r(NULL, "\n", &save)) {
		json_error_t error;

		assert_true(l.count < LINES_MAX);
		l.line[l.count] = json_loads(at, JSON_REJECT_DUPLICATES, &error);
		assert_non_null(l.line[l.count]);
		l.count++;
	}
	free(out);
	return l;
}

static void lines_done(struct lines *l)
{
	for (size_t i = 0; i < l->count; i++)
		json_decref(l->line[i]);
}

static const char *event_of(const struct lines *l, size_t i)
{
	assert_string_equal(json_string_value(json_object_get(l->line[i], "schema")),
			    "stranded.event/v1");
	return json_string_value(json_object_get(l->line[i], "event"));
}

static json_t *site_of(const struct lines *l, size_t i, const char *key)
{
	return json_object_get(json_object_get(l->line[i], "site"), key);
}

static void all_is_new_at_first(void **state)
{
	static const char *const expected[] = {"process_found", "searched", "process_found",
					       "found",         "found",    "summary"};
	struct model m;
	struct lines l;

	(void)state;
	fixed_model(&m);
	l = compare(NULL, &m);
	assert_int_equal(l.count, 6);
	for (size_t i = 0; i < l.count; i++)
		assert_string_equal(event_of(&l, i), expected[i]);
	for (size_t i = 3; i < 5; i++) {
		bool leaked = !strcmp(json_string_value(site_of(&l, i, "state")), "leaked");

		assert_int_equal(json_integer_value(site_of(&l, i, "count")), leaked ? 2 : 1);
		assert_int_equal(json_integer_value(site_of(&l, i, "count_before")), 0);
	}
	assert_int_equal(json_integer_value(json_object_get(l.line[5], "leaked")), 2);
	assert_true(json_is_false(json_object_get(l.line[5], "complete")));
	lines_done(&l);
	model_done(&m);
}

static void nothing_new_is_a_summary(void **state)
{
	struct model before, after;
	struct lines l;

	(void)state;
	fixed_model(&before);
	fixed_model(&after);
	l = compare(&before, &after);
	assert_int_equal(l.count, 1);
	assert_string_equal(event_of(&l, 0), "summary");
	lines_done(&l);
	model_done(&before);
	model_done(&after);
}

static void changes_are_told_with_both_counts(void **state)
{
	struct model before, after;
	struct model_process *p;
	struct lines l;

	(void)state;
	fixed_model(&before);
	fixed_model(&after);
	p = model_find_process(&after, 42, 4200);
	add_receiver(p, 20, SECOND);
	model_find_task(p, 10)->state = MODEL_WAITING; /* was a suspect */
	p->search.finished_ns++;
	p->status = MODEL_HUNG;
	model_sort(&after);
	l = compare(&before, &after);
	assert_int_equal(l.count, 5);
	assert_string_equal(event_of(&l, 0), "process_changed");
	assert_string_equal(event_of(&l, 1), "searched");
	for (size_t i = 2; i < 4; i++) {
		bool gone = !strcmp(event_of(&l, i), "gone");

		assert_true(gone || !strcmp(event_of(&l, i), "changed"));
		assert_int_equal(json_integer_value(site_of(&l, i, "count")), gone ? 0 : 3);
		assert_int_equal(json_integer_value(site_of(&l, i, "count_before")), gone ? 1 : 2);
		assert_string_equal(json_string_value(site_of(&l, i, "state")),
				    gone ? "suspect" : "leaked");
	}
	lines_done(&l);
	model_done(&before);
	model_done(&after);
}

/* A later process of the same number is another one. */
static void a_process_that_went_takes_its_sites(void **state)
{
	struct model before, after;
	struct lines l;
	size_t gone = 0;

	(void)state;
	fixed_model(&before);
	model_init(&after);
	add_process(&after, 42, "app")->start_ticks++;
	model_sort(&after);
	l = compare(&before, &after);
	assert_string_equal(event_of(&l, 0), "process_found");
	for (size_t i = 1; i < l.count; i++)
		gone += !strcmp(event_of(&l, i), "gone") ||
			!strcmp(event_of(&l, i), "process_gone");
	assert_int_equal(gone, 4);
	assert_int_equal(l.count, 6);
	lines_done(&l);
	model_done(&before);
	model_done(&after);
}

static void hostile_values_stay_on_their_line(void **state)
{
	struct model m;
	struct lines l;

	(void)state;
	hostile_model(&m);
	m.processes[0].tasks[0].state = MODEL_LEAKED;
	l = compare(NULL, &m);
	assert_string_equal(event_of(&l, l.count - 1), "summary");
	lines_done(&l);
	model_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_new_at_first),
		cmocka_unit_test(nothing_new_is_a_summary),
		cmocka_unit_test(changes_are_told_with_both_counts),
		cmocka_unit_test(a_process_that_went_takes_its_sites),
		cmocka_unit_test(hostile_values_stay_on_their_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Tests profiles: what a reader of the protobuf finds in them, and the text of debug=1 as Go prints it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pprof_reader.h"
#include "view/profile.h"
#include "view_model.h"

static char *render(const struct model *m, enum profile_kind kind, unsigned debug, size_t *ret_size)
{
	char *out = NULL;
	size_t size;
	FILE *stream = open_memstream(&out, &size);

	assert_non_null(stream);
	assert_int_equal(view_profile(stream, m, kind, debug), 0);
	fclose(stream);
	if (ret_size)
		*ret_size = size;
	return out;
}

static struct reader *decode(const struct model *m, enum profile_kind kind)
{
	size_t size;
	char *out = render(m, kind, 0, &size);
	struct reader *r = reader_new(out, size);

	free(out);
	return r;
}

static const char *function_at(const struct reader *r, size_t sample, size_t depth)
{
	const struct reader_location *l = &r->locations[r->samples[sample].location[depth] - 1];

	return r->strings[r->function_name[l->function - 1]];
}

static void leaked_tasks_with_names_and_lines(void **state)
{
	struct model m, one;
	struct reader *r;
	const struct reader_location *l;

	(void)state;
	fixed_model(&m);
	one = model_one(&m, model_find_process(&m, 42, 4200));
	r = decode(&one, PROFILE_GOROUTINELEAK);
	assert_int_equal(r->sample_count, 1);
	assert_int_equal(r->samples[0].locations, 2);
	assert_int_equal(r->samples[0].value[0], 2);
	assert_int_equal(r->samples[0].value[1], (150 + 59) * SECOND);
	assert_string_equal(function_at(r, 0, 0), "recv_loop");
	assert_string_equal(function_at(r, 0, 1), "worker_main");
	l = &r->locations[r->samples[0].location[0] - 1];
	assert_int_equal(l->address, 0x40101d); /* inside the call, not where it returns to */
	assert_int_equal(l->line, 42);
	assert_string_equal(r->strings[r->function_file[l->function - 1]], "src/worker.c");
	assert_string_equal(r->strings[r->mappings[0].file], "/usr/bin/app");
	assert_string_equal(r->strings[r->mappings[l->mapping - 1].file], MODULE);
	assert_string_equal(reader_label(r, 0, "wait_reason"), "chan receive");
	assert_string_equal(reader_label(r, 0, "state"), "leaked");
	assert_string_equal(reader_label(r, 0, "created_by"), "spawn_all app.c:17");
	assert_null(reader_label(r, 0, "process"));
	assert_int_equal(r->time_nanos, WALL);
	reader_free(r);
	model_done(&m);
}

static void types_are_those_of_go_first(void **state)
{
	static const char *const expected[][3] = {
		[PROFILE_GOROUTINELEAK] = {"goroutineleak", "waited", "goroutineleak"},
		[PROFILE_GOROUTINE] = {"goroutine", "waited", "goroutine"},
		[PROFILE_BLOCK] = {"contentions", "delay", "delay"},
		[PROFILE_MUTEX] = {"contentions", "delay", "delay"},
		[PROFILE_THREADCREATE] = {"threadcreate", "waited", "threadcreate"},
	};
	static const size_t samples[] = {1, 3, 3, 1, 0};
	struct model m;

	(void)state;
	fixed_model(&m);
	for (unsigned kind = 0; kind < PROFILE_KINDS; kind++) {
		struct reader *r = decode(&m, kind);

		assert_int_equal(r->type_count, profile_is_timed(kind) ? 2 : 3);
		assert_string_equal(r->strings[r->types[0][0]], expected[kind][0]);
		assert_string_equal(r->strings[r->types[0][1]], "count");
		assert_string_equal(r->strings[r->types[1][0]], expected[kind][1]);
		assert_string_equal(r->strings[r->types[1][1]], "nanoseconds");
		assert_string_equal(r->strings[r->period_type], expected[kind][0]);
		assert_string_equal(r->strings[r->default_type], expected[kind][2]);
		assert_int_equal(r->sample_count, samples[kind]);
		reader_free(r);
	}
	model_done(&m);
}

static void no_tasks_is_a_valid_profile_that_says_why(void **state)
{
	struct model m;
	struct reader *r;
	char *out;

	(void)state;
	model_init(&m);
	add_process(&m, 1, "x");
	r = decode(&m, PROFILE_GOROUTINELEAK);
	assert_int_equal(r->sample_count, 0);
	assert_string_equal(r->strings[r->comments[1]],
			    "leaks: unknown, no process has been searched");
	reader_free(r);
	m.processes[0].search = (struct model_search){
		.asked = true, .answered = true, .status = STRAND_SEARCH_DONE};
	r = decode(&m, PROFILE_GOROUTINELEAK);
	assert_string_equal(r->strings[r->comments[1]],
			    "leaks: searched 0ms ago, 1 of 1 processes");
	assert_int_equal(r->comment_count, 2);
	reader_free(r);
	out = render(&m, PROFILE_GOROUTINELEAK, 1, NULL);
	assert_string_equal(out, "goroutineleak profile: total 0\n");
	free(out);
	model_done(&m);
}

static void many_processes_are_told_apart(void **state)
{
	struct model m;
	struct reader *r;

	(void)state;
	fixed_model(&m);
	r = decode(&m, PROFILE_GOROUTINELEAK);
	assert_string_equal(reader_label(r, 0, "process"), "app (42)");
	reader_free(r);
	model_done(&m);
}

static void tasks_that_wait_alike_are_one_sample(void **state)
{
	struct model m;
	struct model_process *p;
	struct reader *r;
	uint64_t total = 0;

	(void)state;
	model_init(&m);
	m.now_ns = NOW;
	p = add_process(&m, 1, "x");
	for (uint64_t id = 1; id <= 3000; id++) {
		struct model_task *t = add_task(p, id, STRAND_WAIT_SELECT, SECOND);

		push_frame(t, frame(0x1000 + id % 1000, "f", "f.c", 1));
		push_frame(t, frame(0x9000, "g", "g.c", 1));
	}
	model_sort(&m);
	r = decode(&m, PROFILE_GOROUTINE);
	assert_int_equal(r->sample_count, 1000);
	for (size_t i = 0; i < r->sample_count; i++) {
		assert_int_equal(r->samples[i].value[0], 3);
		total += r->samples[i].value[1];
	}
	assert_int_equal(total, 3000 * SECOND);
	assert_int_equal(r->location_count, 1001);
	assert_int_equal(r->function_count, 2);
	reader_free(r);
	model_done(&m);
}

static void hostile_values_are_harmless(void **state)
{
	struct model m;

	(void)state;
	hostile_model(&m);
	for (unsigned kind = 0; kind < PROFILE_KINDS; kind++) {
		struct reader *r = decode(&m, kind);
		char *out;

		for (size_t i = 0; i < r->string_count; i++)
			for (const char *at = r->strings[i]; *at; at++)
				assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
		reader_free(r);
		out = render(&m, kind, 1, NULL);
		for (const char *at = out; *at; at++)
			assert_true((unsigned char)*at >= 0x20 || *at == '\n' || *at == '\t');
		free(out);
	}
	model_done(&m);
}

/* The columns are those that Go's tabwriter makes (minwidth 1, tabwidth 8, padding 1, tabs). */
static void debug_1_is_as_go_prints_it(void **state)
{
	struct model m, one;
	char *out;

	(void)state;
	fixed_model(&m);
	one = model_one(&m, model_find_process(&m, 42, 4200));
	out = render(&one, PROFILE_GOROUTINELEAK, 1, NULL);
	assert_string_equal(out, "goroutineleak profile: total 2\n"
				 "2 @ 0x40101e 0x402005\n"
				 "# labels: {\"created_by\":\"spawn_all app.c:17\", "
				 "\"state\":\"leaked\", \"wait_reason\":\"chan receive\"}\n"
				 "#\t0x40101d\trecv_loop+0x1d\tsrc/worker.c:42\n"
				 "#\t0x402004\tworker_main+0x4\tsrc/worker.c:9\n"
				 "\n");
	free(out);
	out = render(&one, PROFILE_MUTEX, 1, NULL);
	assert_string_equal(out, "--- mutex:\ncycles/second=1000000000\nsampling period=1\n"
				 "10800000000000 1 @ 0x0\n"
				 "# labels: {\"state\":\"suspect\", "
				 "\"wait_reason\":\"mutex lock\"}\n"
				 "\n");
	free(out);
	model_done(&m);
}

/* As in Go, all tasks, the leaked ones marked; the age of these too, which Go forgets. */
static void debug_2_is_a_dump_of_all(void **state)
{
	struct model m;
	char *out;

	(void)state;
	fixed_model(&m);
	out = render(&m, PROFILE_GOROUTINELEAK, 2, NULL);
	assert_non_null(strstr(out, "goroutine 7 [chan receive (leaked), 2 minutes]:\n"));
	assert_non_null(strstr(out, "goroutine 9 [select]:\n"));
	free(out);
	out = render(&m, PROFILE_BLOCK, 2, NULL);
	assert_int_equal(strncmp(out, "--- contention:\n", 16), 0);
	free(out);
	model_done(&m);
}

/* What stands for others counts for them; what is retained is a type of its own. */
static void weights_and_retained_memory_count(void **state)
{
	struct model m;
	struct reader *r;
	struct model_task *t;

	(void)state;
	model_init(&m);
	m.now_ns = NOW;
	t = add_task(add_process(&m, 1, "x"), 1, STRAND_WAIT_SELECT, SECOND);
	push_frame(t, frame(0x1000, "f", "f.c", 1));
	t->stands_for = 1000;
	t->state = MODEL_LEAKED;
	t->retained = 4096;
	r = decode(&m, PROFILE_GOROUTINELEAK);
	assert_int_equal(r->sample_count, 1);
	assert_int_equal(r->samples[0].value[0], 1000);
	assert_int_equal(r->samples[0].value[1], 1000 * SECOND);
	assert_int_equal(r->samples[0].value[2], 4096);
	assert_string_equal(r->strings[r->types[2][0]], "retained");
	assert_string_equal(r->strings[r->types[2][1]], "bytes");
	reader_free(r);
	model_sort(&m);
	assert_int_equal(m.processes[0].counts.retained_bytes, 4096);
	model_done(&m);
}

/* As in Go, block profiles count what is over; here also what is not. */
static void ended_waits_are_in_block_profiles(void **state)
{
	struct model m;
	struct model_process *p;
	struct model_wait *w;
	struct reader *r;

	(void)state;
	model_init(&m);
	m.now_ns = NOW;
	p = add_process(&m, 1, "x");
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(model_add_wait(p, &w), 0);
		*w = (struct model_wait){
			.reason = i ? STRAND_WAIT_SLEEP : STRAND_WAIT_MUTEX_LOCK,
			.created_by = frame(0x2000, "g", "g.c", 2),
			.waiting = 2,
			.waiting_ns = 5 * SECOND,
			.ended = 10,
			.ended_ns = 30 * SECOND,
		};
	}
	for (unsigned kind = PROFILE_BLOCK; kind <= PROFILE_MUTEX; kind++) {
		r = decode(&m, kind);
		assert_int_equal(r->sample_count, 1);
		assert_int_equal(r->samples[0].value[0], 12);
		assert_int_equal(r->samples[0].value[1], 35 * SECOND);
		assert_string_equal(reader_label(r, 0, "wait_reason"), "mutex lock");
		assert_null(reader_label(r, 0, "state"));
		reader_free(r);
	}
	model_done(&m);
}

static void names_are_found(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < PROFILE_KINDS; kind++)
		assert_int_equal(profile_find(profile_name(kind)), kind);
	assert_int_equal(profile_find("heap"), PROFILE_KINDS);
	assert_int_equal(profile_find(""), PROFILE_KINDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaked_tasks_with_names_and_lines),
		cmocka_unit_test(types_are_those_of_go_first),
		cmocka_unit_test(no_tasks_is_a_valid_profile_that_says_why),
		cmocka_unit_test(many_processes_are_told_apart),
		cmocka_unit_test(tasks_that_wait_alike_are_one_sample),
		cmocka_unit_test(hostile_values_are_harmless),
		cmocka_unit_test(debug_1_is_as_go_prints_it),
		cmocka_unit_test(debug_2_is_a_dump_of_all),
		cmocka_unit_test(weights_and_retained_memory_count),
		cmocka_unit_test(ended_waits_are_in_block_profiles),
		cmocka_unit_test(names_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Recordings: what is written is read, and what is not a recording is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>
#include "view/json.h"
#include "view/recording.h"
#include "view_model.h"

static char *json_of(const struct model *m)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	view_json(out, m, JSON_SNAPSHOT);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* What no JSON shows: waits, pasts and counts. */
static void add_history(struct model_process *p)
{
	struct model_wait *w;
	struct model_past *past;

	assert_int_equal(model_add_wait(p, &w), 0);
	*w = (struct model_wait){.fingerprint = UINT64_MAX,
				 .reason = STRAND_WAIT_JOIN,
				 .waiting = 5,
				 .oldest_since_ns = -7,
				 .ended_ns = INT64_MAX};
	w->slots[MODEL_WAIT_SLOTS - 1] = 12;
	assert_int_equal(model_frame_copy(&p->tasks[0].stack.frames[0], &w->created_by), 0);
	assert_int_equal(model_add_past(p, &past), 0);
	*past = (struct model_past){3, INT64_MIN, 1, 2, 4};
	p->tasks[0].stands_for = 1000000;
	p->tasks[0].suspect_rules = MODEL_SUSPECT_CROWD | MODEL_SUSPECT_AGE;
}

static struct model read_back(struct recording *r, const struct model *m)
{
	struct model copy;
	void *bytes;
	size_t size;

	*r = (struct recording){0};
	assert_int_equal(recording_encode(m, &bytes, &size), 0);
	assert_int_equal(recording_decode(r, bytes, size, &copy), 0);
	free(bytes);
	return copy;
}

static void what_is_written_is_read(void **state)
{
	struct recording r;
	struct model m, copy;
	const struct model_process *p;
	char *before, *after;

	(void)state;
	fixed_model(&m);
	add_history(&m.processes[0]);
	copy = read_back(&r, &m);
	before = json_of(&m);
	after = json_of(&copy);
	assert_string_equal(before, after);
	p = &copy.processes[0];
	assert_int_equal(p->wait_count, 1);
	assert_int_equal(p->waits[0].fingerprint, UINT64_MAX);
	assert_int_equal(p->waits[0].oldest_since_ns, -7);
	assert_int_equal(p->waits[0].ended_ns, INT64_MAX);
	assert_int_equal(p->waits[0].slots[MODEL_WAIT_SLOTS - 1], 12);
	assert_string_equal(p->waits[0].created_by.function,
			    m.processes[0].waits[0].created_by.function);
	assert_int_equal(p->pasts[0].first_seen_ns, INT64_MIN);
	assert_int_equal(p->pasts[0].retracted, 4);
	assert_int_equal(p->tasks[0].stands_for, 1000000);
	assert_int_equal(p->tasks[0].suspect_rules, MODEL_SUSPECT_CROWD | MODEL_SUSPECT_AGE);
	assert_memory_equal(&p->counts, &m.processes[0].counts, sizeof(p->counts));
	free(before);
	free(after);
	model_done(&m);
	model_done(&copy);
}

/* Encoding again gives the same bytes: nothing is lost that the format knows. */
static void it_is_stable(void **state)
{
	void *first, *second;
	size_t first_size, second_size;
	struct recording r;
	struct model m, copy;

	(void)state;
	fixed_model(&m);
	add_history(&m.processes[0]);
	assert_int_equal(recording_encode(&m, &first, &first_size), 0);
	copy = read_back(&r, &m);
	assert_int_equal(recording_encode(&copy, &second, &second_size), 0);
	assert_int_equal(first_size, second_size);
	assert_memory_equal(first, second, first_size);
	free(first);
	free(second);
	model_done(&m);
	model_done(&copy);
}

static FILE *file_of_two(void)
{
	FILE *f = tmpfile();
	struct model m;

	assert_non_null(f);
	setvbuf(f, NULL, _IONBF, 0); /* what is cut off must not be read from a buffer */
	recording_begin(f);
	fixed_model(&m);
	assert_int_equal(recording_write(f, &m), 0);
	m.now_ns++;
	assert_int_equal(recording_write(f, &m), 0);
	model_done(&m);
	rewind(f);
	return f;
}

static void a_file_holds_snapshots_in_order(void **state)
{
	FILE *f = file_of_two();
	struct recording r;
	struct model m;

	(void)state;
	assert_int_equal(recording_open(&r, f), 0);
	assert_int_equal(recording_read(&r, &m), 1);
	assert_int_equal(m.now_ns, NOW);
	assert_string_equal(m.observer_version, "0.1.0");
	model_done(&m);
	assert_int_equal(recording_read(&r, &m), 1);
	assert_int_equal(m.now_ns, NOW + 1);
	model_done(&m);
	assert_int_equal(recording_read(&r, &m), 0);
	fclose(f);
}

/* Returns how many snapshots were read before the end or an error. */
static int read_all(FILE *f, int *ret_result)
{
	struct recording r;
	struct model m;
	int count = 0;

	rewind(f);
	*ret_result = recording_open(&r, f);
	while (!*ret_result && (*ret_result = recording_read(&r, &m)) > 0) {
		model_done(&m);
		*ret_result = 0;
		count++;
	}
	return count;
}

static void a_file_that_is_cut_off_is_damaged(void **state)
{
	FILE *f = file_of_two();
	int result, count;
	long size;

	(void)state;
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	while (--size > 0) {
		assert_int_equal(ftruncate(fileno(f), size), 0);
		count = read_all(f, &result);
		assert_true(count < 2);
		/* Between two snapshots a cut cannot be seen. */
		if (result != -EBADMSG)
			assert_true(count == 1 || size == 8);
	}
	fclose(f);
}

static void other_files_are_refused(void **state)
{
	FILE *f = file_of_two();
	int result;

	(void)state;
	fseek(f, 7, SEEK_SET);
	fputc(2, f);
	assert_int_equal(read_all(f, &result), 0);
	assert_int_equal(result, -EPROTONOSUPPORT);
	rewind(f);
	fputs("{\"schema\"", f);
	assert_int_equal(read_all(f, &result), 0);
	assert_int_equal(result, -EBADMSG);
	fclose(f);
}

/* A claim of a gigabyte in a short file gets none. */
static void sizes_are_not_believed(void **state)
{
	FILE *f = file_of_two();
	int result;

	(void)state;
	fseek(f, 8, SEEK_SET);
	fwrite("\xff\xff\xff\x3f", 4, 1, f);
	assert_int_equal(read_all(f, &result), 0);
	assert_int_equal(result, -EBADMSG);
	fclose(f);
}

/* Whatever bytes there are: refused, or a model that can be shown and written again. */
static void any_change_is_refused_or_harmless(void **state)
{
	struct recording r = {0};
	struct model m, changed;
	uint8_t *bytes;
	void *encoded;
	size_t size;

	(void)state;
	fixed_model(&m);
	add_history(&m.processes[0]);
	assert_int_equal(recording_encode(&m, &encoded, &size), 0);
	bytes = encoded;
	for (size_t i = 0; i < size; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			bytes[i] ^= 1u << bit;
			if (!recording_decode(&r, bytes, size, &changed)) {
				free(json_of(&changed));
				model_done(&changed);
			}
			bytes[i] ^= 1u << bit;
		}
		assert_int_not_equal(recording_decode(&r, bytes, i, &changed), 0);
	}
	free(encoded);
	model_done(&m);
}

/* What an observer never says is no recording, so nobody has to expect it when it is read. */
static void values_out_of_range_are_refused(void **state)
{
	struct recording r = {0};
	struct model m;
	void *bytes;
	size_t size;

	(void)state;
	fixed_model(&m);
	m.processes[0].tasks[0].state = (enum model_task_state)3;
	assert_int_equal(recording_encode(&m, &bytes, &size), -EBADMSG);
	m.processes[0].tasks[0].state = MODEL_WAITING;
	free(m.processes[0].tasks[0].name);
	m.processes[0].tasks[0].name = NULL;
	assert_int_equal(recording_encode(&m, &bytes, &size), 0);
	assert_int_equal(recording_decode(&r, bytes, size, &m), -EBADMSG);
	free(bytes);
	model_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(it_is_stable),
		cmocka_unit_test(a_file_holds_snapshots_in_order),
		cmocka_unit_test(a_file_that_is_cut_off_is_damaged),
		cmocka_unit_test(other_files_are_refused),
		cmocka_unit_test(sizes_are_not_believed),
		cmocka_unit_test(any_change_is_refused_or_harmless),
		cmocka_unit_test(values_out_of_range_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Tests the JSON writer: its punctuation literally, its escapes by reading them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "view/escape.h"
#include "view/json_writer.h"
#include "view_model.h"

static void punctuation(void **state)
{
	struct json_writer w;
	char *out;
	FILE *stream = capture(&out);

	(void)state;
	json_writer_init(&w, stream);
	json_begin_object(&w, NULL);
	json_begin_array(&w, "empty");
	json_end_array(&w);
	json_begin_array(&w, "list");
	json_write_bool(&w, NULL, true);
	json_write_null(&w, NULL);
	json_begin_object(&w, NULL);
	json_end_object(&w);
	json_end_array(&w);
	json_write_integer(&w, "n", -5);
	json_write_string(&w, "none", NULL);
	json_end_object(&w);
	json_writer_finish(&w);
	fclose(stream);
	assert_string_equal(out,
			    "{\n\t\"empty\": [],\n\t\"list\": [\n\t\ttrue,\n\t\tnull,\n\t\t{}\n\t],"
			    "\n\t\"n\": -5,\n\t\"none\": null\n}\n");
	free(out);
}

/* What jansson makes of a string that the writer wrote. */
static char *round_trip(const char *in, char **ret_raw)
{
	struct json_writer w;
	FILE *stream = capture(ret_raw);
	json_error_t error;
	json_t *parsed;
	char *back;

	json_writer_init(&w, stream);
	json_begin_array(&w, NULL);
	json_write_string(&w, NULL, in);
	json_end_array(&w);
	json_writer_finish(&w);
	fclose(stream);
	parsed = json_loads(*ret_raw, 0, &error);
	assert_non_null(parsed);
	assert_int_equal(json_array_size(parsed), 1);
	back = text(json_string_value(json_array_get(parsed, 0)));
	json_decref(parsed);
	return back;
}

static void check_round_trip(const char *in, const char *expected)
{
	char *raw, *back = round_trip(in, &raw);

	assert_string_equal(back, expected);
	for (const char *p = raw; *p; p++) /* the layout's own tabs and newlines are no harm */
		assert_false((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t');
	free(raw);
	free(back);
}

static void strings_survive(void **state)
{
	(void)state;
	check_round_trip("", "");
	check_round_trip("\"\\/\b\f\n\r\t\x01\x1f\x7f", "\"\\/\b\f\n\r\t\x01\x1f\x7f");
	check_round_trip("</script>\u2028\u2029", "</script>\u2028\u2029");
	check_round_trip("\u202e\u2066\u200b\xc2\x9b", "\u202e\u2066\u200b\xc2\x9b");
	check_round_trip("gr\u00fc\u00df \u6f22 \U0001f600 \U000e0041",
			 "gr\u00fc\u00df \u6f22 \U0001f600 \U000e0041");
	check_round_trip("a\xff\xc0z\xed\xa0\x80", "a\ufffd\ufffdz\ufffd\ufffd\ufffd");
	check_round_trip("\xe2\"", "\ufffd\""); /* a bad lead byte does not swallow the quote */
}

static void harmful_characters_are_escaped(void **state)
{
	char *raw, *back = round_trip("\u2028\u202e\033\U000e0041", &raw);

	(void)state;
	assert_non_null(strstr(raw, "\"\\u2028\\u202e\\u001b\\udb40\\udc41\""));
	free(raw);
	free(back);
}

static void random_bytes_make_a_document(void **state)
{
	unsigned seed = 2;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		char in[48], *raw, *back;

		for (size_t i = 0; i < sizeof(in); i++)
			in[i] = (char)rand_r(&seed);
		in[sizeof(in) - 1] = '\0';
		back = round_trip(in, &raw);
		free(raw);
		free(back);
	}
}

static void numbers_and_times(void **state)
{
	struct json_writer w;
	char *out;
	FILE *stream = capture(&out);

	(void)state;
	json_writer_init(&w, stream);
	json_begin_array(&w, NULL);
	json_write_id(&w, NULL, UINT64_MAX);
	json_write_address(&w, NULL, UINT64_MAX);
	json_write_count(&w, NULL, UINT64_MAX);
	json_write_count(&w, NULL, 9007199254740991);
	json_write_count(&w, NULL, 9007199254740990);
	json_write_integer(&w, NULL, INT64_MIN);
	json_write_seconds(&w, NULL, 0);
	json_write_seconds(&w, NULL, 1500000000);
	json_write_seconds(&w, NULL, 1);
	json_write_seconds(&w, NULL, -1);
	json_write_seconds(&w, NULL, INT64_MIN);
	json_write_time(&w, NULL, WALL);
	json_write_time(&w, NULL, -1);
	json_write_time(&w, NULL, INT64_MIN);
	json_write_time(&w, NULL, INT64_MAX);
	json_end_array(&w);
	json_writer_finish(&w);
	fclose(stream);
	assert_string_equal(out, "[\n"
				 "\t\"18446744073709551615\",\n"
				 "\t\"0xffffffffffffffff\",\n"
				 "\t9007199254740991,\n"
				 "\t9007199254740991,\n"
				 "\t9007199254740990,\n"
				 "\t-9223372036854775808,\n"
				 "\t0.0,\n"
				 "\t1.5,\n"
				 "\t0.000000001,\n"
				 "\t-0.000000001,\n"
				 "\t-9223372036.854775808,\n"
				 "\t\"2026-11-23T18:01:16.123456789Z\",\n"
				 "\t\"1969-12-31T23:59:59.999999999Z\",\n"
				 "\t\"1677-09-21T00:12:43.145224192Z\",\n"
				 "\t\"2262-04-11T23:47:16.854775807Z\"\n"
				 "]\n");
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(punctuation),
		cmocka_unit_test(strings_survive),
		cmocka_unit_test(harmful_characters_are_escaped),
		cmocka_unit_test(random_bytes_make_a_document),
		cmocka_unit_test(numbers_and_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

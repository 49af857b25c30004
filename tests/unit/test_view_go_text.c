/* SPDX-License-Identifier: MIT */
/* Tests the goroutine form: golden output, and the patterns of its readers on every line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <regex.h>

#include "view/escape.h"
#include "view/go_text.h"
#include "view_model.h"

static char *render(void (*make)(struct model *), enum go_text_content content, size_t blocks)
{
	const struct view_style style = {.utf8 = true};
	struct model m;
	char *out;
	FILE *stream = capture(&out);

	make(&m);
	assert_int_equal(view_go_text(stream, &m, content, &style), blocks);
	fclose(stream);
	model_done(&m);
	return out;
}

#define LEAKED                                              \
	"# process 42 (app): 4 waiting, 2 leaked\n"         \
	"\n"                                                \
	"goroutine 7 [chan receive (leaked), 2 minutes]:\n" \
	"recv_loop(...)\n"                                  \
	"\tsrc/worker.c:42 +0x1e\n"                         \
	"worker_main(...)\n"                                \
	"\tsrc/worker.c:9 +0x5\n"                           \
	"created by spawn_all in goroutine 1\n"             \
	"\tsrc/app.c:17 +0x67\n"                            \
	"\n"                                                \
	"goroutine 8 [chan receive (leaked)]:\n"            \
	"recv_loop(...)\n"                                  \
	"\tsrc/worker.c:42 +0x1e\n"                         \
	"worker_main(...)\n"                                \
	"\tsrc/worker.c:9 +0x5\n"                           \
	"created by spawn_all in goroutine 1\n"             \
	"\tsrc/app.c:17 +0x67\n"

static void golden_leaks(void **state)
{
	char *out = render(fixed_model, GO_TEXT_LEAKED, 2);

	(void)state;
	assert_string_equal(out, LEAKED);
	free(out);
}

static void golden_all(void **state)
{
	char *out = render(fixed_model, GO_TEXT_ALL, 4);

	(void)state;
	assert_string_equal(out, LEAKED "\n"
					"goroutine 9 [select]:\n"
					"?\?@libfoo.so+0x1234(...)\n"
					"\t?\?:0 +0x1234\n"
					"...additional frames elided...\n"
					"created by ?\?@0x55aa\n"
					"\t?\?:0 +0x0\n"
					"\n"
					"goroutine 10 [mutex lock, 180 minutes]:\n"
					"?\?(...)\n"
					"\t?\?:0 +0x0\n");
	free(out);
}

static void nothing_leaked_nothing_written(void **state)
{
	char *out = render(model_init, GO_TEXT_LEAKED, 0);

	(void)state;
	assert_string_equal(out, "");
	free(out);
}

static void two_processes(struct model *m)
{
	model_init(m);
	m->now_ns = NOW;
	add_receiver(add_process(m, 5, "first"), 7, 0);
	add_process(m, 6, "idle");
	add_receiver(add_process(m, 7, "second"), 7, 0);
}

static void each_process_has_a_line(void **state)
{
	char *out = render(two_processes, GO_TEXT_LEAKED, 2);

	(void)state;
	assert_non_null(strstr(out, "# process 5 (first): 1 waiting, 1 leaked\n\ngoroutine 7 "));
	assert_non_null(
		strstr(out, "\n\n# process 7 (second): 1 waiting, 1 leaked\n\ngoroutine 7 "));
	assert_null(strstr(out, "idle"));
	free(out);
}

/* The line grammar of panicparse's stack package, in POSIX syntax. */
static const char *const grammar[] = {
	"^goroutine ([0-9]+) \\[([^]]+)\\]:$",
	"^\t(\\?\\?|.+\\.(c|go|s)):([0-9]+)( \\+0x[0-9a-f]+)$",
	"^created by (.+)$",
	"^[.]{3}additional frames elided[.]{3}$",
	"^(.+)\\((.*)\\)$",
	"^# process [0-9]+ \\(.*\\): [0-9]+ waiting, [0-9]+ leaked$",
};

static bool fits_grammar(const char *line)
{
	for (size_t i = 0; i < sizeof(grammar) / sizeof(grammar[0]); i++) {
		regex_t regex;
		bool match;

		assert_int_equal(regcomp(&regex, grammar[i], REG_EXTENDED | REG_NOSUB), 0);
		match = !regexec(&regex, line, 0, NULL, 0);
		regfree(&regex);
		if (match)
			return true;
	}
	return false;
}

static void every_line_parses(void **state)
{
	char *out = render(fixed_model, GO_TEXT_ALL, 4);
	size_t lines = 0;

	(void)state;
	for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"), lines++)
		if (!fits_grammar(line))
			fail_msg("no reader knows: %s", line);
	assert_int_equal(lines, 24);
	assert_false(fits_grammar("goroutine 5 []:"));
	assert_false(fits_grammar("\tlist.h:1 +0x0"));
	free(out);
}

static void hostile_names_make_no_lines(void **state)
{
	char *out = render(hostile_model, GO_TEXT_ALL, 2);
	size_t headers = 0, size;

	(void)state;
	for (const char *p = out; *p; p += size) {
		uint32_t c = escape_decode(p, &size);

		assert_true(c == '\n' || (c == '\t' && p[-1] == '\n') || !escape_is_harmful(c));
	}
	for (const char *p = out; (p = strstr(p, "\ngoroutine ")); p++)
		headers++;
	assert_int_equal(headers, 2);
	assert_non_null(strstr(out, "goroutine 0 [waiting]:\n"));
	assert_non_null(
		strstr(out, "goroutine 18446744073709551615 [unknown, 153722867 minutes]:\n"));
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_leaks),
		cmocka_unit_test(golden_all),
		cmocka_unit_test(nothing_leaked_nothing_written),
		cmocka_unit_test(each_process_has_a_line),
		cmocka_unit_test(every_line_parses),
		cmocka_unit_test(hostile_names_make_no_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

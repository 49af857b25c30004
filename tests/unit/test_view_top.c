/* SPDX-License-Identifier: MIT */
/* Tests the table: golden output, widths, colours, hostile names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "view/escape.h"
#include "view/top.h"
#include "view_model.h"

static char *render(void (*make)(struct model *), struct view_style style)
{
	struct browser_settings settings;
	struct board board;
	struct trend trend;
	struct model m;
	char *out;
	FILE *stream = capture(&out);

	make(&m);
	browser_default(&settings);
	trend_init(&trend);
	assert_int_equal(board_build(&m, &trend, &board), 0);
	assert_int_equal(view_top(stream, &board, &settings, &style), 0);
	fclose(stream);
	board_done(&board);
	trend_done(&trend);
	return out;
}

static void check(struct view_style style, const char *expected)
{
	char *out = render(fixed_model, style);

	assert_string_equal(out, expected);
	free(out);
}

#define HEADER                                                              \
	"stranded  web1  2026-11-23T18:01:16Z  1 process, 1 not observed  " \
	"4 tasks waiting, 2 leaked, 1 suspect  0 lost\n"

static void golden(void **state)
{
	(void)state;
	check((struct view_style){.utf8 = true}, HEADER
	      "PID  COMMAND  STATE                  COUNT  +/MIN  RETAINED  OLDEST  WHERE        "
	      "          CREATED BY\n"
	      " 42  app      chan receive (leaked)      2              16K   2m30s  recv_loop wor"
	      "ker.c:42  spawn_all app.c:17\n"
	      " 42  app      mutex lock (suspect)       1                    3h00m  -            "
	      "          -\n"
	      " 42  app      select                     1                    400ms  ?\?@libfoo.so"
	      "+0x1234    ?\?@0x55aa\n");
}

static void colours_frame_whole_lines(void **state)
{
	char *out = render(fixed_model, (struct view_style){.utf8 = true, .colour = true});

	(void)state;
	assert_non_null(strstr(out, "\n\033[31m 42  app      chan receive (leaked)"));
	assert_non_null(strstr(out, "spawn_all app.c:17\033[0m\n\033[33m 42  app      mutex lock"));
	assert_non_null(strstr(out, "-\033[0m\n 42  app      select "));
	free(out);
}

static void narrow_tables_are_cut(void **state)
{
	(void)state;
	check((struct view_style){.utf8 = true, .columns = 72},
	      "stranded  web1  2026-11-23T18:01:16Z  1 process, 1 not observed  4 task\u2026\n"
	      "PID  COMMAND  STATE                  COUNT  OLDEST  WHERE\n"
	      " 42  app      chan receive (leaked)      2   2m30s  recv_loop worker.c:\u2026\n"
	      " 42  app      mutex lock (suspect)       1   3h00m  -\n"
	      " 42  app      select                     1   400ms  ?\?@libfoo.so+0x1234\n");
	check((struct view_style){.columns = 12}, "stranded  w>\n"
						  "PID\n"
						  " 42\n"
						  " 42\n"
						  " 42\n");
}

/* Whatever the width, no line is wider, as far as a column can be shown at all. */
static void no_line_is_wider(void **state)
{
	(void)state;
	for (size_t columns = 19; columns < 400; columns++) {
		char *out = render(hostile_model,
				   (struct view_style){.utf8 = columns & 1, .columns = columns});

		for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"))
			assert_true(escape_columns(line) <= columns);
		free(out);
	}
	free(render(hostile_model, (struct view_style){.columns = 1})); /* no loop, no crash */
}

static void hostile_names_stay_in_their_cells(void **state)
{
	char *out = render(hostile_model, (struct view_style){.utf8 = true});
	size_t lines = 0, size;

	(void)state;
	for (const char *p = out; *p; p += size) {
		uint32_t c = escape_decode(p, &size);

		lines += c == '\n';
		assert_true(c == '\n' || !escape_is_harmful(c));
	}
	assert_int_equal(lines, 4); /* header, titles, two sites */
	assert_non_null(
		strstr(out, "2147483647  a\"\\\\n\\x1b[2J\\x7f\\x9b\\u202e\\u2066\\u200b\ufffd"));
	assert_non_null(strstr(out, "18446744073709551615 lost"));
	free(out);
}

static void nothing_to_show(void **state)
{
	char *out = render(model_init, (struct view_style){0});

	(void)state;
	assert_string_equal(out, "stranded    1970-01-01T00:00:00Z  0 processes  "
				 "0 tasks waiting, 0 leaked  0 lost\n"
				 "PID  COMMAND  STATE  COUNT  +/MIN  RETAINED  OLDEST  WHERE  "
				 "CREATED BY\n");
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden),
		cmocka_unit_test(colours_frame_whole_lines),
		cmocka_unit_test(narrow_tables_are_cut),
		cmocka_unit_test(no_line_is_wider),
		cmocka_unit_test(hostile_names_stay_in_their_cells),
		cmocka_unit_test(nothing_to_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

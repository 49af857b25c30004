/* SPDX-License-Identifier: MIT */
/* Tests the HTML report: what it says, that nothing of a target becomes markup, that it is balanced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "view/escape.h"
#include "view/report.h"
#include "view_model.h"

#define MARKUP "\"><script>alert(1)</script>&'<!--"

static char *render(void (*make)(struct model *))
{
	struct board board;
	struct trend trend;
	struct model m;
	char *out;
	FILE *stream = capture(&out);

	make(&m);
	trend_init(&trend);
	assert_int_equal(board_build(&m, &trend, &board), 0);
	assert_int_equal(view_report(stream, &board), 0);
	fclose(stream);
	board_done(&board);
	trend_done(&trend);
	return out;
}

static size_t count(const char *text, const char *what)
{
	size_t found = 0;

	while ((text = strstr(text, what))) {
		found++;
		text += strlen(what);
	}
	return found;
}

static void assert_balanced(const char *page)
{
	static const char *const elements[] = {"div", "p",   "table", "tr",      "td",  "ul",
					       "li",  "svg", "g",     "details", "pre", "script"};

	for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++) {
		char open[16], bare[16], close[16];

		snprintf(open, sizeof(open), "<%s ", elements[i]);
		snprintf(bare, sizeof(bare), "<%s>", elements[i]);
		snprintf(close, sizeof(close), "</%s>", elements[i]);
		assert_int_equal(count(page, open) + count(page, bare), count(page, close));
	}
	assert_int_equal(count(page, "<script>"), 1);
}

static void it_says_what_there_is(void **state)
{
	char *page = render(fixed_model);

	(void)state;
	assert_balanced(page);
	assert_non_null(strstr(page, "<b>2</b>leaked"));
	assert_non_null(strstr(page, "<tr class=\"leaked\">"));
	assert_non_null(strstr(page, "chan receive (leaked)"));
	assert_non_null(strstr(page, "2 tasks, 2 leaked: recv_loop worker.c:42"));
	assert_non_null(strstr(page, "class=\"h3\""));
	assert_non_null(strstr(page, "it is part of a wait-for cycle"));
	assert_non_null(strstr(page, "a ring, each waits for the next"));
	assert_null(strstr(page, "http://"));
	assert_null(strstr(page, "https://"));
	free(page);
}

static void set(char **field, const char *value)
{
	free(*field);
	*field = text(value);
}

static void markup_model(struct model *m)
{
	struct model_process *p;
	struct model_task *t;

	fixed_model(m);
	p = &m->processes[0];
	t = &p->tasks[0];
	set(&m->host, MARKUP);
	set(&p->command, MARKUP);
	set(&t->name, MARKUP);
	for (size_t i = 0; i < t->stack.count; i++) {
		set(&t->stack.frames[i].function, MARKUP);
		set(&t->stack.frames[i].file, MARKUP);
		set(&t->stack.frames[i].module, MARKUP);
	}
	set(&t->created_by.function, MARKUP);
	set(&t->created_by.file, MARKUP);
}

static void nothing_becomes_markup(void **state)
{
	char *page = render(markup_model);

	(void)state;
	assert_balanced(page);
	assert_null(strstr(page, "alert(1)</script>"));
	assert_null(strstr(page, "<!--"));
	assert_non_null(strstr(page, "&quot;&gt;&lt;script&gt;alert(1)"));
	free(page);
}

static void hostile_names_are_visible(void **state)
{
	char *page = render(hostile_model);

	(void)state;
	assert_balanced(page);
	assert_null(strstr(page, "\033"));
	assert_null(strstr(page, "\u202e"));
	assert_non_null(strstr(page, "\\x1b[2J"));
	free(page);
}

static void nothing_to_show(void **state)
{
	char *page = render(model_init);

	(void)state;
	assert_balanced(page);
	assert_non_null(strstr(page, "<b>0</b>leaked"));
	assert_null(strstr(page, "<svg"));
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_what_there_is),
		cmocka_unit_test(nothing_becomes_markup),
		cmocka_unit_test(hostile_names_are_visible),
		cmocka_unit_test(nothing_to_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

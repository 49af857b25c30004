/* SPDX-License-Identifier: MIT */
/* New leaks are told once, harmlessly, and not too many at a time. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "serve/news.h"
#include "view_model.h"

static char *told(struct news *n, const struct model *m, bool levels)
{
	char *said;
	size_t size;
	FILE *out = open_memstream(&said, &size);

	assert_non_null(out);
	assert_int_equal(news_write(out, n, m, levels), 0);
	fclose(out);
	return said;
}

static void assert_told(struct news *n, const struct model *m, const char *expected)
{
	char *said = told(n, m, false);

	assert_string_equal(said, expected);
	free(said);
}

static struct model_task *add_leaked(struct model_process *p, uint64_t id, const char *function,
				     unsigned line)
{
	struct model_task *t = add_task(p, id, STRAND_WAIT_CHAN_SEND, SECOND);

	t->state = MODEL_LEAKED;
	push_frame(t, frame(0x1000 + line, function, "/src/a.c", line));
	return t;
}

static void test_told_once(void **state)
{
	struct news *n = calloc(1, sizeof(*n));
	struct model_process *p;
	struct model m;

	(void)state;
	model_init(&m);
	p = add_process(&m, 42, "service");
	add_leaked(p, 1, "ask", 7);
	add_leaked(p, 2, "ask", 7);
	add_task(p, 3, STRAND_WAIT_SELECT, SECOND);
	model_sort(&m);
	assert_told(n, &m, "stranded: 42 (service): 2 leaked tasks: chan send in ask a.c:7\n");
	assert_told(n, &m, "");
	add_leaked(&m.processes[0], 4, "reply", 9);
	model_sort(&m);
	assert_told(n, &m, "stranded: 42 (service): 1 leaked task: chan send in reply a.c:9\n");
	m.processes[0].start_ticks++; /* another process of this number */
	assert_told(n, &m,
		    "stranded: 42 (service): 2 leaked tasks: chan send in ask a.c:7\n"
		    "stranded: 42 (service): 1 leaked task: chan send in reply a.c:9\n");
	model_done(&m);
	free(n);
}

static void test_hostile_names(void **state)
{
	struct news *n = calloc(1, sizeof(*n));
	struct model m;
	char *said;

	(void)state;
	model_init(&m);
	add_leaked(add_process(&m, 42, HOSTILE), 1, HOSTILE, 7);
	model_sort(&m);
	said = told(n, &m, true);
	assert_memory_equal(said, "<4>stranded: 42 (", 17);
	for (const char *c = said; *c; c++)
		assert_true((*c >= ' ' && *c < 0x7f) || (*c == '\n' && !c[1]));
	free(said);
	model_done(&m);
	free(n);
}

static void test_bounded(void **state)
{
	struct news *n = calloc(1, sizeof(*n));
	struct model_process *p;
	struct model m;
	size_t lines = 0;
	char *said;

	(void)state;
	model_init(&m);
	p = add_process(&m, 42, "service");
	for (unsigned i = 1; i <= NEWS_LINES_MAX + 5; i++)
		add_leaked(p, i, "ask", i);
	model_sort(&m);
	said = told(n, &m, false);
	for (const char *c = said; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, NEWS_LINES_MAX + 1);
	assert_non_null(strstr(said, "stranded: 5 more places with new leaks: see /v1/leaks\n"));
	free(said);
	assert_told(n, &m, "");
	model_done(&m);
	free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told_once),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Tests the monitoring plugin's line: states by threshold, and that nothing seen is not OK. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "view/nagios.h"
#include "view_model.h"

static void expect(const struct model *m, unsigned warning, unsigned critical,
		   enum nagios_state state, const char *line)
{
	char *out;
	FILE *stream = capture(&out);

	assert_int_equal(view_nagios(stream, m, warning, critical), state);
	fclose(stream);
	assert_string_equal(out, line);
	free(out);
}

static void thresholds(void **state)
{
	struct model m;

	(void)state;
	fixed_model(&m);
	m.processes[1].status = MODEL_EXITED; /* was denied: it does not count any more */
	expect(&m, 1, 10, NAGIOS_WARNING,
	       "STRANDED WARNING - 2 leaked tasks in 2 processes | leaked=2;1;10;0 "
	       "suspect=1;;;0 waiting=1;;;0 processes=2;;;0 unsearched=0;;;0\n");
	expect(&m, 1, 2, NAGIOS_CRITICAL,
	       "STRANDED CRITICAL - 2 leaked tasks in 2 processes | leaked=2;1;2;0 "
	       "suspect=1;;;0 waiting=1;;;0 processes=2;;;0 unsearched=0;;;0\n");
	expect(&m, 3, 10, NAGIOS_OK,
	       "STRANDED OK - 2 leaked tasks in 2 processes | leaked=2;3;10;0 "
	       "suspect=1;;;0 waiting=1;;;0 processes=2;;;0 unsearched=0;;;0\n");
	model_done(&m);
}

static void unsearched_is_not_ok(void **state)
{
	struct model m;

	(void)state;
	model_init(&m);
	expect(&m, 1, 10, NAGIOS_OK,
	       "STRANDED OK - 0 leaked tasks in 0 processes | leaked=0;1;10;0 "
	       "suspect=0;;;0 waiting=0;;;0 processes=0;;;0 unsearched=0;;;0\n");
	add_process(&m, 1, "x");
	expect(&m, 1, 10, NAGIOS_UNKNOWN,
	       "STRANDED UNKNOWN - 0 leaked tasks in 1 process, 1 not searched | leaked=0;1;10;0 "
	       "suspect=0;;;0 waiting=0;;;0 processes=1;;;0 unsearched=1;;;0\n");
	model_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thresholds),
		cmocka_unit_test(unsearched_is_not_ok),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

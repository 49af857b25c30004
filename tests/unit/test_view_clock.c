/* SPDX-License-Identifier: MIT */
/* Tests times and ages at their borders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "view/clock.h"
#include "view_model.h"

static void check(int64_t ns, const char *expected)
{
	char out[CLOCK_ROOM];

	assert_string_equal(clock_short_age(ns, out), expected);
}

static void short_ages(void **state)
{
	(void)state;
	check(0, "0ms");
	check(999999999, "999ms");
	check(SECOND, "1.0s");
	check(9999999999, "9.9s");
	check(10 * SECOND, "10s");
	check(59 * SECOND, "59s");
	check(60 * SECOND, "1m00s");
	check(3599 * SECOND, "59m59s");
	check(3600 * SECOND, "1h00m");
	check(86399 * SECOND, "23h59m");
	check(86400 * SECOND, "1d00h");
	check(INT64_MAX, "106751d23h");
}

static void ages_saturate(void **state)
{
	(void)state;
	assert_int_equal(clock_age(5, 3), 2);
	assert_int_equal(clock_age(3, 5), 0);
	assert_int_equal(clock_age(INT64_MAX, INT64_MIN), INT64_MAX);
	assert_int_equal(clock_age(INT64_MIN, INT64_MAX), 0);
}

static void decimals(void **state)
{
	char out[CLOCK_ROOM];

	(void)state;
	assert_string_equal(clock_rfc3339(WALL, 0, out), "2026-11-23T18:01:16Z");
	assert_string_equal(clock_rfc3339(WALL, 3, out), "2026-11-23T18:01:16.123Z");
	assert_string_equal(clock_rfc3339(WALL, 9, out), "2026-11-23T18:01:16.123456789Z");
	assert_string_equal(clock_rfc3339(-1, 0, out), "1969-12-31T23:59:59Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_ages),
		cmocka_unit_test(ages_saturate),
		cmocka_unit_test(decimals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Tests that settings come back as they were, and that garbage does no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "view/settings.h"
#include "view_model.h"

static void they_come_back(void **state)
{
	struct browser_settings s, read;
	char *out;
	FILE *stream = capture(&out);

	(void)state;
	browser_default(&s);
	s.kind = ROW_TASK;
	s.delay_ns = SECOND / 2;
	s.orders[ROW_SITE] = (struct browser_order){COLUMN_COUNT, true, 1u << COLUMN_COUNT};
	s.orders[ROW_TASK].sort = COLUMN_OLDEST;
	settings_write(stream, &s);
	fclose(stream);
	browser_default(&read);
	settings_read(out, &read);
	assert_memory_equal(&read, &s, sizeof(s));
	free(out);
}

static void garbage_is_skipped(void **state)
{
	static const char *const texts[] = {
		"",
		"\n\n\n",
		"view",
		"view \nview nothing\n",
		"delay_ms 0\ndelay_ms -5\ndelay_ms 99999999999999999999\ndelay_ms 1e3\ndelay_ms "
		"99\n",
		"columns.site \ncolumns.site pid,,\ncolumns.site pid,nonsense\ncolumns.nothing "
		"pid\n",
		"columns.site senders\n", /* not one of that kind */
		"sort.site -\nsort.site nonsense\nsort. pid\nsort.site\n",
		"\xff\xfe\x01 \x02\n.... ....\n",
		"# view task\n",
	};
	struct browser_settings defaults, s;
	char large[4096];

	(void)state;
	browser_default(&defaults);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		browser_default(&s);
		settings_read(texts[i], &s);
		assert_memory_equal(&s, &defaults, sizeof(s));
	}
	memset(large, 'a', sizeof(large) - 1);
	strcpy(large + sizeof(large) - 16, "\nview task\n");
	settings_read(large, &s);
	assert_int_equal(s.kind, ROW_TASK); /* a line that is too long hides no other */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_come_back),
		cmocka_unit_test(garbage_is_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

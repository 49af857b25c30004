/* SPDX-License-Identifier: MIT */
/* When losses make the observer greet again, and when they are forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "observe/healing.h"

#define SECOND INT64_C(1000000000)

static void nothing_lost_nothing_to_do(void **state)
{
	struct process_account account = {.waiting = 5};
	struct healing h = {0};

	(void)state;
	assert_int_equal(healing_look(&h, &account, SECOND), HEALING_NOTHING);
	assert_int_equal(h.due_ns, 0);
}

static void a_complete_announcement_heals(void **state)
{
	struct process_account account = {.waiting = 50, .over_quota = 7, .bad_record = 2};
	struct healing h = {0};

	(void)state;
	account.records[STRAND_PROBE_PARK] = 100;
	assert_int_equal(healing_look(&h, &account, SECOND), HEALING_WAIT);
	assert_int_equal(healing_look(&h, &account, 3 * SECOND), HEALING_GREET);
	assert_int_equal(healing_losses(&h, &account).map_full, 7);
	account.records[STRAND_PROBE_PARK] = 149;
	assert_int_equal(healing_look(&h, &account, 4 * SECOND), HEALING_WAIT);
	assert_int_equal(healing_losses(&h, &account).bad_record, 2);
	account.records[STRAND_PROBE_PARK] = 150;
	assert_int_equal(healing_look(&h, &account, 4 * SECOND), HEALING_NOTHING);
	assert_int_equal(healing_losses(&h, &account).map_full, 0);
	assert_int_equal(healing_losses(&h, &account).bad_record, 0);
	account.map_full = 1;
	assert_int_equal(healing_losses(&h, &account).map_full, 1);
	assert_int_equal(healing_look(&h, &account, 5 * SECOND), HEALING_WAIT);
}

/* While there is no room, it is asked less and less often. */
static void what_is_lost_again_does_not_heal(void **state)
{
	struct process_account account = {.waiting = 50, .over_quota = 7};
	struct healing h = {0};
	unsigned greetings = 0;

	(void)state;
	for (int64_t now = 0; now < 600 * SECOND; now += SECOND / 2) {
		enum healing_step step = healing_look(&h, &account, now);

		assert_int_not_equal(step, HEALING_NOTHING);
		if (step != HEALING_GREET)
			continue;
		greetings++;
		account.records[STRAND_PROBE_PARK] += 57;
		account.over_quota += 7;
	}
	assert_in_range(greetings, 10, 20);
	assert_int_equal(healing_losses(&h, &account).map_full, account.over_quota);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_lost_nothing_to_do),
		cmocka_unit_test(a_complete_announcement_heals),
		cmocka_unit_test(what_is_lost_again_does_not_heal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

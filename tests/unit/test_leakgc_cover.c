/* SPDX-License-Identifier: MIT */
/* Covers, against a search through all ranges. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "leakgc/cover.h"

static char memory[1 << 20] __attribute__((aligned(16)));

static struct leakgc_arena fresh(size_t size)
{
	return (struct leakgc_arena){(uintptr_t)memory, (uintptr_t)memory + size};
}

static uint64_t random_state = 1;

static unsigned random_below(unsigned limit)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(random_state >> 33) % limit;
}

/* Bit set of the members whose range holds the address. */
static uint64_t members_by_search(const struct leakgc_extent *x, size_t n, uintptr_t address)
{
	uint64_t set = 0;

	for (size_t i = 0; i < n; i++)
		if (x[i].lo <= address && address < x[i].hi)
			set |= 1ULL << x[i].member;
	return set;
}

static uint64_t members_by_cover(const struct leakgc_cover *c, uintptr_t address)
{
	size_t i = leakgc_cover_find(c, address);
	uint64_t set = 0;

	if (i == LEAKGC_COVER_NONE)
		return 0;
	for (uint32_t m = c->first[i]; m < c->first[i + 1]; m++)
		set |= 1ULL << c->member[m];
	return set;
}

static void test_random_ranges(void **state)
{
	(void)state;
	for (int round = 0; round < 500; round++) {
		struct leakgc_extent x[40], sorted[40];
		struct leakgc_arena arena = fresh(sizeof(memory));
		struct leakgc_cover cover;
		size_t n = random_below(41);

		for (uint32_t i = 0; i < n; i++) {
			uintptr_t lo = 10 + random_below(200);

			sorted[i] = x[i] = (struct leakgc_extent){lo, lo + random_below(60), i};
		}
		assert_int_equal(leakgc_cover_build(&arena, sorted, n, &cover), 0);
		for (uintptr_t address = 0; address < 300; address++)
			assert_int_equal(members_by_cover(&cover, address),
					 members_by_search(x, n, address));
	}
}

static void test_empty(void **state)
{
	struct leakgc_arena arena = fresh(sizeof(memory));
	struct leakgc_extent nothing = {5, 5, 1};
	struct leakgc_cover cover;

	(void)state;
	assert_int_equal(leakgc_cover_build(&arena, &nothing, 1, &cover), 0);
	assert_int_equal(cover.count, 0);
	assert_int_equal(leakgc_cover_find(&cover, 5), LEAKGC_COVER_NONE);
}

static void test_no_memory(void **state)
{
	int failures = 0;

	(void)state;
	for (size_t size = 16; size < 4096; size += 16) {
		struct leakgc_arena arena = fresh(size);
		struct leakgc_extent x[20];
		struct leakgc_cover cover;
		int r;

		for (uint32_t i = 0; i < 20; i++)
			x[i] = (struct leakgc_extent){100 - i, 200 + i, i};
		r = leakgc_cover_build(&arena, x, 20, &cover);
		assert_true(r == 0 || r == -ENOMEM);
		failures += r != 0;
		assert_true(arena.next <= arena.top);
	}
	assert_in_range(failures, 10, 250);
}

static void test_too_deep(void **state)
{
	struct leakgc_extent x[300];
	struct leakgc_arena arena = fresh(sizeof(memory));
	struct leakgc_cover cover;

	(void)state;
	for (uint32_t i = 0; i < 300; i++)
		x[i] = (struct leakgc_extent){1000 - i, 2000 + i, i};
	assert_int_equal(leakgc_cover_build(&arena, x, 300, &cover), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_ranges),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_too_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

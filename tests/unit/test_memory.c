/* SPDX-License-Identifier: MIT */
/* The table of the runtime's mappings: exact after any order of mapping and unmapping. */
#include "strand_test.h"

#include <sys/mman.h>
#include "strand/memory.h"

#define MAPPINGS 2000

static bool is_mapped(const void *address)
{
	unsigned char in_core;

	return mincore((void *)((uintptr_t)address & ~(memory_page_size() - 1)), 1, &in_core) == 0;
}

static void test_round_up(void **state)
{
	(void)state;
	assert_int_equal(memory_round_up(0, 64), 0);
	assert_int_equal(memory_round_up(1, 64), 64);
	assert_int_equal(memory_round_up(64, 64), 64);
	assert_int_equal(memory_round_up(65, 64), 128);
	assert_int_equal(memory_round_up(4097, 4096), 8192);
	assert_int_equal(memory_page_size(), sysconf(_SC_PAGESIZE));
}

static void test_map_is_zeroed_and_noted(void **state)
{
	struct memory m = {0};
	size_t page = memory_page_size();
	unsigned char *p = memory_map(&m, page + 1);

	(void)state;
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % page, 0);
	for (size_t i = 0; i < 2 * page; i++)
		assert_int_equal(p[i], 0);
	memset(p, 0xff, 2 * page);

	/* The table knows itself and the mapping. */
	assert_int_equal(m.count, 2);
	assert_true(m.regions[0].lo == (uintptr_t)m.regions);
	assert_true(m.regions[0].hi > m.regions[0].lo);
	assert_true(m.regions[1].lo == (uintptr_t)p);
	assert_true(m.regions[1].hi == (uintptr_t)p + 2 * page);

	memory_unmap(&m, p, page + 1);
	assert_int_equal(m.count, 1);
	assert_false(is_mapped(p));
	assert_false(is_mapped(p + page));
	memory_done(&m);
	assert_int_equal(m.count, 0);
	assert_null(m.regions);
}

static void test_too_large(void **state)
{
	struct memory m = {0};

	(void)state;
	assert_null(memory_map(&m, SIZE_MAX));
	assert_null(memory_map(&m, SIZE_MAX / 2));
	assert_null(memory_map(&m, 0));
	assert_true(m.count <= 1);
	memory_done(&m);
}

struct model {
	char *address;
	size_t size;
};

/* As in the model, in any order, and the table's own entry is right. */
static void compare(const struct memory *m, const struct model *model, size_t count)
{
	size_t found = 0;

	assert_int_equal(m->count, count + 1);
	assert_true(m->regions[0].lo == (uintptr_t)m->regions);
	assert_true(m->regions[0].hi >= (uintptr_t)(m->regions + m->count));
	for (size_t i = 1; i < m->count; i++)
		for (size_t k = 0; k < count; k++)
			found += m->regions[i].lo == (uintptr_t)model[k].address &&
				 m->regions[i].hi == (uintptr_t)model[k].address + model[k].size;
	assert_int_equal(found, count);
}

/* The table grows over several pages and shrinks. */
static void test_random(void **state)
{
	struct model *model = calloc(MAPPINGS, sizeof(*model));
	struct memory m = {0};
	size_t page = memory_page_size(), count = 0;
	uint64_t seed = 7;

	(void)state;
	for (int i = 0; i < 5 * MAPPINGS; i++) {
		seed = seed * 6364136223846793005 + 1442695040888963407;
		if (count < MAPPINGS && (seed >> 33) % 10 < (i < 4 * MAPPINGS ? 8 : 2)) {
			size_t pages = 1 + (seed >> 40) % 3;

			model[count].size = pages * page;
			model[count].address = memory_map(&m, pages * page - (seed >> 50) % page);
			assert_non_null(model[count].address);
			assert_int_equal(model[count].address[0], 0);
			model[count++].address[0] = 1;
		} else if (count) {
			size_t victim = (seed >> 35) % count;

			memory_unmap(&m, model[victim].address, model[victim].size);
			model[victim] = model[--count];
		}
		if (i % 500 == 0 && m.count)
			compare(&m, model, count);
	}
	compare(&m, model, count);
	assert_true(count > 0);
	memory_done(&m);
	for (size_t i = 0; i < count; i++)
		assert_false(is_mapped(model[i].address));
	free(model);
}

static void test_done_without_use(void **state)
{
	struct memory m = {0};

	(void)state;
	memory_done(&m);
	assert_int_equal(m.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_up),
		cmocka_unit_test(test_map_is_zeroed_and_noted),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_done_without_use),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

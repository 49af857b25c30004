/* SPDX-License-Identifier: MIT */
/* The slabs of wait objects: no two overlap, each knows its place, and freed ones are clean. */
#include "strand_test.h"

#include <sys/mman.h>
#include "strand/object.h"

#define LARGEST_SLOT ((size_t)16 << 10)

static struct object_pool pool;

static int set_up(void **state)
{
	(void)state;
	pool = (struct object_pool){0};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	memory_done(&pool.memory);
	return 0;
}

static struct object *make(size_t size)
{
	struct object *o = object_new(&pool, size);

	assert_non_null(o);
	assert_true(o->chunk->slot_size >= size);
	assert_int_equal((uintptr_t)o % 64, 0);
	assert_int_equal(atomic_load(&o->kind), OBJECT_FREE);
	assert_false(object_lock_is_held(&o->lock));
	/* It finds itself by its index, and lies within its chunk. */
	assert_true(object_index(o) < o->chunk->slots);
	assert_ptr_equal(object_slot(o->chunk, object_index(o)), o);
	assert_true((char *)o + o->chunk->slot_size <= (char *)o->chunk + o->chunk->mapped);
	assert_true((char *)o >= (char *)(o->chunk->nodes + o->chunk->slots));
	return o;
}

static void drop(struct object *o)
{
	object_free(o);
}

/* Behind the header all is zero. */
static bool is_clean(const struct object *o, size_t size)
{
	const char *bytes = (const char *)o;

	for (size_t i = sizeof(*o); i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

static void dirty(struct object *o, size_t size)
{
	memset((char *)o + sizeof(*o), 0xee, size - sizeof(*o));
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = {sizeof(struct object),
				       100,
				       128,
				       129,
				       256,
				       257,
				       1000,
				       4096,
				       LARGEST_SLOT - 1,
				       LARGEST_SLOT,
				       LARGEST_SLOT + 1,
				       100000,
				       (size_t)1 << 20};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int round = 0; round < 3; round++) {
			struct object *o = make(sizes[i]);

			assert_true(is_clean(o, sizes[i]));
			assert_true(o->chunk->slot_size < 2 * sizes[i] + 128);
			dirty(o, sizes[i]);
			drop(o);
		}
	}
}

static void test_large_ones_are_unmapped(void **state)
{
	struct object *o = make(LARGEST_SLOT + 1), *other = make(LARGEST_SLOT * 3);
	void *chunk = o->chunk;
	size_t count = pool.memory.count;
	unsigned char in_core;

	(void)state;
	assert_int_equal(o->chunk->slots, 1);
	assert_ptr_not_equal(o->chunk, other->chunk);
	drop(o);
	assert_int_equal(pool.memory.count, count - 1);
	assert_int_equal(mincore(chunk, 1, &in_core), -1);
	assert_ptr_equal(pool.chunks, other->chunk);
	drop(other);
	assert_null(pool.chunks);
}

static void test_chunks_unlink_anywhere(void **state)
{
	struct object *o[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		o[i] = make(LARGEST_SLOT * 2);
	drop(o[2]);
	drop(o[0]);
	drop(o[4]);
	assert_ptr_equal(pool.chunks, o[3]->chunk);
	assert_ptr_equal(pool.chunks->next, o[1]->chunk);
	assert_null(pool.chunks->next->next);
	drop(o[1]);
	drop(o[3]);
	assert_null(pool.chunks);
}

static void test_last_freed_is_next(void **state)
{
	struct object *a = make(200), *b = make(200);

	(void)state;
	assert_ptr_not_equal(a, b);
	drop(a);
	assert_ptr_equal(make(200), a);
	assert_ptr_not_equal(make(200), b);
}

#define OBJECTS 3000

/* Each object is filled with its number: an overlap would show. */
static void fill(struct object *o, size_t size, unsigned number)
{
	memset((char *)o + sizeof(*o), (int)(number % 251) + 1, size - sizeof(*o));
}

static void check_fill(const struct object *o, size_t size, unsigned number)
{
	const unsigned char *bytes = (const unsigned char *)o;

	for (size_t i = sizeof(*o); i < size; i++)
		if (bytes[i] != number % 251 + 1)
			fail_msg("object %u: byte %zu is %u", number, i, bytes[i]);
}

static void test_random(void **state)
{
	static struct {
		struct object *object;
		size_t size;
	} model[OBJECTS];
	uint64_t seed = 3;

	(void)state;
	memset(model, 0, sizeof(model));
	for (int i = 0; i < 8 * OBJECTS; i++) {
		unsigned at;

		seed = seed * 6364136223846793005 + 1442695040888963407;
		at = (unsigned)(seed >> 33) % OBJECTS;
		if (model[at].object) {
			check_fill(model[at].object, model[at].size, at);
			drop(model[at].object);
			model[at].object = NULL;
		} else {
			model[at].size =
				sizeof(struct object) + (seed >> 20) % (64 << (seed >> 60));
			model[at].size %= 40000;
			model[at].size += sizeof(struct object);
			model[at].object = make(model[at].size);
			assert_true(is_clean(model[at].object, model[at].size));
			fill(model[at].object, model[at].size, at);
		}
	}
	for (unsigned at = 0; at < OBJECTS; at++)
		if (model[at].object)
			check_fill(model[at].object, model[at].size, at);
}

static void test_no_memory(void **state)
{
	size_t count;

	(void)state;
	make(300);
	count = pool.memory.count;
	assert_null(object_new(&pool, (size_t)1 << 62));
	assert_int_equal(pool.memory.count, count);
	make(300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_large_ones_are_unmapped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_chunks_unlink_anywhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_last_freed_is_next, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_random, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

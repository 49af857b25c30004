/* SPDX-License-Identifier: MIT */
/* What a search says beyond its verdicts: cycles, who a wait is behind, chains from roots. */
#include "leakgc_scene.h"

#include "leakgc/answers.h"

#include <stdlib.h>
#include <unistd.h>

static uintptr_t *heap_slot; /* an application's variable on the heap */

static void nothing_arranged(void)
{
	*heap_slot = 0;
}

static const struct leakgc_verdict *leaked(const struct leakgc_result *r, int task)
{
	const struct leakgc_verdict *v = scene_verdict(r, task);

	assert_int_equal(r->status, STRAND_SEARCH_DONE);
	assert_non_null(v);
	assert_int_equal(v->verdict, STRAND_VERDICT_LEAKED);
	return v;
}

static void expect_why(const struct leakgc_result *r, int task, enum strand_leak_why why,
		       uint64_t behind)
{
	const struct leakgc_verdict *v = leaked(r, task);

	assert_int_equal(v->why, why);
	assert_int_equal(v->root, behind);
}

/* The verdict's links, as numbers of tasks, each waiting for the next. */
static void expect_cycle(const struct leakgc_result *r, int task, const int *cycle, uint32_t count)
{
	const struct leakgc_verdict *v = leaked(r, task);
	uint32_t at = 0;

	assert_int_equal(v->why, STRAND_WHY_CYCLE);
	assert_int_equal(v->link_count, count);
	assert_true(v->link_first + count <= r->link_count);
	while (at < count && r->links[v->link_first + at].value != SCENE_TASK_ID(cycle[0]))
		at++;
	for (uint32_t i = 0; i < count; i++) {
		const struct strand_report_link *l = &r->links[v->link_first + (at + i) % count];

		assert_int_equal(l->kind, STRAND_LINK_TASK);
		assert_int_equal(l->value, SCENE_TASK_ID(cycle[i]));
	}
}

/* ---- without a cycle --------------------------------------------------------------- */

static void test_unreachable(void **state)
{
	struct leakgc_result r = scene_run(nothing_arranged, 0);

	(void)state;
	expect_why(&r, 0, STRAND_WHY_UNREACHABLE, 0);
	leakgc_result_done(&r);
}

/* Each task that waits for it has a pointer to it, as they always do: no cycle, and nobody else. */
static void waiters_point(void)
{
	for (int i = 0; i < 3; i++)
		scene_put(scene_sp(i) + 8, scene_object(0) + 8);
}

static void test_same_object(void **state)
{
	struct leakgc_result r;

	(void)state;
	scene_add_task(1, 0);
	scene_add_task(2, 0);
	r = scene_run(waiters_point, 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(leaked(&r, i)->link_count, 0);
		assert_int_not_equal(leaked(&r, i)->why, STRAND_WHY_CYCLE);
	}
	leakgc_result_done(&r);
}

/* 0 and 1 wait for object 0, which only 2 reaches, through object 1's content. */
static void third_points(void)
{
	scene_put(scene_sp(2) + 8, scene_object(1) + 8);
	scene_put(scene_object(1) + 72, scene_object(0) + 8);
}

static void test_behind(void **state)
{
	struct leakgc_result r;

	(void)state;
	for (int i = 1; i <= 2; i++)
		scene_add_object(i);
	scene_add_task(1, 0);
	scene_add_task(2, 2);
	r = scene_run(third_points, 0);
	expect_why(&r, 0, STRAND_WHY_BEHIND, SCENE_TASK_ID(2));
	expect_why(&r, 1, STRAND_WHY_BEHIND, SCENE_TASK_ID(2));
	expect_why(&r, 2, STRAND_WHY_UNREACHABLE, 0);
	leakgc_result_done(&r);
}

/* ---- cycles ---------------------------------------------------------------------------- */

/* Each waits for what only the next reaches; everybody has a pointer to what it waits for. */
static void ring(void)
{
	for (int i = 0; i < 4; i++) {
		scene_put(scene_sp(i) + 8, scene_object(i) + 8);
		scene_put(scene_sp((i + 1) % 4) + 16, scene_object(i) + 8);
	}
	scene_put(scene_sp(0) + 24, scene_object(4) + 8); /* 4 is behind the ring */
}

static void test_ring(void **state)
{
	static const int cycle[] = {0, 1, 2, 3};
	struct leakgc_result r;

	(void)state;
	for (int i = 1; i <= 4; i++) {
		scene_add_object(i);
		scene_add_task(i, i);
	}
	r = scene_run(ring, 0);
	for (int i = 0; i < 4; i++)
		expect_cycle(&r, i, cycle, 4);
	expect_why(&r, 4, STRAND_WHY_BEHIND, SCENE_TASK_ID(0));
	leakgc_result_done(&r);
}

/* By ownership, like locks and joins: one task with itself, and two behind it. */
static void test_owner_cycles(void **state)
{
	static const int alone[] = {0}, pair[] = {1, 2};
	struct leakgc_result r;

	(void)state;
	for (int i = 0; i < 4; i++)
		scene_add_task(i, -1);
	scene.tasks[0].owner = 0;
	scene.tasks[1].owner = 2;
	scene.tasks[2].owner = 1;
	scene.tasks[3].owner = 1;
	r = scene_run(nothing_arranged, 0);
	expect_cycle(&r, 0, alone, 1);
	expect_cycle(&r, 1, pair, 2);
	expect_cycle(&r, 2, pair, 2);
	expect_why(&r, 3, STRAND_WHY_BEHIND, SCENE_TASK_ID(1));
	leakgc_result_done(&r);
}

/* Pointers make one big component of everything; the locks' cycles are found all the same. */
static void everybody_points_at_everything(void)
{
	for (int i = 0; i < 6; i++)
		for (int o = 0; o < 6; o++)
			scene_put(scene_sp(i) + 8 + 8 * (uintptr_t)o, scene_object(o) + 8);
}

static void test_owner_cycles_first(void **state)
{
	static const int pairs[][2] = {{0, 1}, {2, 3}, {4, 5}};
	struct leakgc_result r;

	(void)state;
	for (int i = 0; i < 6; i++) {
		scene_add_object(i);
		scene_add_task(i, i);
		scene.tasks[i].owner = i ^ 1;
	}
	r = scene_run(everybody_points_at_everything, 0);
	for (int i = 0; i < 6; i++)
		expect_cycle(&r, i, pairs[i / 2], 2);
	leakgc_result_done(&r);
}

/* ---- chains ------------------------------------------------------------------------------ */

static void chain_of_objects(void)
{
	*heap_slot = scene_object(2) + 8;
	scene_put(scene_object(2) + 64, scene_object(1) + 8);
	scene_put(scene_object(1) + 64, scene_object(0) + 8);
}

static void test_chain(void **state)
{
	const struct leakgc_verdict *v;
	struct leakgc_result r;

	(void)state;
	scene_add_object(1);
	scene_add_object(2);
	r = scene_run(chain_of_objects, 0);
	v = scene_verdict(&r, 0);
	assert_int_equal(v->verdict, STRAND_VERDICT_LIVE);
	assert_int_equal(v->root_kind, STRAND_ROOT_MEMORY);
	assert_int_equal(v->root, (uintptr_t)heap_slot);
	assert_int_equal(v->link_count, 3);
	for (int i = 0; i < 3; i++) {
		const struct strand_report_link *l = &r.links[v->link_first + (uint64_t)i];

		assert_int_equal(l->kind, STRAND_LINK_OBJECT);
		assert_int_equal(l->value, scene_object(2 - i));
		assert_int_equal(l->size, SCENE_OBJECT);
	}
	leakgc_result_done(&r);
}

/* The chain begins at the live task that is named as the root. */
static void live_task_points(void)
{
	scene_put(scene_sp(1) + 8, scene_object(0) + 8);
}

static void test_chain_from_task(void **state)
{
	const struct leakgc_verdict *v;
	struct leakgc_result r;

	(void)state;
	*heap_slot = 0;
	scene_add_task(1, -1);
	scene.tasks[1].live = true;
	r = scene_run(live_task_points, 0);
	v = scene_verdict(&r, 0);
	assert_int_equal(v->root_kind, STRAND_ROOT_TASK);
	assert_int_equal(v->root, SCENE_TASK_ID(1));
	assert_int_equal(v->link_count, 1);
	assert_int_equal(r.links[v->link_first].value, scene_object(0));
	leakgc_result_done(&r);
}

/* ---- retained memory -------------------------------------------------------------------------- */

static void forget_stack(int i)
{
	madvise((void *)scene_stack(i), SCENE_STACK, MADV_DONTNEED);
}

/* Task 0's stack has two pages, and reaches object 1, whose content is object 2. */
static void reach_objects(void)
{
	*heap_slot = 0;
	forget_stack(0);
	forget_stack(1);
	scene_put(scene_stack(0), 1); /* long ago */
	scene_put(scene_sp(0) + 16, scene_object(1) + 8);
	scene_put(scene_object(1) + 64, scene_object(2) + 8);
	scene_put(scene_sp(1) + 16, scene_object(3) + 8);
}

/* Task 1 is live, and so is what it reaches. */
static void test_retained(void **state)
{
	const size_t page = (size_t)getpagesize();
	struct leakgc_result r;

	(void)state;
	for (int i = 1; i <= 3; i++)
		scene_add_object(i);
	scene_add_task(1, -1);
	scene.tasks[1].live = true;
	r = scene_run(reach_objects, 0);
	assert_int_equal(r.retained_stacks, 2 * page);
	assert_int_equal(r.retained_objects, 3 * SCENE_OBJECT); /* 0 is waited for */
	assert_int_equal(r.retained_blocks, 0);
	assert_int_equal(leaked(&r, 0)->retained, 2 * page + 3 * SCENE_OBJECT);
	leakgc_result_done(&r);
}

/* What two leaked tasks reach counts for one of them. */
static void reach_same(void)
{
	*heap_slot = 0;
	for (int i = 0; i < 2; i++) {
		forget_stack(i);
		scene_put(scene_sp(i) + 16, scene_object(1) + 8);
	}
}

static void test_retained_once(void **state)
{
	const size_t page = (size_t)getpagesize();
	struct leakgc_result r;

	(void)state;
	scene_add_object(1);
	scene_add_task(1, 0);
	r = scene_run(reach_same, 0);
	assert_int_equal(r.retained_stacks, 2 * page);
	assert_int_equal(r.retained_objects, 2 * SCENE_OBJECT);
	assert_int_equal(leaked(&r, 0)->retained + leaked(&r, 1)->retained,
			 2 * page + 2 * SCENE_OBJECT);
	leakgc_result_done(&r);
}

/* ---- cost ----------------------------------------------------------------------------------- */

static void no_cycle(void *context, const uint32_t *tasks, size_t count)
{
	(void)tasks;
	(void)count;
	++*(size_t *)context;
}

/*
 * A chain of tasks, each waiting for what the next one reaches, and one ring of all: looked at
 * once, neither recursion nor a walk for each node. With a walk for each, minutes.
 */
#define LONG 200000

static void test_long_chain(void **state)
{
	size_t size = 512u << 20, told = 0;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct leakgc_world w = {.arena = {(uintptr_t)memory, (uintptr_t)memory + size}};
	struct leakgc_task task = {.candidate = true};
	struct leakgc_object object = {0};
	bool *on_cycle = calloc(2 * LONG, sizeof(*on_cycle));
	leakgc_node node, first = 0;

	(void)state;
	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_non_null(on_cycle);
	assert_int_equal(leakgc_world_begin(&w), 0);
	for (uint32_t i = 0; i < LONG; i++) {
		task.id = i + 1;
		assert_int_equal(leakgc_world_add_task(&w, &task, &node), 0);
		assert_int_equal(leakgc_world_add_object(&w, &object, &node), 0);
		assert_int_equal(leakgc_world_add_wait(&w, node - 1, node), 0);
		if (i)
			assert_int_equal(leakgc_world_add_edge(&w, node - 1, node - 2), 0);
	}
	assert_true(leakgc_cycles_find(&w, on_cycle, no_cycle, &told));
	assert_int_equal(told, 0);
	assert_int_equal(leakgc_world_add_edge(&w, first, node), 0);
	assert_true(leakgc_cycles_find(&w, on_cycle, no_cycle, &told));
	assert_int_equal(told, 1);
	for (uint32_t i = 0; i < LONG; i++)
		assert_true(on_cycle[2 * i]);
	free(on_cycle);
	munmap(memory, size);
}

static int setup(void **state)
{
	heap_slot = calloc(1, sizeof(*heap_slot));
	return heap_slot ? scene_group_setup(state) : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_unreachable, scene_setup),
		cmocka_unit_test_setup(test_same_object, scene_setup),
		cmocka_unit_test_setup(test_behind, scene_setup),
		cmocka_unit_test_setup(test_ring, scene_setup),
		cmocka_unit_test_setup(test_owner_cycles, scene_setup),
		cmocka_unit_test_setup(test_owner_cycles_first, scene_setup),
		cmocka_unit_test_setup(test_chain, scene_setup),
		cmocka_unit_test_setup(test_chain_from_task, scene_setup),
		cmocka_unit_test_setup(test_retained, scene_setup),
		cmocka_unit_test_setup(test_retained_once, scene_setup),
		cmocka_unit_test(test_long_chain),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}

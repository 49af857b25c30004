/* SPDX-License-Identifier: MIT */
/* Tests how tasks are grouped into sites and in which order these come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "view_model.h"

static struct model_task *waiter(struct model_process *p, uint64_t id, int64_t age_ns,
				 const char *function, unsigned line)
{
	struct model_task *t = add_task(p, id, STRAND_WAIT_SELECT, age_ns);

	push_frame(t, frame(0x1000 + id, function, function ? "a.c" : NULL, line));
	return t;
}

static void no_tasks_no_sites(void **state)
{
	struct model_sites sites = {0};
	struct model m;

	(void)state;
	model_init(&m);
	add_process(&m, 1, "idle");
	assert_int_equal(model_sites_build(&m, &sites), 0);
	assert_int_equal(sites.count, 0);
	model_sites_done(&sites);
	model_sites_done(&sites);
	model_done(&m);
}

static void order_is_leaked_then_count_then_age(void **state)
{
	struct model_sites sites;
	struct model_process *p;
	struct model m;

	(void)state;
	model_init(&m);
	p = add_process(&m, 1, "x");
	waiter(p, 1, 1, "one", 1);
	waiter(p, 2, 5, "old", 2);
	waiter(p, 3, 1, "many", 3);
	waiter(p, 4, 3, "many", 3);
	waiter(p, 5, 2, "many", 3);
	waiter(p, 6, 1, "one", 1)->state = MODEL_LEAKED;
	assert_int_equal(model_sites_build(&m, &sites), 0);
	assert_int_equal(sites.count, 4);
	assert_int_equal(sites.sites[0].example->id, 6); /* not grouped with task 1: other state */
	assert_int_equal(sites.sites[1].count, 3);
	assert_int_equal(sites.sites[1].example->id, 4); /* its oldest */
	assert_int_equal(sites.sites[1].oldest_since_ns, NOW - 3);
	assert_int_equal(sites.sites[2].example->id, 2);
	assert_int_equal(sites.sites[3].example->id, 1);
	model_sites_done(&sites);
	model_done(&m);
}

/* One task may stand for many that were not read. */
static void a_task_counts_for_those_it_stands_for(void **state)
{
	struct model_sites sites;
	struct model_process *p;
	struct model_task *t;
	struct model m;

	(void)state;
	model_init(&m);
	p = add_process(&m, 1, "x");
	t = waiter(p, 1, 9, "f", 1);
	t->stands_for = 1000000;
	t->suspect_rules = MODEL_SUSPECT_CROWD;
	t->state = MODEL_SUSPECT;
	t = waiter(p, 2, 1, "f", 1);
	t->state = MODEL_SUSPECT;
	t->suspect_rules = MODEL_SUSPECT_AGE;
	waiter(p, 3, 1, "f", 1)->state = MODEL_LEAKED;
	model_sort(&m);
	p = &m.processes[0];
	assert_int_equal(p->counts.tasks[MODEL_SUSPECT], 1000001);
	assert_int_equal(p->counts.oldest_since_ns[MODEL_SUSPECT], NOW - 9);
	assert_int_equal(p->counts.tasks[MODEL_LEAKED], 1);
	assert_int_equal(model_sites_build(&m, &sites), 0);
	assert_int_equal(sites.count, 2);
	assert_int_equal(sites.sites[0].count, 1);
	assert_int_equal(sites.sites[1].count, 1000001);
	assert_int_equal(sites.sites[1].suspect_rules, MODEL_SUSPECT_CROWD | MODEL_SUSPECT_AGE);
	model_sites_done(&sites);
	model_done(&m);
}

static void fingerprints_are_of_places_not_addresses(void **state)
{
	struct model_frame a = frame(0x1000, "f", "/one/a.c", 3);
	struct model_frame moved = frame(0x7000, "f", "/two/a.c", 3);
	struct model_frame other = frame(0x1000, "f", "/one/a.c", 4);
	struct model_frame stripped = {.pc = 0x1010, .module = "/bin/x", .module_offset = 0x10};
	struct model_frame loaded = {.pc = 0x9010, .module = "/old/x", .module_offset = 0x10};
	uint64_t print = model_fingerprint(STRAND_WAIT_SELECT, &a, &other);

	(void)state;
	assert_int_equal(print, model_fingerprint(STRAND_WAIT_SELECT, &moved, &other));
	assert_int_not_equal(print, model_fingerprint(STRAND_WAIT_SELECT, &other, &a));
	assert_int_not_equal(print, model_fingerprint(STRAND_WAIT_SELECT, &other, &other));
	assert_int_not_equal(print, model_fingerprint(STRAND_WAIT_CHAN_SEND, &a, &other));
	assert_int_not_equal(print, model_fingerprint(STRAND_WAIT_SELECT, NULL, &other));
	assert_int_equal(model_fingerprint(STRAND_WAIT_SELECT, &stripped, NULL),
			 model_fingerprint(STRAND_WAIT_SELECT, &loaded, NULL));
	model_frame_done(&a);
	model_frame_done(&moved);
	model_frame_done(&other);
}

static void the_past_of_a_site_is_found_by_its_fingerprint(void **state)
{
	struct model_sites sites;
	struct model_process *p;
	struct model_past *past;
	struct model_task *t;
	struct model m;

	(void)state;
	model_init(&m);
	p = add_process(&m, 1, "x");
	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(model_add_past(p, &past), 0);
		past->fingerprint = ~i;
	}
	assert_int_equal(model_add_past(p, &past), 0);
	t = waiter(p, 1, 9, "f", 1);
	past->fingerprint = model_fingerprint(t->reason, t->stack.frames, &t->created_by);
	past->first_seen_ns = 42;
	waiter(p, 2, 9, "g", 1);
	model_sort(&m);
	assert_int_equal(model_sites_build(&m, &sites), 0);
	assert_int_equal(sites.count, 2);
	assert_int_equal(sites.sites[0].past->first_seen_ns, 42);
	assert_null(sites.sites[1].past);
	model_sites_done(&sites);
	model_done(&m);
}

/* Two instructions of one line are one place; without lines only the address tells. */
static void places_are_lines_or_addresses(void **state)
{
	struct model_sites sites;
	struct model_process *p;
	struct model m;

	(void)state;
	model_init(&m);
	p = add_process(&m, 1, "x");
	waiter(p, 1, 1, "f", 7);
	waiter(p, 2, 1, "f", 7);
	waiter(p, 3, 1, "f", 8);
	waiter(p, 4, 1, "g", 7);
	waiter(p, 5, 1, NULL, 0);
	waiter(p, 6, 1, NULL, 0);
	add_task(p, 7, STRAND_WAIT_SELECT, 1); /* no stack */
	add_task(p, 8, STRAND_WAIT_SELECT, 1);
	add_task(p, 9, STRAND_WAIT_SLEEP, 1);
	assert_int_equal(model_sites_build(&m, &sites), 0);
	assert_int_equal(sites.count, 7);
	assert_int_equal(sites.sites[0].count, 2);
	assert_int_equal(sites.sites[1].count, 2);
	assert_int_equal(sites.sites[2].count, 1);
	model_sites_done(&sites);
	model_done(&m);
}

static void process_and_creator_divide(void **state)
{
	struct model_sites sites;
	struct model_process *p;
	struct model m;
	size_t total = 0;

	(void)state;
	model_init(&m);
	p = add_process(&m, 1, "x");
	waiter(p, 1, 1, "f", 7)->created_by = frame(0x10, "a", "a.c", 1);
	waiter(p, 2, 1, "f", 7)->created_by = frame(0x20, "b", "a.c", 2);
	waiter(p, 3, 1, "f", 7)->created_by = frame(0x30, "b", "a.c", 2);
	p = add_process(&m, 2, "x");
	waiter(p, 1, 1, "f", 7)->created_by = frame(0x10, "a", "a.c", 1);
	assert_int_equal(model_sites_build(&m, &sites), 0);
	assert_int_equal(sites.count, 3);
	for (size_t i = 0; i < sites.count; i++)
		total += sites.sites[i].count;
	assert_int_equal(total, 4);
	model_sites_done(&sites);
	model_done(&m);
}

static void extremes_keep_an_order(void **state)
{
	struct model_sites sites;
	struct model m;

	(void)state;
	hostile_model(&m);
	assert_int_equal(model_sites_build(&m, &sites), 0);
	assert_int_equal(sites.count, 2);
	assert_int_equal(sites.sites[0].oldest_since_ns, INT64_MIN);
	model_sites_done(&sites);
	model_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_tasks_no_sites),
		cmocka_unit_test(order_is_leaked_then_count_then_age),
		cmocka_unit_test(a_task_counts_for_those_it_stands_for),
		cmocka_unit_test(fingerprints_are_of_places_not_addresses),
		cmocka_unit_test(the_past_of_a_site_is_found_by_its_fingerprint),
		cmocka_unit_test(places_are_lines_or_addresses),
		cmocka_unit_test(process_and_creator_divide),
		cmocka_unit_test(extremes_keep_an_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

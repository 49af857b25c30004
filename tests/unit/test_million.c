/* SPDX-License-Identifier: MIT */
/* A million parked tasks in one process: made, counted, woken and ended, in few mappings. */
#include "strand_test.h"

#include <strand/abi.h>

#define TASKS        1000000
#define NEEDED_KIB   ((size_t)8 << 20) /* a page of stack each, page tables, structures; and half */
#define BYTES_MAX    4768 /* of memory for a parked task: 4.5 KiB and 160 B of tables */

/* A program has 30 to 70 of its own, with its libraries: altogether less than 100. */
#define MAPPINGS_MAX 40

static size_t available_kib(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[256];
	size_t kib = 0;

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %zu", &kib) == 1)
			break;
	fclose(file);
	return kib;
}

static size_t count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	size_t lines = 0;
	int c;

	if (!file)
		return SIZE_MAX;
	while ((c = fgetc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

static double seconds_since(strand_time start)
{
	return (double)(strand_now() - start) / (double)STRAND_SECOND;
}

static struct strand_chan *gate, *ended;

static void wait_at_gate(void *arg)
{
	(void)arg;
	expect_eq(strand_chan_recv(gate, STRAND_FOREVER, NULL), -EPIPE);
	strand_chan_send(ended, NULL, STRAND_FOREVER);
}

static int million(void *arg)
{
	struct strand_stats stats = {.size = sizeof(stats)};
	strand_time start = strand_now();
	size_t before = status_kib("VmRSS") + status_kib("VmPTE"), grown;
	size_t mappings = count_mappings();

	(void)arg;
	gate = new_chan(0, 0);
	ended = new_chan(0, 1024);
	for (int i = 0; i < TASKS; i++)
		if (strand_go(wait_at_gate, NULL))
			expect_true(false);
	do {
		strand_sleep(strand_now() + STRAND_MILLISECOND);
		expect_eq(strand_stats(&stats), 0);
	} while (stats.parked_by_reason[STRAND_WAIT_CHAN_RECEIVE] < TASKS);
	grown = status_kib("VmRSS") + status_kib("VmPTE") - before;
	print_message("parked after %.1f s: %zu bytes each, %zu mappings before, %zu now\n",
		      seconds_since(start), grown * 1024 / TASKS, mappings, count_mappings());
	expect_true(grown * 1024 / TASKS <= BYTES_MAX);
	expect_true(count_mappings() - mappings < MAPPINGS_MAX);
	expect_eq(stats.stacks_used, TASKS + 1);

	start = strand_now();
	expect_eq(strand_chan_close(gate), 0);
	await_chan(ended, TASKS);
	do {
		strand_yield();
		expect_eq(strand_stats(&stats), 0);
	} while (stats.tasks_alive > 1);
	print_message("woken and ended after %.1f s\n", seconds_since(start));

	/* The burst is over: its memory goes back without anybody asking. */
	start = strand_now();
	do {
		strand_sleep(strand_now() + 10 * STRAND_MILLISECOND);
		expect_eq(strand_stats(&stats), 0);
	} while (stats.stacks_free - stats.stacks_trimmed > 100 && seconds_since(start) < 100);
	grown = status_kib("VmRSS") - before;
	print_message("given back after %.1f s: %zu MiB are left\n", seconds_since(start),
		      grown >> 10);
	expect_true(stats.stacks_free - stats.stacks_trimmed <= 100);
	expect_true(grown < (size_t)1 << 20);
	return 0;
}

static void test_million(void **state)
{
	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	print_message("skipped: a sanitizer needs more memory for it\n");
	skip();
#endif
	if (available_kib() < NEEDED_KIB) {
		print_message("skipped: %zu MiB of memory are available, not 8 GiB\n",
			      available_kib() >> 10);
		skip();
	}
	run_tasks_with(1, million, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_million)};

	alarm(280);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

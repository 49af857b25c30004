/* SPDX-License-Identifier: MIT */
/* Tests of the report check: a sound report, and each way to lie in one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "observe/report.h"

#define REQUEST 42
#define TASKS   3

/* Header and tasks as a runtime writes them, and room for what a test adds. */
struct made_report {
	struct strand_report_header h;
	struct strand_report_task tasks[TASKS];
	unsigned char more[256];
};

#define SIZE offsetof(struct made_report, more)

static void make(struct made_report *r)
{
	memset(r, 0, sizeof(*r));
	r->h = (struct strand_report_header){
		.magic = STRAND_REPORT_MAGIC,
		.abi_major = STRAND_ABI_MAJOR,
		.abi_minor = STRAND_ABI_MINOR,
		.header_size = sizeof(r->h),
		.section_count = 1,
		.total_size = SIZE,
		.request = REQUEST,
		.status = STRAND_SEARCH_DONE,
		.started_ns = 1000,
		.stopped_ns = 2000,
		.candidates = TASKS,
		.leaked = 1,
	};
	r->h.section[0] = (struct strand_report_section){STRAND_SECTION_TASKS, sizeof(r->tasks[0]),
							 sizeof(r->h), TASKS};
	for (int i = 0; i < TASKS; i++)
		r->tasks[i] = (struct strand_report_task){.task = 7 + i, .generation = 1};
	r->tasks[1].verdict = STRAND_VERDICT_LEAKED;
	r->tasks[2].verdict = STRAND_VERDICT_LIVE;
	r->tasks[2].root_kind = STRAND_ROOT_MEMORY;
}

static int parse_size(const struct made_report *r, size_t size, struct report *ret)
{
	const char *error = "unset";
	int err = report_parse(r, size, REQUEST, ret, &error);

	/* A reason for people exactly when it is refused. */
	assert_true(err ? error && *error : !error);
	return err;
}

static int parse(const struct made_report *r)
{
	struct report parsed;

	return parse_size(r, SIZE, &parsed);
}

static void sound_report(void **state)
{
	struct made_report r;
	struct report parsed;

	(void)state;
	make(&r);
	assert_int_equal(parse_size(&r, SIZE, &parsed), 0);
	assert_int_equal(parsed.task_count, TASKS);
	assert_ptr_equal(parsed.tasks, r.tasks);
	assert_int_equal(parsed.header.leaked, 1);
}

/* Not finished, nothing found, and no list at all. */
static void reports_without_leaks(void **state)
{
	struct made_report r;
	struct report parsed;

	(void)state;
	make(&r);
	r.h.status = STRAND_SEARCH_INCONCLUSIVE;
	r.h.cause = STRAND_CAUSE_THREAD_NOT_STOPPED;
	r.h.leaked = 0;
	r.h.section_count = 0;
	r.h.total_size = sizeof(r.h);
	r.h.stopped_ns = 0;
	assert_int_equal(parse_size(&r, sizeof(r.h), &parsed), 0);
	assert_int_equal(parsed.task_count, 0);
	assert_null(parsed.tasks);
	r.h.section_count = 1;
	r.h.section[0].count = 0;
	assert_int_equal(parse_size(&r, sizeof(r.h), &parsed), 0);
	assert_int_equal(parsed.task_count, 0);
}

/* Each field of the header set to one value that it must not have. */
static void lying_headers(void **state)
{
#define FIELD(name) \
	offsetof(struct strand_report_header, name), sizeof(((struct made_report *)0)->h.name)
#define SECTION(name)                                           \
	offsetof(struct strand_report_header, section[0].name), \
		sizeof(((struct made_report *)0)->h.section[0].name)
	static const struct {
		size_t offset, size;
		uint64_t value;
		int expected;
	} cases[] = {
		{FIELD(magic), 0, -EBADMSG},
		{FIELD(abi_major), STRAND_ABI_MAJOR + 1, -EPROTONOSUPPORT},
		{FIELD(header_size), sizeof(struct strand_report_header) - 8, -EBADMSG},
		{FIELD(header_size), sizeof(struct strand_report_header) + 4, -EBADMSG},
		{FIELD(header_size), SIZE + 8, -EBADMSG},
		{FIELD(header_size), UINT32_MAX - 7, -EBADMSG},
		{FIELD(section_count), STRAND_REPORT_SECTIONS + 1, -EBADMSG},
		{FIELD(section_count), UINT32_MAX, -EBADMSG},
		{FIELD(total_size), SIZE - 1, -EBADMSG},
		{FIELD(total_size), SIZE + 1, -EBADMSG},
		{FIELD(request), REQUEST + 1, -EBADMSG},
		{FIELD(status), 0, -EBADMSG},
		{FIELD(status), STRAND_SEARCH_REFUSED + 1, -EBADMSG},
		{FIELD(cause), STRAND_SEARCH_CAUSE_COUNT, -EBADMSG},
		{FIELD(started_ns), 1ull << 63, -EBADMSG},
		{FIELD(stopped_ns), UINT64_MAX, -EBADMSG},
		{FIELD(pause_ns), UINT64_MAX, -EBADMSG},
		{FIELD(stopped_ns), 999, -EBADMSG}, /* before it began */
		{FIELD(leaked), 0, -EBADMSG},       /* a task is */
		{FIELD(leaked), 2, -EBADMSG},
		{FIELD(candidates), 0, -EBADMSG},
		{SECTION(offset), sizeof(struct strand_report_header) - 8, -EBADMSG},
		{SECTION(offset), sizeof(struct strand_report_header) + 8, -EBADMSG},
		{SECTION(offset), UINT64_MAX - 63, -EBADMSG},
		{SECTION(count), TASKS + 1, -EBADMSG},
		{SECTION(count), (1ull << 58) + TASKS, -EBADMSG}, /* times 64 it would wrap */
		{SECTION(count), UINT64_MAX, -EBADMSG},
		{SECTION(record_size), 0, -EBADMSG},
		{SECTION(record_size), 32, -EBADMSG},
		{SECTION(record_size), UINT32_MAX, -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct made_report r;

		make(&r);
		memcpy((char *)&r.h + cases[i].offset, &cases[i].value, cases[i].size);
		if (parse(&r) != cases[i].expected)
			fail_msg("case %zu: expected %d", i, cases[i].expected);
	}
}

/* Refused by the sum itself and not because of what lies behind the end. */
static void counts_do_not_wrap(void **state)
{
	struct made_report r;
	struct report parsed;
	const char *error;

	(void)state;
	make(&r);
	r.h.section[0].count = (1ull << 58) + TASKS;
	assert_int_equal(report_parse(&r, SIZE, REQUEST, &parsed, &error), -EBADMSG);
	assert_string_equal(error, "a section of the report is longer than the report");
}

static void proofs_only_from_finished_searches(void **state)
{
	struct made_report r;

	(void)state;
	for (uint32_t status = STRAND_SEARCH_INCONCLUSIVE; status <= STRAND_SEARCH_REFUSED;
	     status++) {
		make(&r);
		r.h.status = status;
		assert_int_equal(parse(&r), -EBADMSG);
		r.h.leaked = 0; /* and not by the verdicts alone, either */
		assert_int_equal(parse(&r), -EBADMSG);
		r.tasks[1].verdict = STRAND_VERDICT_WAITING;
		assert_int_equal(parse(&r), 0);
	}
}

static void lying_tasks(void **state)
{
	struct made_report r;

	(void)state;
	make(&r);
	r.tasks[0].task = 0;
	assert_int_equal(parse(&r), -EBADMSG);
	make(&r);
	r.tasks[0].verdict = STRAND_VERDICT_LIVE + 1;
	assert_int_equal(parse(&r), -EBADMSG);
	make(&r);
	r.tasks[TASKS - 1].root_kind = STRAND_ROOT_RUNTIME + 1;
	assert_int_equal(parse(&r), -EBADMSG);
	make(&r);
	r.tasks[1].root_kind = STRAND_ROOT_MEMORY; /* leaked, yet kept alive */
	assert_int_equal(parse(&r), -EBADMSG);
	make(&r);
	r.tasks[0].verdict = STRAND_VERDICT_LEAKED; /* one more than counted */
	assert_int_equal(parse(&r), -EBADMSG);
}

static void sections(void **state)
{
	struct made_report r;
	struct report parsed;

	(void)state;
	make(&r); /* an unknown one is skipped */
	r.h.section_count = 2;
	r.h.section[1] = r.h.section[0];
	r.h.section[0].type = 999;
	r.h.section[0].record_size = 1;
	assert_int_equal(parse_size(&r, SIZE, &parsed), 0);
	assert_int_equal(parsed.task_count, TASKS);
	r.h.section[0].count = SIZE; /* but must lie inside */
	assert_int_equal(parse(&r), -EBADMSG);
	make(&r); /* two lists of tasks */
	r.h.section_count = 2;
	r.h.section[1] = r.h.section[0];
	assert_int_equal(parse(&r), -EBADMSG);
	make(&r); /* misaligned */
	r.h.section[0].offset += 4;
	r.h.section[0].count = 1;
	assert_int_equal(parse(&r), -EBADMSG);
}

/* A newer minor version: a longer header is fine, what we cannot read is not "malformed". */
static void newer_minor_version(void **state)
{
	struct made_report r;
	struct report parsed;

	(void)state;
	make(&r);
	r.h.abi_minor++;
	memmove((char *)r.tasks + 16, r.tasks, sizeof(r.tasks));
	r.h.header_size += 16;
	r.h.total_size += 16;
	r.h.section[0].offset += 16;
	assert_int_equal(parse_size(&r, SIZE + 16, &parsed), 0);
	assert_int_equal(parsed.tasks[0].task, 7);

	make(&r);
	r.h.abi_minor++;
	r.h.cause = STRAND_SEARCH_CAUSE_COUNT;
	assert_int_equal(parse(&r), -EPROTONOSUPPORT);
	make(&r);
	r.h.abi_minor++;
	r.tasks[0].root_kind = STRAND_ROOT_RUNTIME + 1;
	assert_int_equal(parse(&r), -EPROTONOSUPPORT);
	make(&r);
	r.h.abi_minor++;
	r.h.section[0].record_size = 72;
	r.h.section[0].count = 1;
	assert_int_equal(parse(&r), -EPROTONOSUPPORT);
}

static void sizes(void **state)
{
	struct made_report r;
	struct report parsed;

	(void)state;
	make(&r);
	for (size_t size = 0; size < SIZE; size++)
		assert_int_equal(parse_size(&r, size, &parsed), -EBADMSG);
	/* Refused by its size alone, before a byte is read. */
	assert_int_equal(parse_size(&r, STRAND_REPORT_SIZE_MAX + 1ul, &parsed), -EBADMSG);
}

/* A cycle of two and a chain: links lie behind the tasks. */
static struct strand_report_link *make_with_links(struct made_report *r, size_t count)
{
	struct strand_report_link *links = (struct strand_report_link *)r->more;

	make(r);
	r->h.section_count = 2;
	r->h.section[1] =
		(struct strand_report_section){STRAND_SECTION_LINKS, sizeof(*links), SIZE, count};
	r->h.total_size = SIZE + count * sizeof(*links);
	for (size_t i = 0; i < count; i++)
		links[i] = (struct strand_report_link){.value = 7 + i, .kind = STRAND_LINK_TASK};
	r->tasks[1].why = STRAND_WHY_CYCLE;
	r->tasks[1].link_count = 2;
	r->tasks[2].link_first = 2;
	r->tasks[2].link_count = 1;
	links[2].kind = STRAND_LINK_BLOCK;
	return links;
}

static int parse_links(const struct made_report *r, size_t count, struct report *ret)
{
	return parse_size(r, SIZE + count * sizeof(struct strand_report_link), ret);
}

static void links(void **state)
{
	struct strand_report_link *links;
	struct made_report r;
	struct report parsed;

	(void)state;
	links = make_with_links(&r, 3);
	assert_int_equal(parse_links(&r, 3, &parsed), 0);
	assert_int_equal(parsed.link_count, 3);
	assert_ptr_equal(parsed.links, links);
	links[0].kind = STRAND_LINK_OBJECT; /* in a cycle */
	assert_int_equal(parse_links(&r, 3, &parsed), -EBADMSG);
	links = make_with_links(&r, 3);
	links[2].kind = STRAND_LINK_BLOCK + 1;
	assert_int_equal(parse_links(&r, 3, &parsed), -EBADMSG);
	r.h.abi_minor++;
	assert_int_equal(parse_links(&r, 3, &parsed), -EPROTONOSUPPORT);
	make_with_links(&r, 3);
	r.tasks[1].why = STRAND_LEAK_WHY_COUNT;
	assert_int_equal(parse_links(&r, 3, &parsed), -EBADMSG);
	make_with_links(&r, 3);
	r.h.section[1].record_size = 16;
	assert_int_equal(parse_links(&r, 3, &parsed), -EBADMSG);
}

/* Each range of links that does not lie in the list. */
static void links_that_are_not_there(void **state)
{
	static const struct {
		uint64_t first;
		uint32_t count;
	} ranges[] = {{3, 1},          {0, 4}, {1, 3},          {UINT64_MAX, 1},
		      {UINT64_MAX, 2}, {4, 0}, {0, UINT32_MAX}, {2, UINT32_MAX}};
	struct made_report r;
	struct report parsed;

	(void)state;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		make_with_links(&r, 3);
		r.tasks[2].link_first = ranges[i].first;
		r.tasks[2].link_count = ranges[i].count;
		if (parse_links(&r, 3, &parsed) != -EBADMSG)
			fail_msg("range %zu is believed", i);
	}
	make(&r); /* no list at all */
	r.tasks[2].link_count = 1;
	assert_int_equal(parse(&r), -EBADMSG);
}

/* Little is copied for each task, however many there are. */
static void too_many_links(void **state)
{
	static struct {
		struct made_report r;
		unsigned char more[128 * sizeof(struct strand_report_link)];
	} big;
	struct report parsed;

	(void)state;
	make_with_links(&big.r, STRAND_TASK_LINKS_MAX + 1);
	big.r.tasks[2].link_first = 0;
	big.r.tasks[2].link_count = STRAND_TASK_LINKS_MAX;
	assert_int_equal(parse_links(&big.r, STRAND_TASK_LINKS_MAX + 1, &parsed), 0);
	big.r.tasks[2].link_count++;
	assert_int_equal(parse_links(&big.r, STRAND_TASK_LINKS_MAX + 1, &parsed), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_report),
		cmocka_unit_test(reports_without_leaks),
		cmocka_unit_test(lying_headers),
		cmocka_unit_test(counts_do_not_wrap),
		cmocka_unit_test(proofs_only_from_finished_searches),
		cmocka_unit_test(lying_tasks),
		cmocka_unit_test(sections),
		cmocka_unit_test(newer_minor_version),
		cmocka_unit_test(sizes),
		cmocka_unit_test(links),
		cmocka_unit_test(links_that_are_not_there),
		cmocka_unit_test(too_many_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

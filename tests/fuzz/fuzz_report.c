/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the check of reports: raw bytes, or changes to a sound report.
 *
 *   clang-14 -std=gnu11 -g -O1 -D_GNU_SOURCE -Iinclude -Iuser \
 *       -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
 *       -o fuzz_report tests/fuzz/fuzz_report.c user/observe/report.c
 *   ./fuzz_report -max_total_time=60
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "observe/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUEST 1
#define TASKS   2
#define LINKS   3

/* What a caller does with a report that was accepted: it must hold what the header promises. */
static void use(const struct report *r, const uint8_t *bytes, size_t size)
{
	uint64_t leaked = 0;

	for (size_t i = 0; i < r->task_count; i++) {
		const uint8_t *at = (const uint8_t *)&r->tasks[i];

		if (at < bytes || at + sizeof(r->tasks[i]) > bytes + size)
			abort();
		leaked += r->tasks[i].verdict == STRAND_VERDICT_LEAKED;
	}
	for (size_t i = 0; i < r->task_count; i++) {
		const struct strand_report_link *first = r->links + r->tasks[i].link_first;

		if (!r->tasks[i].link_count)
			continue;
		if ((const uint8_t *)first < bytes ||
		    (const uint8_t *)(first + r->tasks[i].link_count) > bytes + size)
			abort();
	}
	if (leaked != r->header.leaked || r->header.request != REQUEST)
		abort();
	if (leaked && r->header.status != STRAND_SEARCH_DONE)
		abort();
}

static void parse(const uint8_t *bytes, size_t size)
{
	struct report report;
	const char *error;

	if (!report_parse(bytes, size, REQUEST, &report, &error))
		use(&report, bytes, size);
	else if (!error)
		abort();
}

struct sound {
	struct strand_report_header h;
	struct strand_report_task tasks[TASKS];
	struct strand_report_link links[LINKS];
};

static void make_sound(struct sound *r)
{
	*r = (struct sound){
		.h = {.magic = STRAND_REPORT_MAGIC,
		      .abi_major = STRAND_ABI_MAJOR,
		      .header_size = sizeof(r->h),
		      .section_count = 2,
		      .total_size = sizeof(*r),
		      .request = REQUEST,
		      .status = STRAND_SEARCH_DONE,
		      .candidates = TASKS,
		      .leaked = 1,
		      .section = {{STRAND_SECTION_TASKS, sizeof(r->tasks[0]), sizeof(r->h), TASKS},
				  {STRAND_SECTION_LINKS, sizeof(r->links[0]),
				   offsetof(struct sound, links), LINKS}}},
		.tasks = {{.task = 1, .verdict = STRAND_VERDICT_LEAKED, .link_count = 2},
			  {.task = 2, .link_first = 2, .link_count = 1}},
		.links = {{.kind = STRAND_LINK_TASK},
			  {.kind = STRAND_LINK_TASK},
			  {.kind = STRAND_LINK_BLOCK}},
	};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sound *r = malloc(sizeof(*r)); /* malloc'ed, so that every overrun is seen */
	uint8_t *raw = malloc(size ? size : 1);

	if (!r || !raw)
		abort();
	memcpy(raw, data, size);
	parse(raw, size);
	make_sound(r);
	for (; size >= 3; data += 3, size -= 3) /* where, how much, by what */
		memset((uint8_t *)r + (data[0] * 256u + data[1]) % sizeof(*r), data[2], 1);
	parse((uint8_t *)r, sizeof(*r));
	free(raw);
	free(r);
	return 0;
}

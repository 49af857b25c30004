/* SPDX-License-Identifier: MIT */
/*
 * Checks a report, a pure function of bytes that a hostile process wrote.
 *
 * I1. The header is copied once and only the copy is used; tasks are read where they are,
 *     so the bytes must not change: they are the observer's own copy.
 * I2. No sum or product of numbers from the report is formed unless it cannot overflow.
 * I3. `leaked` is believed only in a report whose search was finished (STRAND_SEARCH_DONE)
 *     and whose own count agrees with its verdicts: anything half-true is thrown away whole.
 *
 * I4. What a task refers to lies inside the list of links, and is little: it is copied for each.
 *
 * A record that has grown (a newer minor version) is refused rather than cut: the records
 * are used as an array, and there is reserved room in them to grow into.
 */
#include "observe/report.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct reader {
	const unsigned char *bytes;
	size_t size;
	struct report report;
	const char *error;
};

static int refuse(struct reader *r, int err, const char *error)
{
	r->error = error;
	return err;
}

static int check_identity(struct reader *r, uint64_t request)
{
	const struct strand_report_header *h = &r->report.header;

	if (h->magic != STRAND_REPORT_MAGIC)
		return refuse(r, -EBADMSG, "the report has no magic number");
	if (h->abi_major != STRAND_ABI_MAJOR)
		return refuse(r, -EPROTONOSUPPORT, "the report is of an unknown ABI version");
	if (h->header_size < sizeof(*h) || h->header_size > r->size || h->header_size % 8)
		return refuse(r, -EBADMSG, "the report's header has an impossible size");
	if (h->total_size != r->size)
		return refuse(r, -EBADMSG, "the report is not as long as it says");
	if (h->request != request)
		return refuse(r, -EBADMSG, "the report answers another request");
	if (h->section_count > STRAND_REPORT_SECTIONS)
		return refuse(r, -EBADMSG, "the report has too many sections");
	return 0;
}

static int check_outcome(struct reader *r)
{
	const struct strand_report_header *h = &r->report.header;
	/* A newer minor version may know statuses and causes that we don't. */
	int unknown = h->abi_minor > STRAND_ABI_MINOR ? -EPROTONOSUPPORT : -EBADMSG;

	if (h->status < STRAND_SEARCH_DONE || h->status > STRAND_SEARCH_REFUSED)
		return refuse(r, unknown, "the report has an unknown status");
	if (h->cause >= STRAND_SEARCH_CAUSE_COUNT)
		return refuse(r, unknown, "the report has an unknown cause");
	if (h->status != STRAND_SEARCH_DONE && h->leaked)
		return refuse(r, -EBADMSG,
			      "the report counts leaks of a search that proved nothing");
	if (h->leaked > h->candidates)
		return refuse(r, -EBADMSG, "the report counts more leaks than candidates");
	/* Times become signed numbers in the model. */
	if ((h->started_ns | h->stopped_ns | h->stop_ns | h->pause_ns | h->total_ns) >> 63)
		return refuse(r, -EBADMSG, "the report has an impossible time");
	if (h->leaked && h->stopped_ns < h->started_ns)
		return refuse(r, -EBADMSG, "the report's world stood still before it began");
	return 0;
}

/* A list of records that must be of this size; *ret_first is NULL if it is empty. */
static int take_list(struct reader *r, const struct strand_report_section *s, size_t record_size,
		     const void **ret_first, size_t *ret_count)
{
	const unsigned char *first = r->bytes + s->offset;

	if (*ret_first)
		return refuse(r, -EBADMSG, "the report has two lists of a kind");
	if (s->record_size > record_size)
		return refuse(r, -EPROTONOSUPPORT, "the report's records are of a newer ABI");
	if (s->record_size < record_size)
		return refuse(r, -EBADMSG, "the report's records are too short");
	if ((uintptr_t)first % _Alignof(__u64))
		return refuse(r, -EBADMSG, "the report's records are misaligned");
	if (s->count)
		*ret_first = first;
	*ret_count = s->count;
	return 0;
}

static int take_tasks(struct reader *r, const struct strand_report_section *s)
{
	return take_list(r, s, sizeof(struct strand_report_task), (const void **)&r->report.tasks,
			 &r->report.task_count);
}

static int take_links(struct reader *r, const struct strand_report_section *s)
{
	return take_list(r, s, sizeof(struct strand_report_link), (const void **)&r->report.links,
			 &r->report.link_count);
}

static int check_section(struct reader *r, const struct strand_report_section *s)
{
	uint64_t room;

	if (s->offset < r->report.header.header_size || s->offset > r->size)
		return refuse(r, -EBADMSG, "a section of the report lies outside it");
	room = r->size - s->offset;
	if (s->count && (!s->record_size || s->count > room / s->record_size))
		return refuse(r, -EBADMSG, "a section of the report is longer than the report");
	switch (s->type) {
	case STRAND_SECTION_TASKS:
		return take_tasks(r, s);
	case STRAND_SECTION_LINKS:
		return take_links(r, s);
	default:
		return 0;
	}
}

static int check_links_of(struct reader *r, const struct strand_report_task *t)
{
	if (t->link_count > STRAND_TASK_LINKS_MAX || t->link_first > r->report.link_count ||
	    t->link_count > r->report.link_count - t->link_first)
		return refuse(r, -EBADMSG, "the report has a task with links that are not there");
	for (size_t i = 0; i < t->link_count; i++) {
		const struct strand_report_link *link = &r->report.links[t->link_first + i];

		if (t->verdict == STRAND_VERDICT_LEAKED && link->kind != STRAND_LINK_TASK)
			return refuse(r, -EBADMSG, "the report has a cycle of other than tasks");
	}
	return 0;
}

static int check_links(struct reader *r)
{
	int unknown = r->report.header.abi_minor > STRAND_ABI_MINOR ? -EPROTONOSUPPORT : -EBADMSG;

	for (size_t i = 0; i < r->report.link_count; i++) {
		uint32_t kind = r->report.links[i].kind;

		if (kind < STRAND_LINK_TASK || kind > STRAND_LINK_BLOCK)
			return refuse(r, unknown, "the report has an unknown kind of link");
	}
	return 0;
}

static int check_task(struct reader *r, const struct strand_report_task *t)
{
	int unknown = r->report.header.abi_minor > STRAND_ABI_MINOR ? -EPROTONOSUPPORT : -EBADMSG;

	if (!t->task)
		return refuse(r, -EBADMSG, "the report has a task without an id");
	if (t->verdict > STRAND_VERDICT_LIVE)
		return refuse(r, unknown, "the report has an unknown verdict");
	if (t->root_kind > STRAND_ROOT_RUNTIME)
		return refuse(r, unknown, "the report has an unknown kind of root");
	if (t->verdict == STRAND_VERDICT_LEAKED && t->root_kind != STRAND_ROOT_NONE)
		return refuse(r, -EBADMSG,
			      "the report has a leaked task that something keeps alive");
	if (t->why >= STRAND_LEAK_WHY_COUNT)
		return refuse(r, unknown, "the report has an unknown explanation");
	return check_links_of(r, t);
}

static int check_tasks(struct reader *r)
{
	uint64_t leaked = 0;

	for (size_t i = 0; i < r->report.task_count; i++) {
		int err = check_task(r, &r->report.tasks[i]);
		if (err)
			return err;
		leaked += r->report.tasks[i].verdict == STRAND_VERDICT_LEAKED;
	}
	if (leaked != r->report.header.leaked) /* which is 0 unless the search was finished */
		return refuse(r, -EBADMSG, "the report's leaks are not as many as it says");
	return 0;
}

int report_parse(const void *bytes, size_t size, uint64_t request, struct report *ret_report,
		 const char **ret_error)
{
	struct reader r = {.bytes = bytes, .size = size};
	int err;

	if (size < sizeof(r.report.header) || size > STRAND_REPORT_SIZE_MAX) {
		*ret_error = "the report is too short or too long";
		return -EBADMSG;
	}
	memcpy(&r.report.header, bytes, sizeof(r.report.header));
	err = check_identity(&r, request);
	if (!err)
		err = check_outcome(&r);
	for (unsigned i = 0; !err && i < r.report.header.section_count; i++)
		err = check_section(&r, &r.report.header.section[i]);
	if (!err)
		err = check_links(&r);
	if (!err)
		err = check_tasks(&r);
	if (!err)
		*ret_report = r.report;
	*ret_error = r.error;
	return err;
}

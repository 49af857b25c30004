/* SPDX-License-Identifier: MIT */
/*
 * A report's bytes, checked. They come from the target: nothing is believed.
 */
#ifndef STRANDED_OBSERVE_REPORT_H
#define STRANDED_OBSERVE_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <strand/abi.h>

struct report {
	struct strand_report_header header;     /* a copy */
	const struct strand_report_task *tasks; /* inside the bytes that were parsed; NULL: none */
	size_t task_count;
	const struct strand_report_link *links; /* likewise; what tasks refer to lies inside */
	size_t link_count;
};

/*
 * report_parse - check and take apart a report of size bytes.
 * Returns 0, -EPROTONOSUPPORT (unknown major version, or a newer minor one that uses what we
 * don't know), -EBADMSG (malformed, or not the answer to `request`). ret_error (static text)
 * says what was wrong; it is NULL after success.
 */
int report_parse(const void *bytes, size_t size, uint64_t request, struct report *ret_report,
		 const char **ret_error);

#endif

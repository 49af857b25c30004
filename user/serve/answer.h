/* SPDX-License-Identifier: MIT */
/* Responses: documents and refusals with their headers. */
#ifndef STRANDED_SERVE_ANSWER_H
#define STRANDED_SERVE_ANSWER_H

#include <microhttpd.h>

#include "serve/message.h"
#include "serve/question.h"
#include "serve/route.h"

/* Bytes of documents that clients are still reading, or may ask for again. */
struct stock {
	uint64_t bytes;
};

#define STOCK_MAX (UINT64_C(512) << 20)

/* All return NULL without memory. */

/*
 * answer_document - serve the memfd, which it takes in any case, and which counts in the stock
 * until the response's last reader is gone. NULL also if the stock is full.
 */
struct MHD_Response *answer_document(struct stock *stock, const struct question *q, int document);

/*
 * A refusal: {"error": "..."}, or for readers of profiles the text alone, marked as Go marks it.
 * @retry_after_seconds  0: not said
 */
struct MHD_Response *answer_refusal(const struct refusal *refusal, bool for_profile,
				    unsigned retry_after_seconds);

struct MHD_Response *answer_text(const char *text, const char *content_type);

#endif

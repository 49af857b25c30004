/* SPDX-License-Identifier: MIT */
/*
 * The documents that the front has or waits for.
 *
 * D1. One question is asked of the server once at a time: who asks the same meanwhile waits for
 *     the same answer, and who asks within DOCUMENT_FRESH_NS gets it again.
 * D2. A slot is either free, awaited (with waiters, until its deadline) or ready (with a response).
 */
#ifndef STRANDED_SERVE_DOCUMENTS_H
#define STRANDED_SERVE_DOCUMENTS_H

#include <microhttpd.h>
#include <stdint.h>

#include "serve/question.h"

#define DOCUMENTS_MAX 64

struct waiter {                      /* a suspended connection */
	struct waiter *next, **link; /* link NULL: does not wait */
	struct MHD_Connection *connection;
};

struct document {
	struct question question;
	uint64_t id;                   /* of the request; 0: the slot is free */
	struct MHD_Response *response; /* NULL: awaited */
	int64_t until_ns;              /* awaited: the deadline; ready: not fresh after it */
	struct waiter *waiters;
};

struct documents { /* zeroed: none */
	struct document slots[DOCUMENTS_MAX];
	uint64_t last_id;
};

/* A document with this question that is awaited or fresh, or NULL. */
struct document *documents_find(struct documents *all, const struct question *q, int64_t now_ns);

/* A slot for a new request, with its id; NULL: everything is awaited. */
struct document *documents_add(struct documents *all, const struct question *q);

/* The awaited document of a reply, or NULL. */
struct document *documents_awaited(struct documents *all, uint64_t id);

void document_wait(struct document *d, struct waiter *w, struct MHD_Connection *connection);
void waiter_leave(struct waiter *w);

/* Give all waiters this response and let them go on. */
void document_answer(struct document *d, unsigned status, struct MHD_Response *response);

/* Make the slot free. It has no waiters. */
void document_free(struct document *d);

/* The first end of a document. */
int64_t documents_due_ns(const struct documents *all);

#endif

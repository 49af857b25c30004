/* SPDX-License-Identifier: MIT */
/* Finds, shares and forgets documents. */
#include "serve/documents.h"

#include <stddef.h>

struct document *documents_find(struct documents *all, const struct question *q, int64_t now_ns)
{
	for (size_t i = 0; i < DOCUMENTS_MAX; i++) {
		struct document *d = &all->slots[i];

		if (d->id && question_equal(&d->question, q) && now_ns < d->until_ns)
			return d;
	}
	return NULL;
}

struct document *documents_add(struct documents *all, const struct question *q)
{
	struct document *oldest = NULL;

	for (size_t i = 0; i < DOCUMENTS_MAX; i++) {
		struct document *d = &all->slots[i];

		if (d->id && !d->response)
			continue;
		if (!oldest || d->id < oldest->id)
			oldest = d;
	}
	if (!oldest)
		return NULL;
	document_free(oldest);
	*oldest = (struct document){.question = *q, .id = ++all->last_id};
	return oldest;
}

struct document *documents_awaited(struct documents *all, uint64_t id)
{
	for (size_t i = 0; i < DOCUMENTS_MAX; i++)
		if (id && all->slots[i].id == id && !all->slots[i].response)
			return &all->slots[i];
	return NULL;
}

void document_wait(struct document *d, struct waiter *w, struct MHD_Connection *connection)
{
	*w = (struct waiter){.next = d->waiters, .link = &d->waiters, .connection = connection};
	if (w->next)
		w->next->link = &w->next;
	d->waiters = w;
	MHD_suspend_connection(connection);
}

void waiter_leave(struct waiter *w)
{
	if (!w->link)
		return;
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	w->link = NULL;
}

void document_answer(struct document *d, unsigned status, struct MHD_Response *response)
{
	while (d->waiters) {
		struct waiter *w = d->waiters;

		waiter_leave(w);
		if (response)
			MHD_queue_response(w->connection, status, response);
		MHD_resume_connection(w->connection);
	}
}

void document_free(struct document *d)
{
	if (d->response)
		MHD_destroy_response(d->response);
	*d = (struct document){.id = 0};
}

int64_t documents_due_ns(const struct documents *all)
{
	int64_t due = INT64_MAX;

	for (size_t i = 0; i < DOCUMENTS_MAX; i++) {
		const struct document *d = &all->slots[i];

		if (d->id && d->until_ns < due)
			due = d->until_ns;
	}
	return due;
}

/* SPDX-License-Identifier: MIT */
/* Keeps the list of connections and ends those that take too long. */
#include "serve/clients.h"

#include <stdlib.h>
#include <sys/socket.h>

#define SECOND INT64_C(1000000000)

static unsigned count_of_user(const struct clients *all, uid_t uid)
{
	unsigned count = 0;

	for (const struct client *c = all->first; c; c = c->next)
		count += !c->is_tcp && c->viewer.uid == uid;
	return count;
}

struct client *clients_add(struct clients *all, int fd, bool is_tcp, gid_t trusted, int64_t now_ns)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct client){.fd = fd, .is_tcp = is_tcp, .viewer = viewer_of_tcp()};
	if (!is_tcp && viewer_of_socket(fd, trusted, &c->viewer)) {
		free(c);
		return NULL;
	}
	c->too_many =
		all->count >= CLIENTS_MAX ||
		(!c->viewer.sees_all && count_of_user(all, c->viewer.uid) >= CLIENTS_PER_USER);
	client_enter(c, CLIENT_ASKS, now_ns);
	c->next = all->first;
	c->link = &all->first;
	if (c->next)
		c->next->link = &c->next;
	all->first = c;
	all->count++;
	return c;
}

void clients_remove(struct clients *all, struct client *c)
{
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	all->count--;
	free(c);
}

void client_enter(struct client *c, enum client_state state, int64_t now_ns)
{
	c->state = state;
	c->since_ns = now_ns;
}

static int64_t end_of(const struct client *c)
{
	switch (c->state) {
	case CLIENT_ASKS:
		return c->since_ns + REQUEST_SECONDS * SECOND;
	case CLIENT_IS_HEARD:
		return c->since_ns + ANSWER_SECONDS * SECOND;
	case CLIENT_LISTENS:
		break;
	}
	return INT64_MAX;
}

/* The descriptor is the HTTP library's, which sees the end of the connection and closes it. */
int64_t clients_expire(struct clients *all, int64_t now_ns)
{
	int64_t next = INT64_MAX;

	for (struct client *c = all->first; c; c = c->next) {
		int64_t end = end_of(c);

		if (end <= now_ns) {
			shutdown(c->fd, SHUT_RDWR);
			client_enter(c, CLIENT_LISTENS, now_ns); /* once is enough */
		} else if (end < next) {
			next = end;
		}
	}
	return next;
}

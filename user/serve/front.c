/* SPDX-License-Identifier: MIT */
/*
 * The front's loop: HTTP by libmicrohttpd, requests to the server, replies to waiting clients.
 *
 * F1. Nothing here waits but the one poll(): clients are suspended until their document is there.
 * F2. Everything is bounded: connections and their time (clients.h), header memory, documents, and
 *     requests under way.
 */
#include "serve/front.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "serve/answer.h"
#include "serve/clients.h"
#include "serve/documents.h"
#include "serve/message.h"

#define SECOND            INT64_C(1000000000)
#define FRESH_NS          SECOND
#define DEADLINE_NS       (30 * SECOND)
#define BODY_MAX          4096
#define HEADERS_MAX       (8 << 10)  /* of one request; what is above this is answered by us */
#define HEADER_MEMORY     (32 << 10) /* of one connection; what does not fit, by the library */
#define IDLE_SECONDS      60         /* without a byte; clients.h has the harder limits */
#define CONNECTIONS_SPARE 100        /* above CLIENTS_MAX, to be told that there are too many */

static const char index_text[] = "/healthz\n"
				 "/metrics\n"
				 "/v1/snapshot\n"
				 "/v1/processes\n"
				 "/v1/tasks\n"
				 "/v1/sites\n"
				 "/v1/leaks\n"
				 "/v1/targets\n"
				 "/v1/processes/PID-START/search\n"
				 "/pid/PID-START/debug/pprof/\n";

static const char profiles_index[] = "goroutineleak\n"
				     "goroutine\n"
				     "block\n"
				     "mutex\n"
				     "threadcreate\n";

struct front {
	struct front_options options;
	struct MHD_Daemon *unix_daemon, *tcp_daemon;
	struct clients clients;
	struct documents documents;
	struct stock stock;
	int64_t now_ns;
};

struct exchange { /* one request */
	struct waiter waiter;
	struct client *client;
	struct route route;
	bool answered;
	bool for_profile; /* its reader wants errors as text */
	size_t body_size;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* ---- answers --------------------------------------------------------------------- */

static enum MHD_Result give(struct MHD_Connection *connection, struct exchange *x, unsigned status,
			    struct MHD_Response *response)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO; /* without memory the connection is closed */
	x->answered = true;
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, struct exchange *x,
			      const struct refusal *refusal)
{
	unsigned retry = refusal->status == 503 ? 1 : 0;

	return give(connection, x, refusal->status, answer_refusal(refusal, x->for_profile, retry));
}

static enum MHD_Result refuse_as(struct MHD_Connection *connection, struct exchange *x,
				 unsigned status, const char *text)
{
	return refuse(connection, x, &(struct refusal){.status = status, .text = text});
}

/* ---- requests -------------------------------------------------------------------- */

struct parameters {
	struct route *route;
	struct refusal refusal;
	bool refused;
};

static enum MHD_Result take_parameter(void *context, enum MHD_ValueKind kind, const char *name,
				      const char *value)
{
	struct parameters *p = context;

	(void)kind;
	p->refused = !route_parameter(p->route, name, value, &p->refusal);
	return p->refused ? MHD_NO : MHD_YES;
}

static enum MHD_Result add_size(void *context, enum MHD_ValueKind kind, const char *name,
				const char *value)
{
	(void)kind;
	*(size_t *)context += strlen(name) + (value ? strlen(value) : 0) + 4;
	return MHD_YES;
}

static bool headers_too_large(struct MHD_Connection *connection)
{
	size_t size = 0;

	MHD_get_connection_values(connection, MHD_HEADER_KIND, add_size, &size);
	return size > HEADERS_MAX;
}

static bool body_too_large(struct MHD_Connection *connection)
{
	const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
						       MHD_HTTP_HEADER_CONTENT_LENGTH);

	return text && strtoull(text, NULL, 10) > BODY_MAX;
}

/* Is there anything wrong with this request, whatever it asks for? */
static bool check_client(const struct front *f, struct MHD_Connection *connection,
			 const struct client *c, struct refusal *ret_refusal)
{
	if (c->too_many)
		*ret_refusal = (struct refusal){503, "too many connections", NULL};
	else if (headers_too_large(connection))
		*ret_refusal = (struct refusal){431, "the headers are too large", NULL};
	else if (body_too_large(connection))
		*ret_refusal = (struct refusal){413, "the body is too large", NULL};
	else if (c->is_tcp &&
		 !viewer_host_allowed(MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
								  MHD_HTTP_HEADER_HOST),
				      f->options.tcp_port))
		*ret_refusal =
			(struct refusal){403, "the Host header is not this host's loopback", NULL};
	else
		return true;
	return false;
}

static bool wants_openmetrics(struct MHD_Connection *connection)
{
	const char *accept =
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);

	return accept && strstr(accept, "application/openmetrics-text");
}

static bool understand(struct front *f, struct MHD_Connection *connection, struct exchange *x,
		       const char *method, const char *path, struct refusal *ret_refusal)
{
	struct parameters p = {.route = &x->route};

	if (!check_client(f, connection, x->client, ret_refusal) ||
	    !route_find(method, path, &x->route, ret_refusal))
		return false;
	MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take_parameter, &p);
	*ret_refusal = p.refusal;
	if (p.refused)
		return false;
	if (x->route.changes && !x->client->viewer.may_change) {
		*ret_refusal = (struct refusal){
			403, "over TCP this can only be read; use the Unix socket", NULL};
		return false;
	}
	if (x->route.question.kind == QUESTION_METRICS)
		x->route.question.openmetrics = wants_openmetrics(connection);
	if (x->route.question.kind == QUESTION_TARGETS)
		x->route.question.port = f->options.tcp_port;
	x->route.question.sees_all = x->client->viewer.sees_all;
	x->route.question.uid = x->client->viewer.sees_all ? 0 : x->client->viewer.uid;
	return true;
}

static enum MHD_Result begin(struct front *f, struct MHD_Connection *connection, const char *path,
			     const char *method, void **exchange)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct exchange *x = calloc(1, sizeof(*x));
	struct refusal refusal;

	*exchange = x;
	if (!x || !info || !info->socket_context)
		return MHD_NO;
	x->client = info->socket_context;
	x->for_profile = route_is_profile(path);
	if (understand(f, connection, x, method, path, &refusal))
		return MHD_YES;
	client_enter(x->client, CLIENT_IS_HEARD, f->now_ns);
	return refuse(connection, x, &refusal);
}

/* The request is complete: answer it with what is there, or ask and let the client wait. */
static enum MHD_Result ask(struct front *f, struct MHD_Connection *connection, struct exchange *x)
{
	struct document *d = documents_find(&f->documents, &x->route.question, f->now_ns);
	struct request request = {.question = x->route.question};

	x->answered = true;
	if (d && d->response)
		return MHD_queue_response(connection, 200, d->response);
	if (!d) {
		d = documents_add(&f->documents, &x->route.question);
		if (!d)
			return refuse_as(connection, x, 503, "too many requests at one time");
		request.id = d->id;
		if (message_send(f->options.server, &request, sizeof(request), -1)) {
			document_free(d);
			return refuse_as(connection, x, 503, "too many requests at one time");
		}
		d->until_ns = f->now_ns + DEADLINE_NS;
	}
	document_wait(d, &x->waiter, connection);
	return MHD_YES;
}

/* Called when the headers are there, for each part of the body, and at the end of the request. */
static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *path,
			      const char *method, const char *version, const char *data,
			      size_t *size, void **exchange)
{
	struct front *f = context;
	struct exchange *x = *exchange;

	(void)version;
	(void)data;
	if (!x)
		return begin(f, connection, path, method, exchange);
	if (*size) { /* nothing here reads a body */
		x->body_size += *size;
		*size = 0;
		return MHD_YES;
	}
	if (x->answered)
		return MHD_YES;
	client_enter(x->client, CLIENT_IS_HEARD, f->now_ns);
	if (x->body_size > BODY_MAX)
		return refuse_as(connection, x, 413, "the body is too large");
	if (x->route.question.kind == QUESTION_INDEX)
		return give(connection, x, 200,
			    answer_text(x->for_profile ? profiles_index : index_text,
					"text/plain; charset=utf-8"));
	return ask(f, connection, x);
}

static void completed(void *context, struct MHD_Connection *connection, void **exchange,
		      enum MHD_RequestTerminationCode why)
{
	struct front *f = context;
	struct exchange *x = *exchange;

	(void)connection;
	(void)why;
	if (!x)
		return;
	waiter_leave(&x->waiter);
	if (x->client)
		client_enter(x->client, CLIENT_ASKS, f->now_ns);
	free(x);
	*exchange = NULL;
}

static void connected(struct front *f, bool is_tcp, struct MHD_Connection *connection,
		      void **client, enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (what == MHD_CONNECTION_NOTIFY_STARTED && info)
		*client = clients_add(&f->clients, info->connect_fd, is_tcp, f->options.trusted,
				      now_ns());
	else if (what == MHD_CONNECTION_NOTIFY_CLOSED && *client)
		clients_remove(&f->clients, *client);
}

static void connected_unix(void *context, struct MHD_Connection *connection, void **client,
			   enum MHD_ConnectionNotificationCode what)
{
	connected(context, false, connection, client, what);
}

static void connected_tcp(void *context, struct MHD_Connection *connection, void **client,
			  enum MHD_ConnectionNotificationCode what)
{
	connected(context, true, connection, client, what);
}

/* ---- replies --------------------------------------------------------------------- */

static void fail_document(struct document *d, const struct refusal *refusal, unsigned retry)
{
	struct MHD_Response *response =
		answer_refusal(refusal, d->question.kind == QUESTION_PROFILE, retry);

	document_answer(d, refusal->status, response);
	if (response)
		MHD_destroy_response(response);
	document_free(d);
}

static void take_reply(struct front *f, struct reply *reply, int document)
{
	static const struct refusal full = {503, "too many bytes are being read by slow clients",
					    NULL};
	struct document *d = documents_awaited(&f->documents, reply->id);
	const struct refusal refusal = {.status = reply->status, .text = reply->text};

	reply->text[MESSAGE_TEXT_MAX - 1] = '\0';
	if (!d || reply->status != 200) {
		if (document >= 0)
			close(document);
		if (d)
			fail_document(d, &refusal, reply->retry_after_seconds);
		return;
	}
	d->response = document >= 0 ? answer_document(&f->stock, &d->question, document)
				    : answer_text("{\"status\": \"ok\"}\n", "application/json");
	if (!d->response) {
		fail_document(d, &full, 10);
		return;
	}
	document_answer(d, 200, d->response);
	d->until_ns = f->now_ns + (document >= 0 ? FRESH_NS : 0);
}

/* Returns false at the server's end. */
static bool take_replies(struct front *f)
{
	for (;;) {
		struct reply reply;
		int document;
		int error = message_receive(f->options.server, &reply, sizeof(reply), &document);

		if (error == -EAGAIN || error == -EINTR)
			return true;
		if (error == -EBADMSG)
			continue;
		if (error)
			return false;
		take_reply(f, &reply, document);
	}
}

/* A document that is ready is dropped as well: its readers keep it, and nobody gets it anew. */
static void expire_documents(struct front *f)
{
	static const struct refusal late = {503, "no answer in time", NULL};

	for (size_t i = 0; i < DOCUMENTS_MAX; i++) {
		struct document *d = &f->documents.slots[i];

		if (!d->id || d->until_ns > f->now_ns)
			continue;
		if (d->response)
			document_free(d);
		else
			fail_document(d, &late, 10);
	}
}

/* ---- the loop -------------------------------------------------------------------- */

static size_t leave_as_it_is(void *context, struct MHD_Connection *connection, char *text)
{
	(void)context;
	(void)connection;
	return strlen(text);
}

static struct MHD_Daemon *start_daemon(struct front *f, int socket, MHD_NotifyConnectionCallback on)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle, f,
				MHD_OPTION_LISTEN_SOCKET, (MHD_socket)socket,
				MHD_OPTION_NOTIFY_COMPLETED, completed, f,
				MHD_OPTION_NOTIFY_CONNECTION, on, f, MHD_OPTION_CONNECTION_LIMIT,
				(unsigned)(CLIENTS_MAX + CONNECTIONS_SPARE),
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_MEMORY,
				MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
				MHD_OPTION_UNESCAPE_CALLBACK, leave_as_it_is, NULL, MHD_OPTION_END);
}

static int descriptor_of(struct MHD_Daemon *daemon)
{
	return daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd : -1;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t due_of(struct MHD_Daemon *daemon, int64_t now)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (!daemon || MHD_get_timeout(daemon, &ms) != MHD_YES)
		return INT64_MAX;
	return ms < 3600000 ? now + (int64_t)ms * (SECOND / 1000) : INT64_MAX;
}

static int timeout_ms(struct front *f, int64_t clients_due)
{
	int64_t due = earlier(clients_due, documents_due_ns(&f->documents));
	int64_t left;

	due = earlier(due, due_of(f->unix_daemon, f->now_ns));
	due = earlier(due, due_of(f->tcp_daemon, f->now_ns));
	if (due == INT64_MAX)
		return -1;
	left = due - f->now_ns;
	return left > 0 ? (int)((left + 999999) / 1000000) : 0;
}

static bool serve_once(struct front *f)
{
	int64_t clients_due = clients_expire(&f->clients, f->now_ns);
	struct pollfd fds[] = {
		{.fd = f->options.server, .events = POLLIN},
		{.fd = descriptor_of(f->unix_daemon), .events = POLLIN},
		{.fd = descriptor_of(f->tcp_daemon), .events = POLLIN},
	};

	if (poll(fds, 3, timeout_ms(f, clients_due)) < 0 && errno != EINTR)
		return false;
	f->now_ns = now_ns();
	if (!take_replies(f))
		return false;
	expire_documents(f);
	MHD_run(f->unix_daemon);
	if (f->tcp_daemon)
		MHD_run(f->tcp_daemon);
	return true;
}

int front_run(const struct front_options *options)
{
	struct front *f = calloc(1, sizeof(*f));

	if (!f)
		return 1;
	f->options = *options;
	f->now_ns = now_ns();
	f->unix_daemon = start_daemon(f, options->unix_socket, connected_unix);
	if (options->tcp_socket >= 0)
		f->tcp_daemon = start_daemon(f, options->tcp_socket, connected_tcp);
	if (!f->unix_daemon || (options->tcp_socket >= 0 && !f->tcp_daemon))
		return 1;
	while (serve_once(f))
		;
	return 0; /* the kernel closes everything: no client is owed an orderly end then */
}

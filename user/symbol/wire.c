/* SPDX-License-Identifier: MIT */
/*
 * The sandbox's side of the socket: receive a question, ask the engine, send the answer.
 */
#include "symbol/wire.h"

#include "symbol/lockdown.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
	int socket;
	int files; /* -1: none */
	struct engine *engine;
	struct {
		struct wire_request request;
		_Alignas(16) uint8_t payload[WIRE_PAYLOAD_MAX + 1]; /* names get a NUL */
	} in;
	struct wire_reply out;
};

/* Returns the bytes received, 0 at the end; *ret_fd is a descriptor that came along, or -1. */
static ssize_t receive(int socket, struct iovec *iov, size_t count, int *ret_fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = {
		.msg_iov = iov,
		.msg_iovlen = count,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	ssize_t got;

	*ret_fd = -1;
	do
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&message);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(c), sizeof(*ret_fd));
	return got;
}

static void set_files(struct server *s, int fd)
{
	if (s->files >= 0)
		close(s->files);
	s->files = fd;
}

static int open_module(struct server *s)
{
	char byte;
	struct iovec iov = {&byte, 1};
	int fd;

	if (receive(s->files, &iov, 1, &fd) <= 0 || fd < 0)
		return -EMFILE; /* the limit on descriptors cuts them off silently */
	if (s->in.request.id == ENGINE_NO_MODULE) {
		close(fd);
		return 0;
	}
	s->in.payload[s->in.request.payload_size] = '\0';
	return engine_open_module(s->engine, s->in.request.id, fd, (char *)s->in.payload);
}

static int add_maps(struct server *s)
{
	size_t count = s->in.request.payload_size / sizeof(struct engine_map);

	return engine_add_maps(s->engine, s->in.request.id, s->in.request.flag,
			       (const struct engine_map *)s->in.payload, count);
}

/* Returns the size of the reply. */
static size_t answer(struct server *s, int fd)
{
	const struct wire_request *request = &s->in.request;
	struct wire_reply *out = &s->out;

	out->result = 0;
	switch (request->type) {
	case WIRE_FILES:
		set_files(s, fd);
		break;
	case WIRE_OPEN_MODULE:
		out->result = open_module(s);
		break;
	case WIRE_CLOSE_MODULE:
		engine_close_module(s->engine, request->id);
		break;
	case WIRE_ADD_MAPS:
		out->result = add_maps(s);
		break;
	case WIRE_CLOSE_PROCESS:
		engine_close_process(s->engine, request->id);
		break;
	case WIRE_LOCATE:
		engine_locate(s->engine, request->id, request->registers.pc, request->flag,
			      &out->location);
		return offsetof(struct wire_reply, location) + sizeof(out->location);
	case WIRE_UNWIND:
		engine_unwind(s->engine, request->id, &request->registers, s->in.payload,
			      request->payload_size, &out->frames);
		return offsetof(struct wire_reply, frames) + sizeof(out->frames);
	default:
		out->result = -EINVAL;
	}
	return offsetof(struct wire_reply, location);
}

static void serve_one(struct server *s)
{
	struct iovec iov[] = {
		{&s->in.request, sizeof(s->in.request)},
		{s->in.payload, WIRE_PAYLOAD_MAX},
	};
	struct msghdr reply = {.msg_iov = iov, .msg_iovlen = 1};
	ssize_t got;
	int fd;

	got = receive(s->socket, iov, 2, &fd);
	if (got < (ssize_t)sizeof(s->in.request) ||
	    (size_t)got != sizeof(s->in.request) + s->in.request.payload_size)
		_exit(got == 0 ? 0 : 1);
	iov[0].iov_base = &s->out;
	iov[0].iov_len = answer(s, fd);
	if (sendmsg(s->socket, &reply, MSG_NOSIGNAL) != (ssize_t)iov[0].iov_len)
		_exit(1);
}

_Noreturn void wire_serve(int socket, volatile uint32_t *busy_module)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s || engine_new(busy_module, &s->engine) != 0 || lockdown_enter() != 0)
		_exit(1);
	s->socket = socket;
	s->files = -1;
	for (;;)
		serve_one(s);
}

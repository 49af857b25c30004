/* SPDX-License-Identifier: MIT */
/* Searches at the end of a program and sends the result to a Unix socket: STRAND_LEAKS=report:PATH. */
#include "strand/leaks_send.h"

#include <errno.h>
#include <strand.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <strand/abi.h>

#include "strand/probes.h"

/* The other side looks up names and lines meanwhile, for one program after the other. */
#define PATIENCE_SECONDS 30

struct sender {
	int fd;
	strand_time now;
	int error; /* the first, 0: none */
};

static void send_all(struct sender *s, const void *record, size_t size)
{
	const char *at = record;

	while (size && !s->error) {
		ssize_t n = send(s->fd, at, size, MSG_NOSIGNAL);

		if (n >= 0) {
			at += n;
			size -= (size_t)n;
		} else if (errno != EINTR) {
			s->error = -errno;
		}
	}
}

static struct strand_exit_header header(enum strand_exit_type type, size_t size)
{
	return (struct strand_exit_header){.magic = STRAND_EXIT_MAGIC,
					   .abi_major = STRAND_ABI_MAJOR,
					   .type = (__u16)type,
					   .size = (__u32)size};
}

static void copy_text(char *to, const char *from, size_t room)
{
	size_t length = strnlen(from, room - 1);

	memcpy(to, from, length);
	to[length] = '\0';
}

static void send_leak(const struct strand_leak *leak, void *arg)
{
	struct sender *s = arg;
	struct strand_exit_task record = {
		.h = header(STRAND_EXIT_TASK, sizeof(record)),
		.task = leak->task,
		.parent = leak->parent,
		.object = leak->object,
		.waited_ns = leak->since && leak->since < s->now ? s->now - leak->since : 0,
		.fn = (uintptr_t)leak->entry,
		.created_pc = leak->created_pc,
		.stack_count = (__u32)leak->stack_count,
	};

	if (leak->stack_count > STRAND_EXIT_FRAMES) {
		record.stack_count = STRAND_EXIT_FRAMES;
		record.truncated = 1;
	}
	for (unsigned i = 0; i < record.stack_count; i++)
		record.stack[i] = leak->stack[i];
	copy_text(record.name, leak->name, sizeof(record.name));
	copy_text(record.reason, leak->reason, sizeof(record.reason));
	send_all(s, &record, sizeof(record));
}

static void send_end(struct sender *s, int r, const struct strand_leaks_result *result)
{
	struct strand_exit_end record = {
		.h = header(STRAND_EXIT_END, sizeof(record)),
		.leaked = result->leaked,
		.candidates = result->candidates,
		.pause_ns = (__u64)result->pause,
		.total_ns = (__u64)result->total,
		.status = r < 0 ? STRAND_SEARCH_INCONCLUSIVE : STRAND_SEARCH_DONE,
		.error = r < 0 && r != -EAGAIN ? r : 0,
	};

	copy_text(record.cause, result->cause ? result->cause : "", sizeof(record.cause));
	memcpy(record.build, strand_descriptor.build, sizeof(record.build));
	send_all(s, &record, sizeof(record));
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* Nothing is ever sent to us: this ends with the connection, or with our patience. */
static void wait_for_close(int fd)
{
	char byte;
	ssize_t n;

	do {
		n = recv(fd, &byte, 1, 0);
	} while (n > 0 || (n < 0 && errno == EINTR));
}

/* A connection without unread bytes holds no pointers, so it does not get into the search's way. */
void leaks_send(const char *path)
{
	struct strand_leaks_result result = {.cause = ""};
	struct sender s = {.fd = connect_to(path), .now = strand_now()};
	int r;

	if (s.fd < 0)
		return;
	r = strand_leaks(0, send_leak, &s, &result);
	send_end(&s, r, &result);
	if (!s.error)
		wait_for_close(s.fd);
	close(s.fd);
}

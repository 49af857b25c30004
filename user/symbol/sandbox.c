/* SPDX-License-Identifier: MIT */
/*
 * Start, question and bury the process that reads what may be forged.
 *
 *  S1. One question is in flight at a time. An answer that is late or malformed ends
 *      the sandbox, so an answer never belongs to an earlier question.
 *  S2. The observer never waits long for a sandbox to die: one that cannot die (it may be
 *      stuck in a file system) is left behind, up to a number of them.
 *  S3. A sandbox that was broken into can give wrong names and lines, and no more: it
 *      sees files that were handed to it, and what it says is bounded and copied.
 */
#include "symbol/sandbox.h"

#include "symbol/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_MS  5000          /* lower: large debug info looks hostile; higher: longer blind */
#define BACK_OFF_NS  1000000000ULL /* after the first failure; doubles up to 64 times this */
#define BACK_OFF_MAX 6
#define SOCKET_ROOM  (1 << 20) /* a stack of ENGINE_STACK_MAX with the kernel's overhead */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- life and death -------------------------------------------------------------- */

int sandbox_init(struct sandbox *s)
{
	void *page = mmap(NULL, sizeof(*s->busy_module), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -errno;
	*s = (struct sandbox){.socket = -1, .busy_module = page};
	return 0;
}

static void end(struct sandbox *s)
{
	if (s->pid == 0)
		return;
	close(s->socket);
	graves_bury(&s->graves, s->pid); /* there is room: see sandbox_ensure */
	s->socket = -1;
	s->pid = 0;
}

void sandbox_done(struct sandbox *s)
{
	end(s);
	munmap((void *)s->busy_module, sizeof(*s->busy_module));
}

static void fail(struct sandbox *s)
{
	unsigned doublings = s->failures < BACK_OFF_MAX ? s->failures : BACK_OFF_MAX;

	end(s);
	s->failures++;
	s->not_before_ns = now_ns() + (BACK_OFF_NS << doublings);
}

/* In the new process: keep the socket and stderr, nothing else of the observer. */
static _Noreturn void become_sandbox(int socket, volatile uint32_t *busy_module)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_IGN); /* of the terminal; the end of the observer is the end of this */
	prctl(PR_SET_NAME, "stranded-symbol");
	if (dup2(socket, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(1);
	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0) < 0)
		for (int fd = STDERR_FILENO + 1; fd < (int)sysconf(_SC_OPEN_MAX); fd++)
			close(fd);
	wire_serve(STDIN_FILENO, busy_module);
}

static int start(struct sandbox *s)
{
	int sockets[2], room = SOCKET_ROOM;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	if (setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	pid = fork();
	if (pid == 0)
		become_sandbox(sockets[1], s->busy_module);
	close(sockets[1]);
	if (pid < 0) {
		close(sockets[0]);
		return -EAGAIN;
	}
	s->pid = pid;
	s->socket = sockets[0];
	s->generation++;
	return 0;
}

int sandbox_ensure(struct sandbox *s)
{
	int err;

	if (s->pid != 0)
		return 0;
	if (now_ns() < s->not_before_ns || !graves_have_room(&s->graves))
		return -EAGAIN;
	err = start(s);
	if (err)
		fail(s);
	return err;
}

/* ---- one question ---------------------------------------------------------------- */

static bool send_request(int socket, const struct wire_request *request, const void *payload,
			 int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {{0}};
	struct iovec iov[] = {
		{(void *)request, sizeof(*request)},
		{(void *)payload, request->payload_size},
	};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
	size_t size = sizeof(*request) + request->payload_size;

	if (fd >= 0) {
		struct cmsghdr *c;

		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	/* The buffer is empty, as no question is in flight (S1): a send cannot have to wait. */
	return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size;
}

static bool receive_reply(int socket, struct wire_reply *ret_reply, size_t size)
{
	uint64_t deadline = now_ns() + DEADLINE_MS * 1000000ULL;
	int ready;

	do {
		struct pollfd readable = {.fd = socket, .events = POLLIN};
		uint64_t now = now_ns();

		ready = poll(&readable, 1,
			     now < deadline ? (int)((deadline - now + 999999) / 1000000) : 0);
	} while (ready < 0 && errno == EINTR);
	return ready > 0 &&
	       recv(socket, ret_reply, size, MSG_DONTWAIT | MSG_TRUNC) == (ssize_t)size;
}

/* size counts the wanted part of the reply. */
static int ask(struct sandbox *s, const struct wire_request *request, const void *payload, int fd,
	       struct wire_reply *ret_reply, size_t size)
{
	if (s->pid == 0) {
		*s->busy_module = ENGINE_NO_MODULE; /* of one that is long dead */
		return -EIO;
	}
	if (!send_request(s->socket, request, payload, fd) ||
	    !receive_reply(s->socket, ret_reply, size)) {
		fail(s);
		return -EIO;
	}
	s->failures = 0;
	return ret_reply->result;
}

static int ask_plainly(struct sandbox *s, const struct wire_request *request, const void *payload,
		       int fd)
{
	struct wire_reply reply;

	return ask(s, request, payload, fd, &reply, offsetof(struct wire_reply, location));
}

/* ---- the questions ---------------------------------------------------------------- */

int sandbox_set_files(struct sandbox *s, int files)
{
	return ask_plainly(s, &(struct wire_request){.type = WIRE_FILES}, NULL, files);
}

int sandbox_open_module(struct sandbox *s, uint32_t module, const char *name)
{
	struct wire_request request = {
		.type = WIRE_OPEN_MODULE,
		.id = module,
		.payload_size = (uint32_t)strnlen(name, WIRE_PAYLOAD_MAX),
	};

	return ask_plainly(s, &request, name, -1);
}

int sandbox_close_module(struct sandbox *s, uint32_t module)
{
	struct wire_request request = {.type = WIRE_CLOSE_MODULE, .id = module};

	return ask_plainly(s, &request, NULL, -1);
}

int sandbox_set_maps(struct sandbox *s, uint32_t process, const struct engine_map *maps,
		     size_t count)
{
	size_t sent = 0;
	int err;

	do {
		size_t part = count - sent < WIRE_MAPS_MAX ? count - sent : WIRE_MAPS_MAX;
		struct wire_request request = {
			.type = WIRE_ADD_MAPS,
			.id = process,
			.flag = sent == 0,
			.payload_size = (uint32_t)(part * sizeof(*maps)),
		};

		err = ask_plainly(s, &request, maps + sent, -1);
		sent += part;
	} while (!err && sent < count);
	return err;
}

int sandbox_close_process(struct sandbox *s, uint32_t process)
{
	struct wire_request request = {.type = WIRE_CLOSE_PROCESS, .id = process};

	return ask_plainly(s, &request, NULL, -1);
}

int sandbox_locate(struct sandbox *s, uint32_t process, uint64_t pc, bool is_return,
		   struct engine_location *ret_location, uint32_t *ret_culprit)
{
	struct wire_request request = {
		.type = WIRE_LOCATE,
		.id = process,
		.flag = is_return,
		.registers = {.pc = pc},
	};
	struct wire_reply reply;
	int err = ask(s, &request, NULL, -1, &reply,
		      offsetof(struct wire_reply, location) + sizeof(reply.location));

	*ret_culprit = *s->busy_module;
	if (err)
		return err;
	*ret_location = reply.location;
	ret_location->names.function[ELF_MODULE_TEXT_MAX - 1] = '\0'; /* S3 */
	ret_location->names.file[ELF_MODULE_TEXT_MAX - 1] = '\0';
	return 0;
}

int sandbox_unwind(struct sandbox *s, uint32_t process, const struct engine_registers *registers,
		   const void *bytes, size_t size, struct engine_frames *ret_frames,
		   uint32_t *ret_culprit)
{
	struct wire_request request = {
		.type = WIRE_UNWIND,
		.id = process,
		.registers = *registers,
		.payload_size = (uint32_t)(size < ENGINE_STACK_MAX ? size : ENGINE_STACK_MAX),
	};
	struct wire_reply reply;
	int err = ask(s, &request, bytes, -1, &reply,
		      offsetof(struct wire_reply, frames) + sizeof(reply.frames));

	*ret_culprit = *s->busy_module;
	if (err)
		return err;
	*ret_frames = reply.frames;
	if (ret_frames->count > ENGINE_FRAMES_MAX)
		ret_frames->count = ENGINE_FRAMES_MAX; /* S3 */
	return 0;
}

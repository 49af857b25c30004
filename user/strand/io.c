/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing without blocking the worker.
 *
 * Each call is tried first and waits only when it would block, so data that is there costs
 * no more than the system call; only a read after one that took all there was waits first.
 * Sockets need not be in non-blocking mode: MSG_DONTWAIT says it for the one call. recv() and
 * send() are tried before read() and write(): they tell what is no socket for 0.1 us, while a
 * remembered answer could be of a file that had this number. A plain thread waits in poll(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <strand.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "strand/poller.h"
#include "strand/runtime.h"
#include "strand/sched.h"
#include "strand/waiter.h"

/* One call of the user: tried again and again. */
struct io_call {
	int fd;
	int flags;
	unsigned events; /* to wait for when it would block */
	union {
		struct {
			void *data;
			size_t size;
		};
		struct {
			const struct iovec *parts;
			int part_count;
		};
		struct msghdr *message;
		struct {
			struct sockaddr *peer;
			socklen_t *peer_size;
		};
		struct {
			const struct sockaddr *address;
			socklen_t address_size;
		};
	};
};

/* ---- waiting -------------------------------------------------------------------- */

/* As a system call, with -errno for -1. */
static int poll_once(struct pollfd *poll, strand_time left)
{
	struct timespec ts = {0, 0};
	int saved_errno = errno;
	int n;

	if (left > 0)
		ts = (struct timespec){left / STRAND_SECOND, left % STRAND_SECOND};
	n = ppoll(poll, 1, left == STRAND_FOREVER ? NULL : &ts, NULL);
	if (n < 0)
		n = -errno;
	errno = saved_errno;
	return n;
}

/* Returns 0 or -errno: -ETIMEDOUT, -EBADF. Holds up the thread. */
static __attribute__((noinline)) int poll_thread(int fd, unsigned events, strand_time deadline,
						 unsigned *ret_ready)
{
	struct pollfd poll = {.fd = fd};

	if (events & STRAND_READABLE)
		poll.events |= POLLIN;
	if (events & STRAND_WRITABLE)
		poll.events |= POLLOUT;
	for (;;) {
		strand_time left = deadline <= 0                ? 0
				   : deadline == STRAND_FOREVER ? STRAND_FOREVER
								: deadline - strand_now();
		int n = poll_once(&poll, left);

		if (n > 0) {
			*ret_ready = io_ready((unsigned)poll.revents, events);
			return poll.revents & POLLNVAL ? -EBADF : 0;
		}
		if (n < 0 && n != -EINTR)
			return n;
		if (left <= 0)
			return -ETIMEDOUT;
	}
}

static int wait_ready(int fd, unsigned events, strand_time deadline, const struct frame *where,
		      unsigned *ret_ready)
{
	struct worker *w = sched_this_worker;
	int r = wait_allowed(&deadline);

	if (r < 0)
		return r;
	if (w && w->current)
		return poller_wait(&w->poller, fd, events, deadline, where, ret_ready);
	return poll_thread(fd, events, deadline, ret_ready);
}

int strand_wait_fd(int fd, unsigned events, strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	unsigned ready = 0;
	int r;

	if (!events || events & ~(unsigned)(STRAND_READABLE | STRAND_WRITABLE))
		return -EINVAL;
	if (fd < 0)
		return -EBADF;
	r = poll_thread(fd, events, 0, &ready);
	if (r == -ETIMEDOUT)
		r = wait_ready(fd, events, deadline, &where, &ready);
	return r < 0 ? r : (int)ready;
}

/*
 * One try. Returns -errno for -1. No task parks in here, so errno is one thread's: the
 * compiler may remember its address, which a task that migrates must not.
 */
static __attribute__((noinline)) ssize_t try_call(ssize_t (*perform)(struct io_call *),
						  struct io_call *call)
{
	int saved_errno = errno;
	ssize_t n = perform(call);

	if (n < 0)
		n = errno == EWOULDBLOCK ? -EAGAIN : -errno;
	errno = saved_errno;
	return n;
}

/* Make the call until it does not block. perform() is like a system call. */
static ssize_t repeat(ssize_t (*perform)(struct io_call *), struct io_call *call,
		      strand_time deadline, const struct frame *where)
{
	for (;;) {
		ssize_t n = try_call(perform, call);
		unsigned ready;

		if (n == -EAGAIN)
			n = wait_ready(call->fd, call->events, deadline, where, &ready);
		else if (n != -EINTR)
			return n;
		if (n < 0 && n != -EINTR)
			return n;
	}
}

/* It would block the worker, with all its tasks. As a system call. */
static int refuse_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || flags & O_NONBLOCK)
		return flags < 0 ? -1 : 0;
	errno = EINVAL;
	return -1;
}

/* ---- bytes ---------------------------------------------------------------------- */

static ssize_t try_read(struct io_call *call)
{
	ssize_t n;

	if (!call->size) /* recv() would wait for data */
		return read(call->fd, call->data, 0);
	n = recv(call->fd, call->data, call->size, MSG_DONTWAIT);
	if (n >= 0 || errno != ENOTSOCK)
		return n;
	return refuse_blocking(call->fd) < 0 ? -1 : read(call->fd, call->data, call->size);
}

static ssize_t try_write(struct io_call *call)
{
	ssize_t n = send(call->fd, call->data, call->size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0 || errno != ENOTSOCK)
		return n;
	return refuse_blocking(call->fd) < 0 ? -1 : write(call->fd, call->data, call->size);
}

static bool is_empty(const struct iovec *parts, int count)
{
	for (int i = 0; i < count; i++) {
		if (parts[i].iov_len)
			return false;
	}
	return true;
}

static ssize_t try_readv(struct io_call *call)
{
	struct msghdr message = {.msg_iov = (struct iovec *)call->parts,
				 .msg_iovlen = (size_t)call->part_count};
	ssize_t n;

	if (is_empty(call->parts, call->part_count))
		return readv(call->fd, call->parts, call->part_count);
	n = recvmsg(call->fd, &message, MSG_DONTWAIT);
	if (n >= 0 || errno != ENOTSOCK)
		return n;
	return refuse_blocking(call->fd) < 0 ? -1 : readv(call->fd, call->parts, call->part_count);
}

static ssize_t try_writev(struct io_call *call)
{
	struct msghdr message = {.msg_iov = (struct iovec *)call->parts,
				 .msg_iovlen = (size_t)call->part_count};
	ssize_t n = sendmsg(call->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0 || errno != ENOTSOCK)
		return n;
	return refuse_blocking(call->fd) < 0 ? -1 : writev(call->fd, call->parts, call->part_count);
}

/* The poller of the worker whose task calls; NULL in a plain thread. */
static __attribute__((noinline)) struct poller *poller_here(void)
{
	struct worker *w = sched_this_worker;

	return w && w->current ? &w->poller : NULL;
}

/*
 * A peer that waits for an answer before it sends more has sent nothing yet when the next read
 * comes. So after a read that took all there was, the next one waits first. Then it is tried
 * even if the wait has failed: where there is something, no deadline and no cancellation matters.
 * But not after strand_close, as the number may be another file's. Returns 0 or -EBADF.
 */
static int wait_if_drained(const struct io_call *call, strand_time deadline,
			   const struct frame *where)
{
	const struct poller *here = poller_here();
	unsigned ready;

	if (!here || !call->size || deadline <= 0 || !poller_is_drained(here, call->fd))
		return 0;
	return wait_ready(call->fd, call->events, deadline, where, &ready) == -EBADF ? -EBADF : 0;
}

ssize_t strand_read(int fd, void *data, size_t size, strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	struct io_call call = {.fd = fd, .events = STRAND_READABLE, .data = data, .size = size};
	struct poller *here;
	ssize_t n = wait_if_drained(&call, deadline, &where);

	if (n < 0)
		return n;
	n = repeat(try_read, &call, deadline, &where);
	here = poller_here(); /* a task that migrates may be elsewhere now */
	if (here && n > 0)
		poller_set_drained(here, fd, (size_t)n < size);
	return n;
}

ssize_t strand_write(int fd, const void *data, size_t size, strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	struct io_call call = {
		.fd = fd, .events = STRAND_WRITABLE, .data = (void *)data, .size = size};

	return repeat(try_write, &call, deadline, &where);
}

ssize_t strand_readv(int fd, const struct iovec *parts, int count, strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	struct io_call call = {
		.fd = fd, .events = STRAND_READABLE, .parts = parts, .part_count = count};

	if (count < 0)
		return -EINVAL;
	return repeat(try_readv, &call, deadline, &where);
}

ssize_t strand_writev(int fd, const struct iovec *parts, int count, strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	struct io_call call = {
		.fd = fd, .events = STRAND_WRITABLE, .parts = parts, .part_count = count};

	if (count < 0)
		return -EINVAL;
	return repeat(try_writev, &call, deadline, &where);
}

/* ---- sockets -------------------------------------------------------------------- */

static ssize_t try_recvmsg(struct io_call *call)
{
	return recvmsg(call->fd, call->message, call->flags | MSG_DONTWAIT);
}

static ssize_t try_sendmsg(struct io_call *call)
{
	return sendmsg(call->fd, call->message, call->flags | MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t strand_recvmsg(int fd, struct msghdr *message, int flags, strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	struct io_call call = {
		.fd = fd, .flags = flags, .events = STRAND_READABLE, .message = message};

	return repeat(try_recvmsg, &call, deadline, &where);
}

ssize_t strand_sendmsg(int fd, const struct msghdr *message, int flags, strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	struct io_call call = {.fd = fd,
			       .flags = flags,
			       .events = STRAND_WRITABLE,
			       .message = (struct msghdr *)message};

	return repeat(try_sendmsg, &call, deadline, &where);
}

static ssize_t try_accept(struct io_call *call)
{
	if (refuse_blocking(call->fd) < 0)
		return -1;
	return accept4(call->fd, call->peer, call->peer_size, call->flags);
}

int strand_accept(int fd, struct sockaddr *ret_peer, socklen_t *ret_peer_size, int flags,
		  strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	struct io_call call = {.fd = fd,
			       .flags = flags,
			       .events = STRAND_READABLE,
			       .peer = ret_peer,
			       .peer_size = ret_peer_size};

	return (int)repeat(try_accept, &call, deadline, &where);
}

static ssize_t start_connect(struct io_call *call)
{
	if (refuse_blocking(call->fd) < 0)
		return -1;
	return connect(call->fd, call->address, call->address_size);
}

/* What has become of a connection in progress. */
static ssize_t end_connect(struct io_call *call)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(call->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -1;
	errno = error;
	return error ? -1 : 0;
}

int strand_connect(int fd, const struct sockaddr *peer, socklen_t peer_size, strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	struct io_call call = {.fd = fd, .address = peer, .address_size = peer_size};
	unsigned ready;
	int r = (int)try_call(start_connect, &call);

	if (r != -EINPROGRESS && r != -EALREADY && r != -EINTR)
		return r;
	r = wait_ready(fd, STRAND_WRITABLE, deadline, &where, &ready);
	return r < 0 ? r : (int)try_call(end_connect, &call);
}

/* ---- descriptors ------------------------------------------------------------------ */

int strand_fd_nonblock(int fd)
{
	int saved_errno = errno;
	int flags = fcntl(fd, F_GETFL);
	int r = 0;

	if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
		r = -errno;
	errno = saved_errno;
	return r;
}

static void forget_everywhere(int fd, int why)
{
	struct runtime *rt = runtime_get();
	struct list woken;

	list_init(&woken);
	for (unsigned i = 0; rt && i < rt->worker_count; i++)
		poller_forget(&rt->workers[i]->poller, fd, why, &woken);
	waiter_wake_all(&woken);
}

/*
 * Who waits before the close has lost its file: -EBADF. Who began to wait meanwhile may have
 * armed for the old file, or for a new one that has got the number: both arm anew (P4).
 */
int strand_close(int fd)
{
	int saved_errno = errno;
	int r;

	forget_everywhere(fd, -EBADF);
	r = close(fd) < 0 && errno != EINTR ? -errno : 0; /* on Linux closed even after EINTR */
	forget_everywhere(fd, -EAGAIN);
	errno = saved_errno;
	return r;
}

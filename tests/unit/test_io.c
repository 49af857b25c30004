/* SPDX-License-Identifier: MIT */
/* Reading, writing, accepting, connecting: what each call returns, in tasks and in threads. */
#include "strand_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BOTH (STRAND_READABLE | STRAND_WRITABLE)

static void make_pair(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
}

static void make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
}

static void close_pair(const int fds[2])
{
	expect_eq(strand_close(fds[0]), 0);
	expect_eq(strand_close(fds[1]), 0);
}

/* Run fn in a task and in a plain thread beside it: the calls promise both the same. */
static void *in_thread(void *arg)
{
	((void (*)(void))arg)();
	return NULL;
}

static int in_task_and_thread(void *arg)
{
	void (*fn)(void) = (void (*)(void))arg;
	pthread_t thread;

	fn();
	start_thread(&thread, in_thread, arg);
	pthread_join(thread, NULL);
	return 0;
}

static void run_both(void (*fn)(void))
{
	run_tasks(in_task_and_thread, (void *)fn);
	test_failures = 0;
	fn(); /* without a runtime */
	assert_int_equal(test_failures, 0);
}

/* ---- strand_wait_fd --------------------------------------------------------------- */

static void wait_refuses(void)
{
	int fds[2];

	make_pair(fds);
	expect_eq(strand_wait_fd(fds[0], 0, 0), -EINVAL);
	expect_eq(strand_wait_fd(fds[0], 4, 0), -EINVAL);
	expect_eq(strand_wait_fd(fds[0], BOTH | 8, STRAND_FOREVER), -EINVAL);
	expect_eq(strand_wait_fd(-1, STRAND_READABLE, STRAND_FOREVER), -EBADF);
	expect_eq(strand_wait_fd(1 << 30, STRAND_READABLE, STRAND_FOREVER), -EBADF);
	close_pair(fds);
	expect_eq(strand_wait_fd(fds[0], STRAND_READABLE, STRAND_FOREVER), -EBADF);
	expect_eq(strand_close(fds[0]), -EBADF);
	expect_eq(strand_close(-1), -EBADF);
}

static void test_wait_refuses(void **state)
{
	(void)state;
	run_both(wait_refuses);
}

static void wait_at_once(void)
{
	const strand_time deadlines[] = {0, 1, STRAND_FOREVER};
	int fds[2], file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	make_pair(fds);
	for (int i = 0; i < 3; i++) {
		strand_time d = deadlines[i];

		expect_eq(strand_wait_fd(fds[0], STRAND_WRITABLE, d), STRAND_WRITABLE);
		expect_eq(strand_wait_fd(fds[0], BOTH, d), STRAND_WRITABLE);
		expect_eq(strand_wait_fd(file, STRAND_READABLE, d), STRAND_READABLE);
		expect_eq(strand_wait_fd(file, BOTH, d), BOTH);
	}
	expect_eq(write(fds[1], "x", 1), 1);
	expect_eq(strand_wait_fd(fds[0], STRAND_READABLE, 0), STRAND_READABLE);
	expect_eq(strand_wait_fd(fds[0], BOTH, STRAND_FOREVER), BOTH);
	close(fds[1]); /* hung up: both calls tell */
	expect_eq(strand_wait_fd(fds[0], BOTH, STRAND_FOREVER), BOTH);
	expect_eq(strand_close(fds[0]), 0);
	close(file);
}

static void test_wait_at_once(void **state)
{
	(void)state;
	run_both(wait_at_once);
}

static void expect_timeout(int fd, strand_time deadline)
{
	char byte = 'k';

	expect_eq(strand_wait_fd(fd, STRAND_READABLE, deadline), -ETIMEDOUT);
	expect_true(strand_now() >= deadline);
	expect_eq(strand_read(fd, &byte, 1, deadline), -ETIMEDOUT);
	expect_true(strand_now() >= deadline);
	expect_eq(byte, 'k');
}

static void deadlines(void)
{
	int fds[2];
	char byte;

	make_pair(fds);
	expect_timeout(fds[0], 0);
	expect_timeout(fds[0], -1);
	expect_timeout(fds[0], 1);
	expect_timeout(fds[0], strand_now());
	expect_timeout(fds[0], strand_now() + STRAND_MICROSECOND);
	expect_timeout(fds[0], strand_now() + 2 * STRAND_MILLISECOND);
	/* Whatever the waits have left behind, data still comes through, at once. */
	expect_eq(strand_write(fds[1], "z", 1, 0), 1);
	expect_eq(strand_read(fds[0], &byte, 1, 0), 1);
	expect_eq(byte, 'z');
	expect_timeout(fds[0], strand_now() + STRAND_MICROSECOND);
	close_pair(fds);
}

static void test_deadlines(void **state)
{
	(void)state;
	run_both(deadlines);
}

/* ---- bytes -------------------------------------------------------------------------- */

static void read_what_is_there(void)
{
	char text[16] = "";
	int fds[2];

	for (int kind = 0; kind < 2; kind++) {
		(kind ? make_pair : make_pipe)(fds);
		expect_eq(strand_write(fds[1], "hello", 5, STRAND_FOREVER), 5);
		expect_eq(strand_read(fds[0], text, 2, STRAND_FOREVER), 2);
		expect_eq(strand_read(fds[0], text + 2, 10, STRAND_FOREVER), 3);
		expect_eq(strcmp(text, "hello"), 0);
		expect_eq(strand_read(fds[0], text, 0, STRAND_FOREVER), 0);
		expect_eq(strand_write(fds[1], "end", 3, STRAND_FOREVER), 3);
		close(fds[1]);
		expect_eq(strand_read(fds[0], text, 10, STRAND_FOREVER), 3);
		for (int i = 0; i < 3; i++)
			expect_eq(strand_read(fds[0], text, 10, STRAND_FOREVER), 0);
		expect_eq(strand_close(fds[0]), 0);
	}
}

/* After a read that took all there was the next waits first; what has come meanwhile counts. */
static int read_after_drain(void *arg)
{
	char data[10];
	int fds[2];

	(void)arg;
	make_pair(fds);
	expect_timeout(fds[0], 1); /* only of what was waited for is anything remembered */
	for (int i = 0; i < 3; i++) {
		expect_eq(strand_write(fds[1], "x", 1, 0), 1);
		expect_eq(strand_read(fds[0], data, 10, i ? 1 : STRAND_FOREVER), 1); /* long ago */
	}
	expect_eq(strand_read(fds[0], data, 10, 1), -ETIMEDOUT);
	expect_eq(strand_read(fds[0], data, 0, STRAND_FOREVER), 0);
	strand_close(fds[1]);
	expect_eq(strand_read(fds[0], data, 10, STRAND_FOREVER), 0);
	strand_close(fds[0]);
	return 0;
}

static void test_read_after_drain(void **state)
{
	(void)state;
	run_tasks(read_after_drain, NULL);
}

static void test_read_what_is_there(void **state)
{
	(void)state;
	run_both(read_what_is_there);
}

static void vectors(void)
{
	char a[3] = "", b[8] = "";
	struct iovec out[] = {{"ab", 2}, {"", 0}, {"cdef", 4}};
	struct iovec in[] = {{a, 2}, {b, sizeof(b)}};
	int fds[2];

	for (int kind = 0; kind < 2; kind++) {
		(kind ? make_pair : make_pipe)(fds);
		memset(b, 0, sizeof(b));
		expect_eq(strand_writev(fds[1], out, 3, STRAND_FOREVER), 6);
		expect_eq(strand_readv(fds[0], in, 2, STRAND_FOREVER), 6);
		expect_eq(strcmp(a, "ab"), 0);
		expect_eq(strcmp(b, "cdef"), 0);
		expect_eq(strand_readv(fds[0], in, 2, 0), -ETIMEDOUT);
		expect_eq(strand_readv(fds[0], out + 1, 1, 0),
			  0); /* no room: nothing to wait for */
		expect_eq(strand_readv(fds[0], in, 0, 0), 0);
		expect_eq(strand_readv(fds[0], in, -1, 0), -EINVAL);
		expect_eq(strand_writev(fds[1], out, -1, 0), -EINVAL);
		close_pair(fds);
	}
}

static void test_vectors(void **state)
{
	(void)state;
	run_both(vectors);
}

/* A message that carries a descriptor. */
static void messages(void)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	char byte = 'm';
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	int fds[2], passed[2], got;

	make_pair(fds);
	make_pair(passed);
	memcpy(CMSG_DATA(&control.header), &passed[0], sizeof(int));
	expect_eq(strand_recvmsg(fds[0], &message, 0, 0), -ETIMEDOUT);
	message.msg_controllen = sizeof(control);
	expect_eq(strand_sendmsg(fds[1], &message, 0, STRAND_FOREVER), 1);
	expect_eq(strand_recvmsg(fds[0], &message, MSG_CMSG_CLOEXEC, STRAND_FOREVER), 1);
	memcpy(&got, CMSG_DATA(&control.header), sizeof(int));
	expect_eq(strand_write(passed[1], "p", 1, 0), 1);
	expect_eq(strand_read(got, &byte, 1, 0), 1);
	expect_eq(byte, 'p');
	expect_eq(strand_recvmsg(fds[0], &message, MSG_PEEK, 0), -ETIMEDOUT);
	expect_eq(strand_close(got), 0);
	close_pair(passed);
	close_pair(fds);
}

static void test_messages(void **state)
{
	(void)state;
	run_both(messages);
}

static void errors(void)
{
	int fds[2], file = open("/dev/null", O_RDONLY | O_CLOEXEC), blocking[2];
	struct iovec none = {NULL, 0};
	char byte = 0;

	expect_eq(strand_read(-1, &byte, 1, STRAND_FOREVER), -EBADF);
	expect_eq(strand_write(1 << 30, &byte, 1, STRAND_FOREVER), -EBADF);
	expect_eq(strand_readv(-1, &none, 1, STRAND_FOREVER), -EBADF);
	expect_eq(strand_writev(-1, &none, 1, STRAND_FOREVER), -EBADF);
	expect_eq(strand_fd_nonblock(-1), -EBADF);
	expect_eq(strand_fd_nonblock(file), 0);
	expect_eq(strand_fd_nonblock(file), 0);
	expect_eq(strand_write(file, &byte, 1, STRAND_FOREVER), -EBADF); /* not for writing */
	expect_eq(strand_read(file, &byte, 1, STRAND_FOREVER), 0);
	expect_eq(strand_accept(file, NULL, NULL, 0, STRAND_FOREVER), -ENOTSOCK);
	expect_eq(strand_sendmsg(file, &(struct msghdr){0}, 0, STRAND_FOREVER), -ENOTSOCK);

	make_pair(fds); /* no SIGPIPE */
	close(fds[1]);
	expect_eq(strand_write(fds[0], "x", 1, STRAND_FOREVER), -EPIPE);
	expect_eq(strand_writev(fds[0], &(struct iovec){"x", 1}, 1, STRAND_FOREVER), -EPIPE);
	expect_eq(strand_read(fds[0], NULL, 1, STRAND_FOREVER), 0);
	expect_eq(strand_close(fds[0]), 0);

	/* What would hold up the worker is refused, even if it happens not to block now. */
	expect_eq(pipe2(blocking, O_CLOEXEC), 0);
	expect_eq(write(blocking[1], "x", 1), 1);
	expect_eq(strand_read(blocking[0], &byte, 1, STRAND_FOREVER), -EINVAL);
	expect_eq(strand_write(blocking[1], &byte, 1, STRAND_FOREVER), -EINVAL);
	expect_eq(strand_fd_nonblock(blocking[0]), 0);
	expect_eq(strand_read(blocking[0], &byte, 1, STRAND_FOREVER), 1);
	expect_eq(byte, 'x');
	close_pair(blocking);
	close(file);
}

static void test_errors(void **state)
{
	(void)state;
	run_both(errors);
}

/* ---- connections ------------------------------------------------------------------------ */

static int listen_on_loopback(struct sockaddr_in *ret_address, int flags)
{
	socklen_t size = sizeof(*ret_address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	*ret_address = (struct sockaddr_in){.sin_family = AF_INET,
					    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd < 0 || bind(fd, (struct sockaddr *)ret_address, size) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)ret_address, &size) < 0)
		abort();
	return fd;
}

static int new_client(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		abort();
	return fd;
}

static void accept_and_connect(void)
{
	struct sockaddr_in address, peer, own;
	socklen_t peer_size = sizeof(peer), own_size = sizeof(own);
	int listener = listen_on_loopback(&address, SOCK_NONBLOCK), client = new_client(), server;
	char byte = 0;

	expect_eq(strand_accept(listener, NULL, NULL, 0, 0), -ETIMEDOUT);
	expect_eq(strand_accept(listener, NULL, NULL, 0, strand_now() + STRAND_MICROSECOND),
		  -ETIMEDOUT);
	expect_eq(strand_connect(client, (struct sockaddr *)&address, sizeof(address),
				 STRAND_FOREVER),
		  0);
	server = strand_accept(listener, (struct sockaddr *)&peer, &peer_size, SOCK_CLOEXEC,
			       STRAND_FOREVER);
	expect_true(server >= 0);
	expect_eq(fcntl(server, F_GETFD), FD_CLOEXEC);
	expect_eq(getsockname(client, (struct sockaddr *)&own, &own_size), 0);
	expect_eq(peer.sin_port, own.sin_port);
	expect_eq(strand_write(client, "c", 1, 0), 1);
	expect_eq(strand_read(server, &byte, 1, STRAND_FOREVER), 1);
	expect_eq(byte, 'c');
	expect_eq(strand_close(client), 0);
	expect_eq(strand_read(server, &byte, 1, STRAND_FOREVER), 0);
	expect_eq(strand_close(server), 0);
	expect_eq(strand_close(listener), 0);
}

static void test_accept_and_connect(void **state)
{
	(void)state;
	run_both(accept_and_connect);
}

static void connections_fail(void)
{
	struct sockaddr_in address;
	int listener = listen_on_loopback(&address, 0), client = new_client();
	int blocking = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	expect_eq(strand_accept(listener, NULL, NULL, 0, STRAND_FOREVER), -EINVAL);
	expect_eq(strand_connect(blocking, (struct sockaddr *)&address, sizeof(address),
				 STRAND_FOREVER),
		  -EINVAL);
	expect_eq(strand_connect(-1, (struct sockaddr *)&address, sizeof(address), STRAND_FOREVER),
		  -EBADF);
	expect_eq(strand_close(listener), 0);
	expect_eq(strand_connect(client, (struct sockaddr *)&address, sizeof(address),
				 STRAND_FOREVER),
		  -ECONNREFUSED);
	expect_eq(strand_close(client), 0);
	expect_eq(strand_close(blocking), 0);
}

static void test_connections_fail(void **state)
{
	(void)state;
	run_both(connections_fail);
}

/* ---- parking ---------------------------------------------------------------------------- */

struct stream {
	int in, out;
	size_t bytes;
	struct strand_chan *done;
	size_t sum; /* of the bytes that were read; valid after done */
};

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 31 + i / 251);
}

static void write_stream(void *arg)
{
	struct stream *s = arg;
	unsigned char buffer[3000];

	for (size_t at = 0; at < s->bytes;) {
		size_t size = s->bytes - at < sizeof(buffer) ? s->bytes - at : sizeof(buffer);
		ssize_t n;

		for (size_t i = 0; i < size; i++)
			buffer[i] = byte_at(at + i);
		n = strand_write(s->out, buffer, size, STRAND_FOREVER);
		expect_true(n > 0);
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	expect_eq(strand_close(s->out), 0);
}

static void read_stream(void *arg)
{
	struct stream *s = arg;
	unsigned char buffer[1777];
	ssize_t n;

	while ((n = strand_read(s->in, buffer, sizeof(buffer), STRAND_FOREVER)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			expect_eq(buffer[i], byte_at(s->sum + (size_t)i));
		s->sum += (size_t)n;
	}
	expect_eq(n, 0);
	expect_eq(strand_close(s->in), 0);
	signal_chan(s->done);
}

static void *write_stream_thread(void *arg)
{
	write_stream(arg);
	return NULL;
}

static void *read_stream_thread(void *arg)
{
	read_stream(arg);
	return NULL;
}

/* More than fits the buffers, so both sides park again and again. */
static int streams(void *arg)
{
	void (*make)(int[2]) = (void (*)(int[2]))arg;

	for (int mode = 0; mode < 3; mode++) { /* who is a plain thread: none, writer, reader */
		struct stream s = {.bytes = 1 << 20, .done = new_chan(0, 1)};
		pthread_t thread;
		int fds[2];

		make(fds);
		s.in = fds[0];
		s.out = fds[1];
		if (mode == 1)
			start_thread(&thread, write_stream_thread, &s);
		else
			expect_eq(strand_go(write_stream, &s), 0);
		if (mode == 2)
			start_thread(&thread, read_stream_thread, &s);
		else
			expect_eq(strand_go(read_stream, &s), 0);
		await_chan(s.done, 1);
		if (mode)
			pthread_join(thread, NULL);
		expect_eq(s.sum, s.bytes);
		strand_chan_unref(s.done);
	}
	return 0;
}

static void test_streams(void **state)
{
	(void)state;
	run_tasks(streams, (void *)make_pipe);
	run_tasks(streams, (void *)make_pair);
}

/* errno is the caller's, whether a call waits or not. */
static void errno_stays(void)
{
	int fds[2];
	char byte;

	make_pair(fds);
	errno = 4242;
	expect_eq(strand_wait_fd(fds[0], STRAND_READABLE, strand_now() + STRAND_MILLISECOND),
		  -ETIMEDOUT);
	expect_eq(errno, 4242);
	expect_eq(strand_read(fds[0], &byte, 1, strand_now() + STRAND_MILLISECOND), -ETIMEDOUT);
	expect_eq(strand_read(-1, &byte, 1, 0), -EBADF);
	expect_eq(strand_write(fds[0], "x", 1, 0), 1);
	expect_eq(strand_fd_nonblock(fds[0]), 0);
	expect_eq(strand_accept(fds[0], NULL, NULL, 0, 0), -EINVAL);
	close_pair(fds);
	expect_eq(strand_close(fds[0]), -EBADF);
	expect_eq(errno, 4242);
}

static void test_errno_untouched(void **state)
{
	(void)state;
	run_both(errno_stays);
}

/* ---- many connections --------------------------------------------------------------------- */

#define CONNECTIONS 1000
#define ROUNDS      5

static struct echo {
	struct sockaddr_in address;
	int listener;
	struct strand_chan *done;
} echo;

static void echo_connection(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char data[64];
	ssize_t n;

	while ((n = strand_read(fd, data, sizeof(data), STRAND_FOREVER)) > 0)
		expect_eq(strand_write(fd, data, (size_t)n, STRAND_FOREVER), n);
	expect_eq(n, 0);
	expect_eq(strand_close(fd), 0);
	signal_chan(echo.done);
}

static void echo_server(void *arg)
{
	(void)arg;
	for (int i = 0; i < CONNECTIONS; i++) {
		int fd = strand_accept(echo.listener, NULL, NULL, SOCK_CLOEXEC, STRAND_FOREVER);

		expect_true(fd >= 0);
		expect_eq(strand_go(echo_connection, (void *)(intptr_t)fd), 0);
	}
	expect_eq(strand_accept(echo.listener, NULL, NULL, 0, STRAND_FOREVER), -EBADF);
	signal_chan(echo.done);
}

static void echo_client(void *arg)
{
	int number = (int)(intptr_t)arg, fd = new_client();

	expect_eq(strand_connect(fd, (struct sockaddr *)&echo.address, sizeof(echo.address),
				 STRAND_FOREVER),
		  0);
	for (int round = 0; round < ROUNDS; round++) {
		char sent[32], got[32] = "";
		ssize_t size = snprintf(sent, sizeof(sent), "%d:%d", number, round), n = 0, at = 0;

		expect_eq(strand_write(fd, sent, (size_t)size, STRAND_FOREVER), size);
		while (at < size && n >= 0) {
			n = strand_read(fd, got + at, (size_t)(size - at), STRAND_FOREVER);
			expect_true(n > 0);
			at += n;
		}
		expect_eq(strcmp(sent, got), 0);
	}
	expect_eq(strand_close(fd), 0);
	signal_chan(echo.done);
}

static int echo_many(void *arg)
{
	(void)arg;
	echo.listener = listen_on_loopback(&echo.address, SOCK_NONBLOCK);
	echo.done = new_chan(0, 16);
	expect_eq(strand_go(echo_server, NULL), 0);
	for (intptr_t i = 0; i < CONNECTIONS; i++)
		expect_eq(strand_go(echo_client, (void *)i), 0);
	await_chan(echo.done, 2 * CONNECTIONS); /* all ends of all connections */
	expect_eq(strand_close(echo.listener), 0);
	await_chan(echo.done, 1);
	strand_chan_unref(echo.done);
	return 0;
}

static void test_thousand_connections(void **state)
{
	struct rlimit limit;
	size_t before;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 2 * CONNECTIONS + 100) {
		limit.rlim_cur = 2 * CONNECTIONS + 100;
		assert_true(limit.rlim_cur <= limit.rlim_max);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	}
	before = count_entries("/proc/self/fd");
	run_tasks(echo_many, NULL);
	assert_int_equal(count_entries("/proc/self/fd"), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wait_refuses),
		cmocka_unit_test(test_wait_at_once),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_read_what_is_there),
		cmocka_unit_test(test_read_after_drain),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_accept_and_connect),
		cmocka_unit_test(test_connections_fail),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_errno_untouched),
		cmocka_unit_test(test_thousand_connections),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

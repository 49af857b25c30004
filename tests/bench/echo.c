/* SPDX-License-Identifier: MIT */
/*
 * An echo server with 1,000 connections over loopback, and the load on it.
 *
 *     echo echo_1000 [COUNT]      COUNT requests of 64 bytes; prints the time of one
 *
 * The server runs in this process; with BENCH_SERVER=PROGRAM (echo.go, built) that program is
 * the server: it prints its port as its first line and ends when its standard input does. The
 * client is a process of its own, one thread with epoll, each connection with one request at
 * a time, so both servers meet the same load.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <strand.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECTIONS 1000
#define SIZE        64

static struct server {
	int listener;
	pid_t client;
} server;

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				    .sin_port = htons((uint16_t)port)};
}

static void no_delay(int fd)
{
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

/* ---- the client -------------------------------------------------------------------- */

static long total_sent;

static void send_request(int fd, long count)
{
	static const char request[SIZE];

	if (total_sent == count)
		return;
	total_sent++;
	bench_need(write(fd, request, SIZE) == SIZE, "a request");
}

static void connect_all(int port, int epoll, int *ret_fds)
{
	struct sockaddr_in address = loopback(port);

	for (int i = 0; i < CONNECTIONS; i++) {
		struct epoll_event event = {.events = EPOLLIN};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		event.data.fd = ret_fds[i] = fd;
		no_delay(fd);
		bench_need(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0,
			   "connecting");
		bench_need(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
	}
}

/* One reply may come in parts; the next request goes out when it is complete. */
static void exchange(int epoll, const int *fds, long count)
{
	static unsigned char missing[CONNECTIONS + 64]; /* bytes of the reply, by descriptor */
	struct epoll_event events[256];
	char reply[SIZE];

	total_sent = 0;
	memset(missing, SIZE, sizeof(missing));
	for (int i = 0; i < CONNECTIONS; i++) {
		bench_need(fds[i] < (int)sizeof(missing), "a low descriptor");
		send_request(fds[i], count);
	}
	for (long done = 0; done < count;) {
		int n = epoll_wait(epoll, events, 256, -1);

		bench_need(n > 0, "epoll_wait");
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			ssize_t got = read(fd, reply, missing[fd]);

			bench_need(got > 0, "a reply");
			missing[fd] -= (unsigned char)got;
			if (missing[fd])
				continue;
			missing[fd] = SIZE;
			done++;
			send_request(fd, count);
		}
	}
}

static void run_client(const char *name, int port, long count)
{
	static int fds[CONNECTIONS];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	double start, ns;

	connect_all(port, epoll, fds);
	exchange(epoll, fds, count / 10 + CONNECTIONS); /* warm: all connections are accepted */
	start = bench_now_ns();
	exchange(epoll, fds, count);
	ns = (bench_now_ns() - start) / (double)count;
	bench_report(name, ns);
}

static pid_t start_client(const char *name, int port, long count)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (server.listener >= 0)
			close(server.listener);
		run_client(name, port, count);
		fflush(stdout);
		_exit(0);
	}
	bench_need(pid > 0, "fork");
	return pid;
}

static int await_client(void *arg)
{
	int status = -1;

	return waitpid(*(pid_t *)arg, &status, 0) < 0 || status != 0;
}

/* ---- the server --------------------------------------------------------------------- */

static void serve_connection(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char data[4096];
	ssize_t n, sent;

	while ((n = strand_read(fd, data, sizeof(data), STRAND_FOREVER)) > 0) {
		for (ssize_t at = 0; at < n; at += sent) {
			sent = strand_write(fd, data + at, (size_t)(n - at), STRAND_FOREVER);
			bench_need(sent > 0, "a write");
		}
	}
	strand_close(fd);
}

static void accept_all(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = strand_accept(server.listener, NULL, NULL, SOCK_CLOEXEC, STRAND_FOREVER);

		if (fd < 0)
			return;
		no_delay(fd);
		bench_need(strand_go(serve_connection, (void *)(intptr_t)fd) == 0, "strand_go");
	}
}

static int serve(void *arg)
{
	int failed = 1;

	(void)arg;
	bench_need(strand_go(accept_all, NULL) == 0, "strand_go");
	bench_need(strand_block(await_client, &server.client, STRAND_FOREVER, &failed) == 0,
		   "strand_block");
	return failed;
}

static int listen_on_loopback(int *ret_port)
{
	struct sockaddr_in address = loopback(0);
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	bench_need(bind(fd, (struct sockaddr *)&address, size) == 0 &&
			   listen(fd, CONNECTIONS) == 0 &&
			   getsockname(fd, (struct sockaddr *)&address, &size) == 0,
		   "listening");
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void run_ours(const char *name, long count)
{
	int port;

	server.listener = listen_on_loopback(&port);
	server.client = start_client(name, port, count);
	bench_need(strand_main(serve, NULL) == 0, "the client");
}

static void run_theirs(const char *program, const char *name, long count)
{
	int to[2], from[2], port = 0;
	FILE *output;
	pid_t pid, client;

	bench_need(pipe(to) == 0 && pipe(from) == 0, "pipe");
	pid = fork();
	if (pid == 0) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		close(to[1]);
		execl(program, program, (char *)NULL);
		_exit(127);
	}
	close(from[1]);
	output = fdopen(from[0], "r");
	bench_need(output && fscanf(output, "%d", &port) == 1, "starting BENCH_SERVER");
	server.listener = -1;
	client = start_client(name, port, count);
	bench_need(await_client(&client) == 0, "the client");
	close(to[1]);
	close(to[0]);
	waitpid(pid, NULL, 0);
}

static void echo(const char *name, long count)
{
	struct rlimit limit;
	const char *program = getenv("BENCH_SERVER");

	bench_need(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	bench_need(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
	if (program)
		run_theirs(program, name, count);
	else
		run_ours(name, count);
}

int main(int argc, char **argv)
{
	static const struct bench all[] = {
		{"echo_1000", echo, 200000},
		{NULL, NULL, 0},
	};
	struct bench bench = bench_choose(argc, argv, all);

	bench.run(bench.name, bench.count);
	return 0;
}

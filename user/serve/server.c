/* SPDX-License-Identifier: MIT */
/*
 * Starts the front, takes its requests, has renderers answer them.
 *
 * V1. No byte of a client and no encoder runs in this process.
 * V2. Requests are read only while a renderer is free for them: what is more waits in the socket,
 *     and the front refuses what does not fit there.
 * V3. All questions of one second are answered from one model.
 */
#include "serve/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "serve/front.h"
#include "serve/message.h"
#include "serve/renderer.h"

#define SECOND            INT64_C(1000000000)
#define RENDERERS_MAX     4
#define RENDER_NS         (20 * SECOND)
#define MODEL_FRESH_NS    SECOND
#define MODEL_KEPT_NS     (10 * SECOND) /* unused */
#define FRONT_RESTART_NS  SECOND
#define REQUESTS_AT_ONCE  16 /* then the observer has its turn */
#define DOCUMENT_MAX      (256 << 20)
#define FRONT_MEMORY_MAX  ((size_t)1 << 30)
#define FRONT_DESCRIPTORS 4096

enum { WATCH_FRONT = RENDERERS_MAX, WATCH_SOCKET, WATCH_COUNT }; /* before: the renderers */

struct job {
	uint64_t id;              /* 0: nobody waits for it any more */
	struct renderer renderer; /* pid 0: free */
	int64_t deadline_ns;
};

enum { OVERVIEW, ALL_TASKS, MODELS };

struct kept_model {
	struct model model;
	int64_t taken_ns; /* 0: there is none */
};

struct server {
	struct server_options options;
	char *socket_path;
	struct confinement front_walls, renderer_walls;
	int unix_socket, tcp_socket; /* -1: none */
	int epoll;
	pid_t front; /* 0: not running */
	int front_pidfd, front_socket;
	bool front_heard; /* its socket is among what is waited for */
	int64_t front_due_ns;
	struct job jobs[RENDERERS_MAX];
	struct kept_model models[MODELS];
	struct openmetrics_self self;
	bool has_self;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static int watch(struct server *s, int fd, uint32_t what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = what};

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* ---- the front ------------------------------------------------------------------- */

static _Noreturn void become_front(struct server *s, int socket)
{
	const int keep[] = {socket, s->unix_socket, s->tcp_socket};
	bool has_tcp = s->tcp_socket >= 0;
	struct front_options options = {
		.server = STDERR_FILENO + 1,
		.unix_socket = STDERR_FILENO + 2,
		.tcp_socket = has_tcp ? STDERR_FILENO + 3 : -1,
		.tcp_port = has_tcp ? s->options.tcp->port : 0,
		.trusted = s->options.group,
	};

	confine_inherit("stranded-http", keep, has_tcp ? 3 : 2);
	if (confine_enter(&s->front_walls))
		_exit(1);
	_exit(front_run(&options));
}

static int start_front(struct server *s)
{
	int sockets[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0)
		return -errno;
	s->front = fork();
	if (s->front == 0)
		become_front(s, sockets[1]);
	error = s->front < 0 ? -errno : 0;
	close(sockets[1]);
	s->front_socket = sockets[0];
	s->front_pidfd = error ? -1 : (int)syscall(SYS_pidfd_open, s->front, 0);
	if (!error && s->front_pidfd < 0)
		error = -errno;
	if (!error)
		error = watch(s, s->front_pidfd, WATCH_FRONT);
	if (!error)
		error = watch(s, s->front_socket, WATCH_SOCKET);
	s->front_heard = !error;
	return error;
}

/* It ends by itself when its socket is closed. */
static void end_front(struct server *s)
{
	if (s->front_socket >= 0)
		close(s->front_socket);
	if (s->front > 0)
		confine_end(s->front, s->front_pidfd);
	if (s->front_pidfd >= 0)
		close(s->front_pidfd);
	s->front = 0;
	s->front_pidfd = s->front_socket = -1;
}

static void restart_front(struct server *s)
{
	s->front_due_ns = INT64_MAX;
	if (!start_front(s))
		return;
	end_front(s);
	s->front_due_ns = now_ns() + FRONT_RESTART_NS;
}

/* It ends only by a defect, its own or of what it is built on. */
static void bury_front(struct server *s)
{
	fputs("stranded: the HTTP process has died; it is started anew\n", stderr);
	end_front(s);
	s->front_due_ns = now_ns() + FRONT_RESTART_NS;
}

static void reply_later(struct server *s, uint64_t id, unsigned status, const char *text,
			int document, unsigned retry_after_seconds)
{
	struct reply r = {.id = id, .status = status, .retry_after_seconds = retry_after_seconds};

	snprintf(r.text, sizeof(r.text), "%s", text);
	/* If it fails the front gives up waiting. */
	message_send(s->front_socket, &r, sizeof(r), document);
}

static void reply(struct server *s, uint64_t id, unsigned status, const char *text, int document)
{
	reply_later(s, id, status, text, document, status == 503);
}

/* ---- the model ------------------------------------------------------------------- */

static void drop_model(struct kept_model *kept)
{
	if (kept->taken_ns)
		model_done(&kept->model);
	kept->taken_ns = 0;
}

/* Whoever asks within a second sees the same model, and the observer is asked once. */
static int refresh_model(struct server *s, bool all_tasks, struct model **ret_model)
{
	struct kept_model *kept = &s->models[all_tasks ? ALL_TASKS : OVERVIEW];
	const struct server_source *source = &s->options.source;
	struct model m;
	int error;

	*ret_model = &kept->model;
	if (kept->taken_ns && now_ns() - kept->taken_ns < MODEL_FRESH_NS)
		return 0;
	error = all_tasks ? source->snapshot(source->context, &m)
			  : source->overview(source->context, &m);
	if (error)
		return error;
	drop_model(kept);
	*kept = (struct kept_model){m, now_ns()};
	s->has_self = !source->self(&s->self);
	return 0;
}

/* ---- renderers ------------------------------------------------------------------- */

static struct job *free_job(struct server *s)
{
	for (size_t i = 0; i < RENDERERS_MAX; i++)
		if (!s->jobs[i].renderer.pid)
			return &s->jobs[i];
	return NULL;
}

static int start_job(struct server *s, struct job *job, const struct request *request)
{
	const struct question *q = &request->question;
	struct model *m;
	int error = refresh_model(s, question_needs_tasks(q), &m);

	if (!error)
		error = renderer_start(m, s->has_self ? &s->self : NULL, q, &s->renderer_walls,
				       &job->renderer);
	if (error)
		return error;
	error = watch(s, job->renderer.pidfd, (uint32_t)(job - s->jobs));
	if (error) {
		renderer_cancel(&job->renderer);
		return error;
	}
	job->id = request->id;
	job->deadline_ns = now_ns() + RENDER_NS;
	return 0;
}

static void finish_job(struct server *s, struct job *job)
{
	int document = renderer_finish(&job->renderer);

	if (!job->id) {
		if (document >= 0)
			close(document);
	} else if (document >= 0) {
		reply(s, job->id, 200, "", document);
		close(document);
	} else if (document == -ESRCH) {
		reply(s, job->id, 404, "there is no such process", -1);
	} else if (document == -EFBIG) {
		reply(s, job->id, 503, "the document is too large; ask for one process", -1);
	} else {
		reply(s, job->id, 500, "the document could not be made", -1);
	}
}

/* It keeps its slot until it has ended, which it does soon by itself. */
static void expire_jobs(struct server *s)
{
	int64_t now = now_ns();

	for (size_t i = 0; i < RENDERERS_MAX; i++) {
		struct job *job = &s->jobs[i];

		if (!job->renderer.pid || !job->id || job->deadline_ns > now)
			continue;
		kill(job->renderer.pid, SIGKILL); /* if we may */
		reply(s, job->id, 503, "the document was not ready in time", -1);
		job->id = 0;
	}
}

/* ---- requests -------------------------------------------------------------------- */

/* How long until it may be searched again; 0: now. */
static int64_t search_wait_ns(const struct server *s, const struct model_process *p)
{
	int64_t left = p->search.finished_ns + s->options.search_gap_ns - now_ns();

	return p->search.finished_ns && left > 0 ? left : 0;
}

/* Its answer are the leaks of the process then. */
static void search(struct server *s, struct job *job, const struct request *request)
{
	struct request leaks = *request;
	const struct model_process *p;
	struct model *m;
	int64_t wait;

	if (refresh_model(s, false, &m)) {
		reply(s, request->id, 503, "the tasks cannot be read now", -1);
		return;
	}
	p = model_find_process(m, request->question.pid, request->question.start);
	if (!p || (!request->question.sees_all && p->uid != request->question.uid)) {
		reply(s, request->id, 404, "there is no such process", -1);
		return;
	}
	wait = search_wait_ns(s, p);
	if (wait) {
		reply_later(s, request->id, 429, "this process was searched a short time ago", -1,
			    (unsigned)(wait / SECOND) + 1);
		return;
	}
	s->options.source.search(s->options.source.context, request->question.pid);
	for (size_t i = 0; i < MODELS; i++)
		drop_model(&s->models[i]);
	leaks.question.kind = QUESTION_LEAKS;
	if (start_job(s, job, &leaks))
		reply(s, request->id, 503, "the tasks cannot be read now", -1);
}

static void answer(struct server *s, struct job *job, const struct request *request)
{
	if (!question_valid(&request->question))
		reply(s, request->id, 400, "malformed", -1);
	else if (request->question.kind == QUESTION_HEALTH)
		reply(s, request->id, 200, "", -1);
	else if (request->question.kind == QUESTION_SEARCH)
		search(s, job, request);
	else if (start_job(s, job, request))
		reply(s, request->id, 503, "the tasks cannot be read now", -1);
}

static void take_requests(struct server *s)
{
	for (unsigned i = 0; i < REQUESTS_AT_ONCE; i++) {
		struct job *job = free_job(s);
		struct request request;
		int fd = -1;
		int error = job ? message_receive(s->front_socket, &request, sizeof(request), &fd)
				: -EAGAIN;

		if (fd >= 0) /* the front has none to give */
			close(fd);
		if (error == -EBADMSG)
			continue;
		if (error) /* its end is told by its pidfd */
			return;
		answer(s, job, &request);
	}
}

/* V2. Level-triggered: without this a waiting request would make the loop spin. */
static void hear_front(struct server *s)
{
	bool wanted = free_job(s) != NULL;
	struct epoll_event event = {.events = wanted ? EPOLLIN : 0, .data.u32 = WATCH_SOCKET};

	if (s->front_socket < 0 || wanted == s->front_heard)
		return;
	if (epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->front_socket, &event) == 0)
		s->front_heard = wanted;
}

/* ---- the loop -------------------------------------------------------------------- */

int server_fd(const struct server *s)
{
	return s->epoll;
}

int64_t server_due_ns(const struct server *s)
{
	int64_t due = s->front_due_ns;

	for (size_t i = 0; i < RENDERERS_MAX; i++)
		if (s->jobs[i].renderer.pid && s->jobs[i].id && s->jobs[i].deadline_ns < due)
			due = s->jobs[i].deadline_ns;
	for (size_t i = 0; i < MODELS; i++)
		if (s->models[i].taken_ns && s->models[i].taken_ns + MODEL_KEPT_NS < due)
			due = s->models[i].taken_ns + MODEL_KEPT_NS;
	return due;
}

static void run_due(struct server *s)
{
	int64_t now = now_ns();

	expire_jobs(s);
	if (s->front_due_ns <= now)
		restart_front(s);
	for (size_t i = 0; i < MODELS; i++)
		if (s->models[i].taken_ns + MODEL_KEPT_NS <= now)
			drop_model(&s->models[i]);
}

void server_run(struct server *s)
{
	struct epoll_event events[WATCH_COUNT];
	int count = epoll_wait(s->epoll, events, WATCH_COUNT, 0);
	bool front_died = false;

	for (int i = 0; i < count; i++) {
		uint32_t what = events[i].data.u32;

		if (what < RENDERERS_MAX && s->jobs[what].renderer.pid)
			finish_job(s, &s->jobs[what]);
		else if (what == WATCH_FRONT)
			front_died = true;
	}
	if (front_died)
		bury_front(s);
	if (s->front_socket >= 0)
		take_requests(s);
	run_due(s);
	hear_front(s);
}

/* ---- life ------------------------------------------------------------------------ */

static int refuse(int error, char **ret_error, const char *what, const char *where,
		  const char *hint)
{
	if (asprintf(ret_error, "stranded: cannot %s %s: %s; %s", what, where, strerror(-error),
		     hint) < 0)
		*ret_error = NULL;
	return error;
}

static int start_listening(struct server *s, char **ret_error)
{
	const struct server_options *o = &s->options;
	int fd = listen_unix(o->socket_path, o->group, o->socket_mode);

	if (fd < 0)
		return refuse(fd, ret_error, "listen on", o->socket_path,
			      fd == -EADDRINUSE ? "another daemon does; try --socket"
						: "try another --socket");
	s->unix_socket = fd;
	s->socket_path = strdup(o->socket_path);
	if (!o->tcp)
		return s->socket_path ? 0 : -ENOMEM;
	fd = listen_tcp(o->tcp);
	if (fd < 0)
		return refuse(fd, ret_error, "listen on", "TCP", "try another --listen");
	s->tcp_socket = fd;
	return 0;
}

static void build_walls(struct server *s)
{
	confine_identity(&s->front_walls);
	s->renderer_walls = s->front_walls;
	s->front_walls.descriptors_max = FRONT_DESCRIPTORS;
	s->front_walls.memory_max = FRONT_MEMORY_MAX;
	s->renderer_walls.descriptors_max = 16;
	s->renderer_walls.file_max = DOCUMENT_MAX;
	s->renderer_walls.life_seconds = 2 * RENDER_NS / SECOND;
}

int server_new(const struct server_options *options, struct server **ret_server, char **ret_error)
{
	struct server *s = calloc(1, sizeof(*s));
	int error;

	*ret_error = NULL;
	if (!s)
		return -ENOMEM;
	s->options = *options;
	s->unix_socket = s->tcp_socket = s->front_socket = s->front_pidfd = -1;
	s->front_due_ns = INT64_MAX;
	build_walls(s);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	error = s->epoll < 0 ? -errno : start_listening(s, ret_error);
	if (!error) {
		error = start_front(s);
		if (error)
			refuse(error, ret_error, "start", "the HTTP process", "is there memory?");
	}
	if (error) {
		server_free(s);
		return error;
	}
	*ret_server = s;
	return 0;
}

void server_free(struct server *s)
{
	if (!s)
		return;
	if (s->socket_path)
		unlink(s->socket_path);
	free(s->socket_path);
	end_front(s);
	for (size_t i = 0; i < RENDERERS_MAX; i++)
		if (s->jobs[i].renderer.pid)
			renderer_cancel(&s->jobs[i].renderer);
	if (s->unix_socket >= 0)
		close(s->unix_socket);
	if (s->tcp_socket >= 0)
		close(s->tcp_socket);
	if (s->epoll >= 0)
		close(s->epoll);
	for (size_t i = 0; i < MODELS; i++)
		drop_model(&s->models[i]);
	free(s);
}

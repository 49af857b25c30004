/* SPDX-License-Identifier: MIT */
/*
 * Receives what programs report when they end.
 *
 * X1. Every length is checked before it is used; tasks and time of a report are bounded.
 * X2. The process is the one that connected, by the kernel's word. It is held until its
 *     addresses have names: closing the connection lets it go, whatever happened here.
 */
#include "observe/exit_reports.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "observe/procfs.h"
#include "symbol/symbol.h"

#define BACKLOG        1024
#define TEXT_MAX       256
#define TASKS_MAX      100000 /* of one report */
#define DEADLINE_NS    INT64_C(10000000000)
#define MILLISECOND_NS INT64_C(1000000)

/* Frames that were named already, by address: leaked tasks mostly share theirs. */
#define CACHE_SIZE     1024

struct cached_frame {
	bool used, is_return;
	struct model_frame frame;
};

struct exit_reports {
	int fd;
	char *path;
	struct symboliser *symboliser; /* NULL: addresses only */
};

struct reading { /* one report on its way into the model */
	int fd;
	int64_t deadline_ns;
	struct model *model;
	struct model_process *p;
	struct symbol_process *symbols; /* NULL: addresses only */
	struct cached_frame *cache;
	size_t tasks;
	bool ended;
};

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* ---- bytes ----------------------------------------------------------------------------- */

static int wait_readable(const struct reading *r)
{
	struct pollfd p = {.fd = r->fd, .events = POLLIN};
	int64_t left_ns = r->deadline_ns - now_ns(CLOCK_MONOTONIC);

	if (left_ns <= 0)
		return -ETIMEDOUT;
	if (poll(&p, 1, (int)(left_ns / MILLISECOND_NS) + 1) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

static int read_all(const struct reading *r, void *ret_bytes, size_t size)
{
	char *at = ret_bytes;

	while (size) {
		int error = wait_readable(r);
		ssize_t n = error ? 0 : recv(r->fd, at, size, MSG_DONTWAIT);

		if (error)
			return error;
		if (n == 0)
			return -EBADMSG; /* it has ended before its report has */
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

/* One record into a buffer that is all zeros behind it: an older program's may be shorter. */
static int read_record(const struct reading *r, char record[STRAND_EXIT_RECORD_MAX])
{
	struct strand_exit_header h;
	int error = read_all(r, &h, sizeof(h));

	if (error)
		return error;
	if (h.magic != STRAND_EXIT_MAGIC || h.abi_major != STRAND_ABI_MAJOR || h.size < sizeof(h) ||
	    h.size > STRAND_EXIT_RECORD_MAX)
		return -EBADMSG;
	memset(record, 0, STRAND_EXIT_RECORD_MAX);
	memcpy(record, &h, sizeof(h));
	return read_all(r, record + sizeof(h), h.size - sizeof(h));
}

/* ---- names ----------------------------------------------------------------------------- */

static int resolve(struct reading *r, uint64_t pc, bool is_return, struct model_frame *ret_frame)
{
	struct symbol_location l = {0};
	int error = r->symbols ? symbol_resolve(r->symbols, pc, is_return, &l) : 0;

	if (error)
		return error;
	*ret_frame = (struct model_frame){
		.pc = pc,
		.function = l.function,
		.file = l.file,
		.line = l.line,
		.function_offset = l.function_offset,
		.module = l.module,
		.module_offset = l.module_offset,
	};
	return 0;
}

static int name_frame(struct reading *r, uint64_t pc, bool is_return, struct model_frame *ret_frame)
{
	struct cached_frame *c = &r->cache[(pc ^ (pc >> 10)) % CACHE_SIZE];
	int error;

	if (!pc)
		return 0;
	if (!c->used || c->frame.pc != pc || c->is_return != is_return) {
		model_frame_done(&c->frame);
		*c = (struct cached_frame){0};
		error = resolve(r, pc, is_return, &c->frame);
		if (error)
			return error;
		c->used = true;
		c->is_return = is_return;
	}
	return model_frame_copy(&c->frame, ret_frame);
}

/* ---- records --------------------------------------------------------------------------- */

static char *copy_text(const char *text, size_t room)
{
	return strndup(text, room); /* whether or not it is terminated */
}

/* The texts are the runtime's own; one that we don't know is of a newer one. */
static enum strand_wait_reason find_reason(const char *text, size_t room)
{
	for (unsigned i = STRAND_WAIT_NONE + 1; i < STRAND_WAIT_REASON_COUNT; i++)
		if (!strncmp(model_reason_text(i), text, room))
			return i;
	return STRAND_WAIT_REASON_COUNT; /* "unknown" */
}

static int add_stack(struct reading *r, const struct strand_exit_task *from,
		     struct model_stack *ret_stack)
{
	ret_stack->truncated = from->truncated;
	ret_stack->frames = calloc(from->stack_count + 1, sizeof(*ret_stack->frames));
	if (!ret_stack->frames)
		return -ENOMEM;
	for (unsigned i = 0; i < from->stack_count; i++) {
		int error = name_frame(r, from->stack[i], true, &ret_stack->frames[i]);

		if (error)
			return error;
		ret_stack->count++;
	}
	return 0;
}

static int add_task(struct reading *r, const struct strand_exit_task *from)
{
	int64_t waited_ns = from->waited_ns > INT64_MAX ? INT64_MAX : (int64_t)from->waited_ns;
	struct model_task *t;
	int error;

	if (++r->tasks > TASKS_MAX || from->stack_count > STRAND_EXIT_FRAMES)
		return -EBADMSG;
	error = model_add_task(r->p, &t);
	if (error)
		return error;
	t->id = from->task;
	t->parent = from->parent;
	t->object = from->object;
	t->reason = find_reason(from->reason, sizeof(from->reason));
	t->since_ns = r->model->now_ns - waited_ns;
	t->state = MODEL_LEAKED;
	t->verdict = STRAND_VERDICT_LEAKED;
	t->name = copy_text(from->name, sizeof(from->name));
	error = t->name ? add_stack(r, from, &t->stack) : -ENOMEM;
	if (!error)
		error = name_frame(r, from->created_pc, true, &t->created_by);
	if (!error)
		error = name_frame(r, from->fn, false, &t->entry);
	return error;
}

static int64_t claimed_ns(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static int set_error(struct model_search *s, const char *text, size_t room)
{
	free(s->error);
	if (asprintf(&s->error, "%.*s", (int)room, text) < 0)
		s->error = NULL;
	return s->error ? 0 : -ENOMEM;
}

/* Of several searches of a process, one that proved nothing is what has to be told. */
static int add_end(struct reading *r, const struct strand_exit_end *from)
{
	struct model_search *s = &r->p->search;
	bool was_proved = !s->asked || model_search_proved(s);

	r->ended = true;
	s->asked = s->answered = true;
	s->finished_ns = r->model->now_ns;
	s->pause_ns = claimed_ns(from->pause_ns);
	s->total_ns = claimed_ns(from->total_ns);
	s->leaked += from->leaked;
	s->candidates += from->candidates;
	if (!r->p->runtime)
		r->p->runtime = copy_text(from->build, sizeof(from->build));
	if (from->status == STRAND_SEARCH_DONE) {
		s->status = was_proved ? STRAND_SEARCH_DONE : s->status;
		return 0;
	}
	s->status = STRAND_SEARCH_INCONCLUSIVE;
	if (from->error)
		return set_error(s, "it could not search itself", TEXT_MAX);
	return set_error(s, from->cause, sizeof(from->cause));
}

static int read_records(struct reading *r)
{
	union {
		char bytes[STRAND_EXIT_RECORD_MAX];
		struct strand_exit_header h;
		struct strand_exit_task task;
		struct strand_exit_end end;
	} record;
	int error = 0;

	while (!error && !r->ended) {
		error = read_record(r, record.bytes);
		if (!error && record.h.type == STRAND_EXIT_TASK)
			error = add_task(r, &record.task);
		else if (!error && record.h.type == STRAND_EXIT_END)
			error = add_end(r, &record.end);
	}
	return error;
}

/* ---- processes ------------------------------------------------------------------------- */

static int fill_process(struct model_process *p, const struct ucred *peer, uint64_t start_ticks,
			int proc_fd)
{
	char command[16] = "";

	if (proc_fd >= 0) {
		procfs_read_command(proc_fd, command);
		p->exe = procfs_read_exe(proc_fd);
	}
	p->pid = peer->pid;
	p->start_ticks = start_ticks;
	p->uid = peer->uid;
	p->abi_major = STRAND_ABI_MAJOR;
	p->abi_minor = STRAND_ABI_MINOR;
	p->command = strndup(command, sizeof(command));
	return p->command ? 0 : -ENOMEM;
}

static int find_process(struct reading *r, const struct ucred *peer, int proc_fd)
{
	struct procfs_stat stat = {0};
	int error;

	if (proc_fd >= 0)
		procfs_read_stat(proc_fd, &stat);
	r->p = model_find_process(r->model, peer->pid, stat.start_ticks);
	if (r->p)
		return 0;
	error = model_add_process(r->model, &r->p);
	return error ? error : fill_process(r->p, peer, stat.start_ticks, proc_fd);
}

static void note_failure(struct model_process *p)
{
	p->search.asked = true;
	p->search.answered = false;
	set_error(&p->search, "what it reported at its end is malformed or incomplete", TEXT_MAX);
}

static void reading_done(struct reading *r)
{
	for (size_t i = 0; r->cache && i < CACHE_SIZE; i++)
		model_frame_done(&r->cache[i].frame);
	free(r->cache);
	symbol_process_free(r->symbols);
	close(r->fd); /* X2 */
}

static int take(struct exit_reports *reports, struct reading *r)
{
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);
	int proc_fd, error;

	if (getsockopt(r->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	r->cache = calloc(CACHE_SIZE, sizeof(*r->cache));
	if (!r->cache)
		return -ENOMEM;
	proc_fd = peer.pid > 0 ? procfs_open(peer.pid) : -ESRCH;
	if (proc_fd >= 0 && reports->symboliser)
		symbol_process_new(reports->symboliser, proc_fd, peer.pid, &r->symbols);
	error = find_process(r, &peer, proc_fd);
	if (!error) {
		error = read_records(r);
		if (error)
			note_failure(r->p);
	}
	symbol_process_free(r->symbols);
	r->symbols = NULL;
	if (proc_fd >= 0)
		close(proc_fd);
	return error;
}

int exit_reports_take(struct exit_reports *reports, struct model *m)
{
	struct reading r = {.model = m};
	int error;

	r.fd = accept4(reports->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (r.fd < 0)
		return errno == ECONNABORTED || errno == EINTR ? -EAGAIN : -errno;
	r.deadline_ns = now_ns(CLOCK_MONOTONIC) + DEADLINE_NS;
	error = take(reports, &r);
	reading_done(&r);
	return error;
}

int exit_reports_begin(struct model *ret_model)
{
	char host[256] = "";
	struct model m;

	model_init(&m);
	gethostname(host, sizeof(host) - 1);
	m.host = strdup(host);
	m.wall_ns = now_ns(CLOCK_REALTIME);
	m.now_ns = now_ns(CLOCK_MONOTONIC);
	m.observer_version = STRANDED_VERSION;
	*ret_model = m;
	return m.host ? 0 : -ENOMEM;
}

/* ---- the socket ------------------------------------------------------------------------ */

static int listen_on(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, BACKLOG))
		return fd;
	error = -errno;
	close(fd);
	return error;
}

int exit_reports_new(const char *path, struct exit_reports **ret_reports)
{
	struct exit_reports *r = calloc(1, sizeof(*r));
	int error;

	if (!r)
		return -ENOMEM;
	r->path = strdup(path);
	r->fd = r->path ? listen_on(path) : -ENOMEM;
	if (r->fd < 0) {
		error = r->fd;
		free(r->path);
		free(r);
		return error;
	}
	if (symboliser_new(&r->symboliser))
		r->symboliser = NULL;
	*ret_reports = r;
	return 0;
}

void exit_reports_free(struct exit_reports *r)
{
	if (!r)
		return;
	unlink(r->path);
	close(r->fd);
	symboliser_free(r->symboliser);
	free(r->path);
	free(r);
}

int exit_reports_fd(const struct exit_reports *r)
{
	return r->fd;
}

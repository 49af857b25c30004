/* SPDX-License-Identifier: MIT */
/*
 * The thread that observes for a live view.
 *
 * I1. Only the thread touches the session and the trend.
 * I2. Everything else in struct feed is read and written under its lock, which is never held
 *     across a call that can wait.
 * I3. A board belongs to one side: to the thread until it is `ready`, to the viewer from
 *     feed_take() to feed_give_back(). The thread frees, since that costs by tasks.
 */
#include "cmd/feed.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cmd/cmd.h"

#define SLICE INT64_C(50000000) /* a request waits for so long at most while nothing else is done */

struct held {
	struct board board; /* first: viewers know only this */
	struct held *next;
};

struct feed {
	pthread_t thread;
	struct session *session;
	struct trend trend;
	int64_t next_search_ns;
	int event;
	pthread_mutex_t lock;
	struct feed_options options;
	enum feed_state state;
	struct held *ready;   /* not taken yet */
	struct held *garbage; /* given back */
	bool stop, all_tasks;
	bool refresh; /* now: something was asked for */
	bool search;
	pid_t search_pid;
	int status; /* exit status, once it has ended */
};

static void wake_viewer(struct feed *f)
{
	const uint64_t one = 1;

	/* A full counter is readable all the same. */
	if (write(f->event, &one, sizeof(one)) < 0)
		return;
}

static void set_state(struct feed *f, enum feed_state state)
{
	pthread_mutex_lock(&f->lock);
	f->state = state;
	pthread_mutex_unlock(&f->lock);
}

static void free_list(struct held *list)
{
	while (list) {
		struct held *next = list->next;

		board_done(&list->board);
		free(list);
		list = next;
	}
}

static void free_garbage(struct feed *f)
{
	struct held *garbage;

	pthread_mutex_lock(&f->lock);
	garbage = f->garbage;
	f->garbage = NULL;
	pthread_mutex_unlock(&f->lock);
	free_list(garbage);
}

/* ---- the thread's work --------------------------------------------------------------- */

static int search(struct feed *f, pid_t pid)
{
	struct session one = *f->session;
	int status;

	one.scope.pid = pid ? pid : one.scope.pid;
	set_state(f, FEED_SEARCHING);
	status = session_search(&one);
	set_state(f, FEED_READING);
	return status;
}

static int search_if_due(struct feed *f, bool *ret_searched)
{
	int64_t interval;
	bool asked;
	pid_t pid;

	pthread_mutex_lock(&f->lock);
	asked = f->search;
	pid = f->search_pid;
	f->search = false;
	interval = f->options.search_interval_ns;
	pthread_mutex_unlock(&f->lock);
	*ret_searched = (asked || session_now() >= f->next_search_ns) && !f->session->replay;
	if (!*ret_searched)
		return CMD_OK;
	if (asked)
		return search(f, pid);
	f->next_search_ns = session_now() + interval;
	return search(f, 0);
}

static void publish(struct feed *f, struct held *held)
{
	pthread_mutex_lock(&f->lock);
	if (f->ready) { /* the viewer did not want it */
		f->ready->next = f->garbage;
		f->garbage = f->ready;
	}
	f->ready = held;
	pthread_mutex_unlock(&f->lock);
	wake_viewer(f);
}

static int make_board(struct feed *f)
{
	struct held *held = calloc(1, sizeof(*held));
	struct model m;
	bool all_tasks;
	int status;

	if (!held)
		return CMD_FAILED;
	pthread_mutex_lock(&f->lock);
	all_tasks = f->all_tasks;
	f->refresh = false;
	f->state = FEED_READING;
	pthread_mutex_unlock(&f->lock);
	if (f->session->replay) /* has what was recorded, one after the other */
		all_tasks = false;
	status = all_tasks ? session_snapshot(f->session, &m) : session_overview(f->session, &m);
	if (!status && board_build(&m, &f->trend, &held->board))
		status = CMD_FAILED;
	set_state(f, FEED_IDLE);
	if (status)
		free(held);
	else
		publish(f, held);
	return status;
}

/* Is there something to do before the delay is over? */
static bool is_wanted(struct feed *f, bool *ret_stop)
{
	bool wanted;

	pthread_mutex_lock(&f->lock);
	wanted = f->stop || ((f->refresh || f->search) && !f->session->replay);
	*ret_stop = f->stop;
	pthread_mutex_unlock(&f->lock);
	return wanted;
}

static int64_t delay(struct feed *f)
{
	int64_t delay_ns;

	pthread_mutex_lock(&f->lock);
	delay_ns = f->options.delay_ns;
	pthread_mutex_unlock(&f->lock);
	return delay_ns;
}

/* There is nothing to run for a recording, but its pictures are to be seen one by one. */
static int pass_time(struct feed *f, int64_t until_ns)
{
	if (f->session->replay)
		poll(NULL, 0, (int)((until_ns - session_now()) / 1000000) + 1);
	return session_run(f->session, until_ns);
}

/* The delay is asked for again and again: it may become shorter meanwhile. */
static int rest(struct feed *f, int64_t began_ns, bool *ret_stop)
{
	int status = CMD_OK;

	while (!is_wanted(f, ret_stop) && !status) {
		int64_t now_ns = session_now();

		/* The end of a recording stays on the screen. */
		if (now_ns - began_ns >= delay(f) && !session_ended(f->session))
			break;
		status = pass_time(f, now_ns + SLICE);
		free_garbage(f);
	}
	return status;
}

static void *run(void *argument)
{
	struct feed *f = argument;
	int status = CMD_OK;
	bool stop = false, searched;

	while (!stop && !status) {
		int64_t began_ns = session_now();

		/* The first board comes before the first search: people see something at once. */
		status = make_board(f);
		if (!status)
			status = search_if_due(f, &searched);
		if (!status && !searched) /* what was found is shown at once */
			status = rest(f, began_ns, &stop);
		else
			is_wanted(f, &stop);
	}
	pthread_mutex_lock(&f->lock);
	f->status = status;
	f->state = FEED_ENDED;
	pthread_mutex_unlock(&f->lock);
	wake_viewer(f);
	return NULL;
}

/* ---- the viewer's side ---------------------------------------------------------------- */

static int start_thread(struct feed *f)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	sigdelset(&all, SIGTERM); /* feed_stop() ends a search with it */
	pthread_sigmask(SIG_BLOCK, &all, &old);
	r = pthread_create(&f->thread, NULL, run, f);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

int feed_start(struct session *session, const struct feed_options *options, struct feed **ret_feed)
{
	struct feed *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->session = session;
	f->options = *options;
	if (options->search_interval_ns == INT64_MAX)
		f->next_search_ns = INT64_MAX;
	trend_init(&f->trend);
	pthread_mutex_init(&f->lock, NULL);
	f->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = f->event < 0 ? -errno : start_thread(f);
	if (r) {
		if (f->event >= 0)
			close(f->event);
		pthread_mutex_destroy(&f->lock);
		free(f);
		return r;
	}
	*ret_feed = f;
	return 0;
}

int feed_stop(struct feed *f)
{
	bool searching;
	int status;

	pthread_mutex_lock(&f->lock);
	f->stop = true;
	searching = f->state == FEED_SEARCHING;
	pthread_mutex_unlock(&f->lock);
	if (searching)
		pthread_kill(f->thread, SIGTERM); /* it ends a wait, and is noted as any other */
	pthread_join(f->thread, NULL);
	status = f->status;
	free_list(f->garbage);
	free_list(f->ready);
	trend_done(&f->trend);
	close(f->event);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return status;
}

int feed_fd(const struct feed *f)
{
	return f->event;
}

struct board *feed_take(struct feed *f)
{
	struct held *held;
	uint64_t count;

	if (read(f->event, &count, sizeof(count)) < 0)
		return NULL; /* nothing since */
	pthread_mutex_lock(&f->lock);
	held = f->ready;
	f->ready = NULL;
	pthread_mutex_unlock(&f->lock);
	return held ? &held->board : NULL;
}

void feed_give_back(struct feed *f, struct board *board)
{
	struct held *held = (struct held *)board;

	if (!held)
		return;
	pthread_mutex_lock(&f->lock);
	held->next = f->garbage;
	f->garbage = held;
	pthread_mutex_unlock(&f->lock);
}

enum feed_state feed_state(struct feed *f)
{
	enum feed_state state;

	pthread_mutex_lock(&f->lock);
	state = f->state;
	pthread_mutex_unlock(&f->lock);
	return state;
}

void feed_search(struct feed *f, pid_t pid)
{
	pthread_mutex_lock(&f->lock);
	f->search = true;
	f->search_pid = pid;
	pthread_mutex_unlock(&f->lock);
}

void feed_set_delay(struct feed *f, int64_t delay_ns)
{
	pthread_mutex_lock(&f->lock);
	f->options.delay_ns = delay_ns;
	pthread_mutex_unlock(&f->lock);
}

void feed_set_tasks(struct feed *f, bool all)
{
	pthread_mutex_lock(&f->lock);
	f->refresh |= f->all_tasks != all;
	f->all_tasks = all;
	pthread_mutex_unlock(&f->lock);
}

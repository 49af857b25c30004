/* SPDX-License-Identifier: MIT */
/*
 * Waiting for descriptors: one epoll instance for each worker. See poller.c.
 */
#ifndef STRAND_POLLER_H
#define STRAND_POLLER_H

#include <stdbool.h>
#include <strand.h>
#include <sys/epoll.h>
#include "strand/list.h"
#include "strand/object_lock.h"
#include "strand/memory.h"
#include "strand/task.h"

struct runtime;

/*
 * Events fetched with one system call: at 50 ns each a batch costs a few microseconds. More
 * only makes the worker's ready tasks wait longer for the next look at inbox and timers.
 */
#define POLLER_EVENTS 128

struct fd_page;

struct poller {
	struct memory *memory;
	int epoll_fd, event_fd;   /* -1: nothing was ever waited for */
	_Atomic unsigned waiting; /* tasks of this worker that wait: is there need to look? */
	strand_time last_look;
	struct object_lock lock;        /* of the pages' entries and of their waiters */
	struct fd_page *_Atomic *pages; /* by descriptor; NULL like epoll_fd */
	struct epoll_event events[POLLER_EVENTS];
};

void poller_init(struct poller *p, struct memory *memory);

/* Close the descriptors; also in the child of a fork. */
void poller_done(struct poller *p);

/*
 * poller_wait - park the current task until the descriptor is ready.
 * @events, @ret_ready  bits of enum strand_io
 * @deadline            as wait_allowed has left it
 * Returns 0, -ETIMEDOUT, -ECANCELED, -EBADF (also: strand_close) or what epoll_ctl says.
 */
int poller_wait(struct poller *p, int fd, unsigned events, strand_time deadline,
		const struct frame *where, unsigned *ret_ready);

/*
 * poller_look - claim the tasks whose descriptors are ready.
 * @until      when to give up; 0: at once, STRAND_FOREVER: never
 * @ret_taken  struct waiter, claimed, to be run
 * On the poller's worker. Returns early when poller_kick was called, before or meanwhile.
 */
void poller_look(struct poller *p, strand_time until, struct list *ret_taken);

/*
 * Whether the last read took all that was there: then to wait first is likely to save a call that
 * would block. A guess, as the number may be another file's now. On the poller's worker.
 */
void poller_set_drained(struct poller *p, int fd, bool drained);
bool poller_is_drained(const struct poller *p, int fd);

/* End a poller_look that waits, or the next one. From anywhere. */
void poller_kick(struct poller *p);

/* Claim all who wait for the descriptor and forget it. With why -EAGAIN they wait anew. */
void poller_forget(struct poller *p, int fd, int why, struct list *ret_taken);

/* What a wait for these bits learns from events of poll(2) or epoll(7). */
unsigned io_ready(unsigned kernel_events, unsigned wanted);

#endif

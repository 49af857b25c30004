/* SPDX-License-Identifier: MIT */
/*
 * Waiting for descriptors.
 *
 * Each worker has an epoll instance of its own, and sleeps in it when it is idle and a task
 * of its own waits for a descriptor. A started task stays on its worker, so an event is
 * always fetched by the one worker that can run who waits for it: no hop to another core, no
 * worker to elect as the poller, and a task that computes for long delays nobody's I/O but
 * that of tasks which could not run anyway.
 * Rejected: one instance for all workers with one of them polling. Each event for another
 * worker's task costs a second wake-up, and a poller that leaves with work has to wake
 * another worker each time, in case its work takes long.
 *
 * Invariants:
 *   P1. A registration is one-shot and is armed anew for each wait, by number. The program may
 *       close a descriptor and get the number again without telling us: the kernel drops the
 *       registration with the file, and arming finds out (ENOENT: add it).
 *   P2. An entry is armed for what its waiters want, all of them, under the lock.
 *   P3. The generation in an event's data says which arming it belongs to. An older one is
 *       dropped: it may be of another file with that number, and arming has looked anew.
 *   P4. epoll_ctl is called with the lock held, so that a waiter that strand_close does not
 *       find arms after the close. It is a short system call, and only strand_close competes.
 *
 * The data words are numbers, not addresses, and all memory here is the runtime's own: for the
 * leak search there is nothing in it. Who waits here is live.
 */
#include "strand/poller.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "strand/waiter.h"

#define PAGE_ENTRIES 1024
#define PAGES        16384 /* 16 million descriptors; the kernel's default limit is 1 million */
#define KICK_KEY     UINT64_MAX

struct fd_entry {
	struct list waiters; /* struct fd_wait */
	uint32_t generation; /* P3 */
	bool registered;     /* a guess: P1 */
	bool drained;        /* a guess; the worker's own */
};

struct fd_page {
	struct fd_entry entries[PAGE_ENTRIES];
};

/* One task's wait, on its stack. */
struct fd_wait {
	struct waiter waiter;
	unsigned events;
	unsigned ready;
};

unsigned io_ready(unsigned kernel_events, unsigned wanted)
{
	unsigned ready = 0;

	/* After an error or a hang-up neither call would wait: it tells what has happened. */
	if (kernel_events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		ready |= STRAND_READABLE;
	if (kernel_events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		ready |= STRAND_WRITABLE;
	return ready & wanted;
}

/* ---- opening -------------------------------------------------------------------- */

void poller_init(struct poller *p, struct memory *memory)
{
	p->memory = memory;
	p->epoll_fd = p->event_fd = -1;
}

void poller_done(struct poller *p)
{
	if (p->epoll_fd >= 0)
		close(p->epoll_fd);
	if (p->event_fd >= 0)
		close(p->event_fd);
	p->epoll_fd = p->event_fd = -1;
}

/* Returns 0 or -errno. */
static __attribute__((noinline)) int open_descriptors(struct poller *p)
{
	struct epoll_event kick = {.events = EPOLLIN, .data.u64 = KICK_KEY};
	int saved_errno = errno;
	int r = 0;

	p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->event_fd >= 0)
		p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->event_fd < 0 || p->epoll_fd < 0 ||
	    epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->event_fd, &kick) < 0)
		r = -errno;
	if (r < 0)
		poller_done(p);
	errno = saved_errno;
	return r;
}

/* At the first wait: a program without I/O has none of this. Returns 0 or -errno. */
static int open_poller(struct poller *p)
{
	if (p->epoll_fd >= 0)
		return 0;
	if (!p->pages) {
		void *pages = memory_map(p->memory, PAGES * sizeof(*p->pages));

		if (!pages)
			return -ENOMEM;
		__atomic_store_n(&p->pages, pages, __ATOMIC_RELEASE);
	}
	return open_descriptors(p);
}

/* NULL: nothing has waited for a descriptor near it. */
static struct fd_entry *find_entry(const struct poller *p, int fd)
{
	unsigned page = (unsigned)fd / PAGE_ENTRIES;
	struct fd_page *entries;

	if (!__atomic_load_n(&p->pages, __ATOMIC_ACQUIRE) || page >= PAGES)
		return NULL;
	entries = atomic_load(&p->pages[page]);
	return entries ? &entries->entries[(unsigned)fd % PAGE_ENTRIES] : NULL;
}

/* On the worker only. */
static int make_entry(struct poller *p, int fd, struct fd_entry **ret_entry)
{
	unsigned page = (unsigned)fd / PAGE_ENTRIES;

	if (fd < 0 || page >= PAGES)
		return fd < 0 ? -EBADF : -EMFILE;
	if (!atomic_load_explicit(&p->pages[page], memory_order_relaxed)) {
		struct fd_page *made = memory_map(p->memory, sizeof(*made));

		if (!made)
			return -ENOMEM;
		for (int i = 0; i < PAGE_ENTRIES; i++)
			list_init(&made->entries[i].waiters);
		atomic_store(&p->pages[page], made);
	}
	*ret_entry = find_entry(p, fd);
	return 0;
}

void poller_set_drained(struct poller *p, int fd, bool drained)
{
	struct fd_entry *entry = fd < 0 ? NULL : find_entry(p, fd);

	if (entry)
		entry->drained = drained;
}

bool poller_is_drained(const struct poller *p, int fd)
{
	const struct fd_entry *entry = fd < 0 ? NULL : find_entry(p, fd);

	return entry && entry->drained;
}

/* ---- waiting -------------------------------------------------------------------- */

static uint32_t wanted_events(const struct fd_entry *entry)
{
	uint32_t events = EPOLLONESHOT;

	for (const struct list *l = entry->waiters.next; l != &entry->waiters; l = l->next) {
		const struct fd_wait *wait = list_entry(l, struct fd_wait, waiter.link);

		if (wait->events & STRAND_READABLE)
			events |= EPOLLIN;
		if (wait->events & STRAND_WRITABLE)
			events |= EPOLLOUT;
	}
	return events;
}

/*
 * P2. Lock held. Returns 0 or -errno. As in io.c, errno is used within a function that does
 * not park, and not inlined: a task that migrates has another one afterwards.
 */
static __attribute__((noinline)) int arm(struct poller *p, struct fd_entry *entry, int fd)
{
	int saved_errno = errno;
	struct epoll_event event = {.events = wanted_events(entry)};
	int first = entry->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	int r;

	event.data.u64 = (uint64_t)++entry->generation << 32 | (uint32_t)fd;
	r = epoll_ctl(p->epoll_fd, first, fd, &event);
	if (r < 0 && first == EPOLL_CTL_MOD && errno == ENOENT)
		r = epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	else if (r < 0 && first == EPOLL_CTL_ADD && errno == EEXIST)
		r = epoll_ctl(p->epoll_fd, EPOLL_CTL_MOD, fd, &event);
	entry->registered = r == 0;
	r = r < 0 ? -errno : 0;
	errno = saved_errno;
	return r;
}

/* One wait. -EAGAIN: to be repeated. */
static int wait_once(struct poller *p, int fd, struct fd_wait *wait, strand_time deadline,
		     const struct wait_info *info)
{
	struct sleeper sleeper = sleeper_here();
	struct fd_entry *entry = NULL;
	int r = open_poller(p);

	if (r == 0)
		r = make_entry(p, fd, &entry);
	if (r == 0)
		r = wait_reserve(deadline); /* it may not be the first wait */
	if (r < 0)
		return r;
	object_lock_take(&p->lock);
	waiter_link(&wait->waiter, &sleeper, &entry->waiters, &p->lock);
	r = arm(p, entry, fd);
	if (r < 0) {
		list_remove(&wait->waiter.link);
		object_lock_release(&p->lock);
		return r;
	}
	atomic_fetch_add_explicit(&p->waiting, 1, memory_order_relaxed);
	r = waiter_wait(&wait->waiter, info, deadline);
	/* Atomic: a task that may migrate and was woken by strand_close may be elsewhere now. */
	atomic_fetch_sub_explicit(&p->waiting, 1, memory_order_relaxed);
	return r;
}

int poller_wait(struct poller *p, int fd, unsigned events, strand_time deadline,
		const struct frame *where, unsigned *ret_ready)
{
	struct fd_wait wait = {.events = events};
	struct wait_info info = {STRAND_WAIT_IO_WAIT, 0, where};
	int r;

	do {
		r = wait_once(p, fd, &wait, deadline, &info);
	} while (r == -EAGAIN);
	if (r == -EPERM) { /* a regular file: as for poll(2), never something to wait for */
		wait.ready = events;
		r = 0;
	}
	if (r == 0)
		*ret_ready = wait.ready;
	return r;
}

/* ---- waking --------------------------------------------------------------------- */

static void claim_ready(struct poller *p, const struct epoll_event *event, struct list *ret_taken)
{
	int fd = (int)(uint32_t)event->data.u64;
	struct fd_entry *entry = find_entry(p, fd);
	struct list *next;

	object_lock_take(&p->lock);
	if (entry->generation != (uint32_t)(event->data.u64 >> 32)) { /* P3 */
		object_lock_release(&p->lock);
		return;
	}
	for (struct list *l = entry->waiters.next; l != &entry->waiters; l = next) {
		struct fd_wait *wait = list_entry(l, struct fd_wait, waiter.link);

		next = l->next;
		wait->ready = io_ready(event->events, wait->events);
		if (!wait->ready)
			continue;
		waiter_claim(&wait->waiter, 0);
		list_append(ret_taken, &wait->waiter.link);
	}
	if (!list_is_empty(&entry->waiters)) {
		int r = arm(p, entry, fd);

		if (r < 0)
			waiter_take_all(&entry->waiters, r, ret_taken);
	}
	object_lock_release(&p->lock);
}

static void drain_kicks(struct poller *p)
{
	uint64_t kicks;

	while (read(p->event_fd, &kicks, sizeof(kicks)) < 0 && errno == EINTR)
		;
}

/* Returns the number of events; 0 also if a signal came. */
static int fetch(struct poller *p, strand_time until)
{
	strand_time left = until == 0 ? 0 : until - strand_now();
	struct timespec ts = {0, 0};
	long n;

	if (left > 0)
		ts = (struct timespec){left / STRAND_SECOND, left % STRAND_SECOND};
	n = syscall(SYS_epoll_pwait2, p->epoll_fd, p->events, POLLER_EVENTS,
		    until == STRAND_FOREVER ? NULL : &ts, NULL, 0);
	if (n < 0 && errno == ENOSYS) { /* before Linux 5.11: milliseconds, rounded up */
		strand_time ms = (strand_time)ts.tv_sec * 1000 + (ts.tv_nsec + 999999) / 1000000;

		n = epoll_wait(p->epoll_fd, p->events, POLLER_EVENTS,
			       until == STRAND_FOREVER ? -1
			       : ms < INT32_MAX        ? (int)ms
						       : INT32_MAX);
	}
	return n < 0 ? 0 : (int)n;
}

void poller_look(struct poller *p, strand_time until, struct list *ret_taken)
{
	int saved_errno = errno;
	int n = fetch(p, until);

	for (int i = 0; i < n; i++) {
		if (p->events[i].data.u64 == KICK_KEY)
			drain_kicks(p);
		else
			claim_ready(p, &p->events[i], ret_taken);
	}
	errno = saved_errno;
}

void poller_kick(struct poller *p)
{
	const uint64_t one = 1;
	int saved_errno = errno;

	/* It fails only when the counter is full: then the poller wakes anyway. */
	while (write(p->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}

void poller_forget(struct poller *p, int fd, int why, struct list *ret_taken)
{
	struct fd_entry *entry = fd < 0 ? NULL : find_entry(p, fd);

	if (!entry)
		return;
	object_lock_take(&p->lock);
	if (entry->registered) {
		epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		entry->registered = false;
	}
	entry->generation++;
	waiter_take_all(&entry->waiters, why, ret_taken);
	object_lock_release(&p->lock);
}

/* SPDX-License-Identifier: MIT */
/*
 * The kernel's hands: pointers that are in no memory of the process.
 *
 * Runs while the world stands still, so it is part of the pause: raw system
 * calls, no allocation. Every kind of descriptor is either known to hold no
 * pointer, or shows what it holds, or ends the search as inconclusive; a kind
 * that is not known is of the last sort.
 *
 * Only the read side of a pipe matters: bytes that nobody in this process can
 * read can bring no pointer back. A descriptor in flight keeps its socket's queue
 * from being empty.
 */
#include "leakgc/kernel_hands.h"

#include <errno.h>
#include <linux/mqueue.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "leakgc/maps.h"
#include "leakgc/syscall.h"

static size_t put_text(char *to, const char *text)
{
	size_t n = strlen(text);

	memcpy(to, text, n + 1);
	return n;
}

static size_t put_number(char *to, int value)
{
	char digits[12];
	size_t n = 0, d = 0;

	do {
		digits[d++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	while (d)
		to[n++] = digits[--d];
	to[n] = 0;
	return n;
}

/*
 * "/proc/thread-self/" folder number rest; fits 64 bytes for the folders used here.
 * /proc/self is the first thread, which has nothing left once it has ended.
 */
static const char *proc_path(char path[64], const char *folder, int number, const char *rest)
{
	size_t n = put_text(path, "/proc/thread-self/");

	n += put_text(path + n, folder);
	n += put_number(path + n, number);
	put_text(path + n, rest);
	return path;
}

static int parse_fd(const char *name)
{
	int fd = 0;

	for (; *name; name++) {
		if (*name < '0' || *name > '9')
			return -1;
		fd = fd * 10 + (*name - '0');
	}
	return fd;
}

/* Read a hexadecimal number behind blanks; stops at the first other character. */
static uint64_t hex_after(const char *at)
{
	uint64_t value = 0;

	while (*at == ' ' || *at == '\t')
		at++;
	for (;; at++) {
		if (*at >= '0' && *at <= '9')
			value = value << 4 | (uint64_t)(*at - '0');
		else if (*at >= 'a' && *at <= 'f')
			value = value << 4 | (uint64_t)(*at - 'a' + 10);
		else
			return value;
	}
}

static enum strand_search_cause add_word(struct leakgc_hands *h, uint64_t word, uint64_t root)
{
	struct leakgc_world *w = h->world;

	if (leakgc_without(w, LEAKGC_WITHOUT_KERNEL_WORDS))
		return STRAND_CAUSE_NONE;
	if (w->kernel_word_count == w->kernel_word_room)
		return STRAND_CAUSE_DESCRIPTORS;
	w->kernel_words[w->kernel_word_count++] = (struct leakgc_kernel_word){word, root};
	return STRAND_CAUSE_NONE;
}

static enum strand_search_cause failed(struct leakgc_hands *h, long error)
{
	h->detail = (uint64_t)-error;
	return STRAND_CAUSE_SYSTEM;
}

/* Every number behind `key` in a file of /proc is a root word. */
static enum strand_search_cause add_words_of(struct leakgc_hands *h, const char *path,
					     const char *key, uint64_t root)
{
	int fd = leakgc_open(path);
	size_t have = 0;
	long n;

	if (fd < 0)
		return failed(h, fd);
	while ((n = leakgc_read_fd(fd, h->buffer + have, h->buffer_size - 1 - have)) > 0) {
		char *line = h->buffer, *newline, *found;

		have += (size_t)n;
		h->buffer[have] = 0;
		while ((newline = strchr(line, '\n'))) {
			*newline = 0;
			found = strstr(line, key);
			if (found && add_word(h, hex_after(found + strlen(key)), root)) {
				leakgc_close(fd);
				return STRAND_CAUSE_DESCRIPTORS;
			}
			line = newline + 1;
		}
		have -= (size_t)(line - h->buffer);
		memmove(h->buffer, line, have);
		if (have == h->buffer_size - 1)
			break;
	}
	leakgc_close(fd);
	if (n < 0)
		return failed(h, n);
	return have ? failed(h, -EINVAL) : STRAND_CAUSE_NONE;
}

/* ---- descriptors ---------------------------------------------------------- */

static enum strand_search_cause look_at_pipe(struct leakgc_hands *h, int fd)
{
	long flags = LEAKGC_SYS2(SYS_fcntl, fd, F_GETFL);
	int unread = 0;
	long r;

	if (leakgc_without(h->world, LEAKGC_WITHOUT_PIPES))
		return STRAND_CAUSE_NONE;
	if (flags < 0)
		return failed(h, flags);
	if ((flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
		return STRAND_CAUSE_NONE;
	r = LEAKGC_SYS3(SYS_ioctl, fd, FIONREAD, &unread);
	if (r < 0)
		return failed(h, r);
	return unread ? STRAND_CAUSE_KERNEL_PIPE : STRAND_CAUSE_NONE;
}

/*
 * Only local sockets carry pointers. FIONREAD is of the first datagram only,
 * and a listener has connections with data in them: there, "readable" counts.
 */
static enum strand_search_cause look_at_socket(struct leakgc_hands *h, int fd)
{
	struct pollfd poll = {.fd = fd, .events = POLLIN};
	struct timespec now = {0, 0};
	int domain = 0, type = 0, unread = 0;
	socklen_t size = sizeof(domain), type_size = sizeof(type);
	long r;

	if (leakgc_without(h->world, LEAKGC_WITHOUT_PIPES))
		return STRAND_CAUSE_NONE;
	r = LEAKGC_SYS5(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
	if (r < 0)
		return failed(h, r);
	if (domain != AF_UNIX)
		return STRAND_CAUSE_NONE;
	r = LEAKGC_SYS5(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &type_size);
	if (r < 0)
		return failed(h, r);
	r = LEAKGC_SYS3(SYS_ioctl, fd, FIONREAD, &unread);
	if (r == 0 && type != SOCK_DGRAM)
		return unread ? STRAND_CAUSE_KERNEL_PIPE : STRAND_CAUSE_NONE;
	r = LEAKGC_SYS5(SYS_ppoll, &poll, 1, &now, NULL, 8);
	if (r < 0)
		return failed(h, r);
	return poll.revents & POLLIN ? STRAND_CAUSE_KERNEL_PIPE : STRAND_CAUSE_NONE;
}

/* A message queue is a regular file of its own file system. */
static enum strand_search_cause look_at_file(struct leakgc_hands *h, int fd)
{
	char text[256];
	const char *notify;
	struct mq_attr attributes;
	long r;

	if (leakgc_without(h->world, LEAKGC_WITHOUT_QUEUES))
		return STRAND_CAUSE_NONE;
	r = LEAKGC_SYS3(SYS_mq_getsetattr, fd, NULL, &attributes);
	if (r == -EBADF || r == -ENOSYS || r == -EPERM)
		return STRAND_CAUSE_NONE;
	if (r < 0)
		return failed(h, r);
	if (attributes.mq_curmsgs)
		return STRAND_CAUSE_KERNEL_MESSAGE_QUEUE;
	/* mq_notify() leaves a value in the kernel that nothing shows. */
	r = LEAKGC_SYS4(SYS_pread64, fd, text, sizeof(text) - 1, 0);
	if (r <= 0)
		return STRAND_CAUSE_KERNEL_MESSAGE_QUEUE;
	text[r] = 0;
	notify = strstr(text, "NOTIFY_PID:0");
	return notify ? STRAND_CAUSE_NONE : STRAND_CAUSE_KERNEL_MESSAGE_QUEUE;
}

static enum strand_search_cause look_at_anonymous(struct leakgc_hands *h, int fd, const char *kind)
{
	/* Known to hold no value that the program chose. */
	static const char *const harmless[] = {"[timerfd]",  "[signalfd]", "[pidfd]",
					       "inotify",    "[fanotify]", "bpf-prog",
					       "bpf_link",   "btf",        "[landlock-ruleset]",
					       "[fscontext]"};
	char path[64];

	if (!strcmp(kind, "[eventpoll]"))
		return add_words_of(h, proc_path(path, "fdinfo/", fd, ""), "data:", (uint64_t)fd);
	if (!strcmp(kind, "[eventfd]"))
		return add_words_of(h, proc_path(path, "fdinfo/", fd, ""),
				    "eventfd-count:", (uint64_t)fd);
	if (leakgc_without(h->world, LEAKGC_WITHOUT_RINGS))
		return STRAND_CAUSE_NONE;
	if (!strcmp(kind, "[io_uring]"))
		return STRAND_CAUSE_KERNEL_IO_URING;
	if (!strcmp(kind, "[userfaultfd]"))
		return STRAND_CAUSE_KERNEL_USERFAULTFD;
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (!strcmp(kind, harmless[i]))
			return STRAND_CAUSE_NONE;
	return STRAND_CAUSE_KERNEL_OTHER;
}

static enum strand_search_cause look_at_descriptor(struct leakgc_hands *h, int fd)
{
	static const char prefix[] = "anon_inode:";
	char path[64], target[64];
	struct stat st;
	long n = LEAKGC_SYS2(SYS_fstat, fd, &st);

	h->detail = (uint64_t)fd;
	if (n < 0)
		return failed(h, n);
	if (S_ISFIFO(st.st_mode))
		return look_at_pipe(h, fd);
	if (S_ISSOCK(st.st_mode))
		return look_at_socket(h, fd);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode))
		return STRAND_CAUSE_NONE;
	n = LEAKGC_SYS4(SYS_readlinkat, AT_FDCWD, proc_path(path, "fd/", fd, ""), target,
			sizeof(target) - 1);
	if (n < 0)
		return failed(h, n);
	target[n] = 0;
	if (!strncmp(target, prefix, sizeof(prefix) - 1))
		return look_at_anonymous(h, fd, target + sizeof(prefix) - 1);
	return look_at_file(h, fd);
}

static bool is_own(const struct leakgc_runtime *runtime, int fd)
{
	for (size_t i = 0; i < runtime->own_fd_count; i++)
		if (runtime->own_fds[i] == fd)
			return true;
	return false;
}

struct kernel_dirent { /* linux_dirent64 */
	uint64_t inode;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

static enum strand_search_cause look_at_descriptors(struct leakgc_hands *h)
{
	char list[4096] __attribute__((aligned(8)));
	enum strand_search_cause cause = STRAND_CAUSE_NONE;
	int folder = leakgc_open("/proc/thread-self/fd");
	size_t seen = 0;
	long n = 0;

	if (folder < 0)
		return failed(h, folder);
	while (!cause && (n = LEAKGC_SYS3(SYS_getdents64, folder, list, sizeof(list))) > 0) {
		for (long at = 0; at < n && !cause;) {
			struct kernel_dirent *entry = (struct kernel_dirent *)(list + at);
			int fd = parse_fd(entry->name);

			at += entry->size;
			if (fd < 0 || fd == folder || fd == h->own_fd || is_own(h->runtime, fd))
				continue;
			if (++seen > LEAKGC_DESCRIPTORS_MAX)
				cause = STRAND_CAUSE_DESCRIPTORS;
			else
				cause = look_at_descriptor(h, fd);
		}
	}
	leakgc_close(folder);
	return n < 0 ? failed(h, n) : cause;
}

/* ---- signals and timers ------------------------------------------------------ */

/* sigev_value of POSIX timers: "signal: 60/00007f0012345678" */
static enum strand_search_cause look_at_timers(struct leakgc_hands *h)
{
	enum strand_search_cause cause;

	cause = add_words_of(h, "/proc/self/timers", "/", 0);
	/* A kernel without checkpoint/restore shows no timers; there may be some. */
	return cause == STRAND_CAUSE_SYSTEM ? STRAND_CAUSE_KERNEL_SIGNAL : cause;
}

static bool pending_in(const char *status, const char *key, uint64_t own_signal)
{
	const char *found = strstr(status, key);

	return !found || (hex_after(found + strlen(key)) & ~own_signal);
}

static enum strand_search_cause look_at_pending(struct leakgc_hands *h, int tid)
{
	uint64_t own_signal = 1ULL << (h->runtime->stop_signal - 1);
	char path[64];
	long n =
		leakgc_read_file(proc_path(path, "../", tid, "/status"), h->buffer, h->buffer_size);

	h->detail = (uint64_t)tid;
	if (n < 0)
		return failed(h, n);
	if (pending_in(h->buffer, "\nSigPnd:", own_signal) ||
	    pending_in(h->buffer, "\nShdPnd:", own_signal))
		return STRAND_CAUSE_KERNEL_SIGNAL;
	return STRAND_CAUSE_NONE;
}

static enum strand_search_cause look_at_signals(struct leakgc_hands *h)
{
	enum strand_search_cause cause;

	if (leakgc_without(h->world, LEAKGC_WITHOUT_PENDING_SIGNALS))
		return STRAND_CAUSE_NONE;
	cause = look_at_pending(h, (int)LEAKGC_SYS1(SYS_gettid, 0));
	for (size_t i = 0; i < h->thread_count && !cause; i++)
		cause = look_at_pending(h, h->threads[i].tid);
	return cause;
}

enum strand_search_cause leakgc_hands_look(struct leakgc_hands *h)
{
	enum strand_search_cause cause = look_at_descriptors(h);

	if (!cause)
		cause = look_at_timers(h);
	if (!cause)
		cause = look_at_signals(h);
	return cause;
}

/* ---- shared memory -------------------------------------------------------------- */

struct shared_copy {
	struct leakgc_hands *hands;
	struct leakgc_memory *memory;
	unsigned char *room;
	size_t room_left;
	bool swap_in_use; /* then mincore() may call a page absent that holds data */
	enum strand_search_cause cause;
};

static int stop_with(struct shared_copy *c, enum strand_search_cause cause, uint64_t detail)
{
	c->cause = cause;
	c->hands->detail = detail;
	return 1;
}

static int copy_run(struct shared_copy *c, const struct leakgc_region *region, uintptr_t lo,
		    uintptr_t hi)
{
	struct leakgc_world *w = c->hands->world;
	size_t length = hi - lo;

	if (length > c->room_left || w->copy_count == w->copy_room)
		return stop_with(c, STRAND_CAUSE_SHARED_MEMORY, lo);
	if (leakgc_memory_read(c->memory, lo, c->room, length) < 0) {
		/* Registers and rings of a device: hardware's, and not to be touched. */
		if (region->backing == LEAKGC_BACKING_DEVICE)
			return 0;
		return stop_with(c, STRAND_CAUSE_UNREADABLE_MEMORY, lo);
	}
	w->copies[w->copy_count++] = (struct leakgc_copy){lo, length, c->room};
	c->room += length;
	c->room_left -= length;
	return 0;
}

/* Copy the pages that are in memory; a shared page may be there and in no page table of ours. */
static int copy_resident(struct shared_copy *c, const struct leakgc_region *region)
{
	size_t page = c->memory->page_size, vector_size = c->hands->buffer_size;
	unsigned char *vector = (unsigned char *)c->hands->buffer;
	int r = 0;

	for (uintptr_t at = region->lo; at < region->hi && !r;) {
		size_t pages = (region->hi - at) / page, i = 0;

		if (pages > vector_size / 2) /* the other half is the caller's: lines of maps */
			pages = vector_size / 2;
		vector = (unsigned char *)c->hands->buffer + vector_size / 2;
		if (LEAKGC_SYS3(SYS_mincore, at, pages * page, vector) < 0)
			return stop_with(c, STRAND_CAUSE_UNREADABLE_MEMORY, at);
		while (i < pages && !r) {
			size_t start = i;

			if (!(vector[i] & 1) && !c->swap_in_use) {
				i++;
				continue;
			}
			while (i < pages && ((vector[i] & 1) || c->swap_in_use))
				i++;
			r = copy_run(c, region, at + start * page, at + i * page);
		}
		at += pages * page;
	}
	return r;
}

static int copy_region(void *context, const struct leakgc_region *region)
{
	struct shared_copy *c = context;

	if (region->backing == LEAKGC_BACKING_AIO &&
	    !leakgc_without(c->hands->world, LEAKGC_WITHOUT_RINGS))
		return stop_with(c, STRAND_CAUSE_KERNEL_AIO, region->lo);
	if (region->backing == LEAKGC_BACKING_UPROBES)
		c->hands->uprobe_bytes += region->hi - region->lo;
	if (!region->shared || region->backing == LEAKGC_BACKING_KERNEL ||
	    region->backing == LEAKGC_BACKING_UPROBES || region->lo == c->hands->skip.lo)
		return 0;
	/* A file that nobody writes through this mapping: the snapshot reads it (row 24). */
	if (region->backing == LEAKGC_BACKING_FILE && !region->writable)
		return 0;
	if (leakgc_without(c->hands->world, LEAKGC_WITHOUT_SHARED_COPY))
		return 0;
	return copy_resident(c, region);
}

enum strand_search_cause leakgc_hands_copy_shared(struct leakgc_hands *h, struct leakgc_memory *m,
						  unsigned char *room, size_t room_size)
{
	struct shared_copy c = {.hands = h, .memory = m, .room = room, .room_left = room_size};
	int fd = leakgc_open("/proc/thread-self/maps");
	struct sysinfo info;
	long r;

	if (fd < 0)
		return failed(h, fd);
	r = LEAKGC_SYS1(SYS_sysinfo, &info);
	c.swap_in_use = r < 0 || info.freeswap != info.totalswap;
	r = leakgc_walk_maps(fd, h->buffer, h->buffer_size / 2, copy_region, &c);
	leakgc_close(fd);
	return r < 0 ? failed(h, r) : c.cause;
}

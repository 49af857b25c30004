/* SPDX-License-Identifier: MIT */
/*
 * Reads lines of source in a child.
 *
 * The name is the target's. Opening it could hang (FUSE, NFS), and root could be made to show what
 * the target's user may not read. So a child with that user's rights opens it, and is killed if
 * it takes too long.
 */
#include "cmd/source.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS 200
#define FILE_MAX   (16 << 20) /* bytes; larger ones are generated */
#define LINES_MAX  4096       /* bytes that are given back: they fit a pipe, so nobody waits */
#define NOBODY     65534      /* the group: the model does not know that of the process */

/* System calls, not the C library's functions, which would want to change all threads. */
static bool give_up_rights(uid_t uid)
{
	if (geteuid() || !uid)
		return true;
	return !syscall(SYS_setgroups, 0, NULL) &&
	       !syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) &&
	       !syscall(SYS_setresuid, uid, uid, uid);
}

/* The part of a text with the lines first to last, cut to what fits. */
static size_t find_lines(const char *text, size_t size, unsigned first, unsigned last,
			 size_t *ret_start)
{
	size_t at = 0, start;

	for (unsigned line = 1; line < first && at < size; line++) {
		const char *end = memchr(text + at, '\n', size - at);

		at = end ? (size_t)(end - text) + 1 : size;
	}
	start = at;
	for (unsigned line = first; line <= last && at < size; line++) {
		const char *end = memchr(text + at, '\n', size - at);

		at = end ? (size_t)(end - text) + 1 : size;
	}
	*ret_start = start;
	return at - start < LINES_MAX ? at - start : LINES_MAX;
}

/* In the child. A file that shrinks while it is mapped kills only the child. */
static void write_lines(int out, const char *file, unsigned first, unsigned last)
{
	int fd = open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat status;
	size_t start, size;
	char *text;

	if (fd < 0 || fstat(fd, &status) || !S_ISREG(status.st_mode) || !status.st_size ||
	    status.st_size > FILE_MAX)
		return;
	text = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED)
		return;
	size = find_lines(text, (size_t)status.st_size, first, last, &start);
	if (write(out, text + start, size) < 0)
		return;
}

static pid_t start_child(int pipe_ends[2], uid_t uid, const char *file, unsigned first,
			 unsigned last)
{
	pid_t child = fork();

	if (child)
		return child;
	close(pipe_ends[0]);
	if (give_up_rights(uid))
		write_lines(pipe_ends[1], file, first, last);
	_exit(0);
}

static char *receive(int in)
{
	struct pollfd p = {.fd = in, .events = POLLIN};
	char *text = malloc(LINES_MAX + 1);
	ssize_t size = -1;

	if (text && poll(&p, 1, TIMEOUT_MS) == 1)
		size = read(in, text, LINES_MAX);
	if (size <= 0) {
		free(text);
		return NULL;
	}
	text[size] = '\0';
	return text;
}

/* A child that cannot die is left behind: waiting for it would be what this is to prevent. */
static void end_child(pid_t child)
{
	kill(child, SIGKILL);
	for (int tries = 0; tries < 20; tries++) {
		if (waitpid(child, NULL, WNOHANG) != 0)
			return;
		poll(NULL, 0, 1);
	}
}

static char *read_lines(uid_t uid, const char *file, unsigned first, unsigned last)
{
	char *text = NULL;
	int ends[2];
	pid_t child;

	if (*file != '/' || pipe2(ends, O_CLOEXEC))
		return NULL;
	child = start_child(ends, uid, file, first, last);
	close(ends[1]);
	if (child > 0) {
		text = receive(ends[0]);
		end_child(child);
	}
	close(ends[0]);
	return text;
}

static void forget(struct source_cached *entry)
{
	free(entry->file);
	free(entry->text);
	memset(entry, 0, sizeof(*entry));
}

static struct source_cached *find(struct source_cache *cache, uid_t uid, const char *file,
				  unsigned first, unsigned last)
{
	for (unsigned i = 0; i < SOURCE_CACHE; i++) {
		struct source_cached *entry = &cache->entries[i];

		if (entry->file && entry->uid == uid && entry->first == first &&
		    entry->last == last && !strcmp(entry->file, file))
			return entry;
	}
	return NULL;
}

char *source_read(void *context, const struct model_process *p, const char *file, unsigned first,
		  unsigned last)
{
	struct source_cache *cache = context;
	struct source_cached *entry = find(cache, p->uid, file, first, last);

	if (!entry) {
		entry = &cache->entries[cache->next++ % SOURCE_CACHE];
		forget(entry);
		entry->text = read_lines(p->uid, file, first, last);
		entry->file = strdup(file); /* without it the entry is not found again */
		entry->uid = p->uid;
		entry->first = first;
		entry->last = last;
	}
	return entry->text ? strdup(entry->text) : NULL;
}

void source_cache_done(struct source_cache *cache)
{
	for (unsigned i = 0; i < SOURCE_CACHE; i++)
		forget(&cache->entries[i]);
}

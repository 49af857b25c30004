/* SPDX-License-Identifier: MIT */
/*
 * Reads /proc/PID: identity, executable mappings, and the files behind them.
 *
 * I1. Everything is opened relative to the directory's descriptor: once the process is gone
 *     it gives ESRCH or ENOENT and never another process's data.
 * I2. Files of the target are opened O_PATH only and asked for cached attributes only
 *     (AT_STATX_DONT_SYNC): neither runs code of the file's file system that could wait.
 * I3. A path out of the maps is used only where the kernel gives no link, is resolved inside
 *     the process's root from cached names alone (those of a mapped file are; no file system is
 *     asked), and counts only if it leads to the inode that is mapped.
 */
#include "observe/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Longer than any line of maps: a path is at most PATH_MAX bytes, each at most "\012" long. */
#define MAPS_BUFFER (32 << 10)

/* PROCMAP_QUERY (Linux 6.11): not in Debian 12's headers. */
struct procmap_query {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};

#define QUERY_PROCMAP       _IOWR('f', 17, struct procmap_query)
#define QUERY_EXECUTABLE    0x04
#define QUERY_THIS_OR_NEXT  0x10
#define QUERY_FILE_BACKED   0x20
#define QUERY_NEXT_RUNNABLE (QUERY_EXECUTABLE | QUERY_THIS_OR_NEXT | QUERY_FILE_BACKED)

int procfs_open(pid_t pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return errno == ENOENT ? -ESRCH : -errno;
}

/* Read a short file as a string. Returns 0 or -errno. */
static int read_text(int proc_fd, const char *name, char *text, size_t room)
{
	int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = -1;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	while (used < room - 1) {
		n = read(fd, text + used, room - 1 - used);
		if (n <= 0)
			break;
		used += n;
	}
	int err = n < 0 ? -errno : 0;
	close(fd);
	text[used] = '\0';
	return err;
}

int procfs_read_stat(int proc_fd, struct procfs_stat *ret_stat)
{
	struct procfs_stat stat = {0};
	char text[2048], *at;
	int err = read_text(proc_fd, "stat", text, sizeof(text));

	if (err)
		return err;
	/* Field 2 is the command in parentheses, of which it may have some itself. */
	at = strrchr(text, ')');
	if (!at || at[1] != ' ')
		return -EIO;
	at += 2;
	stat.state = *at;
	for (unsigned field = 3; field <= 28; field++) {
		if (field == 20)
			stat.threads = strtoul(at, NULL, 10);
		else if (field == 22)
			stat.start_ticks = strtoull(at, NULL, 10);
		else if (field == 28)
			stat.stack_start = strtoull(at, NULL, 10);
		at = strchr(at, ' ');
		if (!at)
			return -EIO;
		at++;
	}
	*ret_stat = stat;
	return 0;
}

bool procfs_has_exited(const struct procfs_stat *stat)
{
	return strchr("ZX", stat->state) && stat->threads <= 1;
}

/* The text after a label at the start of a line. A newline in a command is shown escaped. */
static const char *line_after(const char *text, const char *label)
{
	const char *at = strstr(text, label);

	return at ? at + strlen(label) : NULL;
}

int procfs_read_status(int proc_fd, struct procfs_status *ret_status)
{
	char text[8192];
	const char *at;
	unsigned real, effective;
	int err = read_text(proc_fd, "status", text, sizeof(text));

	if (err)
		return err;
	at = line_after(text, "\nUid:");
	if (!at || sscanf(at, "%u %u", &real, &effective) != 2)
		return -EIO;
	*ret_status = (struct procfs_status){.uid = effective};
	/* One number for each namespace, the innermost last. */
	at = line_after(text, "\nNSpid:");
	while (at && (*at == '\t' || *at == ' ')) {
		char *end;

		ret_status->inner_pid = (pid_t)strtol(at, &end, 10);
		at = end;
	}
	return 0;
}

void procfs_read_command(int proc_fd, char command[16])
{
	char text[64];
	size_t n;

	memset(command, 0, 16);
	if (read_text(proc_fd, "comm", text, sizeof(text)))
		return;
	n = strlen(text);
	if (n && text[n - 1] == '\n') /* others before it are its own */
		n--;
	memcpy(command, text, n < 15 ? n : 15);
}

char *procfs_read_exe(int proc_fd)
{
	char path[PATH_MAX];
	ssize_t n = readlinkat(proc_fd, "exe", path, sizeof(path));

	return n > 0 ? strndup(path, n) : NULL;
}

char *procfs_read_cgroup(int proc_fd)
{
	char text[2 * PATH_MAX];
	const char *path, *end;

	if (read_text(proc_fd, "cgroup", text, sizeof(text)))
		return NULL;
	path = strncmp(text, "0::", 3) ? line_after(text, "\n0::") : text + 3;
	end = path ? strchr(path, '\n') : NULL;
	return end ? strndup(path, end - path) : NULL;
}

/* Ask for one executable mapping at a time. Returns 0, -ENOTTY on an older kernel, or -errno. */
static int query_executables(int maps_fd, bool (*visit)(void *, const struct procfs_mapping *),
			     void *context)
{
	char path[PATH_MAX];
	uint64_t from = 0;

	for (;;) {
		struct procmap_query q = {
			.size = sizeof(q),
			.query_flags = QUERY_NEXT_RUNNABLE,
			.query_addr = from,
			.vma_name_size = sizeof(path),
			.vma_name_addr = (uintptr_t)path,
		};
		int failed = ioctl(maps_fd, QUERY_PROCMAP, &q);

		if (failed && errno == ENAMETOOLONG) {
			q.vma_name_size = 0;
			q.vma_name_addr = 0;
			failed = ioctl(maps_fd, QUERY_PROCMAP, &q);
		}
		if (failed)
			return errno == ENOENT || errno == ESRCH ? 0 : -errno;

		struct procfs_mapping m = {
			.start = q.vma_start,
			.end = q.vma_end,
			.offset = q.vma_offset,
			.inode = q.inode,
			.dev_major = q.dev_major,
			.dev_minor = q.dev_minor,
			.path = q.vma_name_size ? path : NULL,
		};
		if (q.vma_end <= from || !visit(context, &m))
			return 0;
		from = q.vma_end;
	}
}

/*
 * Take apart a line "start-end perms offset major:minor inode   path". The path is the whole
 * rest of the line, blanks included; where it is escaped (newline) it is not used.
 */
static bool parse_line(char *line, struct procfs_mapping *m)
{
	unsigned long long start, end, offset, inode;
	char perms[5];
	int rest = 0;

	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu%n", &start, &end, perms, &offset,
		   &m->dev_major, &m->dev_minor, &inode, &rest) != 7)
		return false;
	m->start = start;
	m->end = end;
	m->offset = offset;
	m->inode = inode;
	m->path = line + rest + strspn(line + rest, " ");
	if (*m->path != '/' || strchr(m->path, '\\'))
		m->path = NULL;
	return perms[2] == 'x' && inode != 0 && end > start;
}

static int parse_maps(int maps_fd, bool (*visit)(void *, const struct procfs_mapping *),
		      void *context)
{
	char *buffer = malloc(MAPS_BUFFER);
	size_t used = 0;
	ssize_t n = 0;
	int err = 0;

	if (!buffer)
		return -ENOMEM;
	while ((n = read(maps_fd, buffer + used, MAPS_BUFFER - 1 - used)) > 0) {
		char *line = buffer, *newline;

		used += n;
		while ((newline = memchr(line, '\n', buffer + used - line))) {
			struct procfs_mapping m = {0};

			*newline = '\0';
			if (parse_line(line, &m) && !visit(context, &m))
				goto out;
			line = newline + 1;
		}
		used = buffer + used - line;
		if (used == MAPS_BUFFER - 1) {
			err = -EIO; /* no kernel writes such a line */
			goto out;
		}
		memmove(buffer, line, used);
	}
	err = n < 0 && errno != ESRCH ? -errno : 0;
out:
	free(buffer);
	return err;
}

int procfs_each_executable(int proc_fd, bool (*visit)(void *, const struct procfs_mapping *),
			   void *context)
{
	int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	err = query_executables(fd, visit, context);
	if (err == -ENOTTY || err == -EINVAL || err == -EOPNOTSUPP)
		err = parse_maps(fd, visit, context);
	close(fd);
	return err;
}

/* Is it the inode that is mapped? Asks for cached attributes only. */
static bool is_mapped_file(int fd, const struct procfs_mapping *m, bool also_device)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &stx))
		return false;
	if (!S_ISREG(stx.stx_mode) || stx.stx_ino != m->inode)
		return false;
	return !also_device ||
	       (stx.stx_dev_major == m->dev_major && stx.stx_dev_minor == m->dev_minor);
}

static int open_below_root(int proc_fd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED,
	};
	int root = openat(proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (root < 0)
		return -errno;
	fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (fd < 0)
		fd = -errno;
	close(root);
	return fd;
}

/*
 * Without CAP_CHECKPOINT_RESTORE. The exe link is the kernel's own, so its device may differ
 * (overlayfs); a path is the target's, so it must not.
 */
static int open_by_name(int proc_fd, const struct procfs_mapping *m)
{
	int fd = openat(proc_fd, "exe", O_PATH | O_CLOEXEC);

	if (fd >= 0 && is_mapped_file(fd, m, false))
		return fd;
	if (fd >= 0)
		close(fd);
	if (!m->path)
		return -EPERM;
	fd = open_below_root(proc_fd, m->path);
	if (fd >= 0 && !is_mapped_file(fd, m, true)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

int procfs_open_mapped(int proc_fd, const struct procfs_mapping *m)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "map_files/%llx-%llx", (unsigned long long)m->start,
		 (unsigned long long)m->end);
	fd = openat(proc_fd, name, O_PATH | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == EPERM || errno == EACCES)
		return open_by_name(proc_fd, m);
	return -errno;
}

/* SPDX-License-Identifier: MIT */
/*
 * Read a process's maps and open its binaries, in a child with a deadline.
 *
 *  F1. No file is opened by the text of its path alone: /proc/PID/map_files leads
 *      to the very file that is mapped. Where that is not allowed, what exe or the
 *      path below root leads to must have the mapping's inode number.
 *  F2. A file is looked at through O_PATH first and opened only if it is regular:
 *      opening a device or a pipe has effects.
 *  F3. FUSE is refused: its server may be the target. What gets around this (FUSE
 *      below an overlay) meets the deadlines, here and in the sandbox.
 */
#include "symbol/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DEADLINE_MS    2000 /* measured: 1 to 3 ms; 2 s is for a machine out of breath */
#define LINE_MAX_BYTES 65536

/* ---- maps ----------------------------------------------------------------------- */

static uint32_t find_object(struct fetch_area *area, const char *name, uint64_t dev, uint64_t ino)
{
	struct fetch_object *o;

	/* Mappings of one file mostly follow each other: look backwards. */
	for (uint32_t i = area->object_count; i-- > 0;) {
		o = &area->objects[i];
		if (o->dev == dev && o->ino == ino && (ino != 0 || strcmp(o->name, name) == 0))
			return i;
	}
	if (area->object_count == FETCH_OBJECTS_MAX)
		return FETCH_NO_OBJECT;
	o = &area->objects[area->object_count];
	o->dev = dev;
	o->ino = ino;
	strncpy(o->name, name, sizeof(o->name) - 1);
	return area->object_count++;
}

/* Is this anonymous mapping the .bss behind a file's last one? */
static bool is_zeroed(const struct fetch_area *area, uint64_t start)
{
	const struct fetch_map *previous;

	if (area->map_count == 0)
		return false;
	previous = &area->maps[area->map_count - 1];
	return previous->end == start && previous->object != FETCH_NO_OBJECT &&
	       area->objects[previous->object].ino != 0 &&
	       !(previous->flags & (ENGINE_MAP_EXECUTABLE | ENGINE_MAP_ZEROED));
}

static void add_map(struct fetch_area *area, struct fetch_map map, const char *name, uint64_t dev,
		    uint64_t ino)
{
	if (name[0]) {
		struct fetch_object *o;

		map.object = find_object(area, name, dev, ino);
		o = map.object != FETCH_NO_OBJECT ? &area->objects[map.object] : NULL;
		if (o && ino != 0 && (map.flags & ENGINE_MAP_EXECUTABLE) && o->open_end == 0) {
			o->open_start = map.start;
			o->open_end = map.end;
		}
	} else if (is_zeroed(area, map.start)) {
		map.object = area->maps[area->map_count - 1].object;
		map.flags |= ENGINE_MAP_ZEROED;
	}
	if (map.object != FETCH_NO_OBJECT || (map.flags & ENGINE_MAP_EXECUTABLE))
		area->maps[area->map_count++] = map;
}

/* 7f5e-7f5f r-xp 00001000 fe:00 1234    /path, which may hold anything but a newline */
static int parse_line(char *line, struct fetch_area *area)
{
	struct fetch_map map = {.object = FETCH_NO_OBJECT};
	unsigned long major, minor, ino;
	char rights[5];
	int path = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %lx:%lx %lu %n", &map.start,
		   &map.end, rights, &map.offset, &major, &minor, &ino, &path) != 7)
		return -EBADMSG;
	if (strchr(rights, 'x'))
		map.flags |= ENGINE_MAP_EXECUTABLE;
	line[strcspn(line, "\n")] = '\0';
	add_map(area, map, path > 0 ? line + path : "", makedev(major, minor), ino);
	return 0;
}

int fetch_parse_maps(FILE *file, struct fetch_area *area)
{
	char *line = NULL;
	size_t room = 0;
	int err = 0;

	for (uint32_t lines = 0; !err; lines++) {
		errno = 0;
		if (getline(&line, &room, file) < 0) {
			err = -errno; /* 0: end of file */
			break;
		}
		err = lines < ENGINE_MAPS_MAX ? parse_line(line, area) : -E2BIG;
	}
	free(line);
	return err;
}

static int read_maps(int proc_fd, struct fetch_area *area)
{
	int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC), err;
	FILE *file;

	if (fd < 0)
		return -errno;
	file = fdopen(fd, "r");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	setvbuf(file, NULL, _IOFBF, LINE_MAX_BYTES);
	err = fetch_parse_maps(file, area);
	fclose(file);
	return err;
}

/* ---- files ---------------------------------------------------------------------- */

static bool inode_is(int fd, uint64_t ino)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_ino == ino;
}

static int open_below_root(int proc_fd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	int root = openat(proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

	if (root < 0)
		return -1;
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	close(root);
	return fd;
}

/* An O_PATH descriptor of the file behind a mapping, or -1. F1 */
static int find_file(int proc_fd, const struct fetch_object *o)
{
	char link[64];
	int fd;

	snprintf(link, sizeof(link), "map_files/%" PRIx64 "-%" PRIx64, o->open_start, o->open_end);
	fd = openat(proc_fd, link, O_PATH | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	fd = openat(proc_fd, "exe", O_PATH | O_CLOEXEC);
	if (fd >= 0 && inode_is(fd, o->ino))
		return fd;
	if (fd >= 0)
		close(fd);
	fd = open_below_root(proc_fd, o->name);
	if (fd >= 0 && inode_is(fd, o->ino))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Open for reading what an O_PATH descriptor stands for, if that is harmless. F2, F3 */
static int reopen(int path_fd, struct fetch_identity *ret_identity)
{
	struct statfs fs;
	struct stat st;
	char link[64];

	if (fstatfs(path_fd, &fs) < 0 || fs.f_type == FUSE_SUPER_MAGIC || fstat(path_fd, &st) < 0 ||
	    !S_ISREG(st.st_mode))
		return -1;
	*ret_identity = (struct fetch_identity){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.mtime_ns =
			(uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec,
		.size = (uint64_t)st.st_size,
	};
	snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
	return open(link, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static bool send_descriptor(int files, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {{0}};
	struct iovec iov = {.iov_base = "f", .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(files, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

static void open_files(int proc_fd, struct fetch_area *area, int files)
{
	unsigned opened = 0;

	for (uint32_t i = 0; i < area->object_count && opened < FETCH_FILES_MAX; i++) {
		struct fetch_object *o = &area->objects[i];
		int path_fd, fd;

		if (o->open_end == 0)
			continue;
		path_fd = find_file(proc_fd, o);
		if (path_fd < 0)
			continue;
		fd = reopen(path_fd, &o->identity);
		close(path_fd);
		if (fd < 0)
			continue;
		o->opened = send_descriptor(files, fd);
		opened += o->opened;
		close(fd);
	}
}

/* ---- the child ------------------------------------------------------------------- */

static void run_child(int proc_fd, struct fetch_area *area, int files, int done)
{
	area->error = read_maps(proc_fd, area);
	if (area->error == 0)
		open_files(proc_fd, area, files);
	if (write(done, "d", 1) != 1)
		_exit(1);
	_exit(0);
}

/* Wait until it has done its work. It may still hang in its exit. */
static int wait_for_child(pid_t pid, int done, struct graves *graves)
{
	struct pollfd poll_done = {.fd = done, .events = POLLIN};
	int ready, err = -ETIMEDOUT;
	char byte;

	do
		ready = poll(&poll_done, 1, DEADLINE_MS);
	while (ready < 0 && errno == EINTR);
	if (ready > 0)
		err = read(done, &byte, 1) == 1 ? 0 : -ECHILD;
	graves_bury(graves, pid);
	return err;
}

static int fork_child(int proc_fd, struct graves *graves, struct fetch_area *area, int files)
{
	int done[2], err;
	pid_t pid;

	if (pipe2(done, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		run_child(proc_fd, area, files, done[1]);
	err = pid < 0 ? -errno : 0;
	close(done[1]);
	if (!err)
		err = wait_for_child(pid, done[0], graves);
	close(done[0]);
	return err ? err : area->error;
}

int fetch_run(int proc_fd, struct graves *graves, struct fetch_area **ret_area, int *ret_files)
{
	struct fetch_area *area;
	int files[2], err;

	if (!graves_have_room(graves))
		return -EAGAIN;
	area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return -errno;
	err = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, files) < 0 ? -errno : 0;
	if (err) {
		fetch_area_free(area);
		return err;
	}
	err = fork_child(proc_fd, graves, area, files[1]);
	close(files[1]);
	if (err) {
		close(files[0]);
		fetch_area_free(area);
		return err;
	}
	*ret_area = area;
	*ret_files = files[0];
	return 0;
}

void fetch_area_free(struct fetch_area *area)
{
	munmap(area, sizeof(*area));
}

/* SPDX-License-Identifier: MIT */
/*
 * Keeps the binaries that contain the runtime, and remembers the files that don't.
 *
 * I1. A binary is an inode. It is found by (device, inode), which stays its own as long as
 *     its descriptor is open, and it is open as long as it is listed. Files without the runtime
 *     are remembered by (device, inode, mtime, size), since nothing keeps those inodes.
 * I2. A file is opened only after it was seen to be a regular one, and where no block device is
 *     behind it (FUSE, NFS, ...) it is read in a disposable process: its server may never answer.
 */
#include "observe/binary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "observe/disposable.h"

#define SECOND_NS       1000000000LL

/* Each costs a descriptor and, once attached, kernel memory. */
#define BINARIES_MAX    256

/* 48 bytes each. A collision costs one more look at a file, nothing else. */
#define NEGATIVES       8192

/* How long reading a file may take, and when a file that could not be read is tried again. */
#define READ_TIMEOUT_NS SECOND_NS
#define RETRY_NS        (60 * SECOND_NS)

#define FUSE_MAGIC      0x65735546

struct negative_file {
	dev_t dev;
	ino_t ino;
	int64_t mtime_ns;
	uint64_t size;
	int64_t until_ns; /* INT64_MAX: as long as the file stays as it is; 0: empty entry */
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

struct file_identity {
	dev_t dev;
	ino_t ino;
	int64_t mtime_ns;
	uint64_t size;
};

/* Identity from cached attributes. False: no regular file, or nothing is known of it. */
static bool identify_file(int path_fd, struct file_identity *ret_id)
{
	struct statx stx;

	if (statx(path_fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &stx) ||
	    !S_ISREG(stx.stx_mode))
		return false;
	*ret_id = (struct file_identity){
		.dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
		.ino = stx.stx_ino,
		.mtime_ns = stx.stx_mtime.tv_sec * SECOND_NS + stx.stx_mtime.tv_nsec,
		.size = stx.stx_size,
	};
	return true;
}

static struct negative_file *negative_slot(const struct discovery *d,
					   const struct file_identity *id)
{
	uint64_t hash = (id->ino ^ (uint64_t)id->dev << 32) * 0x9e3779b97f4a7c15u;

	return &d->negatives[(hash >> 32) % NEGATIVES];
}

static bool is_negative(const struct discovery *d, const struct file_identity *id)
{
	const struct negative_file *n = negative_slot(d, id);

	return n->dev == id->dev && n->ino == id->ino && n->mtime_ns == id->mtime_ns &&
	       n->size == id->size && n->until_ns && now_ns() < n->until_ns;
}

/* Files that could not be read get another chance; files without the runtime don't. */
static void remember_negative(struct discovery *d, const struct file_identity *id, int err)
{
	*negative_slot(d, id) = (struct negative_file){
		.dev = id->dev,
		.ino = id->ino,
		.mtime_ns = id->mtime_ns,
		.size = id->size,
		.until_ns = err == -ENOENT ? INT64_MAX : now_ns() + RETRY_NS,
	};
}

/* A descriptor to read, from one that only names the file. */
static int reopen(int path_fd)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int read_image(int path_fd, struct image *ret_image)
{
	int fd = reopen(path_fd);
	int err;

	if (fd < 0)
		return fd;
	err = image_read(fd, ret_image);
	close(fd);
	return err;
}

struct image_answer {
	int error;
	struct image image;
};

/* In a child. A probe on a FUSE file would make the kernel itself wait for its server. */
static ssize_t read_image_work(void *context, void *buffer, size_t room)
{
	int path_fd = *(int *)context;
	struct image_answer *answer = buffer;
	struct statfs fs;

	disposable_keep_only(path_fd);
	if (fstatfs(path_fd, &fs))
		return -errno;
	answer->error = read_image(path_fd, &answer->image);
	if (answer->error != -ENOENT && fs.f_type == FUSE_MAGIC)
		answer->error = -EREMOTE;
	return (ssize_t)room;
}

static int read_image_with_deadline(int path_fd, struct image *ret_image)
{
	struct image_answer *answer;
	void *buffer;
	ssize_t n = disposable_run(read_image_work, &path_fd, sizeof(*answer), READ_TIMEOUT_NS,
				   &buffer);
	int err;

	if (n < 0)
		return (int)n;
	answer = buffer;
	*ret_image = answer->image;
	err = answer->error;
	disposable_buffer_free(buffer, sizeof(*answer));
	return err;
}

static struct binary *find_binary(const struct discovery *d, const struct file_identity *id)
{
	for (size_t i = 0; i < d->binary_count; i++)
		if (d->binaries[i]->dev == id->dev && d->binaries[i]->ino == id->ino)
			return d->binaries[i];
	return NULL;
}

void binary_free(struct binary *b)
{
	close(b->fd);
	free(b);
}

static int reserve_binary(struct discovery *d)
{
	size_t room = d->binary_room ? d->binary_room * 2 : 16;
	struct binary **binaries;

	if (d->binary_count < d->binary_room)
		return 0;
	binaries = reallocarray(d->binaries, room, sizeof(struct binary *));
	if (!binaries)
		return -ENOMEM;
	d->binaries = binaries;
	d->binary_room = room;
	return 0;
}

/* Returns the new binary, in the list and without users, or NULL. */
static struct binary *add_binary(struct discovery *d, int path_fd, const struct file_identity *id,
				 int error, const struct image *image)
{
	struct binary *b;

	if (d->binary_count == BINARIES_MAX) {
		d->ignored++;
		return NULL;
	}
	if (reserve_binary(d))
		return NULL;
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	*b = (struct binary){
		.dev = id->dev, .ino = id->ino, .image = *image, .error = error, .fd = -1};
	/* One that is not observed is only held on to. */
	b->fd = error ? fcntl(path_fd, F_DUPFD_CLOEXEC, 3) : reopen(path_fd);
	if (b->fd < 0) {
		free(b);
		return NULL;
	}
	d->binaries[d->binary_count++] = b;
	return b;
}

struct binary *binary_of_file(struct discovery *d, int path_fd)
{
	struct file_identity id;
	struct image image = {0};
	struct binary *b;
	int err;

	if (!d->negatives)
		d->negatives = calloc(NEGATIVES, sizeof(*d->negatives));
	if (!d->negatives || !identify_file(path_fd, &id))
		return NULL;
	b = find_binary(d, &id);
	if (b || is_negative(d, &id))
		return b;
	err = major(id.dev) ? read_image(path_fd, &image)
			    : read_image_with_deadline(path_fd, &image);
	if (!err || err == -EPROTONOSUPPORT || err == -EBADMSG || err == -EREMOTE)
		return add_binary(d, path_fd, &id, err, &image);
	if (err != -EMFILE && err != -ENFILE && err != -ENOMEM && err != -EAGAIN)
		remember_negative(d, &id, err);
	return NULL;
}

void binary_forget(struct discovery *d, struct binary *b)
{
	for (size_t i = 0; i < d->binary_count; i++) {
		if (d->binaries[i] != b)
			continue;
		d->binaries[i] = d->binaries[--d->binary_count];
		binary_free(b);
		return;
	}
}

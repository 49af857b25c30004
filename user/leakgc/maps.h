/* SPDX-License-Identifier: MIT */
/* What /proc/PID/maps and smaps say, line by line. The parsers are pure functions of bytes. */
#ifndef LEAKGC_MAPS_H
#define LEAKGC_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum leakgc_backing {
	LEAKGC_BACKING_ANONYMOUS = 0, /* private: swap; shared: shmem, even when deleted */
	LEAKGC_BACKING_FILE,
	LEAKGC_BACKING_DEVICE,  /* under /dev, but not memory by another name */
	LEAKGC_BACKING_KERNEL,  /* vdso and the like: no data of the program */
	LEAKGC_BACKING_UPROBES, /* the same, and not inherited by a fork (6.18) */
	LEAKGC_BACKING_AIO,     /* ring of the kernel's asynchronous I/O */
};

#define LEAKGC_VM_WIPEONFORK (1u << 0)
#define LEAKGC_VM_DONTFORK   (1u << 1)
#define LEAKGC_VM_HUGETLB    (1u << 2)
#define LEAKGC_VM_MAY_WRITE  (1u << 3)

struct leakgc_region {
	uintptr_t lo;
	uintptr_t hi;
	bool readable;
	bool writable;
	bool shared;
	enum leakgc_backing backing;
	unsigned vm_flags; /* LEAKGC_VM_*; of smaps only */
};

/*
 * leakgc_parse_region - the first line of a mapping, without its newline.
 * Returns 1, 0 if the line is no such line, or -EINVAL if it is a broken one.
 */
int leakgc_parse_region(const char *line, size_t length, struct leakgc_region *ret_region);

/* The VmFlags line of smaps. Returns 1 and the flags, or 0 if it is another line. */
int leakgc_parse_vm_flags(const char *line, size_t length, unsigned *ret_flags);

/* Called for each mapping, in order of address; non-zero ends the walk. */
typedef int (*leakgc_region_fn)(void *context, const struct leakgc_region *region);

/*
 * leakgc_walk_maps - parse maps or smaps from an open descriptor.
 * @buffer  working memory; a longer line is -E2BIG
 * Returns 0, what @fn returned, or -errno.
 */
int leakgc_walk_maps(int fd, char *buffer, size_t size, leakgc_region_fn fn, void *context);

#endif

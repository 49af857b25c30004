/* SPDX-License-Identifier: MIT */
/*
 * A view of memory: the regions there are, the pages that hold something, and reads that
 * survive what is not there. The search reads through it alone, and does not know whether
 * it is a snapshot or the memory of the running process that is behind it.
 */
#ifndef LEAKGC_MEMORY_H
#define LEAKGC_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "leakgc/maps.h"

#define LEAKGC_PAGE_RUNS 512

struct leakgc_page_run { /* as PAGEMAP_SCAN writes it (linux/fs.h, struct page_region) */
	uint64_t lo;
	uint64_t hi;
	uint64_t categories;
};

/* PAGEMAP_SCAN of Linux 6.7; linux/fs.h of Debian 12 is older. */
struct leakgc_page_scan {
	uint64_t size;
	uint64_t flags; /* LEAKGC_SCAN_* */
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask; /* LEAKGC_PAGE_* */
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define LEAKGC_PAGEMAP_SCAN     _IOWR('f', 16, struct leakgc_page_scan)

#define LEAKGC_SCAN_PROTECT     (1u << 0) /* PM_SCAN_WP_MATCHING */
#define LEAKGC_SCAN_CHECK_ASYNC (1u << 1)

#define LEAKGC_PAGE_WRITTEN     (1u << 1)
#define LEAKGC_PAGE_FILE        (1u << 2)
#define LEAKGC_PAGE_PRESENT     (1u << 3)
#define LEAKGC_PAGE_SWAPPED     (1u << 4)
#define LEAKGC_PAGE_ZERO        (1u << 5)
#define LEAKGC_PAGE_GUARD       (1u << 8) /* Linux 6.16; before that a guard is just "swapped" */

enum leakgc_memory_kind {
	LEAKGC_MEMORY_SNAPSHOT, /* does not change, but lacks what a clone does not inherit */
	LEAKGC_MEMORY_LIVE,     /* changes: what was written meanwhile is looked at again */
};

/* Opened where it is used: the snapshot has a process id of its own. */
struct leakgc_memory {
	enum leakgc_memory_kind kind;
	bool guarded;  /* leakgc_guard() was called in this process */
	bool filtered; /* a seccomp filter may punish unusual calls */
	int pid;
	int mem_fd;     /* /proc/self/mem */
	int pagemap_fd; /* /proc/self/pagemap */
	size_t page_size;
	struct leakgc_page_run runs[LEAKGC_PAGE_RUNS];
};

void leakgc_memory_init(struct leakgc_memory *m, enum leakgc_memory_kind kind); /* nothing open */
int leakgc_memory_open(struct leakgc_memory *m);                                /* 0 or -errno */
void leakgc_memory_close(struct leakgc_memory *m);

/*
 * leakgc_memory_regions - the mappings, in order of address.
 * @buffer  working memory; see leakgc_walk_maps()
 * In a snapshot with vm_flags, which cost a walk of the page tables.
 */
int leakgc_memory_regions(struct leakgc_memory *m, char *buffer, size_t size, leakgc_region_fn fn,
			  void *context);

/* Copy [address, address + length) whatever its protection. Returns 0, or -EFAULT. */
int leakgc_memory_read(struct leakgc_memory *m, uintptr_t address, void *buffer, size_t length);

/*
 * leakgc_memory_runs - the next pages in [*address, hi) that a program may have written.
 * @files  false: leave out clean pages of private file mappings
 * Returns how many of m->runs[] were filled, and moves *address behind what was
 * looked at; 0 with *address == hi is the end. Or -errno.
 *
 * Never populated pages, guard regions and the zero page hold nothing.
 */
int leakgc_memory_runs(struct leakgc_memory *m, uintptr_t *address, uintptr_t hi, bool files);

#endif

/* SPDX-License-Identifier: MIT */
/* Reads of memory that may not be there, and the pages that hold something. */
#ifndef LEAKGC_MEMORY_H
#define LEAKGC_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEAKGC_PAGE_RUNS 512

struct leakgc_page_run { /* as PAGEMAP_SCAN writes it (linux/fs.h, struct page_region) */
	uint64_t lo;
	uint64_t hi;
	uint64_t categories;
};

/* Opened where it is used: the snapshot has a process id of its own. */
struct leakgc_memory {
	int pid;
	int mem_fd;     /* /proc/self/mem */
	int pagemap_fd; /* /proc/self/pagemap */
	size_t page_size;
	struct leakgc_page_run runs[LEAKGC_PAGE_RUNS];
};

void leakgc_memory_init(struct leakgc_memory *m); /* nothing open */
int leakgc_memory_open(struct leakgc_memory *m);  /* 0 or -errno */
void leakgc_memory_close(struct leakgc_memory *m);

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

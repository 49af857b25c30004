/* SPDX-License-Identifier: MIT */
/*
 * Fault-proof reads of the own memory, and residency from the page tables.
 *
 * mincore() says that a swapped page is absent, so it cannot say which private
 * pages hold data; pagemap can. PAGEMAP_SCAN (Linux 6.7) skips unpopulated
 * page tables, so a sparse mapping of terabytes costs microseconds; before
 * that each page costs eight bytes of reading.
 */
#include "leakgc/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "leakgc/guarded.h"
#include "leakgc/syscall.h"

/* Bits of an entry of /proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst. */
#define ENTRY_PRESENT (1ULL << 63)
#define ENTRY_SWAPPED (1ULL << 62)
#define ENTRY_FILE    (1ULL << 61)
#define ENTRY_GUARD   (1ULL << 58) /* Linux 6.15 */

void leakgc_memory_init(struct leakgc_memory *m, enum leakgc_memory_kind kind)
{
	m->kind = kind;
	m->mem_fd = -1;
	m->pagemap_fd = -1;
}

/* Where it cannot be told there may be one. */
static bool is_filtered(void)
{
	static const char key[] = "\nSeccomp:\t";
	char text[4096];
	const char *found;

	if (leakgc_read_file("/proc/thread-self/status", text, sizeof(text)) < 0)
		return true;
	found = strstr(text, key);
	return found && found[sizeof(key) - 1] != '0';
}

int leakgc_memory_open(struct leakgc_memory *m)
{
	m->filtered = is_filtered();
	m->pid = (int)LEAKGC_SYS1(SYS_getpid, 0);
	m->page_size = (size_t)sysconf(_SC_PAGESIZE);
	m->mem_fd = leakgc_open("/proc/thread-self/mem");
	m->pagemap_fd = leakgc_open("/proc/thread-self/pagemap");
	return m->pagemap_fd < 0 ? m->pagemap_fd : 0;
}

void leakgc_memory_close(struct leakgc_memory *m)
{
	leakgc_close(m->mem_fd);
	leakgc_close(m->pagemap_fd);
	leakgc_memory_init(m, m->kind);
}

int leakgc_memory_regions(struct leakgc_memory *m, char *buffer, size_t size, leakgc_region_fn fn,
			  void *context)
{
	bool flags = m->kind == LEAKGC_MEMORY_SNAPSHOT;
	int fd = leakgc_open(flags ? "/proc/thread-self/smaps" : "/proc/thread-self/maps"), r;

	if (fd < 0)
		return fd;
	r = leakgc_walk_maps(fd, buffer, size, fn, context);
	leakgc_close(fd);
	return r;
}

/*
 * A plain copy and process_vm_readv stop at memory that the program may not read; /proc/.../mem
 * reads that too. It is the slower one, but a filter that allows files allows it.
 */
static long read_some(const struct leakgc_memory *m, uintptr_t address, void *buffer, size_t length)
{
	struct iovec to = {buffer, length};
	struct iovec from = {(void *)address, length};

	if (m->guarded)
		return (long)(length - leakgc_copy(buffer, (const void *)address, length));
	if (m->filtered)
		return LEAKGC_SYS4(SYS_pread64, m->mem_fd, buffer, length, address);
	return LEAKGC_SYS6(SYS_process_vm_readv, m->pid, &to, 1, &from, 1, 0);
}

int leakgc_memory_read(struct leakgc_memory *m, uintptr_t address, void *buffer, size_t length)
{
	size_t done = 0;

	while (done < length) {
		unsigned char *to = (unsigned char *)buffer + done;
		long n = read_some(m, address + done, to, length - done);

		if (n <= 0) {
			size_t rest = m->page_size - (address + done) % m->page_size;

			if (rest > length - done)
				rest = length - done;
			n = LEAKGC_SYS4(SYS_pread64, m->mem_fd, to, rest, address + done);
		}
		if (n <= 0)
			return -EFAULT;
		done += (size_t)n;
	}
	return 0;
}

static bool holds_data(uint64_t categories, bool files)
{
	if (categories & LEAKGC_PAGE_GUARD)
		return false;
	if ((categories & LEAKGC_PAGE_ZERO) && !(categories & LEAKGC_PAGE_SWAPPED))
		return false;
	return files || !(categories & LEAKGC_PAGE_FILE) || (categories & LEAKGC_PAGE_SWAPPED);
}

static int keep_data(struct leakgc_memory *m, long count, bool files)
{
	int kept = 0;

	for (long i = 0; i < count; i++)
		if (holds_data(m->runs[i].categories, files))
			m->runs[kept++] = m->runs[i];
	return kept;
}

static long scan_call(struct leakgc_memory *m, uintptr_t lo, uintptr_t hi, uint64_t return_mask,
		      uintptr_t *ret_end)
{
	struct leakgc_page_scan a = {
		.size = sizeof(a),
		.start = lo,
		.end = hi,
		.vec = (uintptr_t)m->runs,
		.vec_len = LEAKGC_PAGE_RUNS,
		.category_anyof_mask = LEAKGC_PAGE_PRESENT | LEAKGC_PAGE_SWAPPED,
		.return_mask = return_mask,
	};
	long n = LEAKGC_SYS3(SYS_ioctl, m->pagemap_fd, LEAKGC_PAGEMAP_SCAN, &a);

	if (n >= 0)
		*ret_end = a.walk_end;
	return n;
}

/* The same from the entries themselves. */
static long read_entries(struct leakgc_memory *m, uintptr_t lo, uintptr_t hi, uintptr_t *ret_end)
{
	uint64_t entries[LEAKGC_PAGE_RUNS];
	size_t pages = (hi - lo) / m->page_size;
	long n, count = 0;

	if (pages > LEAKGC_PAGE_RUNS)
		pages = LEAKGC_PAGE_RUNS;
	n = LEAKGC_SYS4(SYS_pread64, m->pagemap_fd, entries, pages * sizeof(entries[0]),
			lo / m->page_size * sizeof(entries[0]));
	if (n < (long)sizeof(entries[0]))
		return n < 0 ? n : -EIO;
	n /= (long)sizeof(entries[0]);
	for (long i = 0; i < n; i++) {
		uintptr_t at = lo + (uintptr_t)i * m->page_size;

		if (!(entries[i] & (ENTRY_PRESENT | ENTRY_SWAPPED)))
			continue;
		m->runs[count++] = (struct leakgc_page_run){
			.lo = at,
			.hi = at + m->page_size,
			.categories = (entries[i] & ENTRY_PRESENT ? LEAKGC_PAGE_PRESENT : 0) |
				      (entries[i] & ENTRY_SWAPPED ? LEAKGC_PAGE_SWAPPED : 0) |
				      (entries[i] & ENTRY_FILE ? LEAKGC_PAGE_FILE : 0) |
				      (entries[i] & ENTRY_GUARD ? LEAKGC_PAGE_GUARD : 0),
		};
	}
	*ret_end = lo + (uintptr_t)n * m->page_size;
	return count;
}

int leakgc_memory_runs(struct leakgc_memory *m, uintptr_t *address, uintptr_t hi, bool files)
{
	uint64_t known =
		LEAKGC_PAGE_FILE | LEAKGC_PAGE_PRESENT | LEAKGC_PAGE_SWAPPED | LEAKGC_PAGE_ZERO;
	uintptr_t end = *address;
	long n;

	n = scan_call(m, *address, hi, known | LEAKGC_PAGE_GUARD, &end);
	if (n == -EINVAL)
		n = scan_call(m, *address, hi, known, &end);
	if (n < 0)
		n = read_entries(m, *address, hi, &end);
	if (n < 0)
		return (int)n;
	if (end <= *address || end > hi)
		return -EIO; /* no progress would be an endless loop */
	*address = end;
	return keep_data(m, n, files);
}

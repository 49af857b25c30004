/* SPDX-License-Identifier: MIT */
/*
 * Dirty pages by asynchronous write protection (Linux 6.7).
 *
 * A userfaultfd registers private mappings for write protection and resolves the faults by
 * itself; PAGEMAP_SCAN protects the pages and tells which have lost their protection.
 *
 * I1. A page that is not reported was present when it was armed and was not written since. What
 *     was never armed, is mapped anew, was moved or not registered is reported as written.
 * I2. Only populated memory is armed: to arm a hole would allocate its page tables.
 * I3. Each call holds the lock of the address space no longer than a piece takes: another
 *     thread that maps memory waits for it.
 * I4. Registrations are undone one by one, never left to the close: a child of the program may
 *     have inherited the descriptor, and would keep all of it protected.
 */
#include "leakgc/tracker.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "leakgc/syscall.h"

/* Held at once: 16 MiB take 0.2 ms to arm and up to 0.5 ms to let go. */
#define PIECE      ((uintptr_t)16 << 20)

#define RANGES_MAX 262144

/* To ask for LEAKGC_PAGE_FILE, too, would make it look at each page itself: 16 times slower. */
#define CATEGORIES \
	(LEAKGC_PAGE_WRITTEN | LEAKGC_PAGE_PRESENT | LEAKGC_PAGE_SWAPPED | LEAKGC_PAGE_ZERO)

/* linux/userfaultfd.h of Debian 12 is older than these. */
#define FEATURE_WP_UNPOPULATED (1u << 13)
#define FEATURE_WP_ASYNC       (1u << 15)
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/* ---- one mapping --------------------------------------------------------------- */

static long scan(const struct leakgc_tracker *t, struct leakgc_page_scan *a)
{
	a->size = sizeof(*a);
	a->category_mask = LEAKGC_PAGE_WRITTEN;
	a->category_anyof_mask = LEAKGC_PAGE_PRESENT | LEAKGC_PAGE_SWAPPED; /* I2 */
	a->return_mask = CATEGORIES;
	return LEAKGC_SYS3(SYS_ioctl, t->pagemap_fd, LEAKGC_PAGEMAP_SCAN, a);
}

int leakgc_tracker_arm(struct leakgc_tracker *t, uintptr_t lo, uintptr_t hi)
{
	for (uintptr_t at = lo; at < hi;) {
		struct leakgc_page_scan a = {
			.flags = LEAKGC_SCAN_PROTECT | LEAKGC_SCAN_CHECK_ASYNC,
			.start = at,
			.end = hi - at > PIECE ? at + PIECE : hi,
		};
		long r = scan(t, &a);

		if (r < 0)
			return (int)r;
		at = a.end;
	}
	return 0;
}

int leakgc_tracker_written(struct leakgc_tracker *t, uintptr_t *address, uintptr_t hi, bool rearm)
{
	struct leakgc_page_scan a = {
		.flags = rearm ? LEAKGC_SCAN_PROTECT | LEAKGC_SCAN_CHECK_ASYNC : 0,
		.start = *address,
		.end = hi,
		.vec = (uintptr_t)t->runs,
		.vec_len = LEAKGC_PAGE_RUNS,
	};
	long n = scan(t, &a);
	int kept = 0;

	if (n < 0)
		return (int)n;
	if (a.walk_end <= *address || a.walk_end > hi)
		return -EIO; /* no progress would be an endless loop */
	*address = a.walk_end;
	for (long i = 0; i < n; i++)
		if (!(t->runs[i].categories & LEAKGC_PAGE_ZERO))
			t->runs[kept++] = t->runs[i];
	return kept;
}

int leakgc_tracker_add(struct leakgc_tracker *t, uintptr_t lo, uintptr_t hi)
{
	struct uffdio_register r = {.range = {lo, hi - lo}, .mode = UFFDIO_REGISTER_MODE_WP};
	long error;

	if (t->count == t->room)
		return 0;
	error = LEAKGC_SYS3(SYS_ioctl, t->fd, UFFDIO_REGISTER, &r);
	if (error < 0)
		return error == -EBUSY ? -EBUSY : 0;
	t->ranges[t->count++] = (struct leakgc_range){lo, hi};
	return 1;
}

/* Parts may have been unmapped meanwhile, which the kernel does not mind. */
static void let_go(const struct leakgc_tracker *t, struct leakgc_range range)
{
	struct uffdio_range all = {range.lo, range.hi - range.lo};

	for (uintptr_t at = range.lo; at < range.hi && range.hi - range.lo > PIECE; at += PIECE) {
		uintptr_t length = range.hi - at > PIECE ? PIECE : range.hi - at;
		struct uffdio_writeprotect open = {.range = {at, length}};

		LEAKGC_SYS3(SYS_ioctl, t->fd, UFFDIO_WRITEPROTECT, &open);
	}
	LEAKGC_SYS3(SYS_ioctl, t->fd, UFFDIO_UNREGISTER, &all);
}

/* ---- begin and end ---------------------------------------------------------------- */

/* Written and not written: is the kernel's answer right for both? */
static int self_test(struct leakgc_tracker *t)
{
	const size_t page = 4096 * 16, size = 4 * page; /* whatever the machine's pages are */
	uintptr_t lo = (uintptr_t)mmap(NULL, size, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t at = lo;
	int r;

	if (lo == (uintptr_t)MAP_FAILED)
		return -ENOMEM;
	for (size_t i = 0; i < size; i += 4096)
		*(volatile char *)(lo + i) = 1;
	r = leakgc_tracker_add(t, lo, lo + size);
	if (r >= 0)
		r = r ? leakgc_tracker_arm(t, lo, lo + size) : -ENOTSUP;
	if (r == 0) {
		*(volatile char *)(lo + 2 * page) = 2;
		r = leakgc_tracker_written(t, &at, lo + size, false);
	}
	if (r >= 0)
		r = r == 1 && at == lo + size && t->runs[0].lo == lo + 2 * page &&
				    t->runs[0].hi > lo + 2 * page && t->runs[0].hi <= lo + 3 * page
			    ? 0
			    : -ENOTSUP;
	if (t->count)
		let_go(t, t->ranges[--t->count]);
	munmap((void *)lo, size);
	return r;
}

static int open_userfaultfd(void)
{
	struct uffdio_api api = {.api = UFFD_API,
				 .features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED};
	int fd = (int)LEAKGC_SYS1(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	long r = fd < 0 ? 0 : LEAKGC_SYS3(SYS_ioctl, fd, UFFDIO_API, &api);

	if (r == 0)
		return fd;
	leakgc_close(fd);
	return (int)r;
}

int leakgc_tracker_try(void)
{
	int fd = open_userfaultfd();

	leakgc_close(fd);
	return fd < 0 ? fd : 0;
}

int leakgc_tracker_open(struct leakgc_tracker *t, struct leakgc_arena *arena, int pagemap_fd)
{
	*t = (struct leakgc_tracker){.fd = -1, .pagemap_fd = pagemap_fd, .room = RANGES_MAX};
	t->ranges = leakgc_arena_take(arena, t->room * sizeof(*t->ranges));
	t->runs = leakgc_arena_take(arena, LEAKGC_PAGE_RUNS * sizeof(*t->runs));
	if (!t->ranges || !t->runs)
		return -ENOMEM;
	t->fd = open_userfaultfd();
	if (t->fd < 0)
		return t->fd;
	return self_test(t);
}

void leakgc_tracker_close(struct leakgc_tracker *t)
{
	if (t->fd < 0)
		return;
	while (t->count)
		let_go(t, t->ranges[--t->count]);
	leakgc_close(t->fd);
	t->fd = -1;
}

/* SPDX-License-Identifier: MIT */
/*
 * A page whose first touch is never answered: whoever faults on it sleeps, in the kernel too.
 * What userfaultfd does here a hostile target can do with a FUSE file.
 */
#ifndef TESTS_UNANSWERED_PAGE_H
#define TESTS_UNANSWERED_PAGE_H

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Maps the page at `at` (NULL: anywhere). Returns the userfaultfd, readable at the first fault. */
static inline int unanswered_page(void *at, void **ret_page)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	void *page = mmap(at, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);

	if (fd < 0 || page == MAP_FAILED || ioctl(fd, UFFDIO_API, &api))
		return -1;
	range.range.start = (uintptr_t)page;
	range.range.len = 4096;
	if (ioctl(fd, UFFDIO_REGISTER, &range))
		return -1;
	*ret_page = page;
	return fd;
}

#endif

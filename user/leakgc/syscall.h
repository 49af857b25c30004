/* SPDX-License-Identifier: MIT */
/*
 * System calls without libc: no errno, no cancellation, no thread-locals.
 *
 * Used while the world is stopped and in the snapshot, where any lock of libc
 * may be held by a thread that will never run again. All return -errno.
 */
#ifndef LEAKGC_SYSCALL_H
#define LEAKGC_SYSCALL_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

#define LEAKGC_NSEC 1000000000LL

static inline long leakgc_sys(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long ret = number;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "+a"(ret)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory", "cc");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory", "cc");
	return x0;
#else
#error "the leak search knows the system calls of x86-64 and aarch64"
#endif
}

#define LEAKGC_SYS1(n, a)          leakgc_sys((n), (long)(a), 0, 0, 0, 0, 0)
#define LEAKGC_SYS2(n, a, b)       leakgc_sys((n), (long)(a), (long)(b), 0, 0, 0, 0)
#define LEAKGC_SYS3(n, a, b, c)    leakgc_sys((n), (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define LEAKGC_SYS4(n, a, b, c, d) leakgc_sys((n), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define LEAKGC_SYS5(n, a, b, c, d, e) \
	leakgc_sys((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define LEAKGC_SYS6(n, a, b, c, d, e, f) \
	leakgc_sys((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline int leakgc_open(const char *path)
{
	return (int)LEAKGC_SYS4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
}

static inline void leakgc_close(int fd)
{
	if (fd >= 0)
		LEAKGC_SYS1(SYS_close, fd);
}

static inline long leakgc_read_fd(int fd, void *buffer, size_t size)
{
	return LEAKGC_SYS3(SYS_read, fd, buffer, size);
}

static inline int64_t leakgc_clock(clockid_t clock)
{
	struct timespec now = {0, 0};

	LEAKGC_SYS2(SYS_clock_gettime, clock, &now);
	return now.tv_sec * LEAKGC_NSEC + now.tv_nsec;
}

static inline int64_t leakgc_now(void)
{
	return leakgc_clock(CLOCK_MONOTONIC);
}

/* Read all of a small file, NUL-terminated. Returns its length, -E2BIG or -errno. */
static inline long leakgc_read_file(const char *path, char *buffer, size_t size)
{
	int fd = leakgc_open(path);
	size_t length = 0;
	long n;

	if (fd < 0)
		return fd;
	do {
		n = leakgc_read_fd(fd, buffer + length, size - length);
		if (n > 0)
			length += (size_t)n;
	} while (n > 0 && length < size);
	leakgc_close(fd);
	if (n < 0)
		return n;
	if (length >= size)
		return -7; /* -E2BIG; errno.h would invite the use of errno */
	buffer[length] = 0;
	return (long)length;
}

#endif

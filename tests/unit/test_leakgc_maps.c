/* SPDX-License-Identifier: MIT */
/* The parser of maps and smaps: every kind of line, and lines that no kernel writes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "leakgc/maps.h"

static int parse(const char *line, struct leakgc_region *ret_region)
{
	return leakgc_parse_region(line, strlen(line), ret_region);
}

static void expect_backing(const char *line, enum leakgc_backing backing)
{
	struct leakgc_region region;

	assert_int_equal(parse(line, &region), 1);
	assert_int_equal(region.backing, backing);
}

static void test_fields(void **state)
{
	struct leakgc_region region;

	(void)state;
	assert_int_equal(parse("7f00a000-7f00b000 rw-p 00000000 00:00 0 ", &region), 1);
	assert_int_equal(region.lo, 0x7f00a000);
	assert_int_equal(region.hi, 0x7f00b000);
	assert_true(region.readable && region.writable && !region.shared);
	assert_int_equal(
		parse("ffffffffff600000-ffffffffff601000 --xp 0 0:0 0 [vsyscall]", &region), 1);
	assert_int_equal(region.lo, 0xffffffffff600000);
	assert_false(region.readable || region.writable || region.shared);
	assert_int_equal(parse("1000-2000 r--s 0 fd:01 123 /a b c", &region), 1);
	assert_true(region.shared);
}

static void test_backings(void **state)
{
	(void)state;
	expect_backing("1000-2000 rw-p 0 00:00 0", LEAKGC_BACKING_ANONYMOUS);
	expect_backing("1000-2000 rw-p 0 00:00 0                 [heap]", LEAKGC_BACKING_ANONYMOUS);
	expect_backing("1000-2000 rw-p 0 00:00 0 [anon:name]", LEAKGC_BACKING_ANONYMOUS);
	expect_backing("1000-2000 r-xp 0 00:00 0 [vdso]", LEAKGC_BACKING_KERNEL);
	expect_backing("1000-2000 r--p 0 00:00 0 [vvar_vclock]", LEAKGC_BACKING_KERNEL);
	expect_backing("1000-2000 r-xp 0 00:00 0 [uprobes]", LEAKGC_BACKING_UPROBES);
	expect_backing("1000-2000 rw-p 0 00:00 0 [vdso-of-mine]", LEAKGC_BACKING_ANONYMOUS);
	expect_backing("1000-2000 rw-s 0 00:0b 1 /[aio] (deleted)", LEAKGC_BACKING_AIO);
	expect_backing("1000-2000 rw-s 0 00:01 1 /dev/zero (deleted)", LEAKGC_BACKING_ANONYMOUS);
	expect_backing("1000-2000 rw-s 0 00:01 1 /memfd:x (deleted)", LEAKGC_BACKING_ANONYMOUS);
	expect_backing("1000-2000 rw-s 0 00:01 1 /dev/shm/x", LEAKGC_BACKING_ANONYMOUS);
	expect_backing("1000-2000 rw-s 0 00:01 1 /SYSV0000002a (deleted)",
		       LEAKGC_BACKING_ANONYMOUS);
	expect_backing("1000-2000 rw-s 0 00:06 9 /dev/dri/card0", LEAKGC_BACKING_DEVICE);
	expect_backing("1000-2000 rw-s 0 00:0e 9 anon_inode:[perf_event]", LEAKGC_BACKING_DEVICE);
	expect_backing("1000-2000 r-xp 0 fd:01 77 /usr/lib/libc.so.6", LEAKGC_BACKING_FILE);
	/* Where such a page was not written, it is still the file's. */
	expect_backing("1000-2000 r-xp 0 fd:01 77 /usr/lib/old.so (deleted)", LEAKGC_BACKING_FILE);
	expect_backing("1000-2000 rw-s 0 fd:01 77 /tmp/gone (deleted)", LEAKGC_BACKING_ANONYMOUS);
}

static void test_broken_lines(void **state)
{
	static const char *const broken[] = {
		"x",
		"1000",
		"1000-",
		"1000-2000",
		"1000-2000 ",
		"1000-2000 rw-",
		"1000-2000 rw-p",
		"1000-2000 rw-x 0 0:0 0",
		"2000-1000 rw-p 0 0:0 0",
		"-2000 rw-p 0 0:0 0",
		"11111111111111111-2000 rw-p 0 0:0 0",
		"1000-2000_rw-p 0 0:0 0",
	};
	struct leakgc_region region = {.lo = 4711};

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		assert_int_equal(parse(broken[i], &region), -EINVAL);
	assert_int_equal(parse("", &region), 0);
	assert_int_equal(parse("Rss:                   4 kB", &region), 0);
	assert_int_equal(region.lo, 4711);
}

static void test_vm_flags(void **state)
{
	unsigned flags = 4711;

	(void)state;
	assert_int_equal(leakgc_parse_vm_flags("Rss: 4 kB", 9, &flags), 0);
	assert_int_equal(flags, 4711);
	assert_int_equal(leakgc_parse_vm_flags("VmFlags: rd wr mr mw me ac ", 27, &flags), 1);
	assert_int_equal(flags, LEAKGC_VM_MAY_WRITE);
	assert_int_equal(leakgc_parse_vm_flags("VmFlags: wf dc ht", 17, &flags), 1);
	assert_int_equal(flags, LEAKGC_VM_WIPEONFORK | LEAKGC_VM_DONTFORK | LEAKGC_VM_HUGETLB);
	assert_int_equal(leakgc_parse_vm_flags("VmFlags:", 8, &flags), 1);
	assert_int_equal(flags, 0);
}

/* Every truncation of a line, from memory that ends with it: no byte behind is read. */
static void test_every_prefix(void **state)
{
	static const char line[] =
		"7f00a000-7f00b000 rw-p 00000000 00:00 0    /anon_hugepage (deleted)";
	size_t page = 4096, length = sizeof(line) - 1;
	char *memory =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct leakgc_region region;
	unsigned flags;
	int whole = 0;

	(void)state;
	assert_ptr_not_equal(memory, MAP_FAILED);
	mprotect(memory + page, page, PROT_NONE);
	for (size_t n = 0; n <= length; n++) {
		char *at = memory + page - n;

		memcpy(at, line, n);
		whole += leakgc_parse_region(at, n, &region) == 1;
		leakgc_parse_vm_flags(at, n, &flags);
	}
	assert_in_range(whole, 10, length);
	munmap(memory, 2 * page);
}

struct seen {
	size_t count;
	struct leakgc_region last;
};

static int note(void *context, const struct leakgc_region *region)
{
	struct seen *seen = context;

	seen->count++;
	seen->last = *region;
	return 0;
}

static int walk(const char *text, size_t buffer_size, struct seen *seen)
{
	static char buffer[4096];
	int ends[2], r;

	memset(seen, 0, sizeof(*seen));
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
	close(ends[1]);
	r = leakgc_walk_maps(ends[0], buffer, buffer_size, note, seen);
	close(ends[0]);
	return r;
}

static void test_walk(void **state)
{
	static const char text[] = "1000-2000 rw-p 0 0:0 0\nSize: 4 kB\nVmFlags: rd wf\n"
				   "3000-4000 r--s 0 0:0 0 /x\nVmFlags: rd mw\n";
	struct seen seen;

	(void)state;
	/* Whatever way the lines fall into the buffer. */
	for (size_t size = 32; size < sizeof(text) + 8; size++) {
		assert_int_equal(walk(text, size, &seen), 0);
		assert_int_equal(seen.count, 2);
		assert_int_equal(seen.last.lo, 0x3000);
		assert_int_equal(seen.last.vm_flags, LEAKGC_VM_MAY_WRITE);
	}
	assert_int_equal(walk(text, 16, &seen), -E2BIG);
	assert_int_equal(walk("1000-2000 rw-p 0 0:0 0", 64, &seen), -EINVAL); /* cut off */
	assert_int_equal(walk("1000-2000 rw-p 0 0:0 0\n?\n", 64, &seen), -EINVAL);
	assert_int_equal(walk("", 64, &seen), 0);
	assert_int_equal(seen.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),       cmocka_unit_test(test_backings),
		cmocka_unit_test(test_broken_lines), cmocka_unit_test(test_vm_flags),
		cmocka_unit_test(test_every_prefix), cmocka_unit_test(test_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

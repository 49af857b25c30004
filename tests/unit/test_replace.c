/* SPDX-License-Identifier: MIT */
/* Tests files that are replaced as a whole: what is there before, after, and when it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/replace.h"

static char folder[] = "/tmp/test_replace.XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/x.prom", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder); /* fails if something was left behind */
}

static void assert_content(const char *expected)
{
	char content[64] = "";
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_true(fread(content, 1, sizeof(content) - 1, file) < sizeof(content));
	fclose(file);
	assert_string_equal(content, expected);
}

static size_t count_files(void)
{
	DIR *d = opendir(folder);
	size_t count = 0;

	assert_non_null(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count - 2;
}

static void new_content_appears_at_the_end(void **state)
{
	struct replacement r;
	struct stat info;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(replace_begin(&r, path), 0);
		fprintf(r.stream, "content %d\n", i);
		fflush(r.stream);
		if (i)
			assert_content("content 0\n");
		else
			assert_int_equal(access(path, F_OK), -1);
		assert_int_equal(replace_finish(&r), 0);
	}
	assert_content("content 1\n");
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0644);
	assert_int_equal(count_files(), 1);
}

static void given_up_leaves_the_old(void **state)
{
	struct replacement r;

	(void)state;
	assert_int_equal(replace_begin(&r, path), 0);
	fputs("nothing\n", r.stream);
	replace_abandon(&r);
	assert_content("content 1\n");
	assert_int_equal(count_files(), 1);
}

/* As on a full disk: what does not fit must not replace what is there. */
static void too_large_leaves_the_old(void **state)
{
	struct rlimit before, small;
	struct replacement r;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){.rlim_cur = 16, .rlim_max = before.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(replace_begin(&r, path), 0);
	fputs("more than sixteen bytes\n", r.stream);
	assert_int_equal(replace_finish(&r), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_content("content 1\n");
	assert_int_equal(count_files(), 1);
}

static void a_link_is_replaced_and_not_followed(void **state)
{
	char target[64];
	struct replacement r;
	struct stat info;

	(void)state;
	snprintf(target, sizeof(target), "%s/target", folder);
	unlink(path);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(replace_begin(&r, path), 0);
	fputs("x", r.stream);
	assert_int_equal(replace_finish(&r), 0);
	assert_int_equal(access(target, F_OK), -1);
	assert_int_equal(lstat(path, &info), 0);
	assert_true(S_ISREG(info.st_mode));
}

static void no_folder_is_an_error(void **state)
{
	struct replacement r;

	(void)state;
	assert_int_equal(replace_begin(&r, "/nonexistent/x"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_content_appears_at_the_end),
		cmocka_unit_test(given_up_leaves_the_old),
		cmocka_unit_test(too_large_leaves_the_old),
		cmocka_unit_test(a_link_is_replaced_and_not_followed),
		cmocka_unit_test(no_folder_is_an_error),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

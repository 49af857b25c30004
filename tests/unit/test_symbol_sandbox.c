/* SPDX-License-Identifier: MIT */
/*
 * The walls of the sandbox, what it does when it fails, and what is read of /proc.
 */
#include "symbol/cache.h"
#include "symbol/fetch.h"
#include "symbol/lockdown.h"
#include "symbol/modules.h"
#include "symbol/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- walls --------------------------------------------------------------------------- */

static int check_walls(void)
{
	int before = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	char byte;

	if (before < 0 || lockdown_enter() != 0)
		return 1;
	if (pread(before, &byte, 1, 0) != 1)
		return 2; /* what was handed in stays readable */
	if (open("/etc/passwd", O_RDONLY) >= 0 || open("/proc/self/maps", O_RDONLY) >= 0 ||
	    open("/dev/null", O_WRONLY) >= 0)
		return 3;
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
		return 4;
	if (fork() >= 0)
		return 5;
	if (kill(getppid(), 0) == 0)
		return 6;
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	    MAP_FAILED)
		return 7;
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	    MAP_FAILED)
		return 8;
	execl("/bin/true", "true", NULL);
	return 0;
}

static void nothing_can_be_reached_from_inside(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_return_code(pid, errno);
	if (pid == 0)
		_exit(check_walls());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void descriptors_of_the_observer_are_not_inside(void **state)
{
	struct sandbox s;
	int pipes[2];
	char byte;

	(void)state;
	assert_return_code(pipe(pipes), errno); /* without O_CLOEXEC, as a careless library's */
	assert_int_equal(sandbox_init(&s), 0);
	assert_int_equal(sandbox_ensure(&s), 0);
	assert_int_equal(sandbox_close_process(&s, 0), 0); /* it is up, past its start */
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 0); /* else: another writer is there */
	close(pipes[0]);
	sandbox_done(&s);
}

static void death_is_an_error_and_backs_off(void **state)
{
	struct engine_location l;
	struct sandbox s;
	uint32_t culprit;
	uint64_t generation;

	(void)state;
	assert_int_equal(sandbox_init(&s), 0);
	assert_int_equal(sandbox_locate(&s, 0, 1, false, &l, &culprit), -EIO); /* none yet */
	assert_int_equal(culprit, ENGINE_NO_MODULE);
	assert_int_equal(sandbox_ensure(&s), 0);
	generation = s.generation;
	assert_int_equal(sandbox_locate(&s, 0, 1, false, &l, &culprit), 0);
	kill(s.pid, SIGKILL);
	*s.busy_module = 5; /* as if it had been reading that one */
	assert_int_equal(sandbox_locate(&s, 0, 1, false, &l, &culprit), -EIO);
	assert_int_equal(culprit, 5);
	assert_int_equal(s.pid, 0);
	assert_int_equal(s.graves.count, 0); /* reaped */
	assert_int_equal(sandbox_ensure(&s), -EAGAIN);
	assert_int_equal(sandbox_locate(&s, 0, 1, false, &l, &culprit), -EIO);
	assert_int_equal(culprit, ENGINE_NO_MODULE); /* nobody's fault */
	s.not_before_ns = 0;
	assert_int_equal(sandbox_ensure(&s), 0);
	assert_int_equal(s.generation, generation + 1);
	assert_int_equal(sandbox_locate(&s, 0, 1, false, &l, &culprit), 0);
	assert_int_equal(s.failures, 0);
	sandbox_done(&s);
}

static void silence_ends_the_sandbox(void **state)
{
	struct engine_location l;
	struct sandbox s;
	uint32_t culprit;

	(void)state;
	assert_int_equal(sandbox_init(&s), 0);
	assert_int_equal(sandbox_ensure(&s), 0);
	kill(s.pid, SIGSTOP);
	assert_int_equal(sandbox_locate(&s, 0, 1, false, &l, &culprit), -EIO);
	assert_int_equal(s.pid, 0);
	sandbox_done(&s);
}

/* ---- modules and cache ------------------------------------------------------------------ */

static void module_that_kills_twice_is_not_read_again(void **state)
{
	struct sandbox s = {.socket = -1, .generation = 1};
	struct fetch_identity identity = {1, 2, 3, 4};
	struct modules m = {0};
	struct module *module = modules_acquire(&m, &identity);

	(void)state;
	assert_non_null(module);
	assert_true(module_is_wanted(module, &s));
	modules_strike(&m, module->id);
	assert_true(module_is_wanted(module, &s));
	modules_strike(&m, module->id);
	assert_false(module_is_wanted(module, &s));
	modules_strike(&m, ENGINE_NO_MODULE);
	modules_done(&m);
}

static void modules_are_kept_by_identity(void **state)
{
	uint32_t page = 0;
	struct sandbox s = {.socket = -1, .busy_module = &page};
	struct fetch_identity identity = {1, 2, 3, 4};
	struct modules m = {0};
	struct module *first = modules_acquire(&m, &identity), *other;
	uint64_t number = first->number;

	(void)state;
	assert_ptr_equal(modules_acquire(&m, &identity), first);
	identity.mtime_ns++;
	other = modules_acquire(&m, &identity);
	assert_ptr_not_equal(other, first);
	assert_int_not_equal(other->id, first->id);
	modules_release(&m, &s, first);
	modules_release(&m, &s, first);
	identity.mtime_ns--;
	assert_ptr_equal(modules_acquire(&m, &identity), first); /* idle, but still there */
	modules_release(&m, &s, first);
	for (unsigned i = 0; i < MODULES_IDLE_MAX; i++) {
		struct fetch_identity new = {.ino = 100 + i};

		modules_release(&m, &s, modules_acquire(&m, &new));
	}
	first = modules_acquire(&m, &identity); /* too many came after it */
	assert_int_not_equal(first->number, number);
	modules_done(&m);
}

static void cache_gives_back_what_was_put(void **state)
{
	struct cache *c = calloc(1, sizeof(*c));
	struct cache_key key = {.module = 1, .position = 0x1234, .executable = true};
	struct symbol_location l = {.function = strdup("f"), .line = 7};

	(void)state;
	assert_non_null(c);
	assert_null(cache_get(c, &key));
	cache_put(c, &key, &l);
	assert_null(l.function);
	assert_string_equal(cache_get(c, &key)->function, "f");
	key.is_return = true;
	assert_null(cache_get(c, &key));
	key.is_return = false;
	key.module = 2;
	assert_null(cache_get(c, &key));
	for (uint64_t i = 0; i < 3 * CACHE_ENTRIES; i++) { /* bounded, and nothing is lost */
		key.position = i;
		l = (struct symbol_location){.function = strdup("g"), .line = (unsigned)i};
		cache_put(c, &key, &l);
		assert_int_equal(cache_get(c, &key)->line, i);
	}
	cache_done(c);
	free(c);
}

/* ---- maps ------------------------------------------------------------------------------- */

static int parse(const char *text, struct fetch_area **ret_area)
{
	FILE *file = fmemopen((void *)text, strlen(text), "r");
	int err;

	assert_non_null(file);
	*ret_area = mmap(NULL, sizeof(**ret_area), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(*ret_area, MAP_FAILED);
	err = fetch_parse_maps(file, *ret_area);
	fclose(file);
	return err;
}

static void maps_are_read(void **state)
{
	static const char text[] =
		"400000-401000 r--p 00000000 fe:00 77     /a b  c\\012d (deleted)\n"
		"401000-402000 r-xp 00001000 fe:00 77     /a b  c\\012d (deleted)\n"
		"402000-403000 rw-p 00002000 fe:00 77     /a b  c\\012d (deleted)\n"
		"403000-405000 rw-p 00000000 00:00 0 \n"
		"405000-406000 rw-p 00000000 00:00 0 \n"
		"500000-501000 rwxp 00000000 00:00 0 \n"
		"600000-601000 rw-p 00000000 00:00 0      [heap]\n"
		"700000-701000 r-xp 00000000 fe:00 78     /b\n"
		"701000-702000 ---p 00000000 00:00 0 \n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n";
	struct fetch_area *a;

	(void)state;
	assert_int_equal(parse(text, &a), 0);
	assert_int_equal(a->object_count, 4);
	assert_string_equal(a->objects[0].name, "/a b  c\\012d (deleted)");
	assert_int_equal(a->objects[0].ino, 77);
	assert_int_equal(a->objects[0].open_start, 0x401000);
	assert_int_equal(a->objects[0].open_end, 0x402000);
	assert_string_equal(a->objects[1].name, "[heap]");
	assert_int_equal(a->objects[1].open_end, 0);
	assert_int_equal(a->objects[3].open_end, 0); /* executable, but no file */
	assert_int_equal(a->map_count, 8);           /* neither 405000 nor 701000 */
	assert_int_equal(a->maps[3].start, 0x403000);
	assert_int_equal(a->maps[3].object, 0);
	assert_int_equal(a->maps[3].flags, ENGINE_MAP_ZEROED);
	assert_int_equal(a->maps[4].object, FETCH_NO_OBJECT);
	assert_int_equal(a->maps[4].flags, ENGINE_MAP_EXECUTABLE);
	assert_int_equal(a->maps[7].end, 0xffffffffff601000);
	fetch_area_free(a);
}

static void garbage_in_maps_is_refused(void **state)
{
	static const char *const texts[] = {
		"hello\n",
		"1000-2000\n",
		"1000-2000 r-xp 0 fe:00\n",
		"1000-2000 r-xp 0 fe:00 1 /ok\n\n",
		"-\n",
	};
	struct fetch_area *a;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(parse(texts[i], &a), -EBADMSG);
		fetch_area_free(a);
	}
}

static void long_names_are_cut_and_many_are_dropped(void **state)
{
	char *text = malloc(4 << 20), *at = text;
	struct fetch_area *a;

	(void)state;
	assert_non_null(text);
	at += sprintf(at, "1000-2000 r-xp 0 fe:00 1 /");
	memset(at, 'x', 3 * FETCH_NAME_MAX);
	at += 3 * FETCH_NAME_MAX;
	for (unsigned i = 2; i < 2000; i++)
		at += sprintf(at, "\n%x000-%x000 r-xp 0 fe:00 %u /f", i, i + 1, i);
	assert_int_equal(parse(text, &a), 0);
	assert_int_equal(strlen(a->objects[0].name), FETCH_NAME_MAX - 1);
	assert_int_equal(a->object_count, FETCH_OBJECTS_MAX);
	assert_int_equal(a->map_count, 1999); /* code it is all the same */
	assert_int_equal(a->maps[1998].object, FETCH_NO_OBJECT);
	fetch_area_free(a);
	free(text);
}

static void too_many_lines_are_refused(void **state)
{
	static const char line[] = "1-2 r--p 0 0:0 0\n";
	size_t length = sizeof(line) - 1;
	char *text = malloc((ENGINE_MAPS_MAX + 1) * length + 1), *at = text;
	struct fetch_area *a;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i <= ENGINE_MAPS_MAX; i++, at += length)
		memcpy(at, line, length);
	*at = '\0';
	assert_int_equal(parse(text, &a), -E2BIG);
	fetch_area_free(a);
	text[ENGINE_MAPS_MAX * length] = '\0';
	assert_int_equal(parse(text, &a), 0);
	fetch_area_free(a);
	free(text);
}

/* ---- fetching --------------------------------------------------------------------------- */

static void only_regular_files_are_opened(void **state)
{
	/* Shared memory without a name in a directory is a file; a device is none. */
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC), self;
	void *device = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, zero, 0);
	struct graves graves = {0};
	struct fetch_area *a;
	unsigned opened = 0, devices = 0;
	int files;

	(void)state;
	assert_ptr_not_equal(device, MAP_FAILED);
	self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_return_code(self, errno);
	assert_int_equal(fetch_run(self, &graves, &a, &files), 0);
	for (uint32_t i = 0; i < a->object_count; i++) {
		bool is_device = strcmp(a->objects[i].name, "/dev/zero") == 0;

		devices += is_device;
		opened += a->objects[i].opened;
		assert_false(is_device && a->objects[i].opened);
	}
	assert_int_equal(devices, 1);
	assert_in_range(opened, 3, 30); /* this program, libc, the loader, ... */
	assert_int_equal(graves.count, 0);
	fetch_area_free(a);
	close(files);
	close(self);
	munmap(device, 4096);
	close(zero);
}

static void stopped_service_is_refused_while_graves_are_open(void **state)
{
	struct graves graves = {0};
	struct fetch_area *a;
	int files;
	pid_t pid = fork();

	(void)state;
	assert_return_code(pid, errno);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	while (graves.count < GRAVES_MAX) /* a child that lives looks like one that cannot die */
		graves.pids[graves.count++] = pid;
	assert_int_equal(fetch_run(AT_FDCWD, &graves, &a, &files), -EAGAIN);
	graves.count = 0;
	graves_bury(&graves, pid);
	assert_int_equal(graves.count, 0);
	assert_true(waitpid(pid, NULL, WNOHANG) < 0);
	assert_int_equal(fetch_run(-1, &graves, &a, &files), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_can_be_reached_from_inside),
		cmocka_unit_test(descriptors_of_the_observer_are_not_inside),
		cmocka_unit_test(death_is_an_error_and_backs_off),
		cmocka_unit_test(silence_ends_the_sandbox),
		cmocka_unit_test(module_that_kills_twice_is_not_read_again),
		cmocka_unit_test(modules_are_kept_by_identity),
		cmocka_unit_test(cache_gives_back_what_was_put),
		cmocka_unit_test(maps_are_read),
		cmocka_unit_test(garbage_in_maps_is_refused),
		cmocka_unit_test(long_names_are_cut_and_many_are_dropped),
		cmocka_unit_test(too_many_lines_are_refused),
		cmocka_unit_test(only_regular_files_are_opened),
		cmocka_unit_test(stopped_service_is_refused_while_graves_are_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What the observer finds the runtime by: the ELF note, the probe functions, the descriptor. */
#include "strand_test.h"

#include <fcntl.h>
#include <gelf.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "probe_observer.h"
#include "strand/switch.h"

static const uintptr_t probe_functions[STRAND_PROBE_COUNT] = {
	[STRAND_PROBE_SPAWN] = (uintptr_t)strand_probe_spawn,
	[STRAND_PROBE_EXIT] = (uintptr_t)strand_probe_exit,
	[STRAND_PROBE_PARK] = (uintptr_t)strand_probe_park,
	[STRAND_PROBE_UNPARK] = (uintptr_t)strand_probe_unpark,
	[STRAND_PROBE_CHAN] = (uintptr_t)strand_probe_chan,
	[STRAND_PROBE_SEND] = (uintptr_t)strand_probe_send,
	[STRAND_PROBE_RECV] = (uintptr_t)strand_probe_recv,
	[STRAND_PROBE_SCAN_DONE] = (uintptr_t)strand_probe_scan_done,
};

/* ---- the note --------------------------------------------------------------------- */

static void test_note_names_every_address(void **state)
{
	struct found_note found = find_own_note();
	const struct strand_note *note = found.note;

	(void)state;
	assert_int_equal(found.count, 1);
	assert_int_equal(note->abi_major, STRAND_ABI_MAJOR);
	assert_int_equal(note->abi_minor, STRAND_ABI_MINOR);
	assert_int_equal(note->size, sizeof(*note));
	assert_int_equal(note->probe_count, STRAND_PROBE_COUNT);
	assert_ptr_equal(note_address(note, note->descriptor), &strand_descriptor);
	assert_ptr_equal(note_address(note, note->semaphore), &strand_probe_semaphore);
	for (size_t i = 0; i < STRAND_NOTE_PROBES; i++) {
		uintptr_t probe = (uintptr_t)note_address(note, note->probe[i]);

		if (i >= STRAND_PROBE_COUNT) {
			assert_int_equal(note->probe[i], 0);
			continue;
		}
		assert_true(probe > probe_functions[i]);
		assert_true(probe < probe_functions[i] + 16);
	}
}

/* A frame around the nop, so that the kernel's call harms no red zone and stacks are whole. */
static void test_probe_functions(void **state)
{
#if defined(__x86_64__)
	static const unsigned char body[] = {
		0x55, 0x48, 0x89, 0xe5,       /* push %rbp; mov %rsp, %rbp */
		0x90,                         /* nop: of the USDT note */
		0x0f, 0x1f, 0x44, 0x00, 0x00, /* nopl 0(%rax, %rax): of the strand note */
		0x5d, 0xc3,                   /* pop %rbp; ret */
	};
	const struct strand_note *note = find_own_note().note;

	(void)state;
	if (strand_probe_semaphore) {
		print_message("skipped: an observer of this machine has patched the probes\n");
		skip();
	}
	for (size_t i = 0; i < STRAND_PROBE_COUNT; i++) {
		assert_memory_equal((const void *)probe_functions[i], body, sizeof(body));
		assert_int_equal((uintptr_t)note_address(note, note->probe[i]),
				 probe_functions[i] + 5);
	}
#else
	(void)state;
	skip(); /* the encoding is of x86-64 */
#endif
}

/* In the file: what survives strip, and what bpftrace reads. */
struct file_check {
	GElf_Shdr note, semaphore, data;
	unsigned usdt_notes;
	GElf_Addr semaphore_address;
};

static unsigned count_usdt_notes(Elf_Data *data, GElf_Addr *ret_semaphore)
{
	size_t offset = 0, name, content;
	unsigned count = 0;
	GElf_Nhdr header;

	while ((offset = gelf_getnote(data, offset, &header, &name, &content)) > 0) {
		const char *bytes = data->d_buf;

		if (header.n_type != 3 || strcmp(bytes + name, "stapsdt") != 0 ||
		    strcmp(bytes + content + 24, "strand") != 0)
			continue;
		memcpy(ret_semaphore, bytes + content + 16, sizeof(*ret_semaphore));
		count++;
	}
	return count;
}

static void read_sections(Elf *elf, struct file_check *ret_check)
{
	size_t names;

	memset(ret_check, 0, sizeof(*ret_check));
	assert_int_equal(elf_getshdrstrndx(elf, &names), 0);
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn));) {
		GElf_Shdr header;
		const char *name;

		assert_non_null(gelf_getshdr(scn, &header));
		name = elf_strptr(elf, names, header.sh_name);
		if (!strcmp(name, ".note.strand"))
			ret_check->note = header;
		else if (!strcmp(name, ".probes"))
			ret_check->semaphore = header;
		else if (!strcmp(name, ".data"))
			ret_check->data = header;
		else if (!strcmp(name, ".note.stapsdt"))
			ret_check->usdt_notes = count_usdt_notes(elf_getdata(scn, NULL),
								 &ret_check->semaphore_address);
	}
}

static bool holds(const GElf_Shdr *section, uintptr_t base, const volatile void *object)
{
	uintptr_t address = (uintptr_t)object - base;

	return address >= section->sh_addr && address < section->sh_addr + section->sh_size;
}

static int first_base(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	*(uintptr_t *)arg = info->dlpi_addr;
	return 1;
}

static void test_sections_of_the_file(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct file_check check;
	uintptr_t base;
	Elf *elf;

	(void)state;
	assert_true(fd >= 0);
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	assert_non_null(elf);
	read_sections(elf, &check);
	dl_iterate_phdr(first_base, &base);

	/* Allocated: strip leaves it. */
	assert_int_equal(check.note.sh_type, SHT_NOTE);
	assert_true(check.note.sh_flags & SHF_ALLOC);
	/* A uprobe's reference counter must be in file-backed, writable memory. */
	assert_int_equal(check.semaphore.sh_type, SHT_PROGBITS);
	assert_int_equal(check.semaphore.sh_flags & (SHF_ALLOC | SHF_WRITE), SHF_ALLOC | SHF_WRITE);
	assert_true(holds(&check.semaphore, base, &strand_probe_semaphore));
	assert_int_equal(check.data.sh_type, SHT_PROGBITS);
	assert_true(holds(&check.data, base, &strand_descriptor));
	assert_int_equal(check.usdt_notes, STRAND_PROBE_COUNT);
	assert_int_equal(check.semaphore_address + base, (uintptr_t)&strand_probe_semaphore);
	elf_end(elf);
	close(fd);
}

/* ---- the descriptor ------------------------------------------------------------------- */

static void check_constants(void)
{
	expect_eq(strand_descriptor.magic, STRAND_DESCRIPTOR_MAGIC);
	expect_eq(strand_descriptor.abi_major, STRAND_ABI_MAJOR);
	expect_eq(strand_descriptor.abi_minor, STRAND_ABI_MINOR);
	expect_eq(strand_descriptor.size, sizeof(strand_descriptor));
	expect_true(strstr(strand_descriptor.build, STRAND_VERSION) != NULL);
	expect_true(memchr(strand_descriptor.build, 0, sizeof(strand_descriptor.build)) != NULL);
}

static void check_not_running(void)
{
	check_constants();
	expect_eq(strand_descriptor.pid, 0);
	expect_eq(strand_descriptor.control_fd, -1);
}

static int check_running(void *arg)
{
	struct stat status;

	check_constants();
	expect_eq(strand_descriptor.pid, getpid());
	expect_eq(strand_descriptor.workers, *(int *)arg);
	expect_eq(strand_descriptor.threshold_ns, 10 * STRAND_MILLISECOND);
	expect_eq(strand_descriptor.task_end_pc, (uintptr_t)switch_task_end_pc);
	expect_eq(fstat(strand_descriptor.control_fd, &status), 0);
	expect_true(S_ISFIFO(status.st_mode));
	expect_eq(status.st_mode & 07777, 0622);
	expect_eq(fcntl(strand_descriptor.control_fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	expect_true(fcntl(strand_descriptor.control_fd, F_GETFD) & FD_CLOEXEC);
	return 0;
}

static void test_descriptor(void **state)
{
	(void)state;
	test_failures = 0;
	check_not_running();
	assert_int_equal(test_failures, 0);
	for (int workers = 1; workers <= 4; workers++) {
		run_tasks_with(workers, check_running, &workers);
		check_not_running();
		assert_int_equal(test_failures, 0);
	}
}

static int check_unobserved(void *arg)
{
	(void)arg;
	check_constants();
	expect_eq(strand_descriptor.pid, getpid());
	expect_eq(strand_descriptor.control_fd, -1);
	return 0;
}

static void test_descriptor_without_pipe(void **state)
{
	(void)state;
	setenv("STRAND_OBSERVE", "0", 1);
	run_tasks(check_unobserved, NULL);
	unsetenv("STRAND_OBSERVE");
}

static void count_down(void *arg)
{
	await_chan(arg, 1);
}

static int spawn_hundred(void *arg)
{
	struct strand_chan *chan = new_chan(0, 0);

	(void)arg;
	for (int i = 0; i < 100; i++)
		expect_eq(strand_go(count_down, chan), 0);
	for (int i = 0; i < 100; i++)
		signal_chan(chan);
	expect_eq(strand_chan_close(chan), 0);
	return 0;
}

/* The counters are right when all is over; those that were never started do not count as ended. */
static void test_counters(void **state)
{
	(void)state;
	for (int workers = 1; workers <= 4; workers *= 2) {
		uint64_t spawned = strand_descriptor.tasks_spawned;
		uint64_t exited = strand_descriptor.tasks_exited;

		run_tasks_with(workers, spawn_hundred, NULL);
		assert_int_equal(strand_descriptor.tasks_spawned, spawned + 101);
		assert_true(strand_descriptor.tasks_exited > exited);
		assert_true(strand_descriptor.tasks_exited <= exited + 101);
	}
}

/* ---- a runtime that could not start ------------------------------------------------------ */

static int must_not_run(void *arg)
{
	*(int *)arg = 1;
	return 0;
}

/* No descriptor is left for the pipe. */
static int start_without_descriptors(void)
{
	struct rlimit before, none;
	int ran = 0;

	for (int fd = 3; fd < 256; fd++)
		close(fd);
	if (getrlimit(RLIMIT_NOFILE, &before) < 0)
		return 2;
	none = (struct rlimit){3, before.rlim_max};
	if (fcntl(2, F_GETFD) < 0 || setrlimit(RLIMIT_NOFILE, &none) < 0)
		return 2;
	expect_eq(strand_main(must_not_run, &ran), -EMFILE);
	expect_eq(ran, 0);
	check_not_running();
	if (setrlimit(RLIMIT_NOFILE, &before) < 0)
		return 3;
	expect_eq(strand_main(must_not_run, &ran), 0); /* nothing is left of the first try */
	expect_eq(ran, 1);
	return test_failures != 0;
}

/* No address space is left for the stacks of the threads. */
static int start_without_threads(void)
{
	struct rlimit room = {(rlim_t)status_kib("VmSize") * 1024 + (200 << 20), RLIM_INFINITY};
	int ran = 0, r;

	setenv("STRAND_WORKERS", "200", 1);
	if (setrlimit(RLIMIT_AS, &room) < 0)
		return 2;
	r = strand_main(must_not_run, &ran);
	expect_true(r == -EAGAIN || r == -ENOMEM);
	expect_eq(ran, 0);
	check_not_running();
	expect_eq(count_entries("/proc/self/task"), 3); /* ".", ".." and this one */
	set_workers(2);
	expect_eq(strand_main(must_not_run, &ran), 0);
	expect_eq(ran, 1);
	return test_failures != 0;
}

static void test_failed_start_without_descriptors(void **state)
{
	(void)state;
	assert_int_equal(run_child(start_without_descriptors), 0);
}

static void test_failed_start_without_threads(void **state)
{
	(void)state;
#if defined(__SANITIZE_ADDRESS__)
	skip(); /* the sanitizer itself needs the address space */
#endif
	assert_int_equal(run_child(start_without_threads), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_note_names_every_address),
		cmocka_unit_test(test_probe_functions),
		cmocka_unit_test(test_sections_of_the_file),
		cmocka_unit_test(test_descriptor),
		cmocka_unit_test(test_descriptor_without_pipe),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_failed_start_without_descriptors),
		cmocka_unit_test(test_failed_start_without_threads),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

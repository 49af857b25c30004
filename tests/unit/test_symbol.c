/* SPDX-License-Identifier: MIT */
/*
 * symbol/ from end to end: programs that are compiled here, park in a known chain of
 * calls, and are unwound and named from outside.
 */
#include "symbol/symbol.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const char fixture_source[] =
	"#include <dlfcn.h>\n"
	"#include <unistd.h>\n"
	"struct { unsigned long pc, sp, fp, data, bss; } parked;\n"
	"int some_data = 3;\n"
	"int some_bss[5000];\n"
	"void park(void);\n"
	"void park_in_c(void);\n"
	"#if defined(__x86_64__)\n"
	"__asm__(\".text\\n.globl park\\n.type park, %function\\npark:\\n\"\n"
	"	\"lea parked(%rip), %rax\\nmov (%rsp), %rcx\\nmov %rcx, (%rax)\\n\"\n"
	"	\"lea 8(%rsp), %rcx\\nmov %rcx, 8(%rax)\\nmov %rbp, 16(%rax)\\n\"\n"
	"	\"jmp park_in_c\\n.size park, . - park\\n\");\n"
	"#else\n"
	"__asm__(\".text\\n.globl park\\n.type park, %function\\npark:\\n\"\n"
	"	\"adrp x0, parked\\nadd x0, x0, :lo12:parked\\nmov x1, sp\\n\"\n"
	"	\"str x30, [x0]\\nstr x1, [x0, 8]\\nstr x29, [x0, 16]\\n\"\n"
	"	\"b park_in_c\\n.size park, . - park\\n\");\n"
	"#endif\n"
	"__attribute__((used)) void park_in_c(void)\n"
	"{\n"
	"	parked.data = (unsigned long)&some_data;\n"
	"	parked.bss = (unsigned long)&some_bss[4000];\n"
	"	if (write(1, &parked, sizeof(parked)) < 0)\n"
	"		_exit(1);\n"
	"	for (;;)\n"
	"		pause();\n"
	"}\n"
	"static inline __attribute__((always_inline)) void swallowed(void)\n"
	"{\n"
	"	park(); /* line of swallowed */\n"
	"}\n"
	"__attribute__((noinline)) int leaf(int x)\n"
	"{\n"
	"	volatile char room[100];\n"
	"	room[x] = 1;\n"
	"#ifdef INLINED\n"
	"	swallowed(); /* line of leaf */\n"
	"#else\n"
	"	park(); /* line of leaf */\n"
	"#endif\n"
	"	return room[x];\n"
	"}\n"
	"__attribute__((noinline)) int middle(int x)\n"
	"{\n"
	"	volatile int y = leaf(x + 1); /* line of middle */\n"
	"	return y + x;\n"
	"}\n"
	"__attribute__((noinline)) int outer(int x)\n"
	"{\n"
	"	volatile long big[300];\n"
	"	big[x] = middle(x); /* line of outer */\n"
	"	return (int)big[x] + some_data + some_bss[x];\n"
	"}\n"
	"int main(int argc, char **argv)\n"
	"{\n"
	"	int y;\n"
	"	(void)argv;\n"
	"	y = outer(argc); /* line of main */\n"
	"	return y + 1;\n"
	"}\n";

static const char *const chain[] = {"leaf", "middle", "outer", "main"};
#define CHAIN (sizeof(chain) / sizeof(chain[0]))

static char folder[PATH_MAX]; /* removed at the end */
static char debug_file[128];  /* outside of it; "": none */

/* ---- programs ---------------------------------------------------------------------- */

static unsigned line_of(const char *function)
{
	char mark[64];
	const char *found;
	unsigned line = 1;

	snprintf(mark, sizeof(mark), "/* line of %s */", function);
	found = strstr(fixture_source, mark);
	if (strcmp(function, "leaf") == 0) /* the second one: not INLINED */
		found = strstr(found + 1, mark);
	assert_non_null(found);
	for (const char *c = fixture_source; c < found; c++)
		line += *c == '\n';
	return line;
}

static void shell(const char *format, ...)
{
	char command[4 * PATH_MAX];
	va_list args;

	va_start(args, format);
	assert_in_range(vsnprintf(command, sizeof(command), format, args), 1, sizeof(command) - 1);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

/* Returns the path, to be freed. */
static char *compile(const char *compiler, const char *flags, const char *name)
{
	char *path;

	assert_return_code(asprintf(&path, "%s/%s", folder, name), 0);
	shell("%s %s -o '%s' '%s/fixture.c'", compiler, flags, path, folder);
	return path;
}

struct parked {
	uint64_t pc, sp, fp, data, bss;
};

struct subject {
	pid_t pid;
	int proc_fd, output;
	struct parked parked;
	uint8_t bytes[16384];
	size_t size; /* of bytes: may be less where the stack ends */
};

static void start(const char *path, struct subject *s)
{
	struct iovec here = {s->bytes, sizeof(s->bytes)}, there;
	int pipes[2];
	char proc[64];
	ssize_t got;

	assert_return_code(pipe2(pipes, O_CLOEXEC), errno);
	s->pid = fork();
	assert_return_code(s->pid, errno);
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(pipes[1], STDOUT_FILENO);
		execl(path, path, NULL);
		_exit(127);
	}
	close(pipes[1]);
	s->output = pipes[0];
	assert_int_equal(read(pipes[0], &s->parked, sizeof(s->parked)), sizeof(s->parked));
	snprintf(proc, sizeof(proc), "/proc/%d", s->pid);
	s->proc_fd = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_return_code(s->proc_fd, errno);
	there = (struct iovec){(void *)(uintptr_t)s->parked.sp, 4096 - s->parked.sp % 4096};
	/* All of it is above sp: a stack of a process that has just started is two pages or more. */
	there.iov_len += 8192;
	do
		got = process_vm_readv(s->pid, &here, 1, &there, 1, 0);
	while (got < 0 && (there.iov_len -= 4096) > 0 && there.iov_len < sizeof(s->bytes));
	assert_true(got > 0);
	s->size = (size_t)got;
}

static void stop(struct subject *s)
{
	kill(s->pid, SIGKILL);
	assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
	close(s->proc_fd);
	close(s->output);
}

static size_t unwind(struct symbol_process *p, const struct subject *s, uint64_t *pcs, size_t room,
		     bool *truncated)
{
	struct symbol_stack_copy copy = {
		.pc = s->parked.pc,
		.sp = s->parked.sp,
		.fp = s->parked.fp,
		.bytes = s->bytes,
		.size = s->size,
	};

	return symbol_unwind(p, &copy, pcs, room, truncated);
}

static bool ends_with(const char *text, const char *end)
{
	return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

/* The chain is found whole, and each of its frames has its name and line. */
static void expect_chain(struct symboliser *symboliser, const struct subject *s, const char *module,
			 bool lines, const char *innermost)
{
	struct symbol_process *p;
	uint64_t pcs[64];
	bool truncated;
	size_t count;

	assert_int_equal(symbol_process_new(symboliser, s->proc_fd, s->pid, &p), 0);
	count = unwind(p, s, pcs, 64, &truncated);
	assert_in_range(count, CHAIN, 10);
	assert_false(truncated);
	for (size_t i = 0; i < CHAIN; i++) {
		const char *name = i == 0 ? innermost : chain[i];
		struct symbol_location l;

		assert_int_equal(symbol_resolve(p, pcs[i], true, &l), 0);
		assert_non_null(l.function);
		assert_string_equal(l.function, name);
		assert_in_range(l.function_offset, 1, 300);
		assert_non_null(l.module);
		assert_string_equal(l.module, module);
		if (lines) {
			assert_non_null(l.file);
			assert_true(ends_with(l.file, "/fixture.c"));
			assert_int_equal(l.line, line_of(name));
		}
		symbol_location_done(&l);
	}
	symbol_process_free(p);
}

static void check_program(const char *path, bool lines, const char *innermost)
{
	struct symboliser *symboliser;
	struct subject s;

	start(path, &s);
	assert_int_equal(symboliser_new(&symboliser), 0);
	expect_chain(symboliser, &s, path, lines, innermost);
	symboliser_free(symboliser);
	stop(&s);
}

/* ---- tests ------------------------------------------------------------------------- */

static void check_flags(const char *compiler, const char *flags)
{
	char *path = compile(compiler, flags, "program");

	check_program(path, strstr(flags, "-g"), "leaf");
	free(path);
}

static void chain_is_found_with_frame_pointers(void **state)
{
	(void)state;
	check_flags("gcc", "-g -O2 -fno-omit-frame-pointer");
	check_flags("clang", "-g -O2 -fno-omit-frame-pointer");
	check_flags("gcc", "-g -O0");
}

static void chain_is_found_without_frame_pointers(void **state)
{
	(void)state;
	check_flags("gcc", "-g -O2 -fomit-frame-pointer");
	check_flags("clang", "-g -O2 -fomit-frame-pointer");
	check_flags("gcc", "-g -O3 -fomit-frame-pointer -fcf-protection=full -gdwarf-4");
}

static void chain_is_found_in_debug_frame(void **state)
{
	(void)state;
	check_flags("gcc", "-g -O2 -fomit-frame-pointer -fno-asynchronous-unwind-tables "
			   "-fno-unwind-tables");
}

static void chain_is_found_without_any_rules(void **state)
{
	(void)state;
	check_flags("gcc", "-O2 -fno-omit-frame-pointer -fno-asynchronous-unwind-tables "
			   "-fno-unwind-tables");
}

static void static_programs_are_understood(void **state)
{
	(void)state;
	check_flags("gcc", "-g -O2 -static -no-pie -fomit-frame-pointer");
	check_flags("gcc", "-g -O2 -static-pie -fomit-frame-pointer");
	check_flags("gcc", "-g -O2 -no-pie -Wl,-z,noseparate-code");
}

static void symbols_serve_without_debug_info(void **state)
{
	(void)state;
	check_flags("gcc", "-O2 -fomit-frame-pointer");
	check_flags("gcc", "-O2 -rdynamic -s");
}

static void innermost_inlined_function_is_named(void **state)
{
	char *path = compile("gcc", "-g -O2 -DINLINED", "inlined");

	(void)state;
	check_program(path, true, "swallowed");
	free(path);
}

static void stripped_program_has_offsets(void **state)
{
	char *full = compile("gcc", "-g -O2 -fomit-frame-pointer", "full"), *stripped;
	struct symboliser *symboliser;
	struct subject a, b;
	struct symbol_process *p, *q;
	uint64_t pcs[64], other[64];
	bool truncated;

	(void)state;
	assert_return_code(asprintf(&stripped, "%s/stripped", folder), 0);
	shell("strip -o '%s' '%s'", stripped, full);
	start(full, &a);
	start(stripped, &b);
	assert_int_equal(symboliser_new(&symboliser), 0);
	assert_int_equal(symbol_process_new(symboliser, a.proc_fd, a.pid, &p), 0);
	assert_int_equal(symbol_process_new(symboliser, b.proc_fd, b.pid, &q), 0);
	assert_in_range(unwind(p, &a, pcs, 64, &truncated), CHAIN, 10);
	assert_in_range(unwind(q, &b, other, 64, &truncated), CHAIN, 10);
	assert_false(truncated);
	for (size_t i = 0; i < CHAIN; i++) {
		struct symbol_location l, m;

		assert_int_equal(symbol_resolve(p, pcs[i], true, &l), 0);
		assert_int_equal(symbol_resolve(q, other[i], true, &m), 0);
		assert_string_equal(l.function, chain[i]);
		assert_null(m.function);
		assert_null(m.file);
		assert_string_equal(m.module, stripped);
		assert_int_equal(m.module_offset, l.module_offset);
		assert_in_range(m.module_offset, 0x1000, 0x2000);
		symbol_location_done(&l);
		symbol_location_done(&m);
	}
	symbol_process_free(p);
	symbol_process_free(q);
	symboliser_free(symboliser);
	stop(&a);
	stop(&b);
	free(stripped);
	free(full);
}

static void deleted_and_replaced_program_is_understood(void **state)
{
	char *path = compile("gcc", "-g -O2", "deleted"), *module;
	struct symboliser *symboliser;
	struct subject s;

	(void)state;
	start(path, &s);
	assert_return_code(unlink(path), errno);
	shell("cp /bin/true '%s'", path); /* what has its name now must not be asked */
	assert_return_code(asprintf(&module, "%s (deleted)", path), 0);
	assert_int_equal(symboliser_new(&symboliser), 0);
	expect_chain(symboliser, &s, module, true, "leaf");
	symboliser_free(symboliser);
	stop(&s);
	free(module);
	free(path);
}

static void odd_paths_are_understood(void **state)
{
	char *path = compile("gcc", "-g -O2", "a  path (deleted)"), *odd, *shown;
	struct symboliser *symboliser;
	struct subject s;

	(void)state;
	check_program(path, true, "leaf");
	assert_return_code(asprintf(&odd, "%s/two\nlines 7f00-7f01 r-xp", folder), 0);
	assert_return_code(asprintf(&shown, "%s/two\\012lines 7f00-7f01 r-xp", folder), 0);
	assert_return_code(rename(path, odd), errno);
	start(odd, &s);
	assert_int_equal(symboliser_new(&symboliser), 0);
	expect_chain(symboliser, &s, shown, true, "leaf");
	symboliser_free(symboliser);
	stop(&s);
	unlink(odd);
	free(shown);
	free(odd);
	free(path);
}

static void variables_have_names(void **state)
{
	char *path = compile("gcc", "-g -O2", "variables");
	struct symboliser *symboliser;
	struct symbol_location l;
	struct symbol_process *p;
	struct subject s;

	(void)state;
	start(path, &s);
	assert_int_equal(symboliser_new(&symboliser), 0);
	assert_int_equal(symbol_process_new(symboliser, s.proc_fd, s.pid, &p), 0);
	assert_int_equal(symbol_resolve(p, s.parked.data, false, &l), 0);
	assert_string_equal(l.function, "some_data");
	assert_int_equal(l.function_offset, 0);
	symbol_location_done(&l);
	assert_int_equal(symbol_resolve(p, s.parked.bss, false, &l), 0);
	assert_string_equal(l.function, "some_bss");
	assert_int_equal(l.function_offset, 4000 * sizeof(int));
	assert_string_equal(l.module, path);
	symbol_location_done(&l);
	symbol_process_free(p);
	symboliser_free(symboliser);
	stop(&s);
	free(path);
}

static void unmapped_addresses_are_unknown(void **state)
{
	char *path = compile("gcc", "-g -O2", "unmapped");
	struct symboliser *symboliser;
	struct symbol_location l;
	struct symbol_process *p;
	struct subject s;
	static const uint64_t addresses[] = {0, 1, 4096, UINT64_MAX, UINT64_MAX - 4096, 1ULL << 63};

	(void)state;
	start(path, &s);
	assert_int_equal(symboliser_new(&symboliser), 0);
	assert_int_equal(symbol_process_new(symboliser, s.proc_fd, s.pid, &p), 0);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		assert_int_equal(symbol_resolve(p, addresses[i], i & 1, &l), 0);
		assert_null(l.module);
		assert_null(l.function);
		assert_null(l.file);
	}
	assert_int_equal(symbol_resolve(p, s.parked.sp, false, &l), 0);
	assert_string_equal(l.module, "[stack]");
	symbol_location_done(&l);
	symbol_process_free(p);
	symboliser_free(symboliser);
	stop(&s);
	free(path);
}

static void short_copies_and_rooms_say_truncated(void **state)
{
	char *path = compile("gcc", "-g -O2 -fomit-frame-pointer", "short");
	struct symboliser *symboliser;
	struct symbol_process *p;
	uint64_t pcs[64], whole[64];
	struct subject s;
	bool truncated;
	size_t all, previous = 0;

	(void)state;
	start(path, &s);
	assert_int_equal(symboliser_new(&symboliser), 0);
	assert_int_equal(symbol_process_new(symboliser, s.proc_fd, s.pid, &p), 0);
	all = unwind(p, &s, whole, 64, &truncated);
	assert_false(truncated);
	assert_int_equal(unwind(p, &s, pcs, 2, &truncated), 2);
	assert_true(truncated);
	assert_memory_equal(pcs, whole, 2 * sizeof(pcs[0]));
	assert_int_equal(unwind(p, &s, pcs, 0, &truncated), 0);
	assert_true(truncated);
	for (size_t size = 0; size < 4096; size += 8) { /* never a wrong frame, never fewer */
		size_t count;

		s.size = size;
		count = unwind(p, &s, pcs, 64, &truncated);
		assert_in_range(count, previous ? previous : 1, all);
		assert_memory_equal(pcs, whole, count * sizeof(pcs[0]));
		if (count < all)
			assert_true(truncated);
		previous = count;
	}
	assert_int_equal(previous, all);
	symbol_process_free(p);
	symboliser_free(symboliser);
	stop(&s);
	free(path);
}

static void large_copies_are_taken(void **state)
{
	char *path = compile("gcc", "-g -O2 -fomit-frame-pointer", "large");
	size_t size = 1 << 20; /* more than is sent to the sandbox */
	uint8_t *bytes = calloc(1, size);
	struct symbol_stack_copy copy;
	struct symboliser *symboliser;
	struct symbol_process *p;
	uint64_t pcs[64];
	struct subject s;
	bool truncated;

	(void)state;
	assert_non_null(bytes);
	start(path, &s);
	memcpy(bytes, s.bytes, s.size);
	assert_int_equal(symboliser_new(&symboliser), 0);
	assert_int_equal(symbol_process_new(symboliser, s.proc_fd, s.pid, &p), 0);
	copy = (struct symbol_stack_copy){s.parked.pc, s.parked.sp, s.parked.fp, bytes, size};
	assert_in_range(symbol_unwind(p, &copy, pcs, 64, &truncated), CHAIN, 10);
	assert_false(truncated);
	symbol_process_free(p);
	symboliser_free(symboliser);
	stop(&s);
	free(bytes);
	free(path);
}

static void libraries_loaded_later_are_found(void **state)
{
	int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	time_t deadline = time(NULL) + 20;
	struct symbol_location l = {0};
	struct symboliser *symboliser;
	struct symbol_process *p;
	void *library, *function;

	(void)state;
	assert_return_code(self, errno);
	assert_int_equal(symboliser_new(&symboliser), 0);
	assert_int_equal(symbol_process_new(symboliser, self, getpid(), &p), 0);
	library = dlopen("libBrokenLocale.so.1", RTLD_NOW | RTLD_LOCAL);
	assert_non_null(library);
	function = dlsym(library, "__ctype_get_mb_cur_max");
	assert_non_null(function);
	while (!l.module) { /* maps are read again, though not for each question */
		assert_true(time(NULL) < deadline);
		assert_int_equal(symbol_resolve(p, (uintptr_t)function, false, &l), 0);
	}
	assert_non_null(strstr(l.module, "libBrokenLocale"));
	assert_string_equal(l.function, "__ctype_get_mb_cur_max");
	symbol_location_done(&l);
	symbol_process_free(p);
	symboliser_free(symboliser);
	dlclose(library);
	close(self);
}

static pid_t child_named(const char *name)
{
	char path[64], text[256] = "", *at = text;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	fd = open(path, O_RDONLY);
	assert_return_code(fd, errno);
	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	close(fd);
	for (;;) {
		char *end, comm[64] = "";
		long pid = strtol(at, &end, 10);

		if (end == at)
			return 0;
		at = end;
		snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		if (read(fd, comm, sizeof(comm) - 1) > 0 &&
		    strncmp(comm, name, strlen(name)) == 0) {
			close(fd);
			return (pid_t)pid;
		}
		close(fd);
	}
}

static void dead_sandbox_is_done_without_and_replaced(void **state)
{
	char *path =
		compile("gcc", "-g -O2 -fno-omit-frame-pointer -fno-asynchronous-unwind-tables",
			"survivor");
	struct symboliser *symboliser;
	struct symbol_location l;
	struct symbol_process *p;
	uint64_t pcs[64];
	struct subject s;
	time_t deadline;
	bool truncated;
	pid_t sandbox;

	(void)state;
	start(path, &s);
	assert_int_equal(symboliser_new(&symboliser), 0);
	assert_int_equal(symbol_process_new(symboliser, s.proc_fd, s.pid, &p), 0);
	sandbox = child_named("stranded-symbol");
	assert_int_not_equal(sandbox, 0);
	kill(sandbox, SIGKILL);
	assert_int_equal(symbol_resolve(p, s.parked.pc, true, &l), 0);
	assert_null(l.function);
	assert_string_equal(l.module, path);
	symbol_location_done(&l);
	assert_in_range(unwind(p, &s, pcs, 64, &truncated), CHAIN, 10); /* by frame pointers */
	deadline = time(NULL) + 20;
	do {
		assert_true(time(NULL) < deadline);
		assert_int_equal(symbol_resolve(p, s.parked.pc, true, &l), 0);
		if (!l.function)
			symbol_location_done(&l);
	} while (!l.function);
	assert_string_equal(l.function, "leaf");
	symbol_location_done(&l);
	expect_chain(symboliser, &s, path, true, "leaf");
	symbol_process_free(p);
	symboliser_free(symboliser);
	stop(&s);
	free(path);
}

static void exited_process_is_an_error(void **state)
{
	char *path = compile("gcc", "-g -O2", "exited");
	struct symboliser *symboliser;
	struct symbol_location l;
	struct symbol_process *p, *q;
	struct subject s;

	(void)state;
	start(path, &s);
	assert_int_equal(symboliser_new(&symboliser), 0);
	assert_int_equal(symbol_process_new(symboliser, s.proc_fd, s.pid, &p), 0);
	kill(s.pid, SIGKILL);
	assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
	assert_true(symbol_process_new(symboliser, s.proc_fd, s.pid, &q) < 0);
	assert_int_equal(symbol_resolve(p, s.parked.pc, true, &l), 0); /* known while it lived */
	assert_string_equal(l.function, "leaf");
	symbol_location_done(&l);
	symbol_process_free(p);
	symboliser_free(symboliser);
	close(s.proc_fd);
	close(s.output);
	free(path);
}

static void separate_debug_info_is_found(void **state)
{
	char id[41], flags[128], directory[64], *full, *stripped;

	(void)state;
	if (geteuid() != 0) /* the one place that is looked at is the system's */
		skip();
	/* Two runs of this test must not meet in /usr/lib/debug. */
	snprintf(id, sizeof(id), "5354524e44%022x%08x", 0, (unsigned)getpid());
	snprintf(flags, sizeof(flags), "-g -O2 -Wl,--build-id=0x%s", id);
	snprintf(directory, sizeof(directory), "/usr/lib/debug/.build-id/%.2s", id);
	snprintf(debug_file, sizeof(debug_file), "%s/%s.debug", directory, id + 2);
	full = compile("gcc", flags, "separate");
	assert_return_code(asprintf(&stripped, "%s/without", folder), 0);
	shell("strip -o '%s' '%s' && mkdir -p %s && objcopy --only-keep-debug '%s' %s", stripped,
	      full, directory, full, debug_file);
	check_program(stripped, true, "leaf");
	assert_return_code(unlink(debug_file), errno);
	debug_file[0] = '\0';
	rmdir(directory); /* fails if others have files there */
	free(stripped);
	free(full);
}

/* The test may have failed half-way: the system's directory must not keep its file. */
static int remove_debug_file(void **state)
{
	(void)state;
	return debug_file[0] ? unlink(debug_file) : 0;
}

static double elapsed_us(const struct timespec *from)
{
	struct timespec to;

	clock_gettime(CLOCK_MONOTONIC, &to);
	return (double)(to.tv_sec - from->tv_sec) * 1e6 +
	       (double)(to.tv_nsec - from->tv_nsec) / 1e3;
}

/* Prints what the questions cost; asserts only that each answer is the same. */
static void costs_are_printed(void **state)
{
	char *path = compile("gcc", "-g -O2 -fomit-frame-pointer", "cost");
	struct symboliser *symboliser;
	struct symbol_process *p;
	struct symbol_location l;
	struct timespec from;
	uint64_t pcs[64];
	struct subject s;
	bool truncated;
	size_t count;

	(void)state;
	start(path, &s);
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(symboliser_new(&symboliser), 0);
	print_message("new symboliser %.0f us\n", elapsed_us(&from));
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(symbol_process_new(symboliser, s.proc_fd, s.pid, &p), 0);
	print_message("new process    %.0f us\n", elapsed_us(&from));
	clock_gettime(CLOCK_MONOTONIC, &from);
	count = unwind(p, &s, pcs, 64, &truncated);
	print_message("first unwind   %.0f us\n", elapsed_us(&from));
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(unwind(p, &s, pcs, 64, &truncated), count);
	print_message("unwind         %.1f us, %zu frames\n", elapsed_us(&from) / 1000, count);
	for (size_t i = 0; i < count; i++) {
		clock_gettime(CLOCK_MONOTONIC, &from);
		assert_int_equal(symbol_resolve(p, pcs[i], true, &l), 0);
		print_message("first resolve  %.0f us (%s)\n", elapsed_us(&from), l.function);
		symbol_location_done(&l);
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < 100000; i++) {
		assert_int_equal(symbol_resolve(p, pcs[1], true, &l), 0);
		assert_string_equal(l.function, "middle");
		symbol_location_done(&l);
	}
	print_message("cached resolve %.2f us\n", elapsed_us(&from) / 100000);
	symbol_process_free(p);
	symboliser_free(symboliser);
	stop(&s);
	free(path);
}

static int make_folder(void **state)
{
	char source[PATH_MAX + 16];
	FILE *file;

	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/test_symbol.XXXXXX");
	if (!mkdtemp(folder) || chmod(folder, 0755) < 0)
		return -1;
	snprintf(source, sizeof(source), "%s/fixture.c", folder);
	file = fopen(source, "w");
	if (!file || fputs(fixture_source, file) < 0)
		return -1;
	return fclose(file);
}

static int remove_folder(void **state)
{
	(void)state;
	shell("rm -r '%s'", folder);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chain_is_found_with_frame_pointers),
		cmocka_unit_test(chain_is_found_without_frame_pointers),
		cmocka_unit_test(chain_is_found_in_debug_frame),
		cmocka_unit_test(chain_is_found_without_any_rules),
		cmocka_unit_test(static_programs_are_understood),
		cmocka_unit_test(symbols_serve_without_debug_info),
		cmocka_unit_test(innermost_inlined_function_is_named),
		cmocka_unit_test(stripped_program_has_offsets),
		cmocka_unit_test(deleted_and_replaced_program_is_understood),
		cmocka_unit_test(odd_paths_are_understood),
		cmocka_unit_test(variables_have_names),
		cmocka_unit_test(unmapped_addresses_are_unknown),
		cmocka_unit_test(short_copies_and_rooms_say_truncated),
		cmocka_unit_test(large_copies_are_taken),
		cmocka_unit_test(libraries_loaded_later_are_found),
		cmocka_unit_test(dead_sandbox_is_done_without_and_replaced),
		cmocka_unit_test(exited_process_is_an_error),
		cmocka_unit_test_teardown(separate_debug_info_is_found, remove_debug_file),
		cmocka_unit_test(costs_are_printed),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

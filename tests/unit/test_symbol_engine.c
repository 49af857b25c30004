/* SPDX-License-Identifier: MIT */
/*
 * The sandboxed half of symbol/ on forged input: ELF files, expressions, stacks, maps.
 */
#include "symbol/engine.h"
#include "symbol/expression.h"
#include "symbol/unwind.h"

#include <dwarf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * libelf 0.188 loses a section's data when the header that it was read by turns out to be forged.
 * That is freed with the sandbox; here it would hide leaks of ours, if it were not named.
 */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:dwfl_module_getsymtab\nleak:dwfl_module_getdwarf\n";
}

/* libelf has no frame pointers: find the functions above by its unwind tables. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "fast_unwind_on_malloc=0";
}

/* ---- forged files -------------------------------------------------------------------- */

struct bytes {
	uint8_t *data;
	size_t size;
};

static struct bytes read_all(const char *path)
{
	struct bytes b = {0};
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_return_code(fd, errno);
	assert_return_code(fstat(fd, &st), errno);
	b.size = (size_t)st.st_size;
	b.data = malloc(b.size);
	assert_non_null(b.data);
	assert_int_equal(read(fd, b.data, b.size), b.size);
	close(fd);
	return b;
}

/* A small program with debug info and symbols. */
static int make_program(void **state)
{
	static struct bytes program;
	static const char command[] =
		"d=$(mktemp -d) && printf '%s\\n' 'int g; int f(int x) { g += x; return g; }' "
		"'int main(int c, char **v) { (void)v; return f(c); }' > $d/p.c && "
		"gcc -g -O1 -fno-inline -o /tmp/test_symbol_engine.bin $d/p.c; s=$?; rm -r $d; "
		"exit $s";

	if (system(command) != 0)
		return -1;
	program = read_all("/tmp/test_symbol_engine.bin");
	unlink("/tmp/test_symbol_engine.bin");
	*state = &program;
	return 0;
}

static int free_program(void **state)
{
	struct bytes *program = *state;

	free(program->data);
	return 0;
}

static int file_of(const uint8_t *data, size_t size)
{
	int fd = memfd_create("forged", MFD_CLOEXEC);

	assert_return_code(fd, errno);
	assert_int_equal(write(fd, data, size), size);
	return fd;
}

/* Ask everything of a file; returns the number of questions that had an answer. */
static unsigned question(const uint8_t *data, size_t size, int *ret_err)
{
	struct elf_module *m;
	unsigned answers = 0;

	*ret_err = elf_module_open(file_of(data, size), "/tmp/forged", &m);
	if (*ret_err)
		return 0;
	for (uint64_t offset = 0; offset < 0x5000; offset += 0x29) {
		struct elf_module_location l;
		uint64_t address;
		Dwarf_Frame *frame;

		if (!elf_module_address(m, offset & ~0xfffULL, offset & 0xfff, true, &address))
			continue;
		elf_module_locate(m, address, &l);
		frame = elf_module_frame(m, address);
		answers += l.function[0] != 0;
		answers += l.line != 0;
		answers += frame != NULL;
		free(frame);
	}
	elf_module_close(m);
	return answers;
}

static void whole_file_answers(void **state)
{
	const struct bytes *program = *state;
	int err;

	assert_in_range(question(program->data, program->size, &err), 10, 1000);
	assert_int_equal(err, 0);
}

static void truncated_files_are_survived(void **state)
{
	const struct bytes *program = *state;
	unsigned refused = 0, opened = 0;

	for (size_t size = 0; size < program->size; size += size < 1024 ? 13 : 97) {
		int err;

		question(program->data, size, &err);
		refused += err != 0;
		opened += err == 0;
		if (size < 64)
			assert_int_equal(err, -ENOEXEC);
	}
	assert_true(refused > 0 && opened > 0);
}

/* xorshift: the same forgeries in each run */
static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void forged_bytes_are_survived(void **state)
{
	const struct bytes *program = *state;
	uint8_t *forged = malloc(program->size);
	unsigned answers = 0;
	uint32_t seed = 12345;

	assert_non_null(forged);
	for (int round = 0; round < 300; round++) {
		/* Headers have most of the structure: every other round hits only them. */
		size_t region = round % 2 ? program->size : 1024;
		int err;

		memcpy(forged, program->data, program->size);
		for (int i = 0; i < 20; i++) {
			size_t at = 20 + next_random(&seed) % (region - 20);

			forged[at] = (uint8_t)next_random(&seed);
		}
		answers += question(forged, program->size, &err);
	}
	assert_true(answers > 1000); /* they did not all fail at the door */
	free(forged);
}

static void other_machines_and_no_files_are_refused(void **state)
{
	const struct bytes *program = *state;
	struct {
		size_t at;
		uint8_t byte;
	} const changes[] = {
		{0, 'x'}, /* magic */
		{4, 1},   /* 32 bits */
		{5, 2},   /* big endian */
		{16, 1},  /* relocatable */
		{18, 8},  /* MIPS */
	};
	uint8_t *forged = malloc(program->size);
	struct elf_module *m;

	assert_non_null(forged);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		int err;

		memcpy(forged, program->data, program->size);
		forged[changes[i].at] = changes[i].byte;
		question(forged, program->size, &err);
		assert_int_equal(err, -ENOEXEC);
	}
	free(forged);
	assert_int_equal(elf_module_open(open("/dev/null", O_RDONLY), "x", &m), -ENOEXEC);
	assert_int_equal(elf_module_open(open("/tmp", O_RDONLY), "x", &m), -ENOEXEC);
}

static void huge_file_is_refused(void **state)
{
	const struct bytes *program = *state;
	int fd = file_of(program->data, program->size);
	struct elf_module *m;

	assert_return_code(ftruncate(fd, (off_t)ELF_MODULE_FILE_MAX + 1), errno);
	assert_int_equal(elf_module_open(fd, "x", &m), -EFBIG);
}

static void truncation_while_open_is_survived(void **state)
{
	const struct bytes *program = *state;
	struct elf_module_location l;
	int fd = file_of(program->data, program->size), other = dup(fd);
	struct elf_module *m;
	uint64_t address;

	assert_int_equal(elf_module_open(fd, "x", &m), 0);
	assert_return_code(ftruncate(other, 4096), errno);
	assert_true(elf_module_address(m, 0x1000, 0x139, true, &address));
	elf_module_locate(m, address, &l); /* a mapped file would raise SIGBUS here */
	assert_int_equal(l.line, 0);
	elf_module_close(m);
	close(other);
}

/* ---- the engine ------------------------------------------------------------------------ */

static void engine_refuses_bad_numbers_and_maps(void **state)
{
	const struct engine_map good[] = {{0x1000, 0x2000, 0, ENGINE_NO_MODULE, 1},
					  {0x2000, 0x3000, 0, 7, ENGINE_MAP_ZEROED}};
	const struct engine_map overlap[] = {{0x1000, 0x2000, 0, 0, 0}, {0x1fff, 0x3000, 0, 0, 0}};
	const struct engine_map empty[] = {{0x1000, 0x1000, 0, 0, 0}};
	struct engine_location l;
	struct engine *e;

	(void)state;
	assert_int_equal(engine_new(NULL, &e), 0);
	assert_int_equal(engine_add_maps(e, 3, true, overlap, 2), -EINVAL);
	assert_int_equal(engine_add_maps(e, 3, true, empty, 1), -EINVAL);
	assert_int_equal(engine_add_maps(e, ENGINE_IDS_MAX, true, good, 2), -ENOMEM);
	assert_int_equal(engine_add_maps(e, 3, true, good, 2), 0);
	assert_int_equal(engine_add_maps(e, 3, false, good, 1), -EINVAL); /* goes back */
	engine_locate(e, 3, 0x2800, false, &l);
	assert_false(l.has_address);
	engine_locate(e, 4, 0x2800, false, &l);
	engine_locate(e, UINT32_MAX, 0x2800, true, &l);
	assert_false(l.has_address);
	engine_close_process(e, 3);
	engine_close_process(e, UINT32_MAX);
	engine_close_module(e, UINT32_MAX);
	assert_int_equal(engine_open_module(e, ENGINE_NO_MODULE, open("/dev/null", O_RDONLY), "x"),
			 -ENOMEM);
	engine_free(e);
}

/* ---- expressions ----------------------------------------------------------------------- */

static const uint64_t words[4] = {0x1111, 0x2222, 0x3333, 0x4444};
static const struct expression_context context = {
	.registers = {[7] = 0x9000, [16] = 0x5b},
	.known = 1u << 7 | 1u << 16,
	.stack = 0x9000,
	.bytes = (const uint8_t *)words,
	.size = sizeof(words),
};

static bool evaluate(const Dwarf_Op *ops, size_t count, uint64_t *ret_value)
{
	bool is_value;

	return expression_evaluate(&context, ops, count, ret_value, &is_value);
}

#define EVALUATE(ops, ret_value) evaluate(ops, sizeof(ops) / sizeof((ops)[0]), ret_value)

static void expression_of_a_plt_is_understood(void **state)
{
	/* rsp + 8 + ((rip & 15) >= 11) << 3: what linkers write for .plt */
	const Dwarf_Op ops[] = {
		{.atom = DW_OP_breg7, .number = 8},
		{.atom = DW_OP_breg16},
		{.atom = DW_OP_lit15},
		{.atom = DW_OP_and},
		{.atom = DW_OP_lit11},
		{.atom = DW_OP_ge},
		{.atom = DW_OP_lit3},
		{.atom = DW_OP_shl},
		{.atom = DW_OP_plus},
	};
	uint64_t value;

	(void)state;
	assert_true(EVALUATE(ops, &value));
	assert_int_equal(value, 0x9010);
}

static void expression_reads_only_the_copy(void **state)
{
	Dwarf_Op ops[] = {{.atom = DW_OP_breg7, .number = 24}, {.atom = DW_OP_deref}};
	static const int64_t outside[] = {25, 32, -1, -8, INT64_MAX, INT64_MIN, -0x9000};
	uint64_t value;

	(void)state;
	assert_true(EVALUATE(ops, &value));
	assert_int_equal(value, 0x4444);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		ops[0].number = (Dwarf_Word)outside[i];
		assert_false(EVALUATE(ops, &value));
	}
}

static void malformed_expressions_are_refused(void **state)
{
	const Dwarf_Op underflow[] = {{.atom = DW_OP_lit1}, {.atom = DW_OP_plus}};
	const Dwarf_Op unknown[] = {{.atom = 0xff}};
	const Dwarf_Op register_unknown[] = {{.atom = DW_OP_breg3}};
	const Dwarf_Op register_far[] = {{.atom = DW_OP_bregx, .number = 1ULL << 40}};
	const Dwarf_Op backward[] = {{.atom = DW_OP_lit1, .offset = 0},
				     {.atom = DW_OP_skip, .offset = 1, .number = (Dwarf_Word)-4}};
	const Dwarf_Op forward[] = {{.atom = DW_OP_lit5, .offset = 0},
				    {.atom = DW_OP_skip, .offset = 1, .number = 1},
				    {.atom = DW_OP_lit9, .offset = 4},
				    {.atom = DW_OP_nop, .offset = 5}};
	Dwarf_Op deep[100];
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < 100; i++)
		deep[i] = (Dwarf_Op){.atom = DW_OP_lit1};
	assert_false(EVALUATE(underflow, &value));
	assert_false(EVALUATE(unknown, &value));
	assert_false(EVALUATE(register_unknown, &value));
	assert_false(EVALUATE(register_far, &value));
	assert_false(EVALUATE(backward, &value));
	assert_false(EVALUATE(deep, &value));
	assert_false(evaluate(deep, 0, &value));
	assert_true(EVALUATE(forward, &value));
	assert_int_equal(value, 5);
}

/* ---- walks by frame pointer -------------------------------------------------------------- */

static enum unwind_place code_below_1000(void *unused, uint64_t address, Dwarf_Frame **ret_frame)
{
	(void)unused;
	*ret_frame = NULL;
	return address < 0x1000 ? UNWIND_CODE : UNWIND_NO_CODE;
}

static struct engine_frames walk(const uint64_t *stack, size_t count, uint64_t fp)
{
	struct engine_registers r = {.pc = 0x100, .sp = 0x8000, .fp = fp};
	struct engine_frames frames = {0};

	unwind_walk(&r, stack, count * sizeof(*stack), code_below_1000, NULL, &frames);
	return frames;
}

static void frame_pointer_chain_ends_well(void **state)
{
	const uint64_t by_pc[] = {0, 0x8018, 0x200, 0x8028, 0x300, 0x7777, 0};
	const uint64_t by_fp[] = {0, 0x8018, 0x200, 0, 0x300, 0x7777, 0x400};
	struct engine_frames f = walk(by_pc, 7, 0x8008);

	(void)state;
	assert_int_equal(f.count, 3);
	assert_int_equal(f.pcs[2], 0x300);
	assert_false(f.truncated);
	f = walk(by_fp, 7, 0x8008);
	assert_int_equal(f.count, 3);
	assert_false(f.truncated);
}

static void frame_pointer_chain_that_is_broken_is_lost(void **state)
{
	const uint64_t cycle[] = {0x8000, 0x200, 0x8000, 0x300};
	const uint64_t backwards[] = {0, 0, 0x8000, 0x200};
	const uint64_t outside[] = {0x9000, 0x200};
	const uint64_t no_code[] = {0x8010, 0x5000, 0, 0};
	const uint64_t unaligned[] = {0x8011, 0x200, 0, 0, 0};
	struct engine_frames f;

	(void)state;
	f = walk(cycle, 4, 0x8000);
	assert_int_equal(f.count, 2);
	assert_true(f.truncated);
	f = walk(backwards, 4, 0x8010);
	assert_int_equal(f.count, 2);
	assert_true(f.truncated);
	f = walk(outside, 2, 0x8000);
	assert_int_equal(f.count, 2);
	assert_true(f.truncated);
	f = walk(no_code, 4, 0x8000);
	assert_int_equal(f.count, 1);
	assert_true(f.truncated);
	f = walk(unaligned, 5, 0x8000);
	assert_int_equal(f.count, 2);
	assert_true(f.truncated);
}

static void endless_chain_is_cut(void **state)
{
	enum { RECORDS = 1000 };
	uint64_t *stack = calloc(2 * RECORDS, sizeof(*stack));
	struct engine_frames f;

	(void)state;
	assert_non_null(stack);
	for (size_t i = 0; i < RECORDS; i++) {
		stack[2 * i] = 0x8000 + 16 * (i + 1);
		stack[2 * i + 1] = 0x200;
	}
	f = walk(stack, (size_t)2 * RECORDS, 0x8000);
	assert_int_equal(f.count, ENGINE_FRAMES_MAX);
	assert_true(f.truncated);
	free(stack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_file_answers),
		cmocka_unit_test(truncated_files_are_survived),
		cmocka_unit_test(forged_bytes_are_survived),
		cmocka_unit_test(other_machines_and_no_files_are_refused),
		cmocka_unit_test(huge_file_is_refused),
		cmocka_unit_test(truncation_while_open_is_survived),
		cmocka_unit_test(engine_refuses_bad_numbers_and_maps),
		cmocka_unit_test(expression_of_a_plt_is_understood),
		cmocka_unit_test(expression_reads_only_the_copy),
		cmocka_unit_test(malformed_expressions_are_refused),
		cmocka_unit_test(frame_pointer_chain_ends_well),
		cmocka_unit_test(frame_pointer_chain_that_is_broken_is_lost),
		cmocka_unit_test(endless_chain_is_cut),
	};

	return cmocka_run_group_tests(tests, make_program, free_program);
}

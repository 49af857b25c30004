/* SPDX-License-Identifier: MIT */
/* Tests of the ELF note reader: a sound file, and one spoilt in each field in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>

#include <strand.h>
#include "observe/image.h"
#include "made_elf.h"

static int read_bytes(const void *bytes, size_t size, struct image *ret_image)
{
	int fd = made_elf_memfd(bytes, size);
	int err;

	assert_true(fd >= 0);
	err = image_read(fd, ret_image);
	close(fd);
	return err;
}

static int read_elf(const union made_elf *elf)
{
	struct image image;

	return read_bytes(elf, sizeof(*elf), &image);
}

static void sound_file(void **state)
{
	union made_elf elf;
	struct image im;

	(void)state;
	made_elf_init(&elf);
	assert_int_equal(read_bytes(&elf, sizeof(elf), &im), 0);
	assert_int_equal(im.abi_major, STRAND_ABI_MAJOR);
	assert_true(im.is_shared_library);
	assert_int_equal(im.descriptor_vaddr, MADE_DATA_VADDR + MADE_DESCRIPTOR);
	assert_int_equal(im.descriptor_offset, MADE_DATA + MADE_DESCRIPTOR);
	assert_int_equal(im.semaphore_offset, MADE_DATA + MADE_SEMAPHORE);
	assert_int_equal(im.text_vaddr, MADE_TEXT_VADDR);
	assert_int_equal(im.text_offset, MADE_TEXT);
	for (int i = 0; i < STRAND_PROBE_COUNT; i++) {
		assert_int_equal(im.probe_offset[i], MADE_TEXT + MADE_PROBES + 16 * i);
		assert_int_equal(im.probe_byte[i], 0x50 + i);
	}
}

static void not_for_this_host(void **state)
{
	union made_elf elf;

	(void)state;
	assert_int_equal(read_bytes("", 0, NULL), -ENOENT);
	assert_int_equal(read_bytes("#!/bin/sh\n", 10, NULL), -ENOENT);
	made_elf_init(&elf);
	elf.ehdr.e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	elf.ehdr.e_ident[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	elf.ehdr.e_machine = EM_S390;
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	elf.ehdr.e_type = ET_REL;
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	elf.ehdr.e_phentsize = 32;
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	elf.ehdr.e_phnum = 65;
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	elf.ehdr.e_phnum = 0;
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	elf.ehdr.e_phoff = UINT64_MAX - 8;
	assert_int_equal(read_elf(&elf), -ENOENT);
}

static void no_note_of_ours(void **state)
{
	union made_elf elf;

	(void)state;
	made_elf_init(&elf);
	made_note(&elf)->owner[0] = 'S';
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	made_note(&elf)->h.n_type = 2;
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	made_note(&elf)->h.n_namesz = 6;
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	elf.phdr[MADE_PT_NOTE].p_type = PT_NULL;
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	elf.phdr[MADE_PT_NOTE].p_offset = UINT64_MAX - 16;
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	elf.phdr[MADE_PT_NOTE].p_filesz = (64 << 10) + 1;
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	elf.phdr[MADE_PT_NOTE].p_filesz = MADE_SIZE - MADE_NOTE + 1; /* beyond the file */
	assert_int_equal(read_elf(&elf), -ENOENT);
	made_elf_init(&elf);
	elf.phdr[MADE_PT_NOTE].p_filesz = 16;
	assert_int_equal(read_elf(&elf), -ENOENT);
}

/* The note is found behind others, with either padding. */
static void note_behind_others(void **state)
{
	for (unsigned align = 4; align <= 8; align += 4) {
		union made_elf elf;
		struct made_note n;
		struct image im;
		/* An owner of 4 and a descriptor of 5 bytes: 12 + 4 + 5, padded. */
		size_t first = align == 4 ? 12 + 4 + 8 : 16 + 8;

		(void)state;
		made_elf_init(&elf);
		n = *made_note(&elf);
		/* With 8 bytes of alignment our own "desc" starts at 24, not at 20. */
		size_t desc = align == 4 ? 20 : 24;
		int64_t moved = (int64_t)(first + desc) - 20;
		n.note.descriptor -= moved;
		n.note.semaphore -= moved;
		for (int i = 0; i < STRAND_PROBE_COUNT; i++)
			n.note.probe[i] -= moved;
		memset(elf.bytes + MADE_NOTE, 0, 64);
		*(Elf64_Nhdr *)(elf.bytes + MADE_NOTE) = (Elf64_Nhdr){4, 5, STRAND_NOTE_TYPE};
		memcpy(elf.bytes + MADE_NOTE + 12, "GNU", 4);
		memcpy(elf.bytes + MADE_NOTE + first, &n, 20);
		memcpy(elf.bytes + MADE_NOTE + first + desc, &n.note, sizeof(n.note));
		elf.phdr[MADE_PT_NOTE].p_filesz = first + desc + sizeof(n.note);
		elf.phdr[MADE_PT_NOTE].p_align = align;
		assert_int_equal(read_bytes(&elf, sizeof(elf), &im), 0);
		assert_int_equal(im.descriptor_vaddr, MADE_DATA_VADDR + MADE_DESCRIPTOR);
	}
}

/* Sizes near 2^32 must neither wrap nor loop. */
static void huge_note_sizes(void **state)
{
	union made_elf elf;

	(void)state;
	for (uint32_t size = UINT32_MAX; size > UINT32_MAX - 9; size--) {
		made_elf_init(&elf);
		made_note(&elf)->h.n_namesz = size;
		assert_int_equal(read_elf(&elf), -ENOENT);
		made_elf_init(&elf);
		made_note(&elf)->h.n_type = 9;
		made_note(&elf)->h.n_descsz = size;
		assert_int_equal(read_elf(&elf), -ENOENT);
		made_elf_init(&elf); /* ours, and cut by its segment: enough is there */
		made_note(&elf)->h.n_descsz = size;
		assert_int_equal(read_elf(&elf), 0);
	}
}

static void versions(void **state)
{
	union made_elf elf;
	struct image im;

	(void)state;
	made_elf_init(&elf);
	made_note(&elf)->note.abi_major = 3;
	made_note(&elf)->note.abi_minor = 7;
	assert_int_equal(read_bytes(&elf, sizeof(elf), &im), -EPROTONOSUPPORT);
	assert_int_equal(im.abi_major, 3);
	assert_int_equal(im.abi_minor, 7);

	/* A newer minor version has a larger note. */
	made_elf_init(&elf);
	made_note(&elf)->note.abi_minor = 5;
	made_note(&elf)->note.size += 32;
	made_note(&elf)->h.n_descsz += 32;
	elf.phdr[MADE_PT_NOTE].p_filesz += 32;
	assert_int_equal(read_bytes(&elf, sizeof(elf), &im), 0);
	assert_int_equal(im.abi_minor, 5);

	/* A runtime with fewer probes, or without one of them. */
	made_elf_init(&elf);
	made_note(&elf)->note.probe_count = STRAND_PROBE_UNPARK + 1;
	made_note(&elf)->note.probe[STRAND_PROBE_EXIT] = 0;
	assert_int_equal(read_bytes(&elf, sizeof(elf), &im), 0);
	assert_int_equal(im.probe_offset[STRAND_PROBE_EXIT], 0);
	assert_int_equal(im.probe_offset[STRAND_PROBE_SCAN_DONE], 0);
	assert_int_not_equal(im.probe_offset[STRAND_PROBE_PARK], 0);
}

static void malformed_sizes(void **state)
{
	union made_elf elf;

	(void)state;
	made_elf_init(&elf);
	made_note(&elf)->note.size += 1; /* more than there is */
	assert_int_equal(read_elf(&elf), -EBADMSG);
	made_elf_init(&elf);
	made_note(&elf)->note.size = 31;
	assert_int_equal(read_elf(&elf), -EBADMSG);
	made_elf_init(&elf);
	made_note(&elf)->h.n_descsz = 4;
	assert_int_equal(read_elf(&elf), -EBADMSG);
	made_elf_init(&elf);
	elf.phdr[MADE_PT_NOTE].p_filesz = 20; /* ends before the "desc" */
	assert_int_equal(read_elf(&elf), -EBADMSG);
	made_elf_init(&elf);
	made_note(&elf)->note.probe_count = STRAND_NOTE_PROBES + 1;
	assert_int_equal(read_elf(&elf), -EBADMSG);
	made_elf_init(&elf);
	made_note(&elf)->note.probe_count = UINT32_MAX;
	assert_int_equal(read_elf(&elf), -EBADMSG);
	made_elf_init(&elf);
	made_note(&elf)->note.probe_count = 0; /* nothing to see */
	assert_int_equal(read_elf(&elf), -EBADMSG);
}

/* Each address of the note, at the first and last good place and at each first bad one. */
static void addresses(void **state)
{
	struct {
		size_t field;
		int64_t vaddr;
		int expected;
	} cases[] = {
#define DESC        offsetof(struct strand_note, descriptor)
#define SEMA        offsetof(struct strand_note, semaphore)
#define PROBE(name) offsetof(struct strand_note, probe[STRAND_PROBE_##name])
		{DESC, MADE_DATA_VADDR, 0},
		{DESC, MADE_DATA_VADDR + 0x1000 - sizeof(struct strand_descriptor), 0},
		{DESC, MADE_DATA_VADDR + 0x1000 - sizeof(struct strand_descriptor) + 8, -EBADMSG},
		{DESC, MADE_DATA_VADDR - 8, -EBADMSG},
		{DESC, MADE_DATA_VADDR + 4, -EBADMSG}, /* misaligned */
		{DESC, MADE_TEXT_VADDR, -EBADMSG},     /* not writable */
		{DESC, -8, -EBADMSG},
		{SEMA, MADE_DATA_VADDR, 0},
		{SEMA, MADE_DATA_VADDR + 0x1000 - 2, 0},
		{SEMA, MADE_DATA_VADDR + 0x1000, -EBADMSG}, /* .bss: not in the file */
		{SEMA, MADE_DATA_VADDR + 1, -EBADMSG},
		{SEMA, MADE_TEXT_VADDR, -EBADMSG},
		{PROBE(PARK), MADE_TEXT_VADDR, 0},
		{PROBE(PARK), MADE_TEXT_VADDR + 0xfff, 0},
		{PROBE(PARK), MADE_TEXT_VADDR + 0x1000, -EBADMSG},
		{PROBE(PARK), MADE_TEXT_VADDR - 1, -EBADMSG},
		{PROBE(PARK), MADE_DATA_VADDR, -EBADMSG}, /* not executable */
		{PROBE(SCAN_DONE), INT64_MIN + 0x10000, -EBADMSG},
		{PROBE(SCAN_DONE), INT64_MAX, -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		union made_elf elf;

		made_elf_init(&elf);
		*(int64_t *)((char *)&made_note(&elf)->note + cases[i].field) =
			cases[i].vaddr - made_desc_vaddr();
		if (read_elf(&elf) != cases[i].expected)
			fail_msg("case %zu: expected %d", i, cases[i].expected);
	}
}

static void missing_probes(void **state)
{
	union made_elf elf;

	(void)state;
	made_elf_init(&elf);
	made_note(&elf)->note.probe[STRAND_PROBE_PARK] = 0;
	assert_int_equal(read_elf(&elf), -EBADMSG);
	made_elf_init(&elf);
	made_note(&elf)->note.probe[STRAND_PROBE_UNPARK] = 0;
	assert_int_equal(read_elf(&elf), -EBADMSG);
}

static void overflowing_headers(void **state)
{
	union made_elf elf;

	(void)state;
	made_elf_init(&elf);
	elf.phdr[MADE_PT_NOTE].p_vaddr = UINT64_MAX;
	assert_int_equal(read_elf(&elf), -EBADMSG);
	made_elf_init(&elf);
	elf.phdr[MADE_PT_DATA].p_offset = UINT64_MAX - 0x800;
	assert_int_equal(read_elf(&elf), -EBADMSG);
	made_elf_init(&elf);
	elf.phdr[MADE_PT_DATA].p_filesz = UINT64_MAX;
	assert_int_equal(read_elf(&elf), -EBADMSG);
	made_elf_init(&elf);
	elf.phdr[MADE_PT_DATA].p_offset = 0; /* the semaphore at offset 0 means "none" */
	made_note(&elf)->note.semaphore = MADE_DATA_VADDR - made_desc_vaddr();
	assert_int_equal(read_elf(&elf), -EBADMSG);
	made_elf_init(&elf);
	elf.phdr[MADE_PT_DYNAMIC].p_offset = UINT64_MAX - 4;
	assert_int_equal(read_elf(&elf), -EBADMSG);
}

/* One mapping must tell where all probes are. */
static void probes_in_two_segments(void **state)
{
	union made_elf elf;

	(void)state;
	made_elf_init(&elf);
	elf.phdr[MADE_PT_TEXT].p_filesz = MADE_PROBES + 16;
	elf.phdr[MADE_PT_INTERP] = elf.phdr[MADE_PT_TEXT];
	elf.phdr[MADE_PT_INTERP].p_offset += MADE_PROBES + 16;
	elf.phdr[MADE_PT_INTERP].p_vaddr += MADE_PROBES + 16;
	elf.phdr[MADE_PT_INTERP].p_filesz = 0x800;
	assert_int_equal(read_elf(&elf), -EBADMSG);
}

static void library_or_executable(void **state)
{
	static const struct {
		int type;
		bool interpreter, soname, pie, expected;
	} cases[] = {
		{ET_DYN, false, true, false, true},    /* libstrand.so */
		{ET_DYN, false, false, false, true},   /* a plug-in */
		{ET_DYN, true, true, false, true},     /* a library that can be run */
		{ET_DYN, true, false, true, false},    /* PIE */
		{ET_DYN, true, false, false, false},   /* PIE of an old linker */
		{ET_DYN, false, false, true, false},   /* static-pie */
		{ET_EXEC, false, false, false, false}, /* static */
		{ET_EXEC, true, false, false, false},  /* dynamic at a fixed address */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		union made_elf elf;
		struct image im;

		made_elf_init(&elf);
		elf.ehdr.e_type = cases[i].type;
		if (cases[i].interpreter)
			elf.phdr[MADE_PT_INTERP].p_type = PT_INTERP;
		made_dynamic(&elf)[0].d_tag = cases[i].soname ? DT_SONAME : DT_DEBUG;
		made_dynamic(&elf)[1].d_tag = DT_FLAGS_1;
		made_dynamic(&elf)[1].d_un.d_val = cases[i].pie ? DF_1_PIE | DF_1_NOW : DF_1_NOW;
		assert_int_equal(read_bytes(&elf, sizeof(elf), &im), 0);
		if (im.is_shared_library != cases[i].expected)
			fail_msg("case %zu is taken for the other", i);
	}
}

/* Every shorter file: no read behind the end, and never a success before all of it is there. */
static void truncated_files(void **state)
{
	union made_elf elf;
	struct image im;

	(void)state;
	made_elf_init(&elf);
	for (size_t size = 0; size < sizeof(elf); size += size < 0x400 ? 1 : 97)
		assert_true(read_bytes(&elf, size, &im) < 0);
}

extern const char __executable_start[]; /* the linker's */

/* The runtime itself, linked into this very program: what its note says is where it is. */
static void real_runtime(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	const struct strand_descriptor *in_memory;
	struct strand_descriptor in_file;
	struct image im;
	Elf64_Ehdr ehdr;

	(void)state;
	assert_int_equal(strand_task_id(), 0); /* links the runtime in */
	assert_int_equal(image_read(fd, &im), 0);
	assert_false(im.is_shared_library);
	assert_int_equal(pread(fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
	uint64_t bias = ehdr.e_type == ET_DYN ? (uintptr_t)__executable_start : 0;
	in_memory = (const struct strand_descriptor *)(uintptr_t)(bias + im.descriptor_vaddr);
	assert_int_equal(in_memory->magic, STRAND_DESCRIPTOR_MAGIC);
	assert_int_equal(pread(fd, &in_file, sizeof(in_file), im.descriptor_offset),
			 sizeof(in_file));
	assert_int_equal(in_file.magic, STRAND_DESCRIPTOR_MAGIC);
	for (int i = 0; i < STRAND_PROBE_COUNT; i++) {
		const uint8_t *probe = (uint8_t *)(uintptr_t)(im.probe_offset[i] - im.text_offset +
							      im.text_vaddr + bias);
		assert_int_not_equal(im.probe_offset[i], 0);
		assert_int_equal(*probe, im.probe_byte[i]);
	}
	close(fd);
}

static void no_file_with_a_note(void **state)
{
	int fd = open("/bin/sh", O_RDONLY);
	struct image im;

	(void)state;
	assert_int_equal(image_read(fd, &im), -ENOENT);
	close(fd);
	assert_int_equal(image_read(-1, &im), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_file),
		cmocka_unit_test(not_for_this_host),
		cmocka_unit_test(no_note_of_ours),
		cmocka_unit_test(note_behind_others),
		cmocka_unit_test(huge_note_sizes),
		cmocka_unit_test(versions),
		cmocka_unit_test(malformed_sizes),
		cmocka_unit_test(addresses),
		cmocka_unit_test(missing_probes),
		cmocka_unit_test(overflowing_headers),
		cmocka_unit_test(probes_in_two_segments),
		cmocka_unit_test(library_or_executable),
		cmocka_unit_test(truncated_files),
		cmocka_unit_test(real_runtime),
		cmocka_unit_test(no_file_with_a_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

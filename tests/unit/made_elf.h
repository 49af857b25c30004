/* SPDX-License-Identifier: MIT */
/*
 * A small ELF file with libstrand's note, made in memory, for tests to load or to spoil.
 *
 *   file    0x0000  headers      0x0204  note      0x1000  text      0x2000  data
 *   linked                                         0x1000            0x3000
 */
#ifndef TESTS_MADE_ELF_H
#define TESTS_MADE_ELF_H

#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <strand/abi.h>

#define MADE_NOTE       0x204
#define MADE_TEXT       0x1000
#define MADE_TEXT_VADDR 0x1000
#define MADE_DATA       0x2000
#define MADE_DATA_VADDR 0x3000
#define MADE_SIZE       0x3000

/* From the start of the data: semaphore, descriptor, dynamic section. */
#define MADE_SEMAPHORE  0x40
#define MADE_DESCRIPTOR 0x100
#define MADE_DYNAMIC    0x800

/* From the start of the text: the probes, 16 bytes apart. */
#define MADE_PROBES     0x80

enum made_segment { /* program headers in this order */
		    MADE_PT_TEXT,
		    MADE_PT_DATA,
		    MADE_PT_NOTE,
		    MADE_PT_DYNAMIC,
		    MADE_PT_INTERP, /* PT_NULL unless a test wants it */
		    MADE_PT_COUNT
};

/* As in a file: 20 bytes, then the "desc", whatever its alignment. */
struct __attribute__((packed, aligned(4))) made_note {
	Elf64_Nhdr h;
	char owner[8];
	struct strand_note note;
};

union made_elf {
	unsigned char bytes[MADE_SIZE];
	struct {
		Elf64_Ehdr ehdr;
		Elf64_Phdr phdr[MADE_PT_COUNT];
	};
};

static inline struct made_note *made_note(union made_elf *elf)
{
	return (struct made_note *)(elf->bytes + MADE_NOTE);
}

static inline Elf64_Dyn *made_dynamic(union made_elf *elf)
{
	return (Elf64_Dyn *)(elf->bytes + MADE_DATA + MADE_DYNAMIC);
}

static inline struct strand_descriptor *made_descriptor(union made_elf *elf)
{
	return (struct strand_descriptor *)(elf->bytes + MADE_DATA + MADE_DESCRIPTOR);
}

/* Where the note's own descriptor ("desc") is linked: what its fields are relative to. */
static inline int64_t made_desc_vaddr(void)
{
	return MADE_NOTE + offsetof(struct made_note, note);
}

static inline void made_headers(union made_elf *elf)
{
	elf->ehdr = (Elf64_Ehdr){
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_DYN,
#ifdef __aarch64__
		.e_machine = EM_AARCH64,
#else
		.e_machine = EM_X86_64,
#endif
		.e_version = EV_CURRENT,
		.e_phoff = offsetof(union made_elf, phdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = MADE_PT_COUNT,
	};
	elf->phdr[MADE_PT_TEXT] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, MADE_TEXT, MADE_TEXT_VADDR,
					       0,       0x1000,      0x1000,    0x1000};
	elf->phdr[MADE_PT_DATA] = (Elf64_Phdr){PT_LOAD, PF_R | PF_W, MADE_DATA, MADE_DATA_VADDR,
					       0,       0x1000,      0x2000,    0x1000};
	elf->phdr[MADE_PT_NOTE] = (Elf64_Phdr){
		PT_NOTE, PF_R, MADE_NOTE, MADE_NOTE, 0, sizeof(struct made_note), 0, 4};
	elf->phdr[MADE_PT_DYNAMIC] = (Elf64_Phdr){PT_DYNAMIC,
						  PF_R | PF_W,
						  MADE_DATA + MADE_DYNAMIC,
						  MADE_DATA_VADDR + MADE_DYNAMIC,
						  0,
						  4 * sizeof(Elf64_Dyn),
						  4 * sizeof(Elf64_Dyn),
						  8};
}

/* A sound shared library of the version that this tree speaks. */
static inline void made_elf_init(union made_elf *elf)
{
	struct made_note *n = made_note(elf);

	memset(elf, 0, sizeof(*elf));
	made_headers(elf);
	n->h = (Elf64_Nhdr){sizeof(STRAND_NOTE_OWNER), sizeof(n->note), STRAND_NOTE_TYPE};
	memcpy(n->owner, STRAND_NOTE_OWNER, sizeof(STRAND_NOTE_OWNER));
	n->note = (struct strand_note){
		.abi_major = STRAND_ABI_MAJOR,
		.abi_minor = STRAND_ABI_MINOR,
		.size = sizeof(n->note),
		.probe_count = STRAND_PROBE_COUNT,
		.descriptor = MADE_DATA_VADDR + MADE_DESCRIPTOR - made_desc_vaddr(),
		.semaphore = MADE_DATA_VADDR + MADE_SEMAPHORE - made_desc_vaddr(),
	};
	for (int i = 0; i < STRAND_PROBE_COUNT; i++) {
		n->note.probe[i] = MADE_TEXT_VADDR + MADE_PROBES + 16 * i - made_desc_vaddr();
		elf->bytes[MADE_TEXT + MADE_PROBES + 16 * i] = 0x50 + i;
	}
	made_dynamic(elf)[0] = (Elf64_Dyn){.d_tag = DT_SONAME};
	*made_descriptor(elf) = (struct strand_descriptor){
		.magic = STRAND_DESCRIPTOR_MAGIC,
		.abi_major = STRAND_ABI_MAJOR,
		.size = sizeof(struct strand_descriptor),
		.control_fd = -1,
		.build = "made",
	};
}

/* The bytes as an open file without a name; -1 on failure. */
static inline int made_elf_memfd(const void *bytes, size_t size)
{
	int fd = memfd_create("made-elf", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, bytes, size) != (ssize_t)size) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Load it as ld.so would. Returns the bias, or MAP_FAILED. */
static inline char *made_elf_load(int fd)
{
	char *bias = mmap(NULL, 0x5000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bias == MAP_FAILED)
		return bias;
	if (mmap(bias + MADE_TEXT_VADDR, 0x1000, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd,
		 MADE_TEXT) == MAP_FAILED)
		return MAP_FAILED;
	if (mmap(bias + MADE_DATA_VADDR, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
		 fd, MADE_DATA) == MAP_FAILED)
		return MAP_FAILED;
	return bias;
}

static inline struct strand_descriptor *made_loaded_descriptor(char *bias)
{
	return (struct strand_descriptor *)(bias + MADE_DATA_VADDR + MADE_DESCRIPTOR);
}

#endif

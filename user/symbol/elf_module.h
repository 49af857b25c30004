/* SPDX-License-Identifier: MIT */
/*
 * One ELF file: the names, lines and call frame information in it.
 *
 * Every byte of the file may be forged. This code runs in the sandbox only (see
 * sandbox.h); the limits here keep honest mistakes cheap, the sandbox keeps the
 * others harmless.
 */
#ifndef STRANDED_SYMBOL_ELF_MODULE_H
#define STRANDED_SYMBOL_ELF_MODULE_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

struct elf_module;

#define ELF_MODULE_FILE_MAX (4ULL << 30) /* larger files are refused: no honest binary is */
#define ELF_MODULE_TEXT_MAX 1024         /* bytes of a name or path, with its NUL; longer is cut */

struct elf_module_location {
	uint64_t function_offset;
	uint32_t line;
	char function[ELF_MODULE_TEXT_MAX]; /* "": unknown */
	char file[ELF_MODULE_TEXT_MAX];
};

/*
 * elf_module_open - take an open regular file as a binary of this machine.
 * @name  its path as mapped: names the directory below /usr/lib/debug, is never opened
 * Takes fd, also on failure. Returns 0, -EFBIG, -ENOEXEC (not an ELF of this machine), -ENOMEM or
 * another -errno.
 */
int elf_module_open(int fd, const char *name, struct elf_module **ret_module);
void elf_module_close(struct elf_module *m);

/*
 * elf_module_address - the linked address of a byte of the file, as mapped at file offset `offset`
 * plus `delta`. Where two segments share a page, the mapping's rights tell which is meant.
 */
bool elf_module_address(const struct elf_module *m, uint64_t offset, uint64_t delta,
			bool executable, uint64_t *ret_address);

/* What is at this linked address? For a return address pass the address less one. */
void elf_module_locate(struct elf_module *m, uint64_t address,
		       struct elf_module_location *ret_location);

/* The unwind rules at this linked address; NULL: there are none. The caller frees the frame. */
Dwarf_Frame *elf_module_frame(struct elf_module *m, uint64_t address);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * An observer inside the process: finds the probe points by the ELF note, as stranded does, and
 * makes the probed instruction a call, as the kernel does.
 *
 * The probe functions keep a frame and are reached by calls, so a C function may be called from
 * their nop: it gets the probe's argument as its own.
 */
#ifndef PROBE_OBSERVER_H
#define PROBE_OBSERVER_H

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include "strand/probes.h"

struct found_note {
	const struct strand_note *note; /* its first byte is what the addresses in it start from */
	unsigned count;
};

static inline void look_at_notes(const char *at, const char *end, struct found_note *found)
{
	while (at + sizeof(ElfW(Nhdr)) <= end) {
		const ElfW(Nhdr) *header = (const ElfW(Nhdr) *)at;
		const char *owner = at + sizeof(*header);
		const char *content = owner + (header->n_namesz + 3) / 4 * 4;

		if (header->n_type == STRAND_NOTE_TYPE &&
		    header->n_namesz == sizeof(STRAND_NOTE_OWNER) &&
		    !memcmp(owner, STRAND_NOTE_OWNER, sizeof(STRAND_NOTE_OWNER))) {
			found->note = (const struct strand_note *)content;
			found->count++;
		}
		at = content + (header->n_descsz + 3) / 4 * 4;
	}
}

/* Of the program itself, which comes first. */
static inline int look_at_program(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		const char *at = (const char *)(info->dlpi_addr + p->p_vaddr);

		/* Notes of 8-byte alignment (properties) are laid out differently. */
		if (p->p_type == PT_NOTE && p->p_align <= 4)
			look_at_notes(at, at + p->p_memsz, arg);
	}
	return 1;
}

static inline struct found_note find_own_note(void)
{
	struct found_note found = {NULL, 0};

	dl_iterate_phdr(look_at_program, &found);
	return found;
}

static inline void *note_address(const struct strand_note *note, int64_t offset)
{
	return (char *)(uintptr_t)note + offset;
}

static inline void write_call(unsigned char *at, uintptr_t target)
{
#if defined(__x86_64__)
	int32_t distance = (int32_t)(target - ((uintptr_t)at + 5));

	at[0] = 0xe8;
	memcpy(at + 1, &distance, sizeof(distance));
#elif defined(__aarch64__)
	uint32_t call = 0x94000000 | ((uint32_t)((target - (uintptr_t)at) >> 2) & 0x3ffffff);

	memcpy(at, &call, sizeof(call));
#endif
	__builtin___clear_cache((char *)at, (char *)at + 8);
}

/* From now on this probe calls handler(record). While no task runs. */
static inline void observe_probe(enum strand_probe probe, void (*handler)(const void *record))
{
	struct found_note found = find_own_note();
	unsigned char *at;
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), lo, hi;

	assert_non_null(found.note);
	at = note_address(found.note, found.note->probe[probe]);
	lo = (uintptr_t)at & ~(page - 1);
	hi = ((uintptr_t)at + 8 + page - 1) & ~(page - 1);
	assert_int_equal(mprotect((void *)lo, hi - lo, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	write_call(at, (uintptr_t)handler);
	assert_int_equal(mprotect((void *)lo, hi - lo, PROT_READ | PROT_EXEC), 0);
}

#endif

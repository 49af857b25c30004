/* SPDX-License-Identifier: MIT */
/*
 * A bounded reader of the ELF note: program headers, notes and nothing else.
 *
 * I1. Every byte is fetched by pread() at an offset that was computed without overflow; what
 *     lies outside the file is not there. Nothing is mapped, so a file that shrinks cannot
 *     raise SIGBUS.
 * I2. Work is bounded: PHDRS_MAX headers, NOTES_SIZE_MAX bytes of notes a segment,
 *     DYNAMIC_MAX entries. Section headers are not used: strip may have removed them.
 * I3. Until a note of ours was found, a strange file is one without libstrand (-ENOENT);
 *     afterwards everything strange is -EBADMSG. There is no guessing in between.
 * I4. Every offset that is returned lies in the file and in a loaded segment whose
 *     permissions fit: probes in an executable one, semaphore and descriptor in a writable one.
 */
#include "observe/image.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PHDRS_MAX      64
#define NOTES_SIZE_MAX (64u << 10)
#define DYNAMIC_MAX    4096

#if defined(__x86_64__)
#define HOST_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define HOST_MACHINE EM_AARCH64
#endif

struct elf_file {
	int fd;
	uint64_t size;
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[PHDRS_MAX];
};

/* The descriptor ("desc") of a note of ours, cut to what this version knows. */
struct found_note {
	uint64_t vaddr; /* of its first byte, as linked */
	uint64_t size;  /* in the file: may be more or less than sizeof(note) */
	struct strand_note note;
};

/* Returns 0, -ENOENT if the range is not in the file, or -errno. */
static int read_at(const struct elf_file *f, uint64_t offset, void *bytes, size_t size)
{
	ssize_t n;

	if (offset > f->size || size > f->size - offset)
		return -ENOENT;
	do {
		n = pread(f->fd, bytes, size, (off_t)offset);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -ENOENT;
}

static bool is_host_elf(const Elf64_Ehdr *e)
{
	return !memcmp(e->e_ident, ELFMAG, SELFMAG) && e->e_ident[EI_CLASS] == ELFCLASS64 &&
	       e->e_ident[EI_DATA] == ELFDATA2LSB && e->e_ident[EI_VERSION] == EV_CURRENT &&
	       (e->e_type == ET_EXEC || e->e_type == ET_DYN) && e->e_machine == HOST_MACHINE &&
	       e->e_phentsize == sizeof(Elf64_Phdr) && e->e_phnum > 0 && e->e_phnum <= PHDRS_MAX;
}

static int open_elf(int fd, struct elf_file *f)
{
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return -errno;
	f->fd = fd;
	f->size = st.st_size > 0 ? (uint64_t)st.st_size : 0;
	err = read_at(f, 0, &f->ehdr, sizeof(f->ehdr));
	if (err)
		return err;
	if (!is_host_elf(&f->ehdr))
		return -ENOENT;
	return read_at(f, f->ehdr.e_phoff, f->phdr, f->ehdr.e_phnum * sizeof(Elf64_Phdr));
}

/* Notes are padded to 4 bytes, but to 8 in a segment that says so (.note.gnu.property). */
static uint64_t note_align(uint64_t n, const Elf64_Phdr *segment)
{
	uint64_t align = segment->p_align == 8 ? 8 : 4;

	return (n + align - 1) & ~(align - 1);
}

/* Returns 0 with the first note of ours in the segment, or -ENOENT, or -errno. */
static int find_note_in(const struct elf_file *f, const Elf64_Phdr *segment,
			struct found_note *ret_found)
{
	struct {
		Elf64_Nhdr h;
		char owner[8]; /* room for ours and its padding */
	} start;
	uint64_t at = 0;

	if (segment->p_filesz > NOTES_SIZE_MAX)
		return -ENOENT;
	while (at + sizeof(start) <= segment->p_filesz) {
		int err = read_at(f, segment->p_offset + at, &start, sizeof(start));
		if (err)
			return err;

		/* 32-bit sizes: none of these sums can overflow 64 bits. */
		uint64_t desc = at + note_align(sizeof(start.h) + start.h.n_namesz, segment);
		uint64_t next = desc + note_align(start.h.n_descsz, segment);

		if (start.h.n_namesz == sizeof(STRAND_NOTE_OWNER) &&
		    start.h.n_type == STRAND_NOTE_TYPE &&
		    !memcmp(start.owner, STRAND_NOTE_OWNER, sizeof(STRAND_NOTE_OWNER))) {
			uint64_t room = desc < segment->p_filesz ? segment->p_filesz - desc : 0;
			uint64_t size = start.h.n_descsz < room ? start.h.n_descsz : room;

			*ret_found = (struct found_note){.size = size};
			if (size > sizeof(ret_found->note))
				size = sizeof(ret_found->note);
			if (__builtin_add_overflow(segment->p_vaddr, desc, &ret_found->vaddr))
				ret_found->size = 0; /* refused as too short */
			return size ? read_at(f, segment->p_offset + desc, &ret_found->note, size)
				    : 0;
		}
		at = next;
	}
	return -ENOENT;
}

static int find_note(const struct elf_file *f, struct found_note *ret_found)
{
	for (unsigned i = 0; i < f->ehdr.e_phnum; i++) {
		const Elf64_Phdr *segment = &f->phdr[i];
		uint64_t end;

		if (segment->p_type != PT_NOTE ||
		    __builtin_add_overflow(segment->p_offset, segment->p_filesz, &end) ||
		    end > f->size)
			continue;
		int err = find_note_in(f, segment, ret_found);
		if (err != -ENOENT)
			return err;
	}
	return -ENOENT;
}

/* Where vaddr and the size bytes from there lie in the file. NULL: in no such segment. */
static const Elf64_Phdr *locate(const struct elf_file *f, uint64_t vaddr, uint64_t size,
				uint32_t flag, uint64_t *ret_offset)
{
	for (unsigned i = 0; i < f->ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &f->phdr[i];
		uint64_t into = vaddr - p->p_vaddr, end;

		if (p->p_type != PT_LOAD || !(p->p_flags & flag) || vaddr < p->p_vaddr)
			continue;
		if (into > p->p_filesz || size > p->p_filesz - into)
			continue;
		if (__builtin_add_overflow(p->p_offset, p->p_filesz, &end) || end > f->size)
			continue;
		*ret_offset = p->p_offset + into;
		return p;
	}
	return NULL;
}

/* The address that a field of the note stands for: relative to the note itself. */
static int note_address(const struct found_note *found, int64_t relative, uint64_t *ret_vaddr)
{
	return __builtin_add_overflow(found->vaddr, relative, ret_vaddr) ? -EBADMSG : 0;
}

/*
 * The writable data. The descriptor is read word by word while the process runs and the
 * kernel refuses a semaphore that straddles two bytes' alignment: both must be aligned.
 */
static int locate_data(const struct elf_file *f, const struct found_note *found, struct image *im)
{
	uint64_t semaphore;

	if (note_address(found, found->note.descriptor, &im->descriptor_vaddr) ||
	    note_address(found, found->note.semaphore, &semaphore))
		return -EBADMSG;
	if (im->descriptor_vaddr % _Alignof(struct strand_descriptor) ||
	    !locate(f, im->descriptor_vaddr, sizeof(struct strand_descriptor), PF_W,
		    &im->descriptor_offset))
		return -EBADMSG;
	if (!locate(f, semaphore, sizeof(uint16_t), PF_W, &im->semaphore_offset))
		return -EBADMSG;
	/* An offset of 0 would tell the kernel that there is no semaphore. */
	return !im->semaphore_offset || im->semaphore_offset % sizeof(uint16_t) ? -EBADMSG : 0;
}

/* All probes lie in one segment, so that one mapping tells where they were loaded. */
static int locate_probes(const struct elf_file *f, const struct found_note *found, struct image *im)
{
	const Elf64_Phdr *text = NULL;

	for (unsigned i = 0; i < found->note.probe_count && i < STRAND_PROBE_COUNT; i++) {
		const Elf64_Phdr *segment;
		uint64_t vaddr;

		if (!found->note.probe[i])
			continue;
		if (note_address(found, found->note.probe[i], &vaddr))
			return -EBADMSG;
		segment = locate(f, vaddr, 1, PF_X, &im->probe_offset[i]);
		if (!segment || (text && segment != text) || !im->probe_offset[i])
			return -EBADMSG;
		text = segment;
		int err = read_at(f, im->probe_offset[i], &im->probe_byte[i], 1);
		if (err)
			return err == -ENOENT ? -EBADMSG : err;
	}
	if (!im->probe_offset[STRAND_PROBE_PARK] || !im->probe_offset[STRAND_PROBE_UNPARK])
		return -EBADMSG; /* nothing could be seen of it */
	im->text_vaddr = text->p_vaddr;
	im->text_offset = text->p_offset;
	return 0;
}

/* What the dynamic section says of the file: PIE flag and whether it has a soname. */
static int read_dynamic(const struct elf_file *f, const Elf64_Phdr *p, bool *ret_pie,
			bool *ret_soname)
{
	for (uint64_t i = 0; i < DYNAMIC_MAX && i < p->p_filesz / sizeof(Elf64_Dyn); i++) {
		Elf64_Dyn dyn;
		uint64_t offset;

		if (__builtin_add_overflow(p->p_offset, i * sizeof(dyn), &offset))
			return -EBADMSG;
		int err = read_at(f, offset, &dyn, sizeof(dyn));
		if (err)
			return err == -ENOENT ? -EBADMSG : err;
		if (dyn.d_tag == DT_NULL)
			break;
		if (dyn.d_tag == DT_FLAGS_1 && (dyn.d_un.d_val & DF_1_PIE))
			*ret_pie = true;
		if (dyn.d_tag == DT_SONAME)
			*ret_soname = true;
	}
	return 0;
}

/*
 * Is the runtime in a library of its own or in the executable?
 *   ET_EXEC                    an executable linked to a fixed address
 *   ET_DYN with DF_1_PIE       a position-independent executable; linkers set it for static-pie
 *                              as well, which has no interpreter and else looks like a library
 *   ET_DYN with a soname       a library, even one that can be run to print its version
 *   ET_DYN with an interpreter a PIE of a linker that does not know DF_1_PIE
 *   other ET_DYN               a library (plug-ins have no soname)
 */
static int classify(const struct elf_file *f, bool *ret_is_shared_library)
{
	bool pie = false, soname = false, interpreter = false;

	for (unsigned i = 0; i < f->ehdr.e_phnum; i++) {
		int err = 0;

		if (f->phdr[i].p_type == PT_INTERP)
			interpreter = true;
		else if (f->phdr[i].p_type == PT_DYNAMIC)
			err = read_dynamic(f, &f->phdr[i], &pie, &soname);
		if (err)
			return err;
	}
	*ret_is_shared_library = f->ehdr.e_type == ET_DYN && !pie && (soname || !interpreter);
	return 0;
}

/* Newer minor versions may be larger; every probe that is counted must be there. */
static int check_note(const struct found_note *found)
{
	const struct strand_note *note = &found->note;
	uint64_t fixed = offsetof(struct strand_note, probe);

	if (found->size < 2 * sizeof(uint32_t))
		return -EBADMSG;
	if (note->abi_major != STRAND_ABI_MAJOR)
		return -EPROTONOSUPPORT;
	if (found->size < fixed || note->size > found->size || note->size < fixed ||
	    note->probe_count > (note->size - fixed) / sizeof(note->probe[0]))
		return -EBADMSG;
	return 0;
}

int image_read(int fd, struct image *ret_image)
{
	struct image im = {0};
	struct found_note found;
	struct elf_file f;
	int err;

	err = open_elf(fd, &f);
	if (!err)
		err = find_note(&f, &found);
	if (err)
		return err;
	im.abi_major = found.note.abi_major;
	im.abi_minor = found.note.abi_minor;
	err = check_note(&found);
	if (!err)
		err = locate_data(&f, &found, &im);
	if (!err)
		err = locate_probes(&f, &found, &im);
	if (!err)
		err = classify(&f, &im.is_shared_library);
	if (!err || err == -EPROTONOSUPPORT)
		*ret_image = im;
	return err;
}

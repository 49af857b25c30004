/* SPDX-License-Identifier: MIT */
/*
 * Read one ELF file with libdw: symbols, lines, call frame information.
 *
 *  E1. The file is read with pread, never mapped: a target that truncates its own
 *      binary must give a short read and not a SIGBUS.
 *  E2. The ELF magic is checked before libdwfl sees the file, which would otherwise
 *      try to decompress it.
 *  E3. The module is reported at its linked addresses, so that addresses here
 *      depend on no process and one module serves all of them.
 *  E4. Separate debug info comes from /usr/lib/debug only, and only by a name
 *      without '/': the name stands in the target's file. libdwfl checks the
 *      build id or the checksum of what it finds.
 */
#include "symbol/elf_module.h"

#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE_MACHINE EM_AARCH64
#else
#error "symbol: unknown machine"
#endif

#define SEGMENTS_MAX  64      /* PT_LOAD entries looked at; linkers make 2 to 8 */
#define CU_RANGES_MAX 4000000 /* entries of the own index of compilation units: 128 MB */

struct segment {
	uint64_t offset, file_size, address;
	bool executable;
};

struct cu_range {
	uint64_t start, end;
	Dwarf_Off cu; /* offset of the unit's first DIE */
};

struct elf_module {
	int fd; /* own until libdwfl has taken it, then -1 */
	Elf *elf;
	Dwfl *dwfl;
	Dwfl_Module *dwfl_module; /* owned by dwfl */
	struct segment segments[SEGMENTS_MAX];
	unsigned segment_count;
	struct cu_range *cu_ranges; /* for files whose compiler wrote no .debug_aranges */
	size_t cu_range_count, cu_range_room;
	bool cu_ranges_built;
};

/* ---- opening ------------------------------------------------------------------ */

static int find_elf(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
		    char **ret_file_name, Elf **ret_elf)
{
	struct elf_module *m = *userdata;
	int fd = m->fd;

	(void)module;
	(void)base;
	*ret_file_name = strdup(name);
	if (!*ret_file_name)
		return -1;
	*ret_elf = m->elf;
	m->elf = NULL;
	m->fd = -1;
	return fd;
}

static int find_debuginfo(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
			  const char *file_name, const char *link, GElf_Word crc, char **ret_name)
{
	if (link && strchr(link, '/'))
		link = NULL; /* E4 */
	return dwfl_standard_find_debuginfo(module, userdata, name, base, file_name, link, crc,
					    ret_name);
}

static char *debuginfo_path = (char[]){"+/usr/lib/debug"};

static const Dwfl_Callbacks callbacks = {
	.find_elf = find_elf,
	.find_debuginfo = find_debuginfo,
	.section_address = dwfl_offline_section_address,
	.debuginfo_path = &debuginfo_path,
};

static int check_header(int fd)
{
	Elf64_Ehdr header;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	if ((uint64_t)st.st_size > ELF_MODULE_FILE_MAX)
		return -EFBIG;
	if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return -ENOEXEC;
	if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
	    header.e_machine != NATIVE_MACHINE ||
	    (header.e_type != ET_EXEC && header.e_type != ET_DYN))
		return -ENOEXEC;
	return 0;
}

/* Also finds the range of linked addresses, as libdwfl counts it. */
static int read_segments(struct elf_module *m, uint64_t *ret_low, uint64_t *ret_high)
{
	uint64_t low = 0, high = 0;
	size_t count;

	if (elf_getphdrnum(m->elf, &count) != 0)
		return -ENOEXEC;
	for (size_t i = 0; i < count && m->segment_count < SEGMENTS_MAX; i++) {
		GElf_Phdr ph;
		uint64_t end;

		if (!gelf_getphdr(m->elf, (int)i, &ph))
			return -ENOEXEC;
		if (ph.p_type != PT_LOAD)
			continue;
		if (__builtin_add_overflow(ph.p_vaddr, ph.p_memsz, &end))
			return -ENOEXEC;
		if (m->segment_count == 0)
			low = ph.p_align > 1 ? ph.p_vaddr & -ph.p_align : ph.p_vaddr;
		high = end > high ? end : high;
		m->segments[m->segment_count++] = (struct segment){
			.offset = ph.p_offset,
			.file_size = ph.p_filesz,
			.address = ph.p_vaddr,
			.executable = ph.p_flags & PF_X,
		};
	}
	if (m->segment_count == 0 || low >= high)
		return -ENOEXEC;
	*ret_low = low;
	*ret_high = high;
	return 0;
}

static int report_module(struct elf_module *m, const char *name, uint64_t low, uint64_t high)
{
	void **userdata;
	GElf_Addr bias;

	m->dwfl = dwfl_begin(&callbacks);
	if (!m->dwfl)
		return -ENOMEM;
	m->dwfl_module = dwfl_report_module(m->dwfl, name, low, high);
	if (!m->dwfl_module)
		return -ENOEXEC;
	dwfl_module_info(m->dwfl_module, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
	*userdata = m;
	if (dwfl_report_end(m->dwfl, NULL, NULL) != 0)
		return -ENOEXEC;
	if (!dwfl_module_getelf(m->dwfl_module, &bias) || bias != 0) /* E3 */
		return -ENOEXEC;
	return 0;
}

int elf_module_open(int fd, const char *name, struct elf_module **ret_module)
{
	struct elf_module *m = calloc(1, sizeof(*m));
	uint64_t low, high;
	int err;

	if (!m) {
		close(fd);
		return -ENOMEM;
	}
	m->fd = fd;
	err = check_header(fd);
	if (err)
		goto fail;
	elf_version(EV_CURRENT);
	m->elf = elf_begin(fd, ELF_C_READ, NULL); /* E1 */
	err = m->elf && elf_kind(m->elf) == ELF_K_ELF ? 0 : -ENOEXEC;
	if (err)
		goto fail;
	err = read_segments(m, &low, &high);
	if (err)
		goto fail;
	err = report_module(m, name, low, high);
	if (err)
		goto fail;
	*ret_module = m;
	return 0;
fail:
	elf_module_close(m);
	return err;
}

void elf_module_close(struct elf_module *m)
{
	if (!m)
		return;
	if (m->dwfl)
		dwfl_end(m->dwfl);
	elf_end(m->elf);
	if (m->fd >= 0)
		close(m->fd);
	free(m->cu_ranges);
	free(m);
}

/* ---- addresses ---------------------------------------------------------------- */

static bool segment_maps(const struct segment *s, uint64_t offset)
{
	uint64_t page = (uint64_t)getpagesize(), end;

	if (s->file_size == 0 || __builtin_add_overflow(s->offset, s->file_size, &end))
		return false;
	return (s->offset & -page) <= offset && offset < end;
}

bool elf_module_address(const struct elf_module *m, uint64_t offset, uint64_t delta,
			bool executable, uint64_t *ret_address)
{
	const struct segment *found = NULL;

	for (unsigned i = 0; i < m->segment_count; i++) {
		const struct segment *s = &m->segments[i];

		if (segment_maps(s, offset) && (!found || s->executable == executable)) {
			found = s;
			if (s->executable == executable)
				break;
		}
	}
	if (!found)
		return false;
	*ret_address = found->address + (offset - found->offset) + delta;
	return true;
}

/* ---- names and lines ---------------------------------------------------------- */

static bool add_cu_range(struct elf_module *m, Dwarf_Addr start, Dwarf_Addr end, Dwarf_Off cu)
{
	if (m->cu_range_count == CU_RANGES_MAX)
		return false;
	if (m->cu_range_count == m->cu_range_room) {
		size_t room = m->cu_range_room ? 2 * m->cu_range_room : 256;
		struct cu_range *ranges = reallocarray(m->cu_ranges, room, sizeof(*ranges));

		if (!ranges)
			return false;
		m->cu_ranges = ranges;
		m->cu_range_room = room;
	}
	m->cu_ranges[m->cu_range_count++] = (struct cu_range){start, end, cu};
	return true;
}

static int compare_cu_ranges(const void *a, const void *b)
{
	const struct cu_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/*
 * Clang writes no .debug_aranges unless asked to, and libdw before 0.191 looks nowhere else: the
 * ranges of the units themselves are the index then. Built once, at the first miss.
 */
static void build_cu_ranges(struct elf_module *m, Dwarf *dwarf)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;
	uint8_t unit_type;

	m->cu_ranges_built = true;
	while (dwarf_get_units(dwarf, cu, &cu, NULL, &unit_type, &die, NULL) == 0) {
		Dwarf_Addr base, start, end;
		ptrdiff_t at = 0;

		if (unit_type != DW_UT_compile && unit_type != DW_UT_skeleton)
			continue;
		while ((at = dwarf_ranges(&die, at, &base, &start, &end)) > 0)
			if (start < end && !add_cu_range(m, start, end, dwarf_dieoffset(&die)))
				goto sort;
	}
sort:
	if (m->cu_range_count > 0)
		qsort(m->cu_ranges, m->cu_range_count, sizeof(*m->cu_ranges), compare_cu_ranges);
}

static bool find_cu_by_ranges(struct elf_module *m, Dwarf *dwarf, Dwarf_Addr address,
			      Dwarf_Die *ret_die)
{
	size_t low = 0, high;

	if (!m->cu_ranges_built)
		build_cu_ranges(m, dwarf);
	high = m->cu_range_count;
	while (low < high) { /* first range that starts after address */
		size_t middle = low + (high - low) / 2;

		if (m->cu_ranges[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && address < m->cu_ranges[low - 1].end &&
	       dwarf_offdie(dwarf, m->cu_ranges[low - 1].cu, ret_die);
}

static void copy_text(char *to, const char *from)
{
	size_t length = from ? strnlen(from, ELF_MODULE_TEXT_MAX - 1) : 0;

	if (length > 0)
		memcpy(to, from, length);
	to[length] = '\0';
}

/* The innermost function, inlined or not: the one in whose text the line stands. */
static void locate_function(Dwarf_Die *cu, Dwarf_Addr address, struct elf_module_location *location)
{
	Dwarf_Die *scopes = NULL;
	int count = dwarf_getscopes(cu, address, &scopes);

	for (int i = 0; i < count; i++) {
		int tag = dwarf_tag(&scopes[i]);
		Dwarf_Addr entry;

		if (tag != DW_TAG_subprogram && tag != DW_TAG_inlined_subroutine &&
		    tag != DW_TAG_entry_point)
			continue;
		copy_text(location->function, dwarf_diename(&scopes[i]));
		if (dwarf_entrypc(&scopes[i], &entry) == 0 && entry <= address)
			location->function_offset = address - entry;
		break;
	}
	free(scopes);
}

static void locate_in_dwarf(struct elf_module *m, uint64_t address,
			    struct elf_module_location *location)
{
	Dwarf_Addr bias;
	Dwarf *dwarf = dwfl_module_getdwarf(m->dwfl_module, &bias);
	Dwarf_Die cu, *found;
	Dwarf_Line *line;
	int number;

	if (!dwarf)
		return;
	found = dwfl_module_addrdie(m->dwfl_module, address, &bias);
	if (found)
		cu = *found;
	else if (!find_cu_by_ranges(m, dwarf, address - bias, &cu))
		return;
	locate_function(&cu, address - bias, location);
	line = dwarf_getsrc_die(&cu, address - bias);
	if (line && dwarf_lineno(line, &number) == 0 && number > 0) {
		location->line = (uint32_t)number;
		copy_text(location->file, dwarf_linesrc(line, NULL, NULL));
	}
}

/*
 * libdwfl 0.188 hands out names of a string table that a forged file may leave without a NUL at
 * its end; elf_strptr checks for that. A name that no symbol table's strings hold is not trusted.
 */
static bool symbol_is_terminated(Elf *elf, const char *name, size_t offset)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;

		if (gelf_getshdr(section, &header) &&
		    (header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM) &&
		    elf_strptr(elf, header.sh_link, offset) == name)
			return true;
	}
	return false;
}

static void locate_symbol(struct elf_module *m, uint64_t address,
			  struct elf_module_location *location)
{
	GElf_Off offset;
	GElf_Sym sym;
	Elf *elf;
	const char *name =
		dwfl_module_addrinfo(m->dwfl_module, address, &offset, &sym, NULL, &elf, NULL);

	if (!name || !symbol_is_terminated(elf, name, sym.st_name) || !name[0])
		return;
	copy_text(location->function, name);
	location->function_offset = offset;
}

void elf_module_locate(struct elf_module *m, uint64_t address,
		       struct elf_module_location *ret_location)
{
	*ret_location = (struct elf_module_location){0};
	locate_in_dwarf(m, address, ret_location);
	if (!ret_location->function[0])
		locate_symbol(m, address, ret_location);
}

/* ---- call frame information ---------------------------------------------------- */

Dwarf_Frame *elf_module_frame(struct elf_module *m, uint64_t address)
{
	Dwarf_Frame *frame;
	Dwarf_Addr bias;
	Dwarf_CFI *cfi = dwfl_module_eh_cfi(m->dwfl_module, &bias);

	if (cfi && dwarf_cfi_addrframe(cfi, address - bias, &frame) == 0)
		return frame;
	cfi = dwfl_module_dwarf_cfi(m->dwfl_module, &bias);
	if (cfi && dwarf_cfi_addrframe(cfi, address - bias, &frame) == 0)
		return frame;
	return NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * Reads symbol tables of the modules of this process.
 *
 * The files may be anything by now: everything read is bounded and checked, and read into memory
 * of our own, as a mapping of a file that is cut short meanwhile would kill the process.
 */
#include "strand/symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TABLE_MAX    (256u << 20) /* bytes of a symbol or string table */
#define SECTIONS_MAX 4096
#define FOUND_MAX    64 /* addresses that are remembered; a power of two */

/* Bytes of a file in memory. */
struct table {
	char *bytes; /* NULL: none */
	size_t size;
};

struct found {
	uintptr_t address; /* 0: free */
	struct symbol symbol;
};

struct symbols {
	bool loaded;
	uintptr_t lo, hi; /* of the module whose tables these are */
	uintptr_t bias;
	char path[512];
	struct table symtab, strtab;
	struct found found[FOUND_MAX];
};

/* ---- memory ----------------------------------------------------------------------- */

static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void table_done(struct table *t)
{
	if (t->bytes)
		munmap(t->bytes, t->size);
	*t = (struct table){NULL, 0};
}

/* All of it or nothing. */
static bool read_at(int fd, void *to, size_t size, uint64_t at)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)to + done, size - done, (off_t)(at + done));

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool table_read(int fd, const Elf64_Shdr *section, struct table *ret_table)
{
	struct table t = {NULL, section->sh_size};

	if (!t.size || t.size > TABLE_MAX || section->sh_offset > INT64_MAX - t.size)
		return false;
	t.bytes = map(t.size);
	if (t.bytes && !read_at(fd, t.bytes, t.size, section->sh_offset))
		table_done(&t);
	if (!t.bytes)
		return false;
	*ret_table = t;
	return true;
}

/* ---- ELF ---------------------------------------------------------------------------- */

/* .symtab, which names static symbols too, else .dynsym. */
static const Elf64_Shdr *choose_section(const Elf64_Shdr *sections, size_t count)
{
	const Elf64_Shdr *chosen = NULL;

	for (size_t i = 0; i < count; i++) {
		bool usable =
			sections[i].sh_entsize == sizeof(Elf64_Sym) && sections[i].sh_link < count;

		if (usable && sections[i].sh_type == SHT_SYMTAB)
			return &sections[i];
		if (usable && sections[i].sh_type == SHT_DYNSYM)
			chosen = &sections[i];
	}
	return chosen;
}

static void read_tables(struct symbols *s, int fd)
{
	struct table sections = {NULL, 0};
	const Elf64_Shdr *symtab;
	Elf64_Shdr where = {0};
	Elf64_Ehdr h;

	if (!read_at(fd, &h, sizeof(h), 0) || memcmp(h.e_ident, ELFMAG, SELFMAG) ||
	    h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_shentsize != sizeof(Elf64_Shdr) ||
	    h.e_shnum > SECTIONS_MAX)
		return;
	where.sh_offset = h.e_shoff;
	where.sh_size = h.e_shnum * sizeof(Elf64_Shdr);
	if (!table_read(fd, &where, &sections))
		return;
	symtab = choose_section((const Elf64_Shdr *)sections.bytes, h.e_shnum);
	if (symtab && table_read(fd, symtab, &s->symtab) &&
	    !table_read(fd, (const Elf64_Shdr *)sections.bytes + symtab->sh_link, &s->strtab))
		table_done(&s->symtab);
	table_done(&sections);
}

static bool is_named(const Elf64_Sym *symbol)
{
	int type = ELF64_ST_TYPE(symbol->st_info);

	return (type == STT_FUNC || type == STT_OBJECT) && symbol->st_shndx != SHN_UNDEF;
}

static void look_up(const struct symbols *s, uintptr_t address, struct symbol *symbol)
{
	const Elf64_Sym *symbols = (const Elf64_Sym *)s->symtab.bytes;
	uintptr_t at = address - s->bias;

	for (size_t i = 0; i < s->symtab.size / sizeof(*symbols); i++) {
		const Elf64_Sym *one = &symbols[i];

		if (!is_named(one) || at < one->st_value || at - one->st_value >= one->st_size ||
		    one->st_name >= s->strtab.size)
			continue;
		for (size_t n = 0; n < SYMBOL_NAME_MAX - 1 && one->st_name + n < s->strtab.size;
		     n++)
			symbol->name[n] = s->strtab.bytes[one->st_name + n];
		symbol->offset = at - one->st_value;
		return;
	}
}

/* ---- modules ------------------------------------------------------------------------- */

struct search {
	struct symbols *s;
	uintptr_t address;
};

static int find_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *search = arg;
	uintptr_t lo = UINTPTR_MAX, hi = 0;
	bool inside = false;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t from = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD)
			continue;
		lo = from < lo ? from : lo;
		hi = from + p->p_memsz > hi ? from + p->p_memsz : hi;
		inside |= search->address >= from && search->address < from + p->p_memsz;
	}
	if (!inside)
		return 0;
	search->s->lo = lo;
	search->s->hi = hi;
	search->s->bias = info->dlpi_addr;
	strncpy(search->s->path, info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe",
		sizeof(search->s->path) - 1);
	return 1;
}

/* "": the address is in no module. */
static void load_module(struct symbols *s, uintptr_t address)
{
	struct search search = {s, address};
	bool is_exe;
	ssize_t n;
	int fd;

	table_done(&s->symtab);
	table_done(&s->strtab);
	memset(s->path, 0, sizeof(s->path));
	s->lo = s->hi = 0;
	s->loaded = dl_iterate_phdr(find_module, &search) != 0;
	if (!s->loaded)
		return;
	fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	read_tables(s, fd);
	close(fd);
	is_exe = !strcmp(s->path, "/proc/self/exe");
	n = is_exe ? readlink("/proc/self/exe", s->path, sizeof(s->path) - 1) : 0;
	if (n > 0)
		s->path[n] = '\0';
}

struct symbols *symbols_new(void)
{
	return map(sizeof(struct symbols));
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	table_done(&s->symtab);
	table_done(&s->strtab);
	munmap(s, sizeof(*s));
}

void symbols_find(struct symbols *s, uintptr_t address, struct symbol *ret_symbol)
{
	struct found *found;

	*ret_symbol = (struct symbol){.module = "??", .offset = address};
	if (!s || !address)
		return;
	found = &s->found[address * 0x9e3779b97f4a7c15u >> 32 & (FOUND_MAX - 1)];
	if (!s->loaded || address < s->lo || address >= s->hi)
		load_module(s, address);
	if (!s->loaded)
		return;
	if (found->address != address) {
		*found =
			(struct found){.address = address, .symbol = {.offset = address - s->bias}};
		look_up(s, address, &found->symbol);
	}
	*ret_symbol = found->symbol;
	ret_symbol->module = s->path;
}

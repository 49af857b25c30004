/* SPDX-License-Identifier: MIT */
/*
 * Find glibc's malloc in the running process, once, before the first search.
 *
 * Its state is static and its symbols are stripped, but an arena whose bins are
 * mostly empty is full of pointers to itself, and the parameters end in a row of
 * constants: each must be found exactly once in the data of libc. Another libc,
 * another allocator or another layout: not found, and the heap stays one root.
 */
#include "leakgc/heap_known.h"

#include <stdlib.h>
#include <string.h>

#include "leakgc/chunks.h"
#include "leakgc/leakgc.h"

#if defined(__GLIBC__) && defined(__x86_64__)

#include <gnu/libc-version.h>
#include <link.h>

_Static_assert(sizeof(struct leakgc_malloc_state) == 2200, "as in glibc");
_Static_assert(sizeof(struct leakgc_heap_info) == 48, "as in glibc");
_Static_assert(sizeof(struct leakgc_thread_cache) == 640, "as in glibc");

/* Releases of glibc whose malloc has this layout; what is found must pass the tests as well. */
#define MINOR_FIRST   35
#define MINOR_LAST    41

#define BINS          127
#define USED_BINS_MAX 96 /* of an arena that has seen many sizes */

static struct leakgc_heap_known heap_known; /* a malloc is a process's, not a runtime's */

static bool is_known_version(void)
{
	const char *version = gnu_get_libc_version();
	char *end;
	long minor;

	if (strncmp(version, "2.", 2))
		return false;
	minor = strtol(version + 2, &end, 10);
	return *end == '\0' && minor >= MINOR_FIRST && minor <= MINOR_LAST;
}

/* ---- the data of libc ------------------------------------------------------------ */

struct data {
	uintptr_t lo;
	uintptr_t hi;
};

static int find_libc_data(struct dl_phdr_info *info, size_t size, void *context)
{
	uintptr_t inside = (uintptr_t)gnu_get_libc_version;
	struct data data = {0, 0};
	bool is_libc = false;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t lo = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD)
			continue;
		is_libc |= inside >= lo && inside < lo + p->p_memsz;
		if (p->p_flags & PF_W)
			data = (struct data){lo, lo + p->p_memsz};
	}
	if (is_libc)
		*(struct data *)context = data;
	return is_libc;
}

/* Other threads may be changing it: each word is read once. */
static uint64_t word_at(uintptr_t address)
{
	return *(const volatile uint64_t *)address;
}

static bool is_arena(uintptr_t at)
{
	uintptr_t bins = at + offsetof(struct leakgc_malloc_state, bins);
	unsigned used = 0;

	for (unsigned i = 0; i < BINS; i++) {
		uint64_t forward = word_at(bins + 16 * i), back = word_at(bins + 16 * i + 8);
		uint64_t self = bins + 16 * i - LEAKGC_CHUNK_HEADER;

		if (!forward || !back || (forward == self) != (back == self))
			return false;
		used += forward != self;
		if (used > USED_BINS_MAX)
			return false;
	}
	return word_at(at + offsetof(struct leakgc_malloc_state, top)) &&
	       word_at(at + offsetof(struct leakgc_malloc_state, next));
}

/* The end of struct malloc_par: sbrk_base, tcache_bins, .._max_bytes, .._count, .._limit. */
static bool is_parameters(uintptr_t at)
{
	return word_at(at + 8) == LEAKGC_CACHE_BINS && word_at(at + 16) == 1032 &&
	       word_at(at + 24) == 7 && word_at(at + 32) == 0;
}

/* The only place in the data that fits, or 0. */
static uintptr_t find(const struct data *data, size_t size, bool (*fits)(uintptr_t at))
{
	uintptr_t found = 0;

	for (uintptr_t at = (data->lo + 7) & ~(uintptr_t)7; at + size <= data->hi; at += 8) {
		if (!fits(at))
			continue;
		if (found)
			return 0;
		found = at;
	}
	return found;
}

/* ---- what the walk must see -------------------------------------------------------- */

/* malloc writes the process's key behind the link of a block that it puts into a thread cache. */
static uint64_t key_left_behind(size_t size)
{
	volatile uintptr_t at;
	void *block = malloc(size);
	bool is_chunk;

	at = (uintptr_t)block;
	is_chunk = at && (word_at(at - 8) & ~7ULL) == ((size + 8 + 15) & ~15ULL);
	free(block);
	return is_chunk ? word_at(at + 8) : 0;
}

static uint64_t find_cache_key(void)
{
	uint64_t key = key_left_behind(72);

	return key == key_left_behind(200) ? key : 0;
}

static bool make_witnesses(struct leakgc_heap_known *k)
{
	static const size_t sizes[LEAKGC_WITNESSES] = {1, 24, 100, 1000, 5000, 1000};

	for (int i = 0; i < LEAKGC_WITNESSES; i++) {
		k->witness_size[i] = sizes[i];
		k->witness[i] = malloc(sizes[i]);
		if (!k->witness[i])
			return false;
	}
	return true;
}

void leakgc_heap_init(void)
{
	struct data data = {0, 0};
	struct leakgc_heap_known *k = &heap_known;

	if (k->known || k->witness[0] || !is_known_version() || !make_witnesses(k))
		return;
	if (!dl_iterate_phdr(find_libc_data, &data))
		return;
	k->main_arena = find(&data, sizeof(struct leakgc_malloc_state), is_arena);
	k->brk_start_at = find(&data, 40, is_parameters);
	if (!k->main_arena || !k->brk_start_at)
		return;
	k->cache_key = find_cache_key();
	k->known = true;
}

#else

static struct leakgc_heap_known heap_known; /* nothing is known of other systems */

void leakgc_heap_init(void)
{
}

#endif

const struct leakgc_heap_known *leakgc_heap_known(void)
{
	return &heap_known;
}

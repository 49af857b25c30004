/* SPDX-License-Identifier: MIT */
/* The runtime's own mappings and the table of them. */
#include "strand/memory.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "strand/sanitizers.h"

size_t memory_page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

size_t memory_round_up(size_t size, size_t unit)
{
	return (size + unit - 1) & ~(unit - 1);
}

static void *map_pages(size_t size)
{
	/* NORESERVE: stacks are mapped by the thousand and touched one page at a time. */
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* The table lives in a mapping of its own; it doubles. Called with the lock held. */
static int grow_table(struct memory *m)
{
	size_t room = m->room ? m->room * 2 : memory_page_size() / sizeof(*m->regions);
	size_t size = memory_round_up(room * sizeof(*m->regions), memory_page_size());
	struct memory_region *table = map_pages(size);

	if (!table)
		return -1;
	table[0] = (struct memory_region){(uintptr_t)table, (uintptr_t)table + size};
	if (m->count > 1)
		memcpy(table + 1, m->regions + 1, (m->count - 1) * sizeof(*table));
	if (m->regions)
		munmap(m->regions, m->regions[0].hi - m->regions[0].lo);
	else
		m->count = 1;
	m->regions = table;
	m->room = room;
	return 0;
}

void *memory_map(struct memory *m, size_t size)
{
	size = memory_round_up(size, memory_page_size());
	void *p = map_pages(size);

	if (!p)
		return NULL;
	lock_take(&m->lock);
	if (m->count == m->room && grow_table(m) < 0) {
		lock_release(&m->lock);
		munmap(p, size);
		return NULL;
	}
	m->regions[m->count++] = (struct memory_region){(uintptr_t)p, (uintptr_t)p + size};
	lock_release(&m->lock);
	return p;
}

void memory_unmap(struct memory *m, void *address, size_t size)
{
	size = memory_round_up(size, memory_page_size());
	lock_take(&m->lock);
	for (size_t i = 1; i < m->count; i++) {
		if (m->regions[i].lo == (uintptr_t)address) {
			m->regions[i] = m->regions[--m->count];
			break;
		}
	}
	sanitizers_unmapped(address, size);
	munmap(address, size);
	lock_release(&m->lock);
}

void memory_done(struct memory *m)
{
	if (!m->regions)
		return;
	for (size_t i = 1; i < m->count; i++) {
		void *address = (void *)m->regions[i].lo;
		size_t size = m->regions[i].hi - m->regions[i].lo;

		sanitizers_unmapped(address, size);
		munmap(address, size);
	}
	munmap(m->regions, m->regions[0].hi - m->regions[0].lo);
	*m = (struct memory){0};
}

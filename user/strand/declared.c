/* SPDX-License-Identifier: MIT */
/*
 * Declarations for the leak search: pinned memory, and regions of the program's own allocators.
 *
 * D1. The table of pins is no memory of the runtime, so it is not masked: it is a root like any
 *     other memory, and that is all there is to a pin. One that moves is there twice for a moment.
 * D2. The table of regions holds complements and lengths: a pointer to a region's first block, or
 *     one past the last, would keep it alive.
 * D3. A search reads the regions with the lock held (leaks.c, freeze), so none is half there.
 */
#include "strand/declared.h"

#include <errno.h>
#include <strand.h>
#include <sys/mman.h>

#include "leakgc/leakgc.h"
#include "strand/memory.h"

struct region {
	uintptr_t complement; /* of the first address */
	size_t size;
	size_t block_size;
};

/* Grows by mapping a larger one; never shrinks. */
struct table {
	void *entries;
	size_t count, mapped;
};

static struct lock lock; /* of both: memory is a process's, not a runtime's */
static struct table pins, regions;

struct lock *declared_lock(void)
{
	return &lock;
}

/* Room for one more entry. */
static int reserve(struct table *t, size_t entry_size)
{
	size_t size = t->mapped ? 2 * t->mapped : memory_page_size();
	void *entries;

	if ((t->count + 1) * entry_size <= t->mapped)
		return 0;
	if (t->entries)
		entries = mremap(t->entries, t->mapped, size, MREMAP_MAYMOVE);
	else
		entries = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);
	if (entries == MAP_FAILED)
		return -ENOMEM;
	t->entries = entries;
	t->mapped = size;
	return 0;
}

/* ---- pins ----------------------------------------------------------------------------- */

int strand_leak_pin(const void *object)
{
	int r;

	if (!object)
		return -EINVAL;
	lock_take(&lock);
	r = reserve(&pins, sizeof(object));
	if (r == 0)
		((const void *volatile *)pins.entries)[pins.count++] = object;
	lock_release(&lock);
	return r;
}

int strand_leak_unpin(const void *object)
{
	const void *volatile *entries;
	size_t i;

	if (!object)
		return -EINVAL;
	lock_take(&lock);
	entries = pins.entries;
	for (i = pins.count; i > 0 && entries[i - 1] != object; i--)
		;
	if (i) {
		entries[i - 1] = entries[pins.count - 1]; /* D1: before it goes from there */
		entries[--pins.count] = NULL;
	}
	lock_release(&lock);
	return i ? 0 : -ENOENT;
}

/* ---- regions -------------------------------------------------------------------------- */

static uintptr_t start_of(const struct region *region)
{
	return ~region->complement;
}

/* The region that shares an address with [lo, lo + size), or NULL. */
static struct region *find_region(uintptr_t lo, size_t size)
{
	struct region *r = regions.entries;

	for (size_t i = 0; i < regions.count; i++)
		if (lo - start_of(&r[i]) < r[i].size || start_of(&r[i]) - lo < size)
			return &r[i];
	return NULL;
}

int strand_leak_region(const void *base, size_t size, size_t block_size)
{
	uintptr_t lo = (uintptr_t)base;
	int r = 0;

	if (!base || !size || size > UINTPTR_MAX - lo || block_size > size)
		return -EINVAL;
	lock_take(&lock);
	if (find_region(lo, size))
		r = -EEXIST;
	else
		r = reserve(&regions, sizeof(struct region));
	if (r == 0)
		((struct region *)regions.entries)[regions.count++] =
			(struct region){~lo, size, block_size ? block_size : size};
	lock_release(&lock);
	return r;
}

int strand_leak_region_end(const void *base)
{
	struct region *region, *all;

	lock_take(&lock);
	all = regions.entries;
	region = find_region((uintptr_t)base, 1);
	if (region && start_of(region) == (uintptr_t)base)
		*region = all[--regions.count];
	else
		region = NULL;
	lock_release(&lock);
	return region ? 0 : -ENOENT;
}

int declared_describe(struct leakgc_world *world)
{
	const struct region *all = regions.entries;
	int r = 0;

	for (size_t i = 0; i < regions.count && r == 0; i++)
		r = leakgc_world_add_region(world, start_of(&all[i]),
					    start_of(&all[i]) + all[i].size, all[i].block_size);
	return r;
}

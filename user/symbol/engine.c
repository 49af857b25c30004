/* SPDX-License-Identifier: MIT */
/*
 * Modules and processes by number: where an address is, what is there, who called it.
 */
#include "symbol/engine.h"

#include "symbol/unwind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct maps {
	struct engine_map *maps; /* by address, disjoint */
	size_t count, room;
};

struct engine {
	struct elf_module **modules;
	struct maps *processes;
	uint32_t module_room, process_room;
	volatile uint32_t *busy_module; /* of the caller; its own word if there is none */
	uint32_t own_busy_module;
};

int engine_new(volatile uint32_t *busy_module, struct engine **ret_engine)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->busy_module = busy_module ? busy_module : &e->own_busy_module;
	*e->busy_module = ENGINE_NO_MODULE;
	*ret_engine = e;
	return 0;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	for (uint32_t i = 0; i < e->module_room; i++)
		elf_module_close(e->modules[i]);
	for (uint32_t i = 0; i < e->process_room; i++)
		free(e->processes[i].maps);
	free(e->modules);
	free(e->processes);
	free(e);
}

/* Make room for index in a zeroed array; returns the array, or NULL. */
static void *grow(void *array, size_t size, uint32_t index, uint32_t *room)
{
	uint32_t wanted = *room ? *room : 16;
	char *grown;

	if (index >= ENGINE_IDS_MAX)
		return NULL;
	if (index < *room)
		return array;
	while (wanted <= index)
		wanted *= 2;
	grown = reallocarray(array, wanted, size);
	if (!grown)
		return NULL;
	memset(grown + *room * size, 0, (wanted - *room) * size);
	*room = wanted;
	return grown;
}

/* ---- modules and processes ------------------------------------------------------ */

int engine_open_module(struct engine *e, uint32_t module, int fd, const char *name)
{
	void *grown = grow(e->modules, sizeof(*e->modules), module, &e->module_room);
	int err;

	if (!grown) {
		close(fd);
		return -ENOMEM;
	}
	e->modules = grown;
	engine_close_module(e, module);
	*e->busy_module = module;
	err = elf_module_open(fd, name, &e->modules[module]);
	*e->busy_module = ENGINE_NO_MODULE;
	return err;
}

void engine_close_module(struct engine *e, uint32_t module)
{
	if (module >= e->module_room)
		return;
	elf_module_close(e->modules[module]);
	e->modules[module] = NULL;
}

static bool maps_are_ordered(const struct maps *old, const struct engine_map *maps, size_t count)
{
	uint64_t end = old->count > 0 ? old->maps[old->count - 1].end : 0;

	for (size_t i = 0; i < count; i++) {
		if (maps[i].start < end || maps[i].end <= maps[i].start)
			return false;
		end = maps[i].end;
	}
	return true;
}

int engine_add_maps(struct engine *e, uint32_t process, bool restart, const struct engine_map *maps,
		    size_t count)
{
	void *grown = grow(e->processes, sizeof(*e->processes), process, &e->process_room);
	struct maps *to;

	if (!grown)
		return -ENOMEM;
	e->processes = grown;
	to = &e->processes[process];
	if (restart)
		to->count = 0;
	if (!maps_are_ordered(to, maps, count))
		return -EINVAL;
	if (count > ENGINE_MAPS_MAX - to->count)
		return -E2BIG;
	if (to->count + count > to->room) {
		size_t room = 2 * to->room > to->count + count ? 2 * to->room : to->count + count;
		struct engine_map *moved = reallocarray(to->maps, room, sizeof(*moved));

		if (!moved)
			return -ENOMEM;
		to->maps = moved;
		to->room = room;
	}
	if (count > 0)
		memcpy(to->maps + to->count, maps, count * sizeof(*maps));
	to->count += count;
	return 0;
}

void engine_close_process(struct engine *e, uint32_t process)
{
	if (process >= e->process_room)
		return;
	free(e->processes[process].maps);
	e->processes[process] = (struct maps){0};
}

/* ---- where is an address? -------------------------------------------------------- */

static const struct engine_map *find_map(const struct engine *e, uint32_t process, uint64_t address)
{
	const struct maps *maps;
	size_t low = 0, high;

	if (process >= e->process_room)
		return NULL;
	maps = &e->processes[process];
	high = maps->count;
	while (low < high) { /* first map that ends after address */
		size_t middle = low + (high - low) / 2;

		if (maps->maps[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == maps->count || address < maps->maps[low].start)
		return NULL;
	return &maps->maps[low];
}

/* Returns the module, NULL if there is none for this address. */
static struct elf_module *find_module(const struct engine *e, uint32_t process,
				      const struct engine_map *map, uint64_t address,
				      uint64_t *ret_module_address)
{
	const struct engine_map *anchor = map;
	struct elf_module *module;

	while ((anchor->flags & ENGINE_MAP_ZEROED) && anchor > e->processes[process].maps)
		anchor--; /* .bss has no place in the file: count from the map in front of it */
	if (anchor->module >= e->module_room || anchor->module != map->module)
		return NULL;
	module = e->modules[anchor->module];
	if (!module ||
	    !elf_module_address(module, anchor->offset, address - anchor->start,
				anchor->flags & ENGINE_MAP_EXECUTABLE, ret_module_address))
		return NULL;
	return module;
}

/* ---- questions -------------------------------------------------------------------- */

void engine_locate(struct engine *e, uint32_t process, uint64_t pc, bool is_return,
		   struct engine_location *ret_location)
{
	uint64_t asked = pc - (is_return && pc > 0);
	const struct engine_map *map = find_map(e, process, asked);
	struct elf_module *module;
	uint64_t address;

	memset(ret_location, 0, sizeof(*ret_location));
	if (!map)
		return;
	module = find_module(e, process, map, asked, &address);
	if (!module)
		return;
	*e->busy_module = map->module;
	elf_module_locate(module, address, &ret_location->names);
	*e->busy_module = ENGINE_NO_MODULE;
	if (ret_location->names.function[0])
		ret_location->names.function_offset += pc - asked;
	ret_location->module_address = address + (pc - asked);
	ret_location->has_address = true;
}

struct walk {
	struct engine *engine;
	uint32_t process;
};

static enum unwind_place find_rules(void *context, uint64_t address, Dwarf_Frame **ret_frame)
{
	struct walk *w = context;
	struct engine *e = w->engine;
	const struct engine_map *map = find_map(e, w->process, address);
	struct elf_module *module;
	uint64_t module_address;

	*ret_frame = NULL;
	if (!map || !(map->flags & ENGINE_MAP_EXECUTABLE))
		return UNWIND_NO_CODE;
	module = find_module(e, w->process, map, address, &module_address);
	if (!module)
		return UNWIND_CODE;
	*e->busy_module = map->module;
	*ret_frame = elf_module_frame(module, module_address);
	*e->busy_module = ENGINE_NO_MODULE;
	return UNWIND_CODE;
}

void engine_unwind(struct engine *e, uint32_t process, const struct engine_registers *registers,
		   const void *bytes, size_t size, struct engine_frames *ret_frames)
{
	struct walk w = {.engine = e, .process = process};

	memset(ret_frames, 0, sizeof(*ret_frames));
	unwind_walk(registers, bytes, size, find_rules, &w, ret_frames);
}

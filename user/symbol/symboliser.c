/* SPDX-License-Identifier: MIT */
/*
 * The observer's side of symbol/: processes, their maps, and the questions about them.
 *
 *  Y1. Nothing here opens a file of a target or reads a byte of one: fetch.c and the
 *      sandbox do, in processes of their own, with deadlines.
 *  Y2. A process is known to one generation of the sandbox. When that one has died, the
 *      process is read anew at the next question, and its successor told.
 *  Y3. Without a sandbox there are no names, but modules and, by frame pointers, stacks.
 */
#include "symbol/symbol.h"

#include "symbol/cache.h"
#include "symbol/fetch.h"
#include "symbol/modules.h"
#include "symbol/sandbox.h"
#include "symbol/unwind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REFRESH_NS 1000000000ULL /* a process's maps are read again at most this often */

struct symboliser {
	struct sandbox sandbox;
	struct modules modules;
	struct graves graves;
	struct symbol_process **processes; /* by id; NULL: free */
	uint32_t process_room;
	struct cache cache;
};

struct object {
	char *name;
	struct module *module; /* NULL: not a binary, or it could not be opened */
};

struct symbol_process {
	struct symboliser *symboliser;
	int proc_fd; /* borrowed */
	uint32_t id;
	uint64_t generation;       /* of the sandbox that knows the maps; 0: none */
	uint64_t tried_generation; /* that was to be told, successfully or not */
	uint64_t read_ns;
	struct object *objects;
	size_t object_count;
	struct fetch_map *maps; /* by address */
	size_t map_count;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void symbol_location_done(struct symbol_location *location)
{
	free(location->function);
	free(location->file);
	free(location->module);
	*location = (struct symbol_location){0};
}

int symboliser_new(struct symboliser **ret_symboliser)
{
	struct symboliser *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	err = sandbox_init(&s->sandbox);
	if (err) {
		free(s);
		return err;
	}
	/* libdwfl would ask a server on the network for each binary that it has no symbols of. */
	unsetenv("DEBUGINFOD_URLS");
	sandbox_ensure(&s->sandbox); /* while little memory is there to be forked; retried later */
	*ret_symboliser = s;
	return 0;
}

void symboliser_free(struct symboliser *s)
{
	if (!s)
		return;
	sandbox_done(&s->sandbox);
	modules_done(&s->modules);
	cache_done(&s->cache);
	free(s->processes);
	free(s);
}

/* ---- reading a process ------------------------------------------------------------ */

static void forget(struct symbol_process *p, struct object *objects, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (objects[i].module)
			modules_release(&p->symboliser->modules, &p->symboliser->sandbox,
					objects[i].module);
		free(objects[i].name);
	}
	free(objects);
}

static int copy_area(struct symbol_process *p, const struct fetch_area *area)
{
	size_t count = 0;

	p->objects = calloc(area->object_count + 1, sizeof(*p->objects));
	p->maps = reallocarray(NULL, area->map_count + 1, sizeof(*p->maps));
	if (!p->objects || !p->maps)
		return -ENOMEM;
	memcpy(p->maps, area->maps, area->map_count * sizeof(*p->maps));
	p->map_count = area->map_count;
	for (; count < area->object_count; count++) {
		p->objects[count].name = strdup(area->objects[count].name);
		if (!p->objects[count].name)
			return -ENOMEM;
		p->object_count = count + 1;
	}
	return 0;
}

/* Give the sandbox the binaries that it has not got. Stops when it dies of one. */
static void open_modules(struct symbol_process *p, const struct fetch_area *area, int files)
{
	struct symboliser *s = p->symboliser;
	int err = sandbox_set_files(&s->sandbox, files);

	for (size_t i = 0; i < p->object_count && err != -EIO; i++) {
		const struct fetch_object *o = &area->objects[i];
		struct module *m = o->opened ? modules_acquire(&s->modules, &o->identity) : NULL;
		bool wanted = m && module_is_wanted(m, &s->sandbox);

		p->objects[i].module = m;
		if (!o->opened)
			continue;
		err = sandbox_open_module(&s->sandbox, wanted ? m->id : ENGINE_NO_MODULE, o->name);
		if (err == -EIO && wanted)
			m->strikes++;
		if (!wanted)
			continue;
		m->generation = s->sandbox.generation;
		m->error = err;
	}
}

static void tell_maps(struct symbol_process *p)
{
	struct symboliser *s = p->symboliser;
	struct engine_map *maps = calloc(p->map_count + 1, sizeof(*maps));

	if (!maps)
		return;
	for (size_t i = 0; i < p->map_count; i++) {
		const struct fetch_map *from = &p->maps[i];
		const struct module *m = NULL;

		if (from->object < p->object_count)
			m = p->objects[from->object].module;
		maps[i] = (struct engine_map){
			.start = from->start,
			.end = from->end,
			.offset = from->offset,
			.flags = from->flags,
			.module = m && module_is_open(m, &s->sandbox) ? m->id : ENGINE_NO_MODULE,
		};
	}
	if (sandbox_set_maps(&s->sandbox, p->id, maps, p->map_count) == 0)
		p->generation = s->sandbox.generation;
	free(maps);
}

/* Read maps and binaries. On failure what was known before stays. */
static int load(struct symbol_process *p)
{
	struct symboliser *s = p->symboliser;
	struct symbol_process old = *p;
	struct fetch_area *area;
	int files, err;

	p->read_ns = now_ns();
	p->tried_generation = s->sandbox.generation;
	err = fetch_run(p->proc_fd, &s->graves, &area, &files);
	if (err)
		return err;
	p->objects = NULL;
	p->maps = NULL;
	p->object_count = p->map_count = 0;
	p->generation = 0;
	err = copy_area(p, area);
	if (!err && sandbox_ensure(&s->sandbox) == 0) {
		open_modules(p, area, files);
		tell_maps(p);
	}
	close(files);
	fetch_area_free(area);
	if (err) {
		forget(p, p->objects, p->object_count);
		free(p->maps);
		old.read_ns = p->read_ns;
		old.tried_generation = p->tried_generation;
		*p = old;
		return err;
	}
	forget(p, old.objects, old.object_count);
	free(old.maps);
	return 0;
}

static int take_id(struct symboliser *s, struct symbol_process *p)
{
	uint32_t room = s->process_room ? 2 * s->process_room : 32, id = 0;
	struct symbol_process **grown;

	while (id < s->process_room && s->processes[id])
		id++;
	if (id == s->process_room) {
		if (room > ENGINE_IDS_MAX)
			return -EUSERS;
		grown = reallocarray(s->processes, room, sizeof(struct symbol_process *));
		if (!grown)
			return -ENOMEM;
		memset(grown + id, 0, (room - id) * sizeof(struct symbol_process *));
		s->processes = grown;
		s->process_room = room;
	}
	s->processes[id] = p;
	p->id = id;
	return 0;
}

int symbol_process_new(struct symboliser *s, int proc_fd, pid_t pid,
		       struct symbol_process **ret_process)
{
	struct symbol_process *p = calloc(1, sizeof(*p));
	int err;

	(void)pid; /* the directory says more: it cannot come to mean another process */
	if (!p)
		return -ENOMEM;
	p->symboliser = s;
	p->proc_fd = proc_fd;
	err = take_id(s, p);
	if (err) {
		free(p);
		return err;
	}
	err = load(p);
	if (err) {
		symbol_process_free(p);
		return err;
	}
	*ret_process = p;
	return 0;
}

void symbol_process_free(struct symbol_process *p)
{
	struct symboliser *s;

	if (!p)
		return;
	s = p->symboliser;
	if (p->generation == s->sandbox.generation)
		sandbox_close_process(&s->sandbox, p->id);
	s->processes[p->id] = NULL;
	forget(p, p->objects, p->object_count);
	free(p->maps);
	free(p);
}

/* ---- questions -------------------------------------------------------------------- */

static const struct fetch_map *find_map(const struct symbol_process *p, uint64_t address)
{
	size_t low = 0, high = p->map_count;

	while (low < high) { /* first map that ends after address */
		size_t middle = low + (high - low) / 2;

		if (p->maps[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == p->map_count || address < p->maps[low].start)
		return NULL;
	return &p->maps[low];
}

/* Make the sandbox know the process, and the process's maps know the address. */
static void prepare(struct symbol_process *p, uint64_t address)
{
	struct symboliser *s = p->symboliser;
	bool known = sandbox_ensure(&s->sandbox) != 0 || p->generation == s->sandbox.generation;

	if (known && find_map(p, address))
		return;
	/* A new sandbox is told at once; libraries that were loaded since, in good time. */
	if ((!known && p->tried_generation != s->sandbox.generation) ||
	    now_ns() - p->read_ns > REFRESH_NS)
		load(p);
}

static int copy_text(char **ret_to, const char *from)
{
	*ret_to = from && from[0] ? strdup(from) : NULL;
	return from && from[0] && !*ret_to ? -ENOMEM : 0;
}

/* Copies all but the module. */
static int copy_location(struct symbol_location *to, const struct symbol_location *from)
{
	to->function_offset = from->function_offset;
	to->module_offset = from->module_offset;
	to->line = from->line;
	return copy_text(&to->function, from->function) || copy_text(&to->file, from->file)
		       ? -ENOMEM
		       : 0;
}

static int locate(struct symbol_process *p, uint64_t pc, bool is_return,
		  struct symbol_location *location)
{
	struct symboliser *s = p->symboliser;
	struct engine_location found;
	uint32_t culprit;

	if (sandbox_locate(&s->sandbox, p->id, pc, is_return, &found, &culprit) != 0) {
		modules_strike(&s->modules, culprit);
		return -EIO;
	}
	if (copy_text(&location->function, found.names.function) ||
	    copy_text(&location->file, found.names.file)) {
		symbol_location_done(location);
		return -ENOMEM;
	}
	location->function_offset = found.names.function_offset;
	location->line = found.names.line;
	if (found.has_address)
		location->module_offset = found.module_address;
	return 0;
}

/* Names of what is in a binary, from the cache or the sandbox. */
static int name_location(struct symbol_process *p, const struct fetch_map *map, uint64_t pc,
			 bool is_return, struct symbol_location *location)
{
	const struct module *m = p->objects[map->object].module;
	struct symboliser *s = p->symboliser;
	struct cache_key key = {
		.position = location->module_offset,
		.executable = map->flags & ENGINE_MAP_EXECUTABLE,
		.is_return = is_return,
	};
	/* What is not in the file has no position there to be found by. */
	bool cacheable = !(map->flags & ENGINE_MAP_ZEROED);
	struct symbol_location named = {.module_offset = location->module_offset};
	const struct symbol_location *cached;
	int err;

	if (!m || !module_is_open(m, &s->sandbox) || p->generation != s->sandbox.generation)
		return 0;
	key.module = m->number;
	cached = cacheable ? cache_get(&s->cache, &key) : NULL;
	if (cached)
		return copy_location(location, cached);
	err = locate(p, pc, is_return, &named);
	if (err)
		return err == -EIO ? 0 : err;
	err = copy_location(location, &named);
	if (cacheable && !err)
		cache_put(&s->cache, &key, &named);
	symbol_location_done(&named);
	return err;
}

int symbol_resolve(struct symbol_process *p, uint64_t pc, bool is_return,
		   struct symbol_location *ret_location)
{
	uint64_t asked = pc - (is_return && pc > 0);
	struct symbol_location location = {0};
	const struct fetch_map *map;
	int err;

	*ret_location = location;
	prepare(p, asked);
	map = find_map(p, asked);
	if (!map || map->object >= p->object_count)
		return 0;
	location.module_offset = map->offset + (pc - map->start);
	err = copy_text(&location.module, p->objects[map->object].name);
	if (!err)
		err = name_location(p, map, pc, is_return, &location);
	if (err) {
		symbol_location_done(&location);
		return err;
	}
	*ret_location = location;
	return 0;
}

/* For walks without the sandbox: where code is, but no rules. Y3 */
static enum unwind_place find_code(void *context, uint64_t address, Dwarf_Frame **ret_frame)
{
	const struct fetch_map *map = find_map(context, address);

	*ret_frame = NULL;
	return map && (map->flags & ENGINE_MAP_EXECUTABLE) ? UNWIND_CODE : UNWIND_NO_CODE;
}

size_t symbol_unwind(struct symbol_process *p, const struct symbol_stack_copy *stack,
		     uint64_t *ret_pcs, size_t room, bool *ret_truncated)
{
	struct engine_registers registers = {stack->pc, stack->sp, stack->fp};
	struct symboliser *s = p->symboliser;
	struct engine_frames frames = {0};
	uint32_t culprit = ENGINE_NO_MODULE;
	int err = -EIO;
	size_t count;

	if (stack->pc == 0 || room == 0) {
		*ret_truncated = stack->pc != 0;
		return 0;
	}
	prepare(p, stack->pc - 1);
	if (p->generation == s->sandbox.generation)
		err = sandbox_unwind(&s->sandbox, p->id, &registers, stack->bytes, stack->size,
				     &frames, &culprit);
	if (err) {
		modules_strike(&s->modules, culprit);
		frames = (struct engine_frames){0};
		unwind_walk(&registers, stack->bytes, stack->size, find_code, p, &frames);
	}
	count = frames.count < room ? frames.count : room;
	memcpy(ret_pcs, frames.pcs, count * sizeof(*ret_pcs));
	*ret_truncated = frames.truncated || count < frames.count;
	return count;
}

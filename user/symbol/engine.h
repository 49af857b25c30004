/* SPDX-License-Identifier: MIT */
/*
 * What runs in the sandbox: modules and processes by number, questions about them.
 *
 * Only plain data goes in and out, so that the engine works the same behind a
 * socket (sandbox.h) and, in tests, in the same process.
 */
#ifndef STRANDED_SYMBOL_ENGINE_H
#define STRANDED_SYMBOL_ENGINE_H

#include "symbol/elf_module.h"

#include <stddef.h>

#define ENGINE_IDS_MAX    65536 /* module and process numbers are below this */
#define ENGINE_MAPS_MAX   1000000
#define ENGINE_FRAMES_MAX 256
#define ENGINE_NO_MODULE  UINT32_MAX
#define ENGINE_STACK_MAX  (128u << 10) /* bytes of one copied stack that are looked at */

enum engine_map_flag {
	ENGINE_MAP_EXECUTABLE = 1,
	ENGINE_MAP_ZEROED = 2, /* .bss: anonymous, directly behind the previous map of its module */
};

struct engine_map {
	uint64_t start, end;
	uint64_t offset; /* in the file */
	uint32_t module; /* ENGINE_NO_MODULE: no file, or one that could not be opened */
	uint32_t flags;  /* enum engine_map_flag */
};

struct engine_location {
	uint64_t module_address; /* as linked; valid if has_address */
	uint32_t has_address;    /* no bool: these come from the sandbox, which may be hostile */
	struct elf_module_location names;
};

struct engine_registers {
	uint64_t pc, sp, fp;
};

struct engine_frames {
	uint32_t count;
	uint32_t truncated; /* the walk was lost */
	uint64_t pcs[ENGINE_FRAMES_MAX];
};

struct engine;

/* @busy_module, if not NULL, always holds the module that is being read, or ENGINE_NO_MODULE */
int engine_new(volatile uint32_t *busy_module, struct engine **ret_engine);
void engine_free(struct engine *e);

/* Takes fd. Returns 0 or -errno; see elf_module_open. */
int engine_open_module(struct engine *e, uint32_t module, int fd, const char *name);
void engine_close_module(struct engine *e, uint32_t module);

/* Maps are given in order of address, in one call or several; the first has restart set. */
int engine_add_maps(struct engine *e, uint32_t process, bool restart, const struct engine_map *maps,
		    size_t count);
void engine_close_process(struct engine *e, uint32_t process);

void engine_locate(struct engine *e, uint32_t process, uint64_t pc, bool is_return,
		   struct engine_location *ret_location);

/* pc is a return address. bytes are those of [registers->sp, + size). */
void engine_unwind(struct engine *e, uint32_t process, const struct engine_registers *registers,
		   const void *bytes, size_t size, struct engine_frames *ret_frames);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * From one frame to its caller, over a copied stack.
 */
#ifndef STRANDED_SYMBOL_UNWIND_H
#define STRANDED_SYMBOL_UNWIND_H

#include "symbol/engine.h"

enum unwind_place {
	UNWIND_NO_CODE, /* nothing executable is at this address */
	UNWIND_CODE,
};

/* What is at this address, and by which rules to leave it; no rules: NULL. The walk frees them. */
typedef enum unwind_place (*unwind_find_rules)(void *context, uint64_t address,
					       Dwarf_Frame **ret_frame);

/* See engine_unwind. ret_frames is zeroed by the caller. */
void unwind_walk(const struct engine_registers *registers, const void *bytes, size_t size,
		 unwind_find_rules find_rules, void *context, struct engine_frames *ret_frames);

#endif

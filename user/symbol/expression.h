/* SPDX-License-Identifier: MIT */
/*
 * DWARF expressions as they occur in call frame information.
 */
#ifndef STRANDED_SYMBOL_EXPRESSION_H
#define STRANDED_SYMBOL_EXPRESSION_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPRESSION_REGISTERS 32 /* DWARF numbers 0 .. 31: the integer registers of our machines */

/* What an expression may look at. */
struct expression_context {
	uint64_t registers[EXPRESSION_REGISTERS];
	uint32_t known; /* bit i: registers[i] holds a value */
	uint64_t cfa;
	bool has_cfa;
	uint64_t stack; /* address of bytes[0] */
	const uint8_t *bytes;
	size_t size;
};

/* Read one word of the copied stack. */
bool expression_read(const struct expression_context *c, uint64_t address, uint64_t *ret_word);

/*
 * expression_evaluate - the value left on top of the stack.
 * @ret_is_value  the expression ended in DW_OP_stack_value: it is the value, not its address
 * Returns false for what is malformed, unknown or needs memory or registers that we don't have.
 */
bool expression_evaluate(const struct expression_context *c, const Dwarf_Op *ops, size_t count,
			 uint64_t *ret_value, bool *ret_is_value);

#endif

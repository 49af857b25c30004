/* SPDX-License-Identifier: MIT */
/*
 * Evaluate DWARF expressions of call frame information over a copied stack.
 *
 * The operations come from a file that may be hostile: the depth of the stack
 * is bounded, and jumps go forward only, so that every expression ends. (No
 * compiler writes a backward jump into call frame information.)
 */
#include "symbol/expression.h"

#include <dwarf.h>
#include <string.h>

#define STACK_DEPTH 64

struct machine {
	const struct expression_context *context;
	uint64_t stack[STACK_DEPTH];
	unsigned depth;
	bool is_value;
};

bool expression_read(const struct expression_context *c, uint64_t address, uint64_t *ret_word)
{
	uint64_t at = address - c->stack;

	if (address < c->stack || c->size < sizeof(*ret_word) || at > c->size - sizeof(*ret_word))
		return false;
	memcpy(ret_word, c->bytes + at, sizeof(*ret_word));
	return true;
}

static bool push(struct machine *m, uint64_t value)
{
	if (m->depth == STACK_DEPTH)
		return false;
	m->stack[m->depth++] = value;
	return true;
}

static bool push_register(struct machine *m, uint64_t number, uint64_t offset)
{
	if (number >= EXPRESSION_REGISTERS || !(m->context->known & (1u << number)))
		return false;
	return push(m, m->context->registers[number] + offset);
}

static bool binary(struct machine *m, uint8_t operation)
{
	uint64_t a, b, result;

	if (m->depth < 2)
		return false;
	b = m->stack[--m->depth];
	a = m->stack[--m->depth];
	switch (operation) {
	case DW_OP_and:
		result = a & b;
		break;
	case DW_OP_or:
		result = a | b;
		break;
	case DW_OP_xor:
		result = a ^ b;
		break;
	case DW_OP_plus:
		result = a + b;
		break;
	case DW_OP_minus:
		result = a - b;
		break;
	case DW_OP_mul:
		result = a * b;
		break;
	case DW_OP_shl:
		result = b < 64 ? a << b : 0;
		break;
	case DW_OP_shr:
		result = b < 64 ? a >> b : 0;
		break;
	case DW_OP_eq:
		result = a == b;
		break;
	case DW_OP_ne:
		result = a != b;
		break;
	case DW_OP_lt:
		result = (int64_t)a < (int64_t)b;
		break;
	case DW_OP_le:
		result = (int64_t)a <= (int64_t)b;
		break;
	case DW_OP_gt:
		result = (int64_t)a > (int64_t)b;
		break;
	case DW_OP_ge:
		result = (int64_t)a >= (int64_t)b;
		break;
	default:
		return false;
	}
	return push(m, result);
}

static bool deref(struct machine *m)
{
	return m->depth > 0 &&
	       expression_read(m->context, m->stack[m->depth - 1], &m->stack[m->depth - 1]);
}

static bool shuffle(struct machine *m, const Dwarf_Op *op)
{
	uint64_t top;

	if (m->depth == 0)
		return false;
	top = m->stack[m->depth - 1];
	switch (op->atom) {
	case DW_OP_dup:
		return push(m, top);
	case DW_OP_drop:
		m->depth--;
		return true;
	case DW_OP_plus_uconst:
		m->stack[m->depth - 1] = top + op->number;
		return true;
	case DW_OP_over:
		return m->depth >= 2 && push(m, m->stack[m->depth - 2]);
	case DW_OP_swap:
		if (m->depth < 2)
			return false;
		m->stack[m->depth - 1] = m->stack[m->depth - 2];
		m->stack[m->depth - 2] = top;
		return true;
	default:
		return false;
	}
}

static bool execute(struct machine *m, const Dwarf_Op *op)
{
	if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31)
		return push(m, op->atom - DW_OP_lit0);
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
		return push_register(m, op->atom - DW_OP_breg0, op->number);
	switch (op->atom) {
	case DW_OP_nop:
		return true;
	case DW_OP_const1u:
	case DW_OP_const1s:
	case DW_OP_const2u:
	case DW_OP_const2s:
	case DW_OP_const4u:
	case DW_OP_const4s:
	case DW_OP_const8u:
	case DW_OP_const8s:
	case DW_OP_constu:
	case DW_OP_consts:
		return push(m, op->number);
	case DW_OP_bregx:
		return push_register(m, op->number, op->number2);
	case DW_OP_call_frame_cfa:
		return m->context->has_cfa && push(m, m->context->cfa);
	case DW_OP_deref:
		return deref(m);
	case DW_OP_stack_value:
		m->is_value = true;
		return true;
	case DW_OP_dup:
	case DW_OP_drop:
	case DW_OP_over:
	case DW_OP_swap:
	case DW_OP_plus_uconst:
		return shuffle(m, op);
	default:
		return binary(m, op->atom);
	}
}

/* Where a jump leads: the index of the operation at that byte offset, further on. */
static bool jump(const Dwarf_Op *ops, size_t count, size_t at, size_t *ret_target)
{
	Dwarf_Word target = ops[at].offset + 1 + 2 + (Dwarf_Word)(int64_t)(int16_t)ops[at].number;

	for (size_t i = at + 1; i < count; i++) {
		if (ops[i].offset == target) {
			*ret_target = i;
			return true;
		}
	}
	return false;
}

bool expression_evaluate(const struct expression_context *c, const Dwarf_Op *ops, size_t count,
			 uint64_t *ret_value, bool *ret_is_value)
{
	struct machine m = {.context = c};
	size_t at = 0;

	while (at < count) {
		bool taken = ops[at].atom == DW_OP_skip;

		if (ops[at].atom == DW_OP_bra) {
			if (m.depth == 0)
				return false;
			taken = m.stack[--m.depth] != 0;
		} else if (!taken && !execute(&m, &ops[at])) {
			return false;
		}
		if (!taken)
			at++;
		else if (!jump(ops, count, at, &at))
			return false;
	}
	if (m.depth == 0)
		return false;
	*ret_value = m.stack[m.depth - 1];
	*ret_is_value = m.is_value;
	return true;
}

/* SPDX-License-Identifier: MIT */
/*
 * Walk a copied stack by call frame information, by frame pointers where there is none.
 *
 *  U1. The first pc is a return address like all others: the frame is parked in a
 *      call. Rules are looked up one byte before it, inside the call instruction,
 *      since what follows may belong to another block or function. Only the caller
 *      of a signal frame was interrupted at its pc.
 *  U2. Each step moves the stack pointer up, or the walk ends: no cycle, and at most
 *      ENGINE_FRAMES_MAX steps.
 *  U3. A return address that is 0, or that the rules call undefined, is the regular
 *      end of a stack. A frame pointer of 0 is one, too, where frame pointers guide.
 *      Any other end is a lost walk and is said to be one.
 *  U4. A return address outside of all code is not reported: the frame before it was
 *      misread.
 */
#include "symbol/unwind.h"

#include "symbol/expression.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
enum { REGISTER_SP = 7, REGISTER_FP = 6 };
#define FRAME_ENDS_AT_RECORD 1 /* [fp] and [fp + 8] are the last words of a frame */
/* rbx, rbp, r12-r15: the callee-saved registers, which a caller's rules may name */
#define CALLEE_SAVED         (1u << 3 | 1u << 6 | 0xfu << 12)
#elif defined(__aarch64__)
enum { REGISTER_SP = 31, REGISTER_FP = 29 };
#define FRAME_ENDS_AT_RECORD 0 /* the record stands anywhere in the frame */
/* x19-x28, the frame pointer and the link register */
#define CALLEE_SAVED         (0xfffu << 19)
#endif

enum step { STEP_DONE, STEP_END, STEP_LOST };

struct state {
	struct expression_context context; /* registers of the current frame */
	uint64_t pc;
	bool exact; /* pc is where the frame was interrupted, not a return address */
};

static bool known(const struct expression_context *c, unsigned number)
{
	return c->known & (1u << number);
}

static void set(struct expression_context *c, unsigned number, uint64_t value)
{
	c->registers[number] = value;
	c->known |= 1u << number;
}

/* aarch64 signs return addresses in the bits above the address space. */
static uint64_t plain_address(uint64_t pc)
{
#if defined(__aarch64__)
	return pc & ((1ULL << 48) - 1);
#else
	return pc;
#endif
}

/* ---- by call frame information ----------------------------------------------------- */

enum rule { RULE_VALUE, RULE_SAME, RULE_UNDEFINED, RULE_UNKNOWN };

static enum rule recover(const struct expression_context *c, Dwarf_Frame *frame, unsigned number,
			 uint64_t *ret_value)
{
	Dwarf_Op memory[3], *ops;
	bool is_value;
	size_t count;

	if (dwarf_frame_register(frame, (int)number, memory, &ops, &count) != 0)
		return RULE_UNKNOWN;
	if (count == 0)
		return ops ? RULE_UNDEFINED : RULE_SAME;
	/* "in another register" comes as a location, not as an expression */
	if (count == 1 && (ops[0].atom == DW_OP_regx ||
			   (ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31))) {
		uint64_t other = ops[0].number;

		if (ops[0].atom != DW_OP_regx)
			other = (uint64_t)(ops[0].atom - DW_OP_reg0);
		if (other >= EXPRESSION_REGISTERS || !known(c, (unsigned)other))
			return RULE_UNKNOWN;
		*ret_value = c->registers[other];
		return RULE_VALUE;
	}
	if (!expression_evaluate(c, ops, count, ret_value, &is_value))
		return RULE_UNKNOWN;
	return is_value || expression_read(c, *ret_value, ret_value) ? RULE_VALUE : RULE_UNKNOWN;
}

static void find_cfa(struct expression_context *c, Dwarf_Frame *frame)
{
	bool is_value;
	Dwarf_Op *ops;
	size_t count;

	c->has_cfa = false;
	c->has_cfa = dwarf_frame_cfa(frame, &ops, &count) == 0 && count > 0 &&
		     expression_evaluate(c, ops, count, &c->cfa, &is_value);
}

static void recover_callee_saved(const struct expression_context *old, Dwarf_Frame *frame,
				 struct expression_context *caller)
{
	for (unsigned i = 0; i < EXPRESSION_REGISTERS; i++) {
		uint64_t value;

		if (!(CALLEE_SAVED & (1u << i)))
			continue;
		switch (recover(old, frame, i, &value)) {
		case RULE_VALUE:
			set(caller, i, value);
			break;
		case RULE_SAME:
			break;
		default:
			caller->known &= ~(1u << i);
		}
	}
}

/* The return address; STEP_DONE: there is one. */
static enum step recover_pc(const struct expression_context *c, Dwarf_Frame *frame,
			    uint64_t *ret_pc, bool *ret_signal)
{
	int column = dwarf_frame_info(frame, NULL, NULL, ret_signal);

	if (column < 0 || column >= EXPRESSION_REGISTERS)
		return STEP_LOST;
	switch (recover(c, frame, (unsigned)column, ret_pc)) {
	case RULE_UNDEFINED:
		return STEP_END;
	case RULE_SAME:
		if (!known(c, (unsigned)column))
			return STEP_LOST;
		*ret_pc = c->registers[column];
		break;
	case RULE_UNKNOWN:
		return STEP_LOST;
	case RULE_VALUE:
		break;
	}
	*ret_pc = plain_address(*ret_pc);
	return *ret_pc == 0 ? STEP_END : STEP_DONE;
}

static enum step step_by_rules(struct state *s, Dwarf_Frame *frame)
{
	struct expression_context caller;
	enum step result;
	bool signal;
	uint64_t pc;

	/* An outermost frame may have no CFA: ask for its return address all the same. */
	find_cfa(&s->context, frame);
	result = recover_pc(&s->context, frame, &pc, &signal);
	if (result != STEP_DONE)
		return result;
	if (!s->context.has_cfa || s->context.cfa <= s->context.registers[REGISTER_SP])
		return STEP_LOST; /* U2 */
	caller = s->context;
	recover_callee_saved(&s->context, frame, &caller);
	set(&caller, REGISTER_SP, s->context.cfa);
	s->context = caller;
	s->pc = pc;
	s->exact = signal;
	return STEP_DONE;
}

/* ---- by frame pointers -------------------------------------------------------------- */

static enum step step_by_frame_pointer(struct state *s)
{
	struct expression_context *c = &s->context;
	uint64_t fp = c->registers[REGISTER_FP], next, pc;

	if (!known(c, REGISTER_FP))
		return STEP_LOST;
	if (fp == 0)
		return STEP_END;
	if (fp % sizeof(uint64_t) != 0 || fp < c->registers[REGISTER_SP] ||
	    !expression_read(c, fp, &next) || !expression_read(c, fp + sizeof(next), &pc))
		return STEP_LOST;
	if (plain_address(pc) == 0)
		return STEP_END;
	c->known = 0; /* the other registers are somewhere in the frame: nobody says where */
	set(c, REGISTER_FP, next);
	c->registers[REGISTER_SP] = fp + 2 * sizeof(uint64_t); /* at least: U2 */
	if (FRAME_ENDS_AT_RECORD)
		c->known |= 1u << REGISTER_SP;
	s->pc = plain_address(pc);
	s->exact = false;
	return STEP_DONE;
}

/* ---- the walk ------------------------------------------------------------------------ */

void unwind_walk(const struct engine_registers *registers, const void *bytes, size_t size,
		 unwind_find_rules find_rules, void *context, struct engine_frames *ret_frames)
{
	struct state s = {
		.pc = plain_address(registers->pc),
		.context = {.stack = registers->sp, .bytes = bytes, .size = size},
	};
	enum step result = s.pc != 0 ? STEP_DONE : STEP_END;

	set(&s.context, REGISTER_SP, registers->sp);
	set(&s.context, REGISTER_FP, registers->fp);
	while (result == STEP_DONE) {
		Dwarf_Frame *frame;
		bool code;

		if (ret_frames->count == ENGINE_FRAMES_MAX) {
			result = STEP_LOST;
			break;
		}
		code = find_rules(context, s.pc - !s.exact, &frame) == UNWIND_CODE; /* U1 */
		if (code || ret_frames->count == 0)
			ret_frames->pcs[ret_frames->count++] = s.pc;
		if (!code)
			result = STEP_LOST; /* U4 */
		else if (frame)
			result = step_by_rules(&s, frame);
		else
			result = step_by_frame_pointer(&s);
		free(frame);
	}
	ret_frames->truncated = result == STEP_LOST;
}

/* SPDX-License-Identifier: MIT */
/* The probe points for AArch64; see probes.inc. */
	.macro	PROBE_ENTRY
	stp	x29, x30, [sp, #-16]!
	.cfi_def_cfa_offset 16
	.cfi_offset x29, -16
	.cfi_offset x30, -8
	mov	x29, sp
	.endm

	.macro	PROBE_NOP
	nop
	.endm

	.macro	PROBE_FAST
	nop
	.endm

	.macro	PROBE_EXIT
	ldp	x29, x30, [sp], #16
	.cfi_def_cfa_offset 0
	.cfi_restore x29
	.cfi_restore x30
	ret
	.endm

#define ARG1 "8@x0"
#include "strand/probes.inc"

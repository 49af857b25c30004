/* SPDX-License-Identifier: MIT */
/* The probe points for x86-64; see probes.inc. */
	.macro	PROBE_ENTRY
	push	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	.endm

	.macro	PROBE_NOP
	nop
	.endm

	.macro	PROBE_FAST
	.byte	0x0f, 0x1f, 0x44, 0x00, 0x00
	.endm

	.macro	PROBE_EXIT
	pop	%rbp
	.cfi_def_cfa %rsp, 8
	ret
	.endm

#define ARG1 "8@%rdi"
#include "strand/probes.inc"

/* SPDX-License-Identifier: MIT */
/*
 * The context switch for AArch64 (AAPCS64).
 *
 * A saved stack, from its stack pointer up:
 *   +0 x29 x30   +16 x19 x20  +32 x21 x22  +48 x23 x24  +64 x25 x26  +80 x27 x28
 *   +96 d8 d9  +112 d10 d11  +128 d12 d13  +144 d14 d15  +160 fpcr
 */
#define FRAME 176

	.text

	.globl	switch_stack
	.hidden	switch_stack
	.type	switch_stack, %function
	.p2align 4
switch_stack:
	.cfi_startproc
	sub	sp, sp, #FRAME
	.cfi_adjust_cfa_offset FRAME
	stp	x29, x30, [sp, #0]
	.cfi_rel_offset x29, 0
	.cfi_rel_offset x30, 8
	stp	x19, x20, [sp, #16]
	.cfi_rel_offset x19, 16
	.cfi_rel_offset x20, 24
	stp	x21, x22, [sp, #32]
	.cfi_rel_offset x21, 32
	.cfi_rel_offset x22, 40
	stp	x23, x24, [sp, #48]
	.cfi_rel_offset x23, 48
	.cfi_rel_offset x24, 56
	stp	x25, x26, [sp, #64]
	.cfi_rel_offset x25, 64
	.cfi_rel_offset x26, 72
	stp	x27, x28, [sp, #80]
	.cfi_rel_offset x27, 80
	.cfi_rel_offset x28, 88
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]
	mrs	x9, fpcr
	str	x9, [sp, #160]
	mov	x10, sp
	str	x10, [x0]
	mov	sp, x1
	ldr	x9, [sp, #160]
	msr	fpcr, x9
	ldp	d14, d15, [sp, #144]
	ldp	d12, d13, [sp, #128]
	ldp	d10, d11, [sp, #112]
	ldp	d8, d9, [sp, #96]
	ldp	x27, x28, [sp, #80]
	ldp	x25, x26, [sp, #64]
	ldp	x23, x24, [sp, #48]
	ldp	x21, x22, [sp, #32]
	ldp	x19, x20, [sp, #16]
	ldp	x29, x30, [sp, #0]
	add	sp, sp, #FRAME
	.cfi_adjust_cfa_offset -FRAME
	.cfi_restore x29
	.cfi_restore x30
	.cfi_restore x19
	.cfi_restore x20
	.cfi_restore x21
	.cfi_restore x22
	.cfi_restore x23
	.cfi_restore x24
	.cfi_restore x25
	.cfi_restore x26
	.cfi_restore x27
	.cfi_restore x28
	ret
	.cfi_endproc
/* One ret for both: no difference was measured here. */
	.globl	switch_start
	.hidden	switch_start
	.set	switch_start, switch_stack
	.size	switch_stack, . - switch_stack

/* A task's first frame. x19 holds the task; the walk of its stack ends here: no caller. */
	.globl	switch_enter
	.hidden	switch_enter
	.type	switch_enter, %function
	.p2align 4
switch_enter:
	.cfi_startproc
	.cfi_undefined x30
	mov	x29, #0
	mov	x0, x19
	bl	task_begin
	mov	x9, x0
	mov	x0, x1
	mov	x1, #0
	mov	x19, #0
	blr	x9
	.globl	switch_task_end_pc
	.hidden	switch_task_end_pc
switch_task_end_pc:
	bl	task_end
	brk	#1
	.cfi_endproc
	.size	switch_enter, . - switch_enter

/* void *switch_prepare(void *top, struct task *task) */
	.globl	switch_prepare
	.hidden	switch_prepare
	.type	switch_prepare, %function
	.p2align 4
switch_prepare:
	.cfi_startproc
	sub	x2, x0, #(FRAME + 16)
	adrp	x3, switch_enter
	add	x3, x3, :lo12:switch_enter
	stp	xzr, x3, [x2, #0]
	stp	x1, xzr, [x2, #16]
	stp	xzr, xzr, [x2, #32]
	stp	xzr, xzr, [x2, #48]
	stp	xzr, xzr, [x2, #64]
	stp	xzr, xzr, [x2, #80]
	stp	xzr, xzr, [x2, #96]
	stp	xzr, xzr, [x2, #112]
	stp	xzr, xzr, [x2, #128]
	stp	xzr, xzr, [x2, #144]
	mrs	x3, fpcr
	stp	x3, xzr, [x2, #160]
	stp	xzr, xzr, [x2, #176]
	mov	x0, x2
	ret
	.cfi_endproc
	.size	switch_prepare, . - switch_prepare

	.section .note.GNU-stack, "", %progbits

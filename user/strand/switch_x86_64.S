/* SPDX-License-Identifier: MIT */
/*
 * The context switch for x86-64 (System V).
 *
 * A saved stack, from its stack pointer up:
 *   +0 mxcsr, x87 control word   +8 r15  +16 r14  +24 r13  +32 r12  +40 rbx
 *   +48 rbp   +56 return address
 * Both sides of the switch have this layout, so one CFI description holds for
 * both and is right at every instruction. The x86-64 red zone below a saved
 * stack pointer is dead: a call was made.
 */
	.text

/* Everything but the jump at the end. */
.macro change_stack
	push	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	push	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	push	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r12, 0
	push	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r13, 0
	push	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r14, 0
	push	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r15, 0
	sub	$8, %rsp
	.cfi_adjust_cfa_offset 8
	stmxcsr	(%rsp)
	fnstcw	4(%rsp)
	mov	(%rsp), %eax
	mov	4(%rsp), %cx
	mov	%rsp, (%rdi)
	mov	%rsi, %rsp
	/*
	 * Loading them takes longer than all the rest, and they are nearly always the same. Not
	 * so the status flags in the low six bits of mxcsr, which nobody has to preserve.
	 */
	xor	(%rsp), %eax
	test	$0xffffffc0, %eax
	jne	1f
	cmp	4(%rsp), %cx
	je	2f
1:	ldmxcsr	(%rsp)
	fldcw	4(%rsp)
2:	add	$8, %rsp
	.cfi_adjust_cfa_offset -8
	pop	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r15
	pop	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r14
	pop	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r13
	pop	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r12
	pop	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbx
	pop	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbp
.endm

/*
 * To a stack that was left by switch_stack or switch_start, from the same place (leave, in
 * sched.c). So the processor's return predictor has just seen the call that this ret belongs
 * to, if the same kind of task goes on; a jump here would put it out of step for every
 * return that follows: 20 ns a switch.
 */
	.globl	switch_stack
	.hidden	switch_stack
	.type	switch_stack, @function
	.p2align 4
switch_stack:
	.cfi_startproc
	change_stack
	ret
	.cfi_endproc
	.size	switch_stack, . - switch_stack

/* To a new stack: nobody has called switch_enter, so ret would mispredict. */
	.globl	switch_start
	.hidden	switch_start
	.type	switch_start, @function
	.p2align 4
switch_start:
	.cfi_startproc
	change_stack
	pop	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rcx
	jmp	*%rcx
	.cfi_endproc
	.size	switch_start, . - switch_start

/* A task's first frame. rbx holds the task; the walk of its stack ends here: no caller. */
	.globl	switch_enter
	.hidden	switch_enter
	.type	switch_enter, @function
	.p2align 4
switch_enter:
	.cfi_startproc
	.cfi_undefined %rip
	xor	%ebp, %ebp
	mov	%rbx, %rdi
	call	task_begin
	mov	%rdx, %rdi
	xor	%edx, %edx
	xor	%ebx, %ebx
	call	*%rax
	.globl	switch_task_end_pc
	.hidden	switch_task_end_pc
switch_task_end_pc:
	mov	%eax, %edi
	call	task_end
	ud2
	.cfi_endproc
	.size	switch_enter, . - switch_enter

/* void *switch_prepare(void *top, struct task *task) */
	.globl	switch_prepare
	.hidden	switch_prepare
	.type	switch_prepare, @function
	.p2align 4
switch_prepare:
	.cfi_startproc
	lea	-80(%rdi), %rax
	stmxcsr	0(%rax)
	fnstcw	4(%rax)
	xor	%ecx, %ecx
	mov	%rcx, 8(%rax)
	mov	%rcx, 16(%rax)
	mov	%rcx, 24(%rax)
	mov	%rcx, 32(%rax)
	mov	%rsi, 40(%rax)
	mov	%rcx, 48(%rax)
	lea	switch_enter(%rip), %rdx
	mov	%rdx, 56(%rax)
	mov	%rcx, 64(%rax)
	mov	%rcx, 72(%rax)
	ret
	.cfi_endproc
	.size	switch_prepare, . - switch_prepare

	.section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: MIT */
/*
 * A copy that survives a fault.
 *
 * process_vm_readv copies at half the speed, and holds the lock of the address space: a
 * child of low priority that lost its processor then would hold up the target. A
 * plain load holds nothing. If it faults, the handler lets leakgc_copy() return.
 */
#include "leakgc/guarded.h"

#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

#include "leakgc/child.h"
#include "leakgc/syscall.h"

#define SA_RESTORER_FLAG 0x04000000ul /* SA_RESTORER: x86-64 demands it */

extern const char leakgc_copy_end[] __attribute__((visibility("hidden")));
void leakgc_signal_return(void) __attribute__((visibility("hidden")));

#if defined(__x86_64__)

__asm__(".pushsection .text\n"
	".globl leakgc_copy, leakgc_copy_end, leakgc_signal_return\n"
	".hidden leakgc_copy, leakgc_copy_end, leakgc_signal_return\n"
	".type leakgc_copy, @function\n"
	"leakgc_copy:\n"
	"	mov %rdx, %rcx\n"
	"	rep movsb\n"
	"leakgc_copy_end:\n"
	"	mov %rcx, %rax\n"
	"	ret\n"
	".size leakgc_copy, . - leakgc_copy\n"
	".type leakgc_signal_return, @function\n"
	"leakgc_signal_return:\n"
	"	mov $15, %eax\n" /* rt_sigreturn */
	"	syscall\n"
	".size leakgc_signal_return, . - leakgc_signal_return\n"
	".popsection\n");

static uintptr_t *program_counter(ucontext_t *uc)
{
	return (uintptr_t *)&uc->uc_mcontext.gregs[REG_RIP];
}

#elif defined(__aarch64__)

__asm__(".pushsection .text\n"
	".globl leakgc_copy, leakgc_copy_end, leakgc_signal_return\n"
	".hidden leakgc_copy, leakgc_copy_end, leakgc_signal_return\n"
	".type leakgc_copy, %function\n"
	"leakgc_copy:\n"
	"1:	cmp x2, #16\n"
	"	b.lo 2f\n"
	"	ldp x3, x4, [x1]\n"
	"	stp x3, x4, [x0], #16\n"
	"	add x1, x1, #16\n"
	"	sub x2, x2, #16\n"
	"	b 1b\n"
	"2:	cbz x2, leakgc_copy_end\n"
	"	ldrb w3, [x1]\n"
	"	strb w3, [x0], #1\n"
	"	add x1, x1, #1\n"
	"	sub x2, x2, #1\n"
	"	b 2b\n"
	"leakgc_copy_end:\n"
	"	mov x0, x2\n"
	"	ret\n"
	".size leakgc_copy, . - leakgc_copy\n"
	".type leakgc_signal_return, %function\n"
	"leakgc_signal_return:\n"
	"	mov x8, #139\n" /* rt_sigreturn */
	"	svc #0\n"
	".size leakgc_signal_return, . - leakgc_signal_return\n"
	".popsection\n");

static uintptr_t *program_counter(ucontext_t *uc)
{
	return (uintptr_t *)&uc->uc_mcontext.pc;
}

#endif

static void fault(int signal, siginfo_t *info, void *context)
{
	uintptr_t *pc = program_counter(context);
	uintptr_t lo = (uintptr_t)leakgc_copy, hi = (uintptr_t)leakgc_copy_end;

	(void)signal;
	(void)info;
	if (*pc < lo || *pc >= hi)
		leakgc_child_leave(1);
	*pc = hi;
}

void leakgc_guard(void)
{
	struct { /* struct sigaction of the kernel */
		void (*handler)(int, siginfo_t *, void *);
		unsigned long flags;
		void (*restorer)(void);
		unsigned long mask;
	} action = {fault, SA_SIGINFO | SA_NODEFER | SA_RESTORER_FLAG, leakgc_signal_return, 0};
	uint64_t caught = 0;
	static const int faults[] = {SIGSEGV, SIGBUS};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		LEAKGC_SYS4(SYS_rt_sigaction, faults[i], &action, NULL, sizeof(action.mask));
		caught |= 1ULL << (faults[i] - 1);
	}
	LEAKGC_SYS4(SYS_rt_sigprocmask, SIG_UNBLOCK, &caught, NULL, sizeof(caught));
}

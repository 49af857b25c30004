/* SPDX-License-Identifier: MIT */
/* The context switch; one assembly file per architecture. */
#ifndef STRAND_SWITCH_H
#define STRAND_SWITCH_H

struct task;

/*
 * switch_stack - save the callee-saved registers and FP control words on this stack, store the
 * stack pointer in *save_sp, and go on where load_sp was saved.
 */
void switch_stack(void **save_sp, void *load_sp);

/* The same, to a stack from switch_prepare: only how the processor predicts it differs. */
void switch_start(void **save_sp, void *load_sp);

/*
 * Clear the vector registers, which no call preserves. Compilers move pairs of pointers through
 * them and an idle worker changes none: what a task left there when it parked would stay, and be
 * a root of every leak search. General registers do not stay for long.
 */
static inline void switch_forget_vectors(void)
{
#if defined(__x86_64__)
	__asm__ volatile("pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\t"
			 "pxor %%xmm2, %%xmm2\n\tpxor %%xmm3, %%xmm3\n\t"
			 "pxor %%xmm4, %%xmm4\n\tpxor %%xmm5, %%xmm5\n\t"
			 "pxor %%xmm6, %%xmm6\n\tpxor %%xmm7, %%xmm7\n\t"
			 "pxor %%xmm8, %%xmm8\n\tpxor %%xmm9, %%xmm9\n\t"
			 "pxor %%xmm10, %%xmm10\n\tpxor %%xmm11, %%xmm11\n\t"
			 "pxor %%xmm12, %%xmm12\n\tpxor %%xmm13, %%xmm13\n\t"
			 "pxor %%xmm14, %%xmm14\n\tpxor %%xmm15, %%xmm15"
			 :
			 :
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
			   "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#elif defined(__aarch64__)
	__asm__ volatile("movi v0.2d, #0\n\tmovi v1.2d, #0\n\tmovi v2.2d, #0\n\t"
			 "movi v3.2d, #0\n\tmovi v4.2d, #0\n\tmovi v5.2d, #0\n\t"
			 "movi v6.2d, #0\n\tmovi v7.2d, #0\n\tmovi v16.2d, #0\n\t"
			 "movi v17.2d, #0\n\tmovi v18.2d, #0\n\tmovi v19.2d, #0\n\t"
			 "movi v20.2d, #0\n\tmovi v21.2d, #0\n\tmovi v22.2d, #0\n\t"
			 "movi v23.2d, #0\n\tmovi v24.2d, #0\n\tmovi v25.2d, #0\n\t"
			 "movi v26.2d, #0\n\tmovi v27.2d, #0\n\tmovi v28.2d, #0\n\t"
			 "movi v29.2d, #0\n\tmovi v30.2d, #0\n\tmovi v31.2d, #0"
			 :
			 :
			 : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18",
			   "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28",
			   "v29", "v30", "v31");
#endif
}

/*
 * switch_prepare - lay out a new stack below top (16-byte aligned), so that a switch to the
 * returned stack pointer enters the task: it calls task_begin(task), then task's fn(arg), then
 * task_end(result), which does not return.
 */
void *switch_prepare(void *top, struct task *task);

/* The return address of a task's fn: every stack walk ends here. */
extern const char switch_task_end_pc[] __attribute__((visibility("hidden")));

/* What the entry code calls, in task.c. */
struct task_entry {
	void (*fn)(void *);
	void *arg;
};
struct task_entry task_begin(struct task *task);
_Noreturn void task_end(int result); /* what fn returned; noise if it returns nothing */

#endif

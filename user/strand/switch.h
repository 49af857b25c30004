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

/* SPDX-License-Identifier: MIT */
/* Walking a task's frame pointers. */
#include "strand/backtrace.h"

#include <stdbool.h>

#include "strand/switch.h"
#include "strand/task.h"

/* A frame record: the caller's frame pointer, and the return address. */
static bool holds_record(const struct task *task, uintptr_t at)
{
	return at % sizeof(uintptr_t) == 0 && at >= (uintptr_t)stack_floor(&task->stack) &&
	       at <= (uintptr_t)stack_top(&task->stack) - 2 * sizeof(uintptr_t);
}

/* The task may run and write to it: each word is read once, and checked. */
__attribute__((no_sanitize("address", "thread"))) static uintptr_t read_word(uintptr_t at)
{
	return *(const volatile uintptr_t *)at;
}

size_t backtrace_from(const struct task *task, const struct frame *frame, uintptr_t *ret_pcs,
		      size_t room)
{
	uintptr_t pc = frame->pc, fp = frame->fp, last = frame->sp;
	size_t count = 0;

	while (pc && pc != (uintptr_t)switch_task_end_pc && count < room) {
		ret_pcs[count++] = pc;
		if (fp < last || !holds_record(task, fp))
			break;
		pc = read_word(fp + sizeof(uintptr_t));
		last = fp + 2 * sizeof(uintptr_t); /* callers' frames are higher */
		fp = read_word(fp);
	}
	return count;
}

/* See the layout in switch_ARCH.S. */
static struct frame saved_frame(const struct task *task)
{
#if defined(__x86_64__)
	const unsigned fp = 6, pc = 7, size = 8;
#elif defined(__aarch64__)
	const unsigned fp = 0, pc = 1, size = 22;
#endif
	uintptr_t sp = (uintptr_t)task->sp;

	if (!holds_record(task, sp) || !holds_record(task, sp + (size - 2) * sizeof(uintptr_t)))
		return (struct frame){0};
	return (struct frame){.pc = read_word(sp + pc * sizeof(uintptr_t)),
			      .sp = sp + size * sizeof(uintptr_t),
			      .fp = read_word(sp + fp * sizeof(uintptr_t))};
}

struct frame backtrace_resume_frame(const struct task *task)
{
	switch (atomic_load_explicit(&task->state, memory_order_acquire)) {
	case TASK_PARKED:
		return task->where;
	case TASK_READY:
		return task->sleeper ? task->where : saved_frame(task);
	default:
		return (struct frame){0};
	}
}

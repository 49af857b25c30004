/* SPDX-License-Identifier: MIT */
/*
 * Stack overflows.
 *
 * O1. A fault in the guard page of the task that runs, or is just being left, is an overflow.
 *     The handler says which task it was, with write(2) only, and passes the fault on.
 * O2. Every fault, ours or not, goes to who had SIGSEGV before: a handler is called with the
 *     same arguments; the default is put back, and the return from here faults again. So
 *     status, core file and the registers in it are those of any SIGSEGV.
 * O3. A handler that the program installs later replaces ours; it may call ours as the one
 *     before it. At the end SIGSEGV is given back only if it is still ours.
 * O4. The handler needs a stack of its own, as the task's is full: each worker has one, unless
 *     the program has given the thread one. It is outside of the runtime's masked memory:
 *     handlers of the program may run on it, and what they hold is live.
 */
#include "strand/overflow.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "strand/line.h"
#include "strand/memory.h"
#include "strand/sched.h"
#include "strand/task.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

/* For handlers of the program, beside the kernel's frame; only touched pages cost memory. */
#define ALT_STACK_ROOM ((size_t)64 << 10)

static struct sigaction before; /* ours; written before ours is installed */

/* To see a handler that calls ours as its predecessor, which is ours' predecessor (O3). */
static _Thread_local struct {
	const void *context;
	uintptr_t frame;
} passing __attribute__((tls_model("initial-exec")));

/* ---- saying it -------------------------------------------------------------------- */

static void add_task(struct line *line, const struct task *task)
{
	line_add(line, "strand: stack overflow: task ");
	line_add_number(line, task->id);
	line_add(line, " ");
	line_add_quoted(line, task->name, sizeof(task->name));
	line_add(line, " (");
	line_add_kib(line, task->stack.size);
	line_add(line, " stack)");
}

static uintptr_t fault_pc(const ucontext_t *uc)
{
#if defined(__x86_64__)
	return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (uintptr_t)uc->uc_mcontext.pc;
#endif
}

static void report(const struct task *task, const ucontext_t *uc)
{
	struct line line = {.length = 0};

	add_task(&line, task);
	line_add(&line, " at pc ");
	line_add_hex(&line, fault_pc(uc));
	line_add(&line, "; spawn it with a larger stack_size\n");
	line_write(&line, STDERR_FILENO);
}

void overflow_check_canary(const struct task *task)
{
	struct line line = {.length = 0};

	if (stack_is_intact(&task->stack))
		return;
	add_task(&line, task);
	line_add(&line, ", seen after the fact; spawn it with a larger stack_size\n");
	line_write(&line, STDERR_FILENO);
	abort();
}

/* ---- the handler -------------------------------------------------------------------- */

static bool in_guard(const struct task *task, uintptr_t address)
{
	return task && task->stack.guard != STACK_GUARD_CANARY &&
	       address - (uintptr_t)task->stack.base < memory_page_size();
}

/* In the middle of a switch `current` is the next task, while the stack is still the last one's. */
static const struct task *overflown_task(const siginfo_t *info)
{
	const struct worker *w = sched_this_worker;
	uintptr_t address = (uintptr_t)info->si_addr;

	if (!w || info->si_code <= 0) /* sent by somebody: it has no address */
		return NULL;
	if (in_guard(w->current, address))
		return w->current;
	return in_guard(w->leaving, address) ? w->leaving : NULL;
}

static void die_by_default(int signal, const siginfo_t *info)
{
	struct sigaction action = {.sa_handler = SIG_DFL};

	sigaction(signal, &action, NULL);
	if (info->si_code <= 0) /* nothing will fault again; delivered when this handler returns */
		syscall(SYS_tgkill, getpid(), gettid(), signal);
}

static void pass_on(int signal, siginfo_t *info, void *context)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	bool circular = passing.context == context && frame < passing.frame;

	if (before.sa_handler == SIG_IGN && info->si_code <= 0)
		return;
	if (circular || before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN) {
		die_by_default(signal, info);
		return;
	}
	passing.context = context;
	passing.frame = frame;
	if (before.sa_flags & SA_SIGINFO)
		before.sa_sigaction(signal, info, context);
	else
		before.sa_handler(signal);
	passing.context = NULL;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	int saved_errno = errno;
	const struct task *task = overflown_task(info);

	if (task)
		report(task, context);
	pass_on(signal, info, context);
	errno = saved_errno;
}

/* ---- installing --------------------------------------------------------------------- */

static bool is_ours(const struct sigaction *action)
{
	return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_fault;
}

void overflow_install(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction now;

	sigemptyset(&action.sa_mask);
	if (sigaction(SIGSEGV, NULL, &now) < 0 || is_ours(&now))
		return;
	before = now;
	sigaction(SIGSEGV, &action, NULL);
}

void overflow_uninstall(void)
{
	struct sigaction now;

	if (sigaction(SIGSEGV, NULL, &now) == 0 && is_ours(&now))
		sigaction(SIGSEGV, &before, NULL);
}

void overflow_thread_begin(struct alt_stack *ret_alt)
{
	size_t page = memory_page_size();
	size_t size = memory_round_up(getauxval(AT_MINSIGSTKSZ) + ALT_STACK_ROOM, page);
	stack_t old;
	char *memory;

	*ret_alt = (struct alt_stack){0};
	if (sigaltstack(NULL, &old) < 0 || !(old.ss_flags & SS_DISABLE))
		return;
	memory = mmap(NULL, page + size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return;
	mprotect(memory, page, PROT_NONE); /* without it, only less safe */

	stack_t stack = {.ss_sp = memory + page, .ss_size = size};

	if (sigaltstack(&stack, NULL) < 0) {
		munmap(memory, page + size);
		return;
	}
	*ret_alt = (struct alt_stack){memory, page + size};
}

void overflow_thread_end(struct alt_stack *alt)
{
	size_t page = memory_page_size();
	stack_t now, none = {.ss_flags = SS_DISABLE};

	if (!alt->size || sigaltstack(NULL, &now) < 0)
		return;
	if (now.ss_sp == (char *)alt->memory + page && sigaltstack(&none, NULL) < 0)
		return;
	munmap(alt->memory, alt->size);
	*alt = (struct alt_stack){0};
}

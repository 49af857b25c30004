/* SPDX-License-Identifier: MIT */
/*
 * The context switch: registers and floating point control survive it, and a stack walk through
 * it ends where it should, at each of its instructions and for a parked task.
 */
#include "strand_test.h"

#include <sys/ucontext.h>
#include <unwind.h>
#include "strand/probes.h"
#include "strand/sched.h"
#include "strand/switch.h"

/* ---- callee-saved registers --------------------------------------------------------- */

/*
 * Loads the callee-saved registers with numbers from base on, calls fn, and returns which of
 * them have changed, one bit each.
 */
uint64_t check_registers(void (*fn)(void), uint64_t base) __attribute__((visibility("hidden")));

#if defined(__x86_64__)
__asm__(".text\n"
	".hidden check_registers\n"
	".globl check_registers\n"
	".type check_registers, @function\n"
	"check_registers:\n"
	"	.cfi_startproc\n"
	"	push %rbp\n	.cfi_adjust_cfa_offset 8\n	.cfi_rel_offset %rbp, 0\n"
	"	push %rbx\n	.cfi_adjust_cfa_offset 8\n	.cfi_rel_offset %rbx, 0\n"
	"	push %r12\n	.cfi_adjust_cfa_offset 8\n	.cfi_rel_offset %r12, 0\n"
	"	push %r13\n	.cfi_adjust_cfa_offset 8\n	.cfi_rel_offset %r13, 0\n"
	"	push %r14\n	.cfi_adjust_cfa_offset 8\n	.cfi_rel_offset %r14, 0\n"
	"	push %r15\n	.cfi_adjust_cfa_offset 8\n	.cfi_rel_offset %r15, 0\n"
	"	push %rsi\n	.cfi_adjust_cfa_offset 8\n"
	"	lea 1(%rsi), %rbp\n"
	"	lea 2(%rsi), %rbx\n"
	"	lea 3(%rsi), %r12\n"
	"	lea 4(%rsi), %r13\n"
	"	lea 5(%rsi), %r14\n"
	"	lea 6(%rsi), %r15\n"
	"	call *%rdi\n"
	"	mov (%rsp), %rsi\n"
	"	xor %eax, %eax\n"
	"	.irp reg, r15, r14, r13, r12, rbx, rbp\n"
	"	sub %rsi, %\\reg\n"
	"	.endr\n"
	"	cmp $1, %rbp\n	setne %cl\n	movzx %cl, %ecx\n	or %rcx, %rax\n"
	"	cmp $2, %rbx\n	setne %cl\n	movzx %cl, %ecx\n	shl $1, %ecx\n	or %rcx, "
	"%rax\n"
	"	cmp $3, %r12\n	setne %cl\n	movzx %cl, %ecx\n	shl $2, %ecx\n	or %rcx, "
	"%rax\n"
	"	cmp $4, %r13\n	setne %cl\n	movzx %cl, %ecx\n	shl $3, %ecx\n	or %rcx, "
	"%rax\n"
	"	cmp $5, %r14\n	setne %cl\n	movzx %cl, %ecx\n	shl $4, %ecx\n	or %rcx, "
	"%rax\n"
	"	cmp $6, %r15\n	setne %cl\n	movzx %cl, %ecx\n	shl $5, %ecx\n	or %rcx, "
	"%rax\n"
	"	add $8, %rsp\n	.cfi_adjust_cfa_offset -8\n"
	"	pop %r15\n	.cfi_adjust_cfa_offset -8\n"
	"	pop %r14\n	.cfi_adjust_cfa_offset -8\n"
	"	pop %r13\n	.cfi_adjust_cfa_offset -8\n"
	"	pop %r12\n	.cfi_adjust_cfa_offset -8\n"
	"	pop %rbx\n	.cfi_adjust_cfa_offset -8\n"
	"	pop %rbp\n	.cfi_adjust_cfa_offset -8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size check_registers, . - check_registers\n");
#else
uint64_t check_registers(void (*fn)(void), uint64_t base)
{
	(void)base;
	fn();
	return 0;
}
#endif

struct register_test {
	uint64_t base;
	struct strand_chan *done;
};

/* Wakes by timer and by hand-off, too: each leads through another part of the scheduler. */
static void sleep_a_moment(void)
{
	strand_sleep(strand_now() + 20 * STRAND_MICROSECOND);
}

static void time_out(void)
{
	strand_chan_recv(NULL, strand_now() + 20 * STRAND_MICROSECOND, NULL);
}

static void keep_registers(void *arg)
{
	struct register_test *t = arg;

	for (int i = 0; i < 300; i++) {
		expect_eq(check_registers(strand_yield, t->base), 0);
		if (i % 30 == 0) {
			expect_eq(check_registers(sleep_a_moment, ~t->base), 0);
			expect_eq(check_registers(time_out, t->base << 7), 0);
		}
	}
	signal_chan(t->done);
}

static int registers_main(void *arg)
{
	struct register_test t[8];
	struct strand_chan *done = new_chan(0, 0);

	(void)arg;
	for (int i = 0; i < 8; i++) {
		t[i] = (struct register_test){0x1111111111111100 * ((uint64_t)i + 1), done};
		expect_eq(strand_go(keep_registers, &t[i]), 0);
	}
	await_chan(done, 8);
	strand_chan_unref(done);
	return 0;
}

static void damage_rbx(void)
{
#if defined(__x86_64__)
	__asm__ volatile("xor %%ebx, %%ebx" ::: "memory"); /* undeclared, on purpose */
#endif
}

static void test_registers_survive(void **state)
{
#if !defined(__x86_64__)
	skip(); /* check_registers() is for x86-64 */
#endif
	(void)state;
	assert_int_equal(check_registers(damage_rbx, 0x1000), 2); /* the check can fail */
	run_tasks(registers_main, NULL);
}

/* ---- floating point control --------------------------------------------------------------- */

/* Rounding modes 0 to 3, as the processor numbers them; by hand, as fesetround() is in libm. */
static void set_rounding(unsigned mode)
{
#if defined(__x86_64__)
	unsigned mxcsr = __builtin_ia32_stmxcsr();
	uint16_t word;

	__builtin_ia32_ldmxcsr((mxcsr & ~0x6000u) | mode << 13);
	__asm__ volatile("fnstcw %0" : "=m"(word));
	word = (uint16_t)((word & ~0x0c00u) | mode << 10);
	__asm__ volatile("fldcw %0" ::"m"(word));
#elif defined(__aarch64__)
	uint64_t fpcr;

	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	fpcr = (fpcr & ~(3ull << 22)) | (uint64_t)mode << 22;
	__asm__ volatile("msr fpcr, %0" ::"r"(fpcr));
#endif
}

/* The mode, or 4 if the two units disagree. */
static unsigned get_rounding(void)
{
#if defined(__x86_64__)
	unsigned mode = __builtin_ia32_stmxcsr() >> 13 & 3;
	uint16_t word;

	__asm__ volatile("fnstcw %0" : "=m"(word));
	return (word >> 10 & 3) == mode ? mode : 4;
#elif defined(__aarch64__)
	uint64_t fpcr;

	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	return fpcr >> 22 & 3;
#endif
}

struct rounding_test {
	unsigned mode;
	struct strand_chan *done;
};

static void keep_rounding(void *arg)
{
	struct rounding_test *t = arg;

	set_rounding(t->mode);
	for (int i = 0; i < 200; i++) {
		strand_yield();
		expect_eq(get_rounding(), t->mode);
		if (i % 50 == 0)
			sleep_a_moment();
		expect_eq(get_rounding(), t->mode);
	}
	set_rounding(0);
	signal_chan(t->done);
}

static int rounding_main(void *arg)
{
	struct rounding_test t[8];
	struct strand_chan *done = new_chan(0, 0);

	(void)arg;
	for (unsigned i = 0; i < 8; i++) {
		t[i] = (struct rounding_test){i % 4, done};
		expect_eq(strand_go(keep_rounding, &t[i]), 0);
	}
	await_chan(done, 8);
	expect_eq(get_rounding(), 0);
	strand_chan_unref(done);
	return 0;
}

static void test_rounding_survives(void **state)
{
	(void)state;
	run_tasks(rounding_main, NULL);
	assert_int_equal(get_rounding(), 0);
}

/* ---- walking the stack ---------------------------------------------------------------------- */

struct stack_walk {
	uintptr_t last; /* pc of the outermost frame */
	unsigned frames;
};

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *arg)
{
	struct stack_walk *walk = arg;

	if (_Unwind_GetIP(context)) { /* libgcc reports the end as a frame at 0 */
		walk->last = _Unwind_GetIP(context);
		walk->frames++;
	}
	return walk->frames < 100 ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static struct stack_walk walk_here(void)
{
	struct stack_walk walk = {0, 0};

	_Unwind_Backtrace(count_frame, &walk);
	return walk;
}

static __attribute__((noinline)) void walk_nested(int depth, struct stack_walk *ret_walk)
{
	if (depth)
		walk_nested(depth - 1, ret_walk);
	else
		*ret_walk = walk_here();
	__asm__ volatile("");
}

static void walk_in_task(void *arg)
{
	struct stack_walk flat, deep;

	walk_nested(0, &flat);
	walk_nested(10, &deep);
	expect_eq(deep.frames, flat.frames + 10);
	expect_eq(flat.last, strand_descriptor.task_end_pc);
	expect_eq(deep.last, strand_descriptor.task_end_pc);
	signal_chan(arg);
}

static int walk_main(void *arg)
{
	struct strand_chan *done = new_chan(0, 0);

	(void)arg;
	for (int i = 0; i < 4; i++)
		expect_eq(strand_go(walk_in_task, done), 0);
	await_chan(done, 4);
	strand_chan_unref(done);
	return 0;
}

/* By the unwind tables, which debuggers, profilers and C++ exceptions go by. */
static void test_walk_ends_at_task_end(void **state)
{
	(void)state;
	run_tasks(walk_main, NULL);
}

#if defined(__x86_64__)
#define TRAP_FLAG           0x100
#define SWITCH_MAX          80 /* where switch_start begins */
#define SWITCH_INSTRUCTIONS 28

extern const char switch_enter[] __attribute__((visibility("hidden")));

static struct {
	unsigned steps;        /* single steps within switch_stack */
	unsigned lost;         /* of them, walks that did not end at a known end */
	uintptr_t lost_at;     /* offset of the first one */
	bool seen[SWITCH_MAX]; /* an instruction at this offset */
	uintptr_t root;        /* a frame of the thread itself: outermost of sched_run's stack */
} stepping;

/* After each instruction: if it is one of the switch, the walk must reach an end that we know. */
static void on_step(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *u = context;
	uintptr_t offset = (uintptr_t)u->uc_mcontext.gregs[REG_RIP] - (uintptr_t)switch_stack;
	struct stack_walk walk;

	(void)signal;
	(void)info;
	if (offset >= SWITCH_MAX)
		return;
	walk = walk_here();
	stepping.steps++;
	stepping.seen[offset] = true;
	/* The entry code itself is the end, too: of a task that has just come, or that has ended. */
	if (walk.last == strand_descriptor.task_end_pc || walk.last == stepping.root ||
	    walk.last - (uintptr_t)switch_enter < 32)
		return;
	if (!stepping.lost++)
		stepping.lost_at = offset;
}

static void set_trap_flag(bool on)
{
	uint64_t flags = __builtin_ia32_readeflags_u64();

	__builtin_ia32_writeeflags_u64(on ? flags | TRAP_FLAG : flags & ~(uint64_t)TRAP_FLAG);
}

static void step_partner(void *arg)
{
	for (int i = 0; i < 3; i++)
		strand_yield();
	signal_chan(arg);
}

/* Steps through switches between started tasks, to a new one, into the loop and out of it. */
static int step_main(void *arg)
{
	struct strand_chan *done = new_chan(0, 0);

	(void)arg;
	expect_eq(strand_go(step_partner, done), 0);
	strand_yield();  /* the partner has started */
	set_rounding(2); /* so that a switch from or to this task loads the control words */
	set_trap_flag(true);
	strand_yield();
	strand_sleep(strand_now() + STRAND_MICROSECOND);
	expect_eq(strand_go(step_partner, done), 0); /* this one starts and ends under it */
	await_chan(done, 2);
	strand_yield();
	set_trap_flag(false);
	set_rounding(0);
	strand_chan_unref(done);
	return 0;
}

static void handle_steps(bool on)
{
	static char stack[256 << 10];
	stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	if (on) {
		assert_int_equal(sigaltstack(&alternate, NULL), 0);
		assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
		return;
	}
	signal(SIGTRAP, SIG_DFL);
	alternate.ss_flags = SS_DISABLE;
	sigaltstack(&alternate, NULL);
}

static void test_walk_at_each_instruction(void **state)
{
	unsigned instructions = 0;

	(void)state;
	memset(&stepping, 0, sizeof(stepping));
	stepping.root = walk_here().last; /* and loads the unwinder before the signals come */
	handle_steps(true);
	run_tasks_with(1, step_main, NULL);
	handle_steps(false);
	if (!stepping.steps)
		skip(); /* an emulator without single steps */
	for (size_t i = 0; i < SWITCH_MAX; i++)
		instructions += stepping.seen[i];
	print_message("%u steps at %u instructions, %u walks lost, the first at offset %zu\n",
		      stepping.steps, instructions, stepping.lost, (size_t)stepping.lost_at);
	assert_int_equal(instructions, SWITCH_INSTRUCTIONS);
	assert_int_equal(stepping.lost, 0);
}

/* ---- gdb -------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void park_here(struct strand_chan *chan)
{
	strand_chan_recv(chan, STRAND_FOREVER, NULL);
	__asm__ volatile("");
}

static void parked_entry(void *arg)
{
	park_here(arg);
	__asm__ volatile("");
}

/* Where gdb stops: everything is parked, and this is the saved stack pointer of one of them. */
void gdb_stops_here(void *parked_sp) __attribute__((noinline));
void gdb_stops_here(void *parked_sp)
{
	__asm__ volatile("" ::"r"(parked_sp) : "memory");
}

static int park_for_gdb(void *arg)
{
	struct strand_chan *chan = new_chan(0, 0);
	struct list *parked;

	(void)arg;
	expect_eq(strand_go(parked_entry, chan), 0);
	let_others_run();
	parked = sched_this_worker->announcer.parked.prev;
	gdb_stops_here(list_entry(parked, struct task, parked)->sp);
	return 0;
}

/* Runs this program under gdb, puts gdb on the parked task's saved stack, and reads what it says. */
static void backtrace_by_gdb(char *ret_text, size_t size)
{
	char program[512] = "", command[2048];
	size_t used = 0, n;
	FILE *pipe;

	assert_true(readlink("/proc/self/exe", program, sizeof(program) - 1) > 0);
	/* Between the saving and the restoring, one description of the frame holds: + 22 is there. */
	snprintf(command, sizeof(command),
		 "gdb -batch -nx -iex 'set debuginfod enabled off' -ex 'handle SIGALRM nostop'"
		 " -ex 'break gdb_stops_here' -ex run -ex 'set $parked = $rdi'"
		 " -ex 'set $rsp = $parked' -ex 'set $pc = (char *)switch_stack + 22' -ex bt -ex "
		 "kill"
		 " --args '%s' --park-for-gdb </dev/null 2>&1",
		 program);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	while (used + 1 < size && (n = fread(ret_text + used, 1, size - 1 - used, pipe)) > 0)
		used += n;
	ret_text[used] = 0;
	pclose(pipe);
}

/* A debugger sees a parked task's stack from the switch up to the entry code, and no further. */
static void test_gdb_walks_a_parked_stack(void **state)
{
	static const char *const wanted[] = {"switch_stack", "chan_wait", "park_here",
					     "parked_entry", "switch_enter"};
	static char text[65536];
	const char *at;

	(void)state;
	if (system("command -v gdb >/dev/null 2>&1") != 0) {
		print_message("skipped: there is no gdb\n");
		skip();
	}
	backtrace_by_gdb(text, sizeof(text));
	if (strstr(text, "Operation not permitted")) {
		print_message("skipped: gdb may not trace here\n");
		skip();
	}
	at = strstr(text, "\n#0 ");
	for (size_t i = 0; at && i < sizeof(wanted) / sizeof(wanted[0]); i++)
		at = strstr(at, wanted[i]);
	if (!at || strstr(text, "Backtrace stopped") || strstr(text, "orrupt"))
		fail_msg("gdb says:\n%s", text);
	assert_null(strstr(at, "\n#")); /* the entry code is the last frame */
}

#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers_survive),
		cmocka_unit_test(test_rounding_survives),
		cmocka_unit_test(test_walk_ends_at_task_end),
#if defined(__x86_64__)
		cmocka_unit_test(test_walk_at_each_instruction),
		cmocka_unit_test(test_gdb_walks_a_parked_stack),
#endif
	};

	alarm(60);
#if defined(__x86_64__)
	if (argc == 2 && !strcmp(argv[1], "--park-for-gdb"))
		return strand_main(park_for_gdb, NULL);
#else
	(void)argc;
	(void)argv;
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}

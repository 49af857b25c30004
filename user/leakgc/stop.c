/* SPDX-License-Identifier: MIT */
/*
 * Stop the world with a real-time signal.
 *
 * I1. A slot belongs to the stopper until it is CLAIMED, then to the handler
 *     until it is STOPPED. The handler writes only to a slot that it claimed by
 *     compare-and-swap on {generation, state}: a handler that comes late, after
 *     the stopper gave up, finds another generation or a dead slot and returns.
 * I2. The slots live as long as the process: a handler between its claim and its
 *     last store must never write to memory that was given back.
 * I3. The handler leaves only when the generation moves on (leakgc_stop_release),
 *     and waits on nothing else. It uses no libc: a thread may be stopped
 *     anywhere, also inside malloc.
 * I4. The signal carries {generation, slot}. One that somebody else sent has no
 *     such value, and the handler returns at once.
 * I5. Once all known threads are stopped none can create another, so a pass over
 *     /proc/self/task that finds no new one proves that the world stands still.
 *
 * Slot:   FREE -> PENDING (send) -> CLAIMED -> STOPPED (handler)
 *                 PENDING -> GONE (stopper: the thread ended, or we gave up)
 */
#include "leakgc/stop.h"

#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "leakgc/syscall.h"

/* How long to sleep before looking whether a thread that does not answer has ended. */
#define RECHECK_NS    1000000

/* Signals tried for the stop, from SIGRTMAX downwards: libraries take the low ones. */
#define SIGNALS_TRIED 12

enum slot_state { SLOT_FREE, SLOT_PENDING, SLOT_CLAIMED, SLOT_STOPPED, SLOT_GONE };

struct slot {
	_Atomic uint64_t state;    /* generation << 32 | enum slot_state */
	int tid;                   /* written by the stopper before the signal */
	uintptr_t sp_low;          /* the rest by the handler, between CLAIMED and STOPPED */
	struct leakgc_range frame; /* signal frame: all registers, extended ones included */
};

/* The start of a mapping is one past the end of what lies before it, maybe a heap block. */
#define SLOTS_GAP 65536

static struct slot *slots;              /* LEAKGC_THREADS_MAX, mapped once */
static _Atomic uint32_t generation = 1; /* futex of the stopped threads; odd: running */
static _Atomic uint32_t answers;        /* futex of the stopper */
static size_t slot_count;               /* of this generation; the stopper's own */

static uint64_t slot_word(uint32_t gen, enum slot_state state)
{
	return (uint64_t)gen << 32 | state;
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value,
		  const struct timespec *timeout)
{
	return LEAKGC_SYS4(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout);
}

/* ---- the handler ---------------------------------------------------------- */

#if defined(__x86_64__)

#define RED_ZONE 128

static uintptr_t interrupted_sp(const ucontext_t *uc)
{
	return (uintptr_t)uc->uc_mcontext.gregs[REG_RSP] - RED_ZONE;
}

/* The XSAVE area lies above or below the ucontext, wherever the kernel aligned it. */
static struct leakgc_range extended_registers(const ucontext_t *uc)
{
	/* struct _fpx_sw_bytes of asm/sigcontext.h, at the end of the FXSAVE area */
	const uintptr_t fxsave_size = 512, magic_offset = 464;
	const uint32_t magic1 = 0x46505853;
	uintptr_t lo = (uintptr_t)uc->uc_mcontext.fpregs;
	uint32_t software[2]; /* magic1, extended_size */
	uintptr_t size = fxsave_size;

	if (!lo)
		return (struct leakgc_range){0, 0};
	memcpy(software, (const char *)lo + magic_offset, sizeof(software));
	if (software[0] == magic1 && software[1] > size)
		size = software[1];
	return (struct leakgc_range){lo, lo + size};
}

#elif defined(__aarch64__)

static uintptr_t interrupted_sp(const ucontext_t *uc)
{
	return (uintptr_t)uc->uc_mcontext.sp; /* the AArch64 ABI has no red zone on Linux */
}

/* Vector registers: records in the ucontext, and one "extra" block behind it for wide SVE. */
static struct leakgc_range extended_registers(const ucontext_t *uc)
{
	const uint32_t extra_magic = 0x45585401;
	const char *at = (const char *)uc->uc_mcontext.__reserved;
	const char *end = at + sizeof(uc->uc_mcontext.__reserved);
	uintptr_t hi = (uintptr_t)end;

	while (end - at >= 16) {
		uint32_t head[2]; /* magic, size */
		uint64_t extra;
		uint32_t extra_size;

		memcpy(head, at, sizeof(head));
		if (!head[0] || head[1] < sizeof(head) || head[1] > (size_t)(end - at))
			break;
		if (head[0] == extra_magic && head[1] >= 20) {
			memcpy(&extra, at + 8, sizeof(extra));
			memcpy(&extra_size, at + 16, sizeof(extra_size));
			if (extra + extra_size > hi)
				hi = extra + extra_size;
		}
		at += head[1];
	}
	return (struct leakgc_range){(uintptr_t)uc, hi};
}

#endif

/* The handler was moved to the alternate stack, and the interrupted code was not there. */
static bool on_other_stack(const ucontext_t *uc, uintptr_t here)
{
	uintptr_t lo = (uintptr_t)uc->uc_stack.ss_sp, size = uc->uc_stack.ss_size;

	if (uc->uc_stack.ss_flags & SS_DISABLE)
		return false;
	return here - lo < size && interrupted_sp(uc) - lo >= size;
}

static void describe_self(struct slot *slot, const ucontext_t *uc)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t sp = interrupted_sp(uc);
	struct leakgc_range extended = extended_registers(uc);
	struct leakgc_range frame = {(uintptr_t)uc, (uintptr_t)uc + sizeof(*uc)};

	if (extended.lo && extended.lo < frame.lo)
		frame.lo = extended.lo;
	if (extended.hi > frame.hi)
		frame.hi = extended.hi;
	slot->frame = frame;
	slot->sp_low = here < sp && !on_other_stack(uc, here) ? here : sp;
}

static void stop_handler(int signal, siginfo_t *info, void *context)
{
	uint64_t value = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
	uint32_t gen = (uint32_t)(value >> 32), index = (uint32_t)value;
	uint64_t expected = slot_word(gen, SLOT_PENDING);
	struct slot *slot;

	(void)signal;
	if (info->si_code != SI_QUEUE || index >= LEAKGC_THREADS_MAX ||
	    gen != atomic_load(&generation))
		return;
	slot = &slots[index];
	if (!atomic_compare_exchange_strong(&slot->state, &expected, slot_word(gen, SLOT_CLAIMED)))
		return;
	describe_self(slot, context);
	atomic_store(&slot->state, slot_word(gen, SLOT_STOPPED));
	atomic_fetch_add(&answers, 1);
	futex(&answers, FUTEX_WAKE, 1, NULL);
	while (atomic_load(&generation) == gen)
		futex(&generation, FUTEX_WAIT, gen, NULL);
}

/* ---- the stopper ----------------------------------------------------------- */

int leakgc_stop_init(int *ret_signal)
{
	struct sigaction action = {.sa_sigaction = stop_handler,
				   .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
	struct sigaction old;
	void *memory;

	if (!slots) {
		memory = mmap(NULL, SLOTS_GAP + LEAKGC_THREADS_MAX * sizeof(*slots),
			      PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			      -1, 0);
		if (memory == MAP_FAILED)
			return -errno;
		slots = (struct slot *)((char *)memory + SLOTS_GAP);
	}
	sigfillset(&action.sa_mask);
	for (int s = SIGRTMAX; s > SIGRTMAX - SIGNALS_TRIED && s >= SIGRTMIN; s--) {
		if (sigaction(s, NULL, &old) < 0)
			continue;
		if ((old.sa_flags & SA_SIGINFO) || old.sa_handler != SIG_DFL)
			continue;
		if (sigaction(s, &action, NULL) < 0)
			continue;
		*ret_signal = s;
		return 0;
	}
	return -EBUSY;
}

bool leakgc_stop_is_ours(int signal)
{
	struct sigaction now;

	return slots && sigaction(signal, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
	       now.sa_sigaction == stop_handler;
}

struct leakgc_range leakgc_stop_memory(void)
{
	uintptr_t lo = (uintptr_t)slots;

	return (struct leakgc_range){lo, lo + (lo ? LEAKGC_THREADS_MAX * sizeof(*slots) : 0)};
}

static long send_stop(int tid, int signal, uint32_t gen, uint32_t index)
{
	int pid = (int)LEAKGC_SYS1(SYS_getpid, 0);
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_code = SI_QUEUE;
	info.si_pid = pid;
	info.si_value.sival_ptr = (void *)(uintptr_t)((uint64_t)gen << 32 | index);
	return LEAKGC_SYS4(SYS_rt_tgsigqueueinfo, pid, tid, signal, &info);
}

/* Read "/proc/self/task/TID/stat": true if the thread runs no more code of the program. */
static bool has_ended(int tid)
{
	char path[48] = "/proc/self/task/", text[512], digits[12];
	size_t n = strlen(path), d = 0;
	const char *state;
	long length;

	for (int rest = tid; rest; rest /= 10)
		digits[d++] = (char)('0' + rest % 10);
	while (d)
		path[n++] = digits[--d];
	memcpy(path + n, "/stat", sizeof("/stat"));
	length = leakgc_read_file(path, text, sizeof(text));
	if (length == -ENOENT || length == -ESRCH || length == 0)
		return true;
	if (length < 0)
		return false;
	state = memrchr(text, ')', (size_t)length); /* the name before it may hold anything */
	return state && text + length - state > 2 && (state[2] == 'Z' || state[2] == 'X');
}

/*
 * Is it in a slot already? The kernel lists threads in one order, so the slot
 * behind the last match is the likely one. The id of a thread that ended may
 * have gone to a new one.
 */
static bool known_thread(int tid, size_t *hint)
{
	for (size_t n = 0; n < slot_count; n++) {
		size_t i = (*hint + n) % slot_count;

		if (slots[i].tid != tid)
			continue;
		*hint = i + 1;
		return (uint32_t)atomic_load(&slots[i].state) != SLOT_GONE || has_ended(tid);
	}
	return false;
}

/* Signal one thread that was not seen before. */
static int add_thread(int tid, int signal, uint32_t gen)
{
	struct slot *slot;
	long r;

	if (slot_count == LEAKGC_THREADS_MAX)
		return -E2BIG;
	slot = &slots[slot_count];
	/* A handler of an earlier stop that still owns it (I1) has not even answered that one. */
	if ((uint32_t)atomic_load(&slot->state) == SLOT_CLAIMED)
		return -ETIMEDOUT;
	slot->tid = tid;
	atomic_store(&slot->state, slot_word(gen, SLOT_PENDING));
	r = send_stop(tid, signal, gen, (uint32_t)slot_count);
	if (r == -ESRCH)
		atomic_store(&slot->state, slot_word(gen, SLOT_GONE));
	else if (r < 0)
		return (int)r;
	slot_count++;
	return 0;
}

struct kernel_dirent { /* linux_dirent64 */
	uint64_t inode;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

static int parse_tid(const char *name)
{
	int tid = 0;

	for (; *name; name++) {
		if (*name < '0' || *name > '9')
			return 0;
		tid = tid * 10 + (*name - '0');
	}
	return tid;
}

/* One pass over /proc/self/task. Returns how many threads were new, or -errno. */
static int signal_new_threads(int signal, uint32_t gen)
{
	int own = (int)LEAKGC_SYS1(SYS_gettid, 0), found = 0, r = 0;
	char buffer[4096] __attribute__((aligned(8)));
	int fd = leakgc_open("/proc/self/task");
	size_t hint = 0;
	long n = 0;

	if (fd < 0)
		return fd;
	while (r == 0 && (n = LEAKGC_SYS3(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < n && r == 0;) {
			struct kernel_dirent *entry = (struct kernel_dirent *)(buffer + at);
			int tid = parse_tid(entry->name);

			at += entry->size;
			if (tid <= 0 || tid == own || known_thread(tid, &hint))
				continue;
			r = add_thread(tid, signal, gen);
			found++;
		}
	}
	leakgc_close(fd);
	if (n < 0)
		return (int)n;
	return r < 0 ? r : found;
}

/* The first thread that has neither stopped nor ended, or 0. */
static int unstopped_thread(bool look_closer, uint32_t gen)
{
	int first = 0;

	for (size_t i = 0; i < slot_count; i++) {
		uint64_t state = atomic_load(&slots[i].state);

		if (state == slot_word(gen, SLOT_STOPPED) || state == slot_word(gen, SLOT_GONE))
			continue;
		if (look_closer && state == slot_word(gen, SLOT_PENDING) &&
		    has_ended(slots[i].tid) &&
		    atomic_compare_exchange_strong(&slots[i].state, &state,
						   slot_word(gen, SLOT_GONE)))
			continue;
		if (!first)
			first = slots[i].tid;
	}
	return first;
}

static int wait_for_answers(uint32_t gen, int64_t deadline_ns, uint64_t *ret_detail)
{
	bool look_closer = false;

	for (;;) {
		uint32_t seen = atomic_load(&answers);
		int tid = unstopped_thread(look_closer, gen);
		int64_t left = deadline_ns - leakgc_now();
		struct timespec timeout = {0, left < RECHECK_NS ? left : RECHECK_NS};

		if (!tid)
			return 0;
		if (left <= 0) {
			*ret_detail = (uint64_t)tid;
			return -ETIMEDOUT;
		}
		look_closer = futex(&answers, FUTEX_WAIT, seen, &timeout) == -ETIMEDOUT;
	}
}

int leakgc_stop_world(int signal, int64_t deadline_ns, uint64_t *ret_detail)
{
	uint32_t gen = atomic_load(&generation) + 1;
	int r;

	slot_count = 0;
	atomic_store(&generation, gen);
	for (;;) {
		r = signal_new_threads(signal, gen);
		if (r < 0)
			*ret_detail = (uint64_t)-r;
		if (r <= 0)
			return r;
		r = wait_for_answers(gen, deadline_ns, ret_detail);
		if (r < 0)
			return r;
	}
}

void leakgc_stop_release(void)
{
	uint32_t gen = atomic_load(&generation);

	for (size_t i = 0; i < slot_count; i++) {
		uint64_t expected = slot_word(gen, SLOT_PENDING);

		atomic_compare_exchange_strong(&slots[i].state, &expected,
					       slot_word(gen, SLOT_GONE));
	}
	atomic_store(&generation, gen + 1);
	futex(&generation, FUTEX_WAKE, INT32_MAX, NULL);
}

size_t leakgc_stop_threads(struct leakgc_thread *threads, struct leakgc_range *frames, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; i < slot_count && count < room; i++) {
		if ((uint32_t)atomic_load(&slots[i].state) != SLOT_STOPPED)
			continue;
		threads[count] = (struct leakgc_thread){slots[i].tid, slots[i].sp_low};
		frames[count++] = slots[i].frame;
	}
	return count;
}

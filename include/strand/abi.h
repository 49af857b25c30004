/* SPDX-License-Identifier: MIT */
/*
 * The observation ABI: what libstrand, the BPF programs and the observer share.
 *
 * Everything here crosses a process boundary, so everything has a fixed layout:
 * little-endian, naturally aligned, no padding that is not named. Three rules
 * keep old and new halves compatible:
 *
 *   - STRAND_ABI_MAJOR changes when an existing field changes its meaning; the
 *     observer refuses a major version that it does not know.
 *   - STRAND_ABI_MINOR grows when fields are added at the end or `reserved`
 *     space is given a meaning; zero there means "not said".
 *   - enum values are never reused.
 *
 * The observer trusts none of these bytes: they come from the process that is
 * observed. See observe/ for the checks.
 *
 * This header includes nothing of ours and compiles as C, C++ and BPF C. BPF
 * code includes vmlinux.h first, which defines the __uN types.
 */
#ifndef STRAND_ABI_H
#define STRAND_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define STRAND_ABI_MAJOR 1
#define STRAND_ABI_MINOR 1

/* ---- why a task is parked ------------------------------------------------ */

/* X(symbol, number, text shown to people and machines) */
#define STRAND_WAIT_REASONS(X)                            \
	X(NONE, 0, "")                                    \
	X(CHAN_RECEIVE_NIL, 1, "chan receive (nil chan)") \
	X(CHAN_SEND_NIL, 2, "chan send (nil chan)")       \
	X(CHAN_RECEIVE, 3, "chan receive")                \
	X(CHAN_SEND, 4, "chan send")                      \
	X(SELECT, 5, "select")                            \
	X(SELECT_NO_CASES, 6, "select (no cases)")        \
	X(MUTEX_LOCK, 7, "mutex lock")                    \
	X(RWLOCK_RLOCK, 8, "rwlock rlock")                \
	X(RWLOCK_LOCK, 9, "rwlock lock")                  \
	X(COND_WAIT, 10, "cond wait")                     \
	X(WAITGROUP_WAIT, 11, "waitgroup wait")           \
	X(SEMAPHORE_ACQUIRE, 12, "semaphore acquire")     \
	X(JOIN, 13, "join")                               \
	X(SCOPE_WAIT, 14, "scope wait")                   \
	X(SLEEP, 15, "sleep")                             \
	X(IO_WAIT, 16, "IO wait")                         \
	X(BLOCKING_CALL, 17, "blocking call")

enum strand_wait_reason {
#define STRAND_X(name, number, text) STRAND_WAIT_##name = (number),
	STRAND_WAIT_REASONS(STRAND_X)
#undef STRAND_X
		STRAND_WAIT_REASON_COUNT
};

/* ---- how the observer finds the runtime ---------------------------------- */

/*
 * The ELF note: owner "strand", type STRAND_NOTE_TYPE, in the allocated section
 * .note.strand, so that it survives strip and static linking. Each address is
 * stored relative to the first byte of the descriptor ("desc") itself: such
 * differences are link-time constants and need no relocation when loaded.
 */
#define STRAND_NOTE_OWNER "strand"
#define STRAND_NOTE_TYPE  1

/* The probe points; also their order in strand_note.probe[]. */
enum strand_probe {
	STRAND_PROBE_SPAWN = 0, /* strand_rec_spawn: full tracing only */
	STRAND_PROBE_EXIT,      /* strand_rec_exit: full tracing only */
	STRAND_PROBE_PARK,      /* strand_rec_park_batch */
	STRAND_PROBE_UNPARK,    /* strand_rec_unpark: announced tasks only */
	STRAND_PROBE_CHAN,      /* strand_rec_chan: full tracing only */
	STRAND_PROBE_SEND,      /* strand_rec_chan: full tracing only */
	STRAND_PROBE_RECV,      /* strand_rec_chan: full tracing only */
	STRAND_PROBE_SCAN_DONE, /* strand_rec_scan_done */
	STRAND_PROBE_COUNT
};

#define STRAND_NOTE_PROBES 16 /* room in the note; unused entries are 0 */

struct strand_note {
	__u32 abi_major;
	__u32 abi_minor;
	__u32 size;                      /* of this structure as the runtime was built */
	__u32 probe_count;               /* entries of probe[] that are valid */
	__s64 descriptor;                /* struct strand_descriptor */
	__s64 semaphore;                 /* __u16 in .probes: the uprobe reference counter */
	__s64 probe[STRAND_NOTE_PROBES]; /* the probed instruction itself */
};

/*
 * The descriptor, one per copy of the runtime, in .data. The observer reads it
 * from outside at any moment: every field is written with a single store.
 */
#define STRAND_DESCRIPTOR_MAGIC 0x31564f4e52545353ULL /* "SSTRNOV1" */

struct strand_descriptor {
	__u64 magic;
	__u32 abi_major;
	__u32 abi_minor;
	__u32 size;
	__s32 pid;        /* whose control pipe it is, in its own pid namespace; 0: not running */
	__s32 control_fd; /* write end of the control pipe, -1: none (yet, or switched off) */
	__u32 workers;
	__u64 threshold_ns;  /* parks are announced at this age; 0 is full tracing */
	__u64 tasks_spawned; /* counters; monotonic since start */
	__u64 tasks_exited;
	__u64 announced;        /* park records sent */
	__u64 searches;         /* leak searches finished, whatever their result */
	__u64 commands_refused; /* malformed, unknown or rate-limited commands */
	__u64 task_end_pc;      /* where every task's entry function returns to: stacks end there */
	__u64 retracted; /* reported as leaked, and unparked all the same: since minor version 1 */
	__u64 reserved[4];
	char build[32]; /* version of the runtime, NUL-terminated */
};

/* ---- probe records ------------------------------------------------------- */

/* Every record starts with this; size counts the whole record. */
struct strand_rec_header {
	__u16 abi_major;
	__u16 probe; /* enum strand_probe */
	__u16 size;
	__u16 count; /* batches: records that follow; else 1 */
};

#define STRAND_NAME_MAX 24 /* bytes of a task's name with its NUL; longer names are cut */

struct strand_rec_spawn { /* 64 bytes */
	struct strand_rec_header h;
	__u64 task;
	__u64 parent;     /* id of the creating task; 0: a plain thread */
	__u64 fn;         /* entry function */
	__u64 created_pc; /* return address of the creating call */
	char name[STRAND_NAME_MAX];
};

struct strand_rec_exit { /* 64 bytes */
	struct strand_rec_header h;
	__u64 task;
	__u64 reserved[6];
};

/*
 * One parked task. (pc, sp, fp) are the registers of the user frame that called
 * the blocking function, as they will be when it returns: pc is its return
 * address, sp the stack pointer after the return, fp the frame pointer. The
 * stack [sp, stack_hi) does not change as long as *generation_addr holds
 * `generation`.
 */
struct strand_rec_park { /* 128 bytes */
	__u64 task;
	__u64 generation; /* grows with each park of this task */
	__u64 since_ns;   /* CLOCK_MONOTONIC of the process; rounded up to a scheduler tick */
	__u64 object;     /* address of the wait object, an opaque name; 0: none */
	__u64 parent;
	__u64 fn;
	__u64 created_pc;
	__u64 pc;
	__u64 sp;
	__u64 fp;
	__u64 stack_hi;
	__u64 generation_addr;
	__u8 reason;       /* enum strand_wait_reason */
	__u8 has_deadline; /* it will wake by itself */
	__u16 worker;
	__u32 reserved;
	char name[STRAND_NAME_MAX];
};

#define STRAND_PARK_BATCH 32

struct strand_rec_park_batch {
	struct strand_rec_header h;
	__u64 now_ns;    /* the process's CLOCK_MONOTONIC, to read since_ns in any time namespace */
	__u64 announced; /* strand_descriptor.announced after this batch: gaps tell of losses */
	__u64 reserved[5];
	struct strand_rec_park park[STRAND_PARK_BATCH];
};

#define STRAND_UNPARK_RETRACTED 1 /* it had been reported as leaked */

struct strand_rec_unpark { /* 64 bytes */
	struct strand_rec_header h;
	__u64 task;
	__u64 generation;
	__u64 waker; /* id of the task that woke it; 0: a thread, a timer or the kernel */
	__u64 object;
	__u64 flags; /* STRAND_UNPARK_*; since minor version 1 */
	__u64 reserved[2];
};

enum strand_chan_event {
	STRAND_CHAN_NEW = 1,
	STRAND_CHAN_CLOSE,
	STRAND_CHAN_FREE,
	STRAND_CHAN_XFER
};

struct strand_rec_chan { /* 64 bytes; also of the send and recv probes */
	struct strand_rec_header h;
	__u64 chan;
	__u64 task;  /* id of the acting task; 0: a plain thread */
	__u64 pc;    /* return address of the call */
	__u32 event; /* enum strand_chan_event */
	__u32 element_size;
	__u64 capacity;
	__u64 queued; /* elements after the operation */
	__u64 reserved;
};

struct strand_rec_scan_done { /* 64 bytes */
	struct strand_rec_header h;
	__u64 request;
	__s32 report_fd; /* a sealed memfd, open until the next search; -1: none could be made */
	__u32 status;    /* enum strand_search_status */
	__u32 cause;     /* enum strand_search_cause */
	__u32 reserved0;
	__u64 report_size;
	__u64 reserved[3];
};

/* ---- control pipe -------------------------------------------------------- */

/* Commands are 64 bytes, so one write of up to 64 of them is atomic (PIPE_BUF). */
#define STRAND_COMMAND_MAGIC 0x444d4353u /* "SCMD" */

enum strand_command_type {
	STRAND_COMMAND_HELLO = 1,  /* threshold_ns; everything parked is announced anew */
	STRAND_COMMAND_SCAN = 2,   /* search for leaks */
	STRAND_COMMAND_CANCEL = 3, /* give up the search named by request */
};

struct strand_command {
	__u32 magic;
	__u16 abi_major;
	__u16 type; /* enum strand_command_type */
	__u64 request;
	__u64 threshold_ns;    /* HELLO */
	__u64 min_age_ns;      /* SCAN: only tasks parked for at least this long; 0: all */
	__u64 time_budget_ns;  /* SCAN: 0: the runtime's own limit */
	__u64 pause_budget_ns; /* SCAN: 0: the runtime's own limit */
	__u64 reserved[2];
};

/* ---- the report of a leak search ----------------------------------------- */

enum strand_search_status {
	STRAND_SEARCH_DONE = 1,     /* the verdicts are proofs */
	STRAND_SEARCH_INCONCLUSIVE, /* nothing was proved; cause says why */
	STRAND_SEARCH_REFUSED,      /* not started; cause says why */
};

/* X(symbol, number, text) */
#define STRAND_SEARCH_CAUSES(X)                                             \
	X(NONE, 0, "")                                                      \
	X(RATE_LIMIT, 1, "rate limit: searched too recently")               \
	X(BUSY, 2, "another search is running")                             \
	X(CANCELLED, 3, "cancelled")                                        \
	X(THREAD_NOT_STOPPED, 4, "a thread did not stop in time")           \
	X(SIGNAL_TAKEN, 5, "the stop signal is used by the program")        \
	X(CLONE_FAILED, 6, "the snapshot could not be taken")               \
	X(CHILD_DIED, 7, "the searching process died")                      \
	X(TIME_BUDGET, 8, "time budget used up")                            \
	X(PAUSE_BUDGET, 9, "the pause would be too long")                   \
	X(MEMORY_BUDGET, 10, "memory budget used up")                       \
	X(UNREADABLE_MEMORY, 11, "memory that cannot be read")              \
	X(MEMORY_NOT_INHERITED, 12, "memory that a snapshot does not hold") \
	X(SHARED_MEMORY, 13, "too much shared memory")                      \
	X(KERNEL_IO_URING, 14, "io_uring holds pointers out of sight")      \
	X(KERNEL_USERFAULTFD, 15, "userfaultfd controls memory")            \
	X(KERNEL_AIO, 16, "kernel aio holds pointers out of sight")         \
	X(KERNEL_PIPE, 17, "unread bytes in a pipe or socket")              \
	X(KERNEL_SIGNAL, 18, "a pending signal may carry a pointer")        \
	X(KERNEL_MESSAGE_QUEUE, 19, "unread messages in a queue")           \
	X(TRACED, 20, "a debugger is attached")                             \
	X(SYSTEM, 21, "a system call failed")                               \
	X(RUNTIME_BUSY, 22, "the runtime's own state was in motion")        \
	X(DESCRIPTORS, 23, "too many open descriptors to inspect")          \
	X(KERNEL_OTHER, 24, "a descriptor may hold pointers out of sight")

enum strand_search_cause {
#define STRAND_X(name, number, text) STRAND_CAUSE_##name = (number),
	STRAND_SEARCH_CAUSES(STRAND_X)
#undef STRAND_X
		STRAND_SEARCH_CAUSE_COUNT
};

enum strand_verdict {
	STRAND_VERDICT_WAITING = 0, /* nothing is known, or not proved */
	STRAND_VERDICT_LEAKED = 1,  /* proved: nothing live can ever unpark it */
	STRAND_VERDICT_LIVE = 2,    /* something live can, or might: root_kind says what */
};

/* What keeps a long-waiting task from being proved leaked. */
enum strand_root_kind {
	STRAND_ROOT_NONE = 0,
	STRAND_ROOT_MEMORY,   /* a word in memory that is taken as live: root is its address */
	STRAND_ROOT_TASK,     /* a live task's stack or data: root is the task's id */
	STRAND_ROOT_KERNEL,   /* the kernel holds the pointer: root is the descriptor */
	STRAND_ROOT_DEADLINE, /* it wakes by itself: sleep, timer, I/O */
	STRAND_ROOT_RUNTIME,  /* the runtime was just changing the object */
};

/* Why a leaked task can never be woken. X(symbol, number, text) */
#define STRAND_LEAK_WHYS(X)                                         \
	X(UNSAID, 0, "")                                            \
	X(NOTHING, 1, "it waits for nothing that exists")           \
	X(UNREACHABLE, 2, "nothing else reaches what it waits for") \
	X(BEHIND, 3, "only leaked tasks reach what it waits for")   \
	X(CYCLE, 4, "it is part of a wait-for cycle")               \
	X(DEAD_OWNER, 5, "the task that holds the lock has ended")

enum strand_leak_why {
#define STRAND_X(name, number, text) STRAND_WHY_##name = (number),
	STRAND_LEAK_WHYS(STRAND_X)
#undef STRAND_X
		STRAND_LEAK_WHY_COUNT
};

/* One step of a cycle or of a chain from a root. */
enum strand_link_kind {
	STRAND_LINK_TASK = 1, /* value is its id */
	STRAND_LINK_OBJECT,   /* what a task waits on: value is its address */
	STRAND_LINK_BLOCK,    /* a heap block: value is its address */
};

#define STRAND_REPORT_MAGIC    0x3150455244525453ULL /* "STRDREP1" */
#define STRAND_REPORT_SECTIONS 8
#define STRAND_REPORT_SIZE_MAX (256u << 20)
#define STRAND_TASK_LINKS_MAX  64 /* of one task */

enum strand_report_section_type {
	STRAND_SECTION_TASKS = 1, /* strand_report_task */
	STRAND_SECTION_LINKS = 2, /* strand_report_link; since minor version 1 */
};

struct strand_report_section {
	__u32 type; /* enum strand_report_section_type; unknown ones are skipped */
	__u32 record_size;
	__u64 offset; /* from the start of the report */
	__u64 count;
};

struct strand_report_header {
	__u64 magic;
	__u32 abi_major;
	__u32 abi_minor;
	__u32 header_size;
	__u32 section_count;
	__u64 total_size;
	__u64 request;
	__u32 status;       /* enum strand_search_status */
	__u32 cause;        /* enum strand_search_cause */
	__u64 cause_detail; /* an errno, thread id, descriptor or address, as the cause has it */
	__u64 started_ns;   /* CLOCK_MONOTONIC of the process */
	__u64 stopped_ns;   /* when the world stood still: verdicts hold for parks before it */
	__u64 stop_ns;      /* until all threads had stopped */
	__u64 pause_ns;     /* from the first signal until all were released */
	__u64 total_ns;
	__u64 scanned_bytes;
	__u64 candidates;
	__u64 leaked;
	__u64 retained_stacks; /* retained memory: bytes that only leaked tasks hold, and each of */
	__u64 retained_objects; /* them once; 0 where nothing is known of the heap */
	__u64 retained_blocks;
	__u64 reserved[3];
	struct strand_report_section section[STRAND_REPORT_SECTIONS];
};

struct strand_report_task { /* 64 bytes */
	__u64 task;
	__u64 generation;
	__u64 object;
	__u32 verdict;   /* enum strand_verdict */
	__u32 root_kind; /* enum strand_root_kind */
	__u64 root;      /* leaked: why's BEHIND, DEAD_OWNER: the id of that task, 0: not known */
	/* Since minor version 1: */
	__u32 why;        /* enum strand_leak_why */
	__u32 link_count; /* leaked: the tasks of its cycle, each waiting for the next; */
	__u64 link_first; /* live: the chain from the root to what it waits on. First of the links */
	__u64 retained; /* bytes that are retained because of this task; all tasks': the header's */
};

struct strand_report_link { /* 24 bytes */
	__u64 value;
	__u64 size; /* of an object or a block, 0: not known */
	__u32 kind; /* enum strand_link_kind */
	__u32 reserved;
};

/* ---- leaks at the end of a program ---------------------------------------- */

/*
 * With STRAND_LEAKS=report:PATH in its environment a program searches when its main task has
 * returned, connects to the Unix socket PATH (SOCK_STREAM), sends a record for each leaked task
 * and one for the end, and goes on when the other side closes: until then it can be looked at.
 * Records of unknown types are skipped.
 */
#define STRAND_EXIT_MAGIC      0x54495845u /* "EXIT" */
#define STRAND_EXIT_FRAMES     32
#define STRAND_EXIT_RECORD_MAX 4096u /* bytes of a record of any type */

enum strand_exit_type { STRAND_EXIT_TASK = 1, STRAND_EXIT_END = 2 };

struct strand_exit_header {
	__u32 magic;
	__u16 abi_major;
	__u16 type; /* enum strand_exit_type */
	__u32 size; /* of the record with this header */
	__u32 reserved;
};

struct strand_exit_task {
	struct strand_exit_header h;
	__u64 task;
	__u64 parent;
	__u64 object;
	__u64 waited_ns;
	__u64 fn;
	__u64 created_pc;
	__u64 reserved[4];
	__u32 truncated; /* the stack has more frames than fit */
	__u32 stack_count;
	char name[STRAND_NAME_MAX];
	char reason[32];
	__u64 stack[STRAND_EXIT_FRAMES]; /* return addresses, innermost first */
};

struct strand_exit_end {
	struct strand_exit_header h;
	__u64 leaked;
	__u64 candidates;
	__u64 pause_ns;
	__u64 total_ns;
	__u64 reserved[4];
	__u32 status; /* enum strand_search_status */
	__s32 error;  /* -errno: the search was not made; 0: it was */
	char cause[64];
	char build[32];
};

#endif

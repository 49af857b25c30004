/* SPDX-License-Identifier: MIT */
/*
 * The leak search: which parked tasks can no live code ever wake?
 *
 * This folder knows no channel and no scheduler. It is given a world (tasks,
 * wait objects, who waits on what, which memory is the runtime's own) and the
 * process's memory, and answers with a verdict for each candidate task.
 *
 * Definition. Node: a task (its stack and its data) or an object (its content).
 * A node becomes LIVE
 *   - when it is said to be (a task that is no candidate, an object marked live);
 *   - when a word in memory that belongs to no node and is not masked points
 *     into it or one past its end: such memory is a root, whatever it is;
 *   - when a word in the content of a LIVE node points into it;
 *   - a task also when an object that it waits on is LIVE (add_wait), or when
 *     the task that owns what it waits for is LIVE (add_owner_wait).
 *   - when any part of it lies in memory that nobody masked: an address in the
 *     code, or a pointer to what surrounds it, reaches it without being seen;
 *   - an object also when it lies in the stack, data or content of a LIVE node.
 * Leaked are the candidate tasks that are not LIVE at the fixpoint.
 *
 * What is not understood is a root. Whatever goes wrong makes the search
 * inconclusive and never a task leaked.
 */
#ifndef LEAKGC_H
#define LEAKGC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <strand/abi.h>

struct leakgc_page_run; /* memory.h */
struct leakgc_world;    /* under construction during describe(); memory of the search */

/* Where a stopped thread was. The area below sp_low of its stack is dead. */
struct leakgc_thread {
	int tid;
	uintptr_t sp_low; /* lowest live address of its stack: red zone or signal frame included */
			  /* (its registers are roots by themselves, wherever they were saved) */
};

/* While the runtime is frozen, whoever spawns a task may wait for it. */
#define LEAKGC_SLICE_NS 300000

/*
 * What the runtime gives. All functions run with every other thread stopped or
 * in a snapshot of such a moment: no malloc, no stdio, no locks, no thread-locals.
 */
struct leakgc_runtime {
	void *context;

	/*
	 * Freeze and thaw the runtime's structures (take and release its locks), in the
	 * target, around the stop. May fail with -EBUSY: inconclusive (RUNTIME_BUSY).
	 */
	int (*freeze)(void *context);
	void (*thaw)(void *context);

	/*
	 * Describe the world by calling leakgc_world_*. Runs on the snapshot. Returns 0
	 * or -errno, which makes the search inconclusive.
	 */
	int (*describe)(void *context, struct leakgc_world *world,
			const struct leakgc_thread *threads, size_t thread_count);

	/*
	 * For searches without a snapshot; NULL: every search takes one.
	 *
	 * describe_live() describes the same world between freeze() and thaw(), while threads run:
	 * it is asked again and again as long as it returns 1, and should return after about
	 * LEAKGC_SLICE_NS. What is in motion it describes as live. What it says of something that
	 * is not live must have been true at some moment since the search began.
	 *
	 * describe_changes() is called when all threads have stopped: of what is still not live
	 * (leakgc_world_next_open), what is not as it was described (leakgc_world_changed), who
	 * can end its waits now (leakgc_world_add_*), and which memory under a mask holds user
	 * data that no node names (leakgc_world_add_root). All masks are given again
	 * (leakgc_world_keep_mask). What lies in
	 * no written page is as it was.
	 */
	int (*describe_live)(void *context, struct leakgc_world *world);
	int (*describe_changes)(void *context, struct leakgc_world *world,
				const struct leakgc_thread *threads, size_t thread_count,
				const struct leakgc_page_run *written, size_t written_count);

	/* Descriptors of the runtime itself, whose content is known not to matter. */
	const int *own_fds;
	size_t own_fd_count;

	int stop_signal; /* leakgc_stop_init() has installed its handler */
};

/* How the proof gets a view of memory as of one instant. */
enum leakgc_method {
	LEAKGC_METHOD_BEST,     /* as the pause demands and the kernel allows */
	LEAKGC_METHOD_CLONE,    /* a snapshot, whose pause grows with the process */
	LEAKGC_METHOD_TRACKING, /* the live memory, and once more what was written meanwhile */
};

struct leakgc_limits {
	enum leakgc_method method;
	int64_t stop_ns;        /* all threads must have stopped by then */
	int64_t pause_ns;       /* predicted pause above this: not started */
	int64_t time_ns;        /* whole search */
	size_t memory;          /* the search's own memory */
	size_t shared_copy_max; /* shared writable memory copied inside the pause */
	uint64_t min_age_ns;    /* for describe(): younger parks are no candidates */
};

void leakgc_limits_default(struct leakgc_limits *ret_limits);

/* ---- building the world (in describe() only) ----------------------------- */

typedef uint32_t leakgc_node;

struct leakgc_task {
	const void *cookie; /* the runtime's name of it, for describe_changes() */
	uint64_t id;
	uint64_t generation;
	uint64_t object_name; /* for the report: the address of what it waits on, or 0 */
	uintptr_t stack_lo;   /* [lo, hi) is scanned: from the saved stack pointer up */
	uintptr_t stack_hi;
	uintptr_t stack_base; /* the lowest byte of its stack, for what it takes; 0: not known */
	uintptr_t data_lo;    /* user data that the runtime holds for it; may be empty */
	uintptr_t data_hi;
	bool candidate;  /* false: live */
	bool unwakeable; /* waits on nothing: leaked even if something points into its stack */
	bool deadline;   /* why it is no candidate: it wakes by itself */
};

struct leakgc_object {
	const void *cookie;
	uintptr_t lo; /* a pointer into [lo, hi] reaches it: in an array of objects, leave a */
	uintptr_t hi; /* byte between them, or a pointer to one reaches the one before, too */
	uintptr_t content_lo; /* user data in it, scanned when it is reached; may be empty */
	uintptr_t content_hi;
	bool live;           /* in motion, or known to be reachable */
	uint64_t name;       /* for the report: its address, where that is not lo; else 0 */
	uint64_t dead_owner; /* a lock: the task that holds it and has ended, 0: none */
};

/* As leakgc_object.dead_owner: such a task, which cannot be told any more. */
#define LEAKGC_SOME_TASK UINT64_MAX

/* All return 0 or -ENOMEM (memory budget), and nodes in ret_node. */
int leakgc_world_add_task(struct leakgc_world *w, const struct leakgc_task *task,
			  leakgc_node *ret_node);
int leakgc_world_add_object(struct leakgc_world *w, const struct leakgc_object *object,
			    leakgc_node *ret_node);
int leakgc_world_add_wait(struct leakgc_world *w, leakgc_node task, leakgc_node object);
int leakgc_world_add_owner_wait(struct leakgc_world *w, leakgc_node waiter, leakgc_node owner);

/* A lock turned out to be held by a task that has ended: as leakgc_object.dead_owner. */
void leakgc_world_set_dead_owner(struct leakgc_world *w, leakgc_node object, uint64_t task);

/* The task owns the object, a lock, and can so end waits on it: whatever its memory says. */
int leakgc_world_add_hold(struct leakgc_world *w, leakgc_node task, leakgc_node object);

/* The task can end waits on the object without owning it, whatever its memory says. */
int leakgc_world_add_reach(struct leakgc_world *w, leakgc_node task, leakgc_node object);

/*
 * [lo, hi) is the runtime's and holds no user data but what nodes name: it is
 * scanned only where a node's stack, data or content lies in it.
 */
int leakgc_world_mask(struct leakgc_world *w, uintptr_t lo, uintptr_t hi);

/* ---- in describe_live() and describe_changes() only ------------------------------- */

/* Copy memory that may be unmapped at any moment. Returns 0 or -EFAULT. */
int leakgc_world_read(struct leakgc_world *w, const void *from, void *to, size_t length);

/* Is the node the one that was described with this cookie? Any number may be asked about. */
bool leakgc_world_is_node(const struct leakgc_world *w, leakgc_node node, const void *cookie);

bool leakgc_world_is_open(const struct leakgc_world *w, leakgc_node node); /* not live */

/*
 * leakgc_world_next_open - the next node that is not live, in no order.
 * @at  0 at first. Returns its cookie, or NULL at the end.
 */
const void *leakgc_world_next_open(struct leakgc_world *w, size_t *at, leakgc_node *ret_node);

/* Is the node a task, and if so which park of it? */
bool leakgc_world_is_task(const struct leakgc_world *w, leakgc_node node);
bool leakgc_world_is_park(const struct leakgc_world *w, leakgc_node node, uint64_t id,
			  uint64_t generation);
struct leakgc_object leakgc_world_object_of(const struct leakgc_world *w, leakgc_node node);

/* It is no longer what was described: live. */
void leakgc_world_changed(struct leakgc_world *w, leakgc_node node);

/* [lo, hi) holds user data, whatever masks and nodes say. */
int leakgc_world_add_root(struct leakgc_world *w, uintptr_t lo, uintptr_t hi);

/* Given again, did no mask hold the address that holds it no longer? */
bool leakgc_world_is_kept(const struct leakgc_world *w, uintptr_t address);

/* This mask still holds. A mask that is not given again holds no longer. Returns 0. */
int leakgc_world_keep_mask(struct leakgc_world *w, uintptr_t lo, uintptr_t hi);

/*
 * [lo, hi) is not the runtime's, but consists of blocks of this size (the last may be shorter)
 * that are reached by nothing but pointers into them: each is a node. More than
 * LEAKGC_REGIONS_MAX of them are as good as not described.
 */
#define LEAKGC_REGIONS_MAX 1024
int leakgc_world_add_region(struct leakgc_world *w, uintptr_t lo, uintptr_t hi, size_t block_size);

/* The limits of this search, e.g. min_age_ns. */
const struct leakgc_limits *leakgc_world_limits(const struct leakgc_world *w);

/* ---- one search ---------------------------------------------------------- */

struct leakgc_verdict {
	uint64_t task;
	uint64_t generation;
	uint64_t object_name;
	enum strand_verdict verdict;
	enum strand_root_kind root_kind; /* what made it live, if it is */
	uint64_t root;            /* leaked: the task that it waits behind, or that has ended */
	enum strand_leak_why why; /* leaked */
	uint32_t link_count; /* in leakgc_result.links: the cycle, or the chain from the root */
	uint64_t link_first;
	uint64_t retained;
};

struct leakgc_result {
	enum strand_search_status status;
	enum strand_search_cause cause;
	uint64_t cause_detail;
	int64_t started_ns, stopped_ns;
	int64_t stop_ns, pause_ns, total_ns;
	uint64_t scanned_bytes;
	uint64_t tasks, candidates, leaked;
	struct leakgc_verdict *verdicts; /* of the candidates; NULL if there are none. They name */
					 /* addresses: free or mask them before the next search */
	size_t verdict_count;
	const struct strand_report_link *links; /* behind the verdicts */
	size_t link_count;
	uint64_t retained_stacks, retained_objects, retained_blocks;
	size_t mapped; /* bytes behind verdicts */
};

/*
 * leakgc_stop_init - install the handler of the stop signal.
 * @ret_signal  the chosen real-time signal
 * Returns 0, or -EBUSY if every candidate signal is taken. Once a process.
 */
int leakgc_stop_init(int *ret_signal);

/*
 * leakgc_heap_init - find the process's malloc, so that searches can tell heap blocks apart.
 * Once a process, before the first search; calls malloc. Where it is not the one that is
 * known, or not called: all of the heap is a root.
 */
void leakgc_heap_init(void);

/*
 * leakgc_search - run one search. The caller is a thread whose own stack is masked.
 * Never fails: what goes wrong is in ret_result (status, cause, cause_detail).
 * One at a time. @cancel (may be NULL) is polled; non-zero ends the search.
 */
void leakgc_search(const struct leakgc_runtime *runtime, const struct leakgc_limits *limits,
		   const volatile int *cancel, struct leakgc_result *ret_result);

/* Free what ret_result holds. NULL and an empty result are allowed. */
void leakgc_result_done(struct leakgc_result *result);

/* The text of a cause ("" for NONE). */
const char *leakgc_cause_text(enum strand_search_cause cause);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The model: what the observer knows at one moment, as plain data.
 *
 * observe/ fills it, view/ reads it, nothing else passes between them. It holds
 * no descriptor and does no I/O; it allocates and sorts. Every string is the
 * model's own and is exactly what the target or its ELF file said, so views
 * escape it. All times are CLOCK_MONOTONIC nanoseconds of the observer's host,
 * but for wall_ns.
 */
#ifndef STRANDED_MODEL_H
#define STRANDED_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <strand/abi.h>

/* One line of a stack: a return address and what is known of it. */
struct model_frame {
	uint64_t pc;    /* as in the process; a return address unless it is an entry point */
	char *function; /* NULL: unknown */
	char *file;     /* source file; NULL: unknown */
	unsigned line;  /* 0: unknown */
	uint64_t function_offset; /* pc - start of function */
	char *module;             /* path of the binary, as mapped; NULL: unknown */
	uint64_t module_offset;   /* pc as an offset in that file */
};

struct model_stack {
	struct model_frame *frames; /* innermost first */
	size_t count;
	bool truncated; /* there were more, or the walk was lost */
};

enum model_task_state { /* one verdict per task, shown apart */
			MODEL_WAITING = 0,
			MODEL_LEAKED,
			MODEL_SUSPECT,
};
#define MODEL_TASK_STATES (MODEL_SUSPECT + 1)

/* Why a task is a suspect, as bits: several rules may hold. None is a proof of anything. */
enum model_suspect_rule {
	MODEL_SUSPECT_AGE = 1,     /* it waits long, and longer than nearly all did there before */
	MODEL_SUSPECT_GROWING = 2, /* search after search there were more at its site */
	MODEL_SUSPECT_CROWD = 4,   /* very many wait at its site */
};
#define MODEL_SUSPECT_RULES 3

/* One step of an explanation. */
struct model_link {
	enum strand_link_kind kind;
	uint64_t value; /* a task's id, else an address */
	uint64_t size;  /* of an object or a block, 0: unknown */
};

struct model_task {
	uint64_t id;
	uint64_t generation;
	uint64_t parent; /* id of the creating task, 0: a plain thread */
	char *name;
	enum strand_wait_reason reason;
	bool has_deadline;
	uint64_t object;
	int64_t since_ns;
	enum model_task_state state;
	unsigned suspect_rules; /* enum model_suspect_rule; 0 unless it is a suspect */
	/*
	 * This one was read for so many tasks of the same site and state (0: for itself alone).
	 * A model has all tasks or, of each site and state, one that stands for the others.
	 */
	uint64_t stands_for;
	enum strand_verdict verdict; /* of the newest search that spoke about this very park */
	enum strand_root_kind root_kind;
	uint64_t root; /* leaked: the task it waits behind, or that has ended with the lock; or 0 */
	struct model_frame root_at; /* what the linker calls a root in memory; pc 0: unknown */
	char *root_place;           /* where it lies, if it has no such name; NULL: unknown */
	enum strand_leak_why why;   /* leaked; UNSAID: the process does not tell */
	struct model_link *links; /* leaked: its cycle, each task waiting for the next; live: the */
	size_t link_count;        /* chain from the root to what it waits on */
	uint64_t retained;        /* bytes kept because it is leaked; of all tasks each byte once */
	struct model_stack stack; /* where it waits; empty: not read */
	struct model_frame created_by; /* pc 0: unknown */
	struct model_frame entry;      /* the task's function */
};

/* Whether and why not a process could be observed. */
enum model_process_status {
	MODEL_OBSERVED = 0,
	MODEL_DENIED,          /* no permission for its memory or descriptors */
	MODEL_UNSUPPORTED_ABI, /* its runtime speaks a version that we don't */
	MODEL_UNTRUSTED,       /* its note, descriptor, pipe or report is malformed */
	MODEL_NO_CONTROL,      /* parks are seen, but no search can be asked for */
	MODEL_HUNG,            /* it did not answer in time */
	MODEL_EXITED,
};

struct model_search {  /* the newest leak search of a process */
	bool asked;    /* one was asked for since the observer knows the process */
	bool answered; /* and its report was read */
	enum strand_search_status status;
	enum strand_search_cause cause;
	uint64_t cause_detail;
	int64_t finished_ns;
	int64_t stopped_ns;
	int64_t pause_ns, total_ns;
	uint64_t scanned_bytes, candidates, leaked;
	uint64_t retained_stacks, retained_objects, retained_blocks; /* bytes */
	char *error; /* why there is no answer, one line; NULL: none */
};

#define MODEL_WAIT_SLOTS 32

/*
 * What is known of the waits at one site, those that have ended included. Only waits that were
 * announced count: those longer than the observer's threshold.
 */
struct model_wait {
	uint64_t fingerprint; /* as model_site has it */
	enum strand_wait_reason reason;
	struct model_stack stack; /* of one that waited there; empty: not read */
	struct model_frame created_by, entry;
	uint64_t waiting; /* now */
	int64_t oldest_since_ns;
	int64_t waiting_ns; /* how long those wait that wait now, all together */
	uint64_t ended;     /* waits that have ended since the process is observed */
	int64_t ended_ns;   /* how long they were, all together */
	/* Ended waits by length: slot i less than 2^(i + 10) ns, the last one all longer. */
	uint64_t slots[MODEL_WAIT_SLOTS];
};

/* What an observer remembers of a site at which it has seen leaked or suspect tasks. */
struct model_past {
	uint64_t fingerprint;
	int64_t first_seen_ns, last_seen_ns; /* with such a task */
	unsigned searches_seen;              /* searches that proved leaks there */
	uint64_t retracted;                  /* proved leaked and unparked all the same: an alarm */
};

/* How a search ended, as counters name it. */
enum model_search_result {
	MODEL_SEARCH_DONE = 0,
	MODEL_SEARCH_INCONCLUSIVE,
	MODEL_SEARCH_REFUSED,
	MODEL_SEARCH_NO_ANSWER,
	MODEL_SEARCH_RESULTS
};

/* All searches of the observer's life, those of processes that have exited since included. */
struct model_search_totals {
	uint64_t count[MODEL_SEARCH_RESULTS];
	int64_t total_ns[MODEL_SEARCH_RESULTS];
	int64_t pause_ns[MODEL_SEARCH_RESULTS];
};

/*
 * The waiting tasks of a process in numbers, so that what needs no more reads no tasks. Set by
 * model_sort() from the tasks, unless whoever filled in the process has set `known`.
 */
struct model_counts {
	bool known;
	uint64_t tasks[MODEL_TASK_STATES];
	int64_t oldest_since_ns[MODEL_TASK_STATES]; /* where there are tasks */
	uint64_t retained_bytes;                    /* by leaked ones; 0: nothing or unknown */
};

struct model_losses { /* records that the observer knows it did not keep */
	uint64_t map_full;
	uint64_t ring_full;
	uint64_t bad_record;
	uint64_t unread; /* stacks that could not be read */
};

struct model_process {
	pid_t pid;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat: (pid, start_ticks) is the key */
	uid_t uid;
	char *command; /* /proc/PID/comm */
	char *exe;     /* path as the kernel shows it; NULL: unknown */
	char *cgroup;  /* path in the unified hierarchy; NULL: unknown */
	char *runtime; /* version text of its libstrand; NULL: unknown */
	unsigned abi_major, abi_minor;
	bool is_static; /* the runtime is in the executable itself */
	enum model_process_status status;
	char *status_text; /* one line for people; NULL if observed */
	uint64_t tasks_spawned, tasks_exited;
	struct model_search search;
	struct model_losses losses;
	struct model_counts counts;
	struct model_wait *waits; /* by site, in no order */
	size_t wait_count, wait_room;
	struct model_past *pasts; /* sorted by fingerprint */
	size_t past_count, past_room;
	struct model_task *tasks; /* sorted by id */
	size_t task_count, task_room;
	size_t task_sorted; /* so many of them are known to be in order: model_sort() sets it */
};

struct model {
	char *host;
	int64_t wall_ns; /* CLOCK_REALTIME of the snapshot */
	int64_t now_ns;  /* CLOCK_MONOTONIC of the same moment */
	const char *observer_version;
	struct model_losses losses; /* those that belong to no process */
	struct model_search_totals searches;
	struct model_process *processes; /* sorted by pid, start_ticks */
	size_t process_count, process_room;
	size_t process_sorted; /* as task_sorted */
};

/*
 * A site groups tasks that wait for the same reason at the same place, created
 * at the same place, in one process, in the same state.
 */
struct model_site {
	const struct model_process *process; /* borrowed from the model */
	const struct model_task *example;    /* its oldest task */
	size_t count;
	int64_t oldest_since_ns;
	/*
	 * The same in every process and after every restart of the same program: made of the
	 * reason and of functions, files and lines, or of offsets in modules, never of addresses.
	 */
	uint64_t fingerprint;
	unsigned suspect_rules;        /* of all its tasks together */
	uint64_t retained;             /* bytes, by all its tasks together */
	const struct model_past *past; /* NULL: nothing is remembered */
};

struct model_sites {
	struct model_site *sites; /* leaked first, then by count, then by age */
	size_t count;
};

/* Functions that allocate return 0 or -ENOMEM; _done functions accept zeroed structures. */
void model_init(struct model *m);
void model_done(struct model *m);
int model_add_process(struct model *m, struct model_process **ret_process); /* zeroed */
/* Ends it; those after it move up. */
void model_remove_process(struct model *m, size_t index);
int model_add_task(struct model_process *p, struct model_task **ret_task); /* zeroed */
int model_add_wait(struct model_process *p, struct model_wait **ret_wait); /* zeroed */
int model_add_past(struct model_process *p, struct model_past **ret_past); /* zeroed */
struct model_process *model_find_process(const struct model *m, pid_t pid, uint64_t start_ticks);
struct model_task *model_find_task(const struct model_process *p, uint64_t id);
const struct model_past *model_find_past(const struct model_process *p, uint64_t fingerprint);
/* Sorts processes and tasks and counts them; pointers to them taken before are void. */
void model_sort(struct model *m);
/* A model of one process of m, for any view; borrowed: it is not ended, and ends with m. */
struct model model_one(const struct model *m, const struct model_process *p);
void model_frame_done(struct model_frame *frame);
int model_frame_copy(const struct model_frame *from, struct model_frame *ret_frame);
int model_stack_copy(const struct model_stack *from, struct model_stack *ret_stack);
/* @where  NULL: unknown */
uint64_t model_fingerprint(enum strand_wait_reason reason, const struct model_frame *where,
			   const struct model_frame *created_by);
void model_stack_done(struct model_stack *stack);
void model_search_done(struct model_search *search);
void model_count_search(struct model_search_totals *totals, const struct model_search *search);
/* Are its waiting tasks seen, be it without stacks or searches? */
bool model_process_observed(const struct model_process *p);
/* Has a search answered, so that a task that is not leaked is one that could not be proved so? */
bool model_search_proved(const struct model_search *search);
/* How many tasks it stands for: at least itself. */
uint64_t model_task_weight(const struct model_task *task);
/* Is everything that could be known known? False with the losses and errors that say what not. */
bool model_process_complete(const struct model_process *p);
bool model_complete(const struct model *m);
const char *model_reason_text(enum strand_wait_reason reason); /* "unknown" if out of range */
const char *model_task_state_text(enum model_task_state state);
const char *model_suspect_rule_text(enum model_suspect_rule rule); /* of one bit */
const char *model_search_result_text(enum model_search_result result);
const char *model_cause_text(enum strand_search_cause cause);
const char *model_why_text(enum strand_leak_why why);
const char *model_process_status_text(enum model_process_status status);

int model_sites_build(const struct model *m, struct model_sites *ret_sites);
void model_sites_done(struct model_sites *sites);

#endif

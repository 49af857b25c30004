/* SPDX-License-Identifier: MIT */
/* The world of one search: nodes, edges, masks and the words that roots hold. */
#ifndef LEAKGC_WORLD_H
#define LEAKGC_WORLD_H

#include "leakgc/arena.h"
#include "leakgc/leakgc.h"
#include "leakgc/memory.h"

/*
 * The treatments of the soundness holes that a test can switch off, to show
 * that it fails without them. Nothing but tests ever sets one.
 */
enum leakgc_treatment {
	LEAKGC_WITHOUT_STACK_TARGETS = 1 << 0, /* note A: pointers into a candidate's stack */
	LEAKGC_WITHOUT_CONTAINMENT = 1 << 1,   /* objects in root memory or on a stack */
	LEAKGC_WITHOUT_PADDING = 1 << 2,       /* one past the end */
	LEAKGC_WITHOUT_REGISTERS = 1 << 3,     /* signal frames of the stopped threads */
	LEAKGC_WITHOUT_TAG_MASK = 1 << 4,
	LEAKGC_WITHOUT_UNALIGNED = 1 << 5,
	LEAKGC_WITHOUT_KERNEL_WORDS = 1 << 6, /* epoll, eventfd, timers */
	LEAKGC_WITHOUT_PIPES = 1 << 7,
	LEAKGC_WITHOUT_PENDING_SIGNALS = 1 << 8,
	LEAKGC_WITHOUT_SHARED_COPY = 1 << 9,
	LEAKGC_WITHOUT_INHERITANCE = 1 << 10, /* MADV_DONTFORK, MADV_WIPEONFORK */
	LEAKGC_WITHOUT_PROTECTED = 1 << 11,   /* PROT_NONE memory */
	LEAKGC_WITHOUT_STOP_PROOF = 1 << 12,  /* a thread that did not stop is ignored */
	LEAKGC_WITHOUT_LIVE_OBJECTS = 1 << 13,
	LEAKGC_WITHOUT_QUEUES = 1 << 14,     /* POSIX message queues */
	LEAKGC_WITHOUT_RINGS = 1 << 15,      /* io_uring, userfaultfd and what is not known */
	LEAKGC_WITHOUT_HEAP = 1 << 16,       /* nothing is known of malloc: every block is a root */
	LEAKGC_WITHOUT_ARENA_LOCK = 1 << 17, /* arenas that some thread is changing */
	LEAKGC_WITHOUT_ARENA_MASK = 1 << 18, /* lists of free chunks */
	LEAKGC_WITHOUT_CACHE_MASK = 1 << 19, /* thread caches */
	LEAKGC_WITHOUT_INTERIOR = 1 << 20,   /* pointers into the middle of blocks */
	LEAKGC_WITHOUT_EMBEDDING = 1 << 21,  /* objects that are part of a block */
	LEAKGC_WITHOUT_GIVING_UP = 1 << 22,  /* chains of blocks that are too long */
	LEAKGC_WITHOUT_RESCAN = 1 << 23,     /* pages written while the search ran */
	LEAKGC_WITHOUT_CHANGES = 1 << 24,    /* tasks and objects that have moved since */
	LEAKGC_WITHOUT_FRINGES = 1 << 25,    /* words half in a written page */
	LEAKGC_WITHOUT_MANGLED = 1 << 23,    /* what setjmp() hides */
};

struct leakgc_range { /* [lo, hi) */
	uintptr_t lo;
	uintptr_t hi;
};

#define LEAKGC_NODE_LIVE       1u
#define LEAKGC_NODE_TASK       2u
#define LEAKGC_NODE_CANDIDATE  4u
#define LEAKGC_NODE_UNWAKEABLE 8u  /* LIVE tells of its memory only */
#define LEAKGC_NODE_BLOCK      16u /* a heap block, found on the way */
#define LEAKGC_NODE_SEEKING    32u /* is a target of the pass that runs */
#define LEAKGC_NODE_SOUGHT     64u /* was a target of a complete pass with this stride */

#define LEAKGC_BLOCKS_MAX      (1u << 18)

#define LEAKGC_NO_EDGE         UINT32_MAX
#define LEAKGC_NO_NODE         UINT32_MAX

struct leakgc_node_info {
	struct leakgc_range body;    /* a task's stack; the object itself */
	struct leakgc_range content; /* a task's data; an object's content */
	uint64_t id; /* of a task; of a lock: the task that holds it and has ended, 0: none */
	uint64_t generation;
	uint64_t object_name;
	uint64_t root; /* LIVE: what made it so; else of a task: the lowest byte of its stack */
	const void *cookie;
	uint32_t first_edge; /* LEAKGC_NO_EDGE: none */
	uint32_t live_from;  /* LIVE: the node that made it so, LEAKGC_NO_NODE: a root */
	uint8_t flags;
	uint8_t root_kind;
};

/* What an edge says, for explanations. LIVE follows every edge alike. */
enum leakgc_edge_kind {
	LEAKGC_EDGE_REACHES, /* memory of `from` leads to `to` */
	LEAKGC_EDGE_WAITS,   /* `to` is a task that waits for `from`, an object */
	LEAKGC_EDGE_OWNS,    /* only `from`, a task, can end waits for `to`, or that of `to` */
};

/* If `from` is LIVE, so is `to`. Waits are edges too: object -> task, owner -> waiter. */
struct leakgc_edge {
	uint32_t to : 30;
	uint32_t kind : 2; /* enum leakgc_edge_kind */
	uint32_t next;
};

/* A word that the kernel holds for the program. */
struct leakgc_kernel_word {
	uint64_t word;
	uint64_t root; /* for the report: the descriptor, or the timer */
};

/* Shared memory as it was when the world stood still. */
struct leakgc_copy {
	uintptr_t address;
	size_t length;
	const unsigned char *bytes;
};

/* Memory of an allocator of the program's own. */
struct leakgc_block_region {
	uintptr_t lo;
	uintptr_t hi;
	size_t block_size;
};

struct leakgc_world {
	const struct leakgc_limits *limits;
	unsigned without; /* enum leakgc_treatment */
	struct leakgc_arena arena;

	struct leakgc_node_info *nodes; /* grow upwards in the arena while the world is described */
	uint32_t node_count;
	bool wants_blocks;            /* set by the time of the seal */
	uint32_t block_room;          /* nodes that may still be added */
	struct leakgc_edge *edge_end; /* edge i is edge_end[-1 - i] */
	uint32_t edge_count;
	struct leakgc_range *masks;
	size_t mask_count, mask_room;
	struct leakgc_block_region *regions; /* LEAKGC_REGIONS_MAX, by address, apart */
	size_t region_count;

	struct leakgc_kernel_word *kernel_words;
	size_t kernel_word_count, kernel_word_room;
	struct leakgc_copy *copies;
	size_t copy_count, copy_room;
	struct leakgc_range *root_ranges; /* roots even where masked: registers */
	size_t root_range_count;

	struct leakgc_memory *memory; /* for leakgc_world_read() */
	bool sealed;
	uint32_t *open; /* nodes that were not LIVE when the world stopped */
	size_t open_count;
	struct leakgc_range *roots; /* masked no longer */
	size_t root_count, root_room;
	uint64_t *kept; /* a bit per mask */
	size_t next_kept, kept_count;

	uint32_t *work; /* nodes that became LIVE and whose edges were not followed yet */
	uint32_t work_count;
	uint64_t candidates_open;
};

/* Begin to describe: nodes follow what the arena holds so far. -ENOMEM. */
int leakgc_world_begin(struct leakgc_world *w);

/* Described: make room for the work list, and for heap blocks if asked to. -ENOMEM. */
int leakgc_world_seal(struct leakgc_world *w);

/* Before describe_changes(): list what is not LIVE. -ENOMEM. */
int leakgc_world_list_open(struct leakgc_world *w);

/* After it: what masks and nodes no longer say is root memory. -ENOMEM. */
int leakgc_world_end_changes(struct leakgc_world *w);

/* A heap block, after the seal. false: there is no room for more. */
bool leakgc_world_add_block(struct leakgc_world *w, uintptr_t lo, uintptr_t hi, uint32_t *ret_node);

/* REACHES. */
int leakgc_world_add_edge(struct leakgc_world *w, uint32_t from, uint32_t to);

/* Mark a node LIVE, if it is not yet, and say why. */
void leakgc_world_mark_live(struct leakgc_world *w, uint32_t node, enum strand_root_kind kind,
			    uint64_t root);

/* `to` is LIVE because `from` is. */
void leakgc_world_mark_from(struct leakgc_world *w, uint32_t from, uint32_t to);

/* Follow the edges of everything that became LIVE. Linear in edges. */
void leakgc_world_propagate(struct leakgc_world *w);

static inline bool leakgc_world_is_live(const struct leakgc_world *w, uint32_t node)
{
	return w->nodes[node].flags & LEAKGC_NODE_LIVE;
}

static inline const struct leakgc_edge *leakgc_world_edge(const struct leakgc_world *w,
							  uint32_t number)
{
	return &w->edge_end[-1 - (ptrdiff_t)number];
}

static inline bool leakgc_without(const struct leakgc_world *w, enum leakgc_treatment treatment)
{
	return w->without & treatment;
}

#endif

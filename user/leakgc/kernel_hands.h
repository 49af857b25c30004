/* SPDX-License-Identifier: MIT */
/* What the kernel holds for the program while the world stands still. */
#ifndef LEAKGC_KERNEL_HANDS_H
#define LEAKGC_KERNEL_HANDS_H

#include "leakgc/leakgc.h"
#include "leakgc/memory.h"
#include "leakgc/world.h"

/* Descriptors looked at in one stop; each costs a microsecond or two of the pause. */
#define LEAKGC_DESCRIPTORS_MAX 4096

struct leakgc_hands {
	struct leakgc_world *world;
	const struct leakgc_runtime *runtime;
	const struct leakgc_thread *threads;
	size_t thread_count;
	char *buffer; /* working memory */
	size_t buffer_size;
	struct leakgc_range skip; /* shared memory of the search itself */
	int own_fd;               /* the search's own userfaultfd, -1: none */
	uint64_t uprobe_bytes;    /* found by copy_shared: mappings of the kernel's uprobes */
	uint64_t detail;          /* descriptor, thread, address or errno behind the answer */
};

/*
 * leakgc_hands_look - descriptors, timers and pending signals.
 * Pointers that the kernel shows become kernel words of the world. Returns
 * STRAND_CAUSE_NONE, or why nothing can be proved.
 */
enum strand_search_cause leakgc_hands_look(struct leakgc_hands *h);

/*
 * leakgc_hands_copy_shared - copy shared writable memory, which a snapshot does not hold.
 * @room, @room_size  private memory for the copies
 */
enum strand_search_cause leakgc_hands_copy_shared(struct leakgc_hands *h, struct leakgc_memory *m,
						  unsigned char *room, size_t room_size);

#endif

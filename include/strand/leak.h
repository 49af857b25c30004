/* SPDX-License-Identifier: MIT */
/* The leak search, as a program asks for it. See strand.h. */
#ifndef STRAND_API_LEAK_H
#define STRAND_API_LEAK_H

#include <strand/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One leaked task. Valid during the callback; fields at the end may be added. */
struct strand_leak {
	size_t size; /* of this structure, as the library was built */
	uint64_t task;
	uint64_t parent; /* id of the task that created it, 0: a plain thread */
	const char *name;
	const char *reason;     /* why it is parked, e.g. "chan receive" */
	uint64_t object;        /* address of what it waits on, 0: nothing or several */
	strand_time since;      /* when it parked */
	void (*entry)(void *);  /* the function it was started with */
	uintptr_t created_pc;   /* return address of the call that created it */
	const uintptr_t *stack; /* return addresses, innermost first: where it waits */
	size_t stack_count;
	const char *why; /* why nothing can ever wake it, for people */
	/*
	 * The leaked task that it waits behind, or the one that has ended with the lock that it
	 * waits for; 0: none, or not known.
	 */
	uint64_t behind;
	const uint64_t *cycle; /* its wait-for cycle: tasks that each wait for the next one */
	size_t cycle_count;    /* 0: it is on none */
	size_t retained;       /* bytes kept because it is leaked; of all leaks each byte once */
	size_t searches_seen; /* searches that have found leaks where it waits, this one included */
};

/* What a search found, beside the leaks. */
struct strand_leaks_result {
	size_t leaked;
	size_t candidates; /* parked tasks that were judged */
	const char *cause; /* why nothing could be proved; "" if the search was conclusive */
	strand_time pause; /* how long all threads stood still, nanoseconds */
	strand_time total; /* how long the search took */
};

/*
 * strand_leaks - prove which tasks of this process are leaked, now.
 * @min_age     only tasks that have been parked for at least so many nanoseconds; 0: all
 * @callback    called for each leaked task, after the search, in the caller's context; NULL: none
 * @ret_result  may be NULL
 * Returns the number of leaked tasks, or
 *   -EAGAIN   the search was inconclusive: nothing is known; ret_result->cause says why
 *   -EBUSY    another search is running
 *   -ENXIO    the runtime is not running, or about to end
 * The caller's own stack is live: what it points to is not leaked. Needs no privileges.
 * Context: a task or a plain thread. Parks as `blocking call`.
 */
STRAND_API int strand_leaks(strand_time min_age,
			    void (*callback)(const struct strand_leak *leak, void *arg), void *arg,
			    struct strand_leaks_result *ret_result);

enum strand_on_leak {
	STRAND_ON_LEAK_TELL = 0,
	STRAND_ON_LEAK_CANCEL, /* wake it: its call returns -ECANCELED, as after strand_cancel */
};

struct strand_leaks_options {
	size_t size;         /* sizeof(struct strand_leaks_options) */
	strand_time min_age; /* as strand_leaks */
	enum strand_on_leak on_leak;
};

/*
 * strand_leaks_with - strand_leaks, with options.
 * With STRAND_ON_LEAK_CANCEL each leaked task is told of, cancelled, and can clean up and end:
 * nobody else can ever wake it, so nobody else can give back what it holds. It runs on as it
 * would after strand_cancel, and must be written for that: check results, and not use what it
 * was only lent for the time of a call that has long returned.
 * Returns as strand_leaks, and -EINVAL (options).
 */
STRAND_API int strand_leaks_with(const struct strand_leaks_options *options,
				 void (*callback)(const struct strand_leak *leak, void *arg),
				 void *arg, struct strand_leaks_result *ret_result);

/*
 * strand_leak_pin - what object points into is reachable, and all that this leads to, until it is
 *                   unpinned as often as it was pinned.
 * For pointers that the search cannot see: encoded ones, offsets, those that only a file or
 * another process has. Any address in the object, its block or its channel will do.
 * Returns 0, -EINVAL (NULL), -ENOMEM. Context: anywhere but in signal handlers; never parks.
 */
STRAND_API int strand_leak_pin(const void *object);

/* strand_leak_unpin - undo one strand_leak_pin. Returns 0, -ENOENT (is not pinned), -EINVAL. */
STRAND_API int strand_leak_unpin(const void *object);

/*
 * strand_leak_region - declare memory of an allocator of the program's own.
 * @base, @size  of memory that is mapped, or a block of malloc
 * @block_size   it consists of blocks of this size, from base on; 0: is one block
 * Memory that is not understood counts as reachable. In here, a block counts only if there is a
 * pointer into it, as with malloc. So this is right only if the program, too, comes to a block by
 * none but such pointers: not if it computes their addresses from the base, say by an index.
 * Regions must not overlap. Of more than 1024 the search takes notice of so many.
 * Returns 0, -EEXIST (overlaps another), -EINVAL, -ENOMEM. Context: as strand_leak_pin.
 */
STRAND_API int strand_leak_region(const void *base, size_t size, size_t block_size);

/*
 * strand_leak_region_end - undo strand_leak_region. To be called before the memory is given back.
 * Returns 0, or -ENOENT: no region begins there.
 */
STRAND_API int strand_leak_region_end(const void *base);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
/* The layout of a channel, for chan.c and the leak search. */
#ifndef STRAND_CHAN_H
#define STRAND_CHAN_H

#include <strand.h>
#include "strand/list.h"
#include "strand/object.h"

struct strand_chan {
	struct object object; /* its lock protects everything but refs */
	_Atomic unsigned refs;
	bool closed;
	size_t element_size;
	size_t capacity;
	size_t count;                   /* buffered elements */
	size_t head;                    /* slot of the oldest */
	struct list receivers, senders; /* struct waiter, longest waiting first */
	char buffer[] __attribute__((aligned(16)));
};

#endif

/* SPDX-License-Identifier: MIT */
/* The layout of a channel, for chan.c and the leak search. */
#ifndef STRAND_CHAN_H
#define STRAND_CHAN_H

#include <strand.h>
#include "strand/list.h"
#include "strand/object.h"
#include "strand/waiter.h"

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

/*
 * chan_try_send, chan_try_recv - with the lock held, do it if it need not wait.
 * Return 0, -EPIPE, or -EAGAIN. If a peer was claimed (ret_peer is not NULL afterwards),
 * release the lock and then call sleeper_wake((*ret_peer)->sleeper).
 */
int chan_try_send(struct strand_chan *chan, const void *element, struct waiter **ret_peer);
int chan_try_recv(struct strand_chan *chan, void *ret_element, struct waiter **ret_peer);

#endif

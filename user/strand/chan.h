/* SPDX-License-Identifier: MIT */
/*
 * A channel, and what is done to it under its lock: for chan.c and select.c, inline because
 * every message passes here. The invariants are in chan.c.
 */
#ifndef STRAND_CHAN_H
#define STRAND_CHAN_H

#include <errno.h>
#include <string.h>

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

static inline char *chan_slot(struct strand_chan *chan, size_t i)
{
	size_t at = chan->head + i; /* both at most capacity: a division would cost more */

	return chan->buffer + (at < chan->capacity ? at : at - chan->capacity) * chan->element_size;
}

static inline void chan_copy(void *to, const void *from, size_t size)
{
	if (to && size == sizeof(uint64_t))
		memcpy(to, from, sizeof(uint64_t)); /* a pointer or a number: no call */
	else if (to && size)
		memcpy(to, from, size);
}

static inline void chan_clear(void *at, size_t size)
{
	if (size == sizeof(uint64_t))
		memset(at, 0, sizeof(uint64_t));
	else
		memset(at, 0, size);
}

static inline void chan_put(struct strand_chan *chan, const void *element)
{
	chan_copy(chan_slot(chan, chan->count), element, chan->element_size);
	chan->count++;
}

static inline void chan_take(struct strand_chan *chan, void *ret_element)
{
	char *from = chan_slot(chan, 0);

	chan_copy(ret_element, from, chan->element_size);
	chan_clear(from, chan->element_size); /* C4 */
	chan->head = chan->head + 1 < chan->capacity ? chan->head + 1 : 0;
	chan->count--;
}

/*
 * chan_try_send, chan_try_recv - with the lock held, do it if it need not wait.
 * Return 0, -EPIPE, or -EAGAIN. If a peer was claimed (ret_peer is not NULL afterwards),
 * release the lock and then call sleeper_wake((*ret_peer)->sleeper).
 */
static inline int chan_try_send(struct strand_chan *chan, const void *element,
				struct waiter **ret_peer)
{
	struct waiter *receiver;

	if (chan->closed)
		return -EPIPE;
	receiver = waiter_take(&chan->receivers, 0);
	if (receiver) {
		chan_copy(receiver->element, element, chan->element_size);
		*ret_peer = receiver;
		return 0;
	}
	if (chan->count == chan->capacity)
		return -EAGAIN;
	chan_put(chan, element);
	return 0;
}

static inline int chan_try_recv(struct strand_chan *chan, void *ret_element,
				struct waiter **ret_peer)
{
	struct waiter *sender = waiter_take(&chan->senders, 0);

	if (sender) {
		*ret_peer = sender;
		if (chan->capacity) {
			chan_take(chan, ret_element);
			chan_put(chan, sender->element);
		} else {
			chan_copy(ret_element, sender->element, chan->element_size);
		}
		return 0;
	}
	if (chan->count) {
		chan_take(chan, ret_element);
		return 0;
	}
	return chan->closed ? -EPIPE : -EAGAIN;
}

#endif

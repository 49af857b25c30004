/* SPDX-License-Identifier: MIT */
/* Channels, and select over several. See strand.h. */
#ifndef STRAND_API_CHANNELS_H
#define STRAND_API_CHANNELS_H

#include <strand/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- channels ------------------------------------------------------------ */

/*
 * A channel carries elements of one size from senders to receivers, in the order
 * in which they were sent. Capacity 0: a sender waits until a receiver takes
 * the element. A NULL channel is allowed in send and receive and blocks until
 * the deadline, as in Go.
 *
 * Channels are reference-counted. Each reference is a pointer that some code
 * holds; the leak search looks for exactly these pointers in memory, so keep
 * them as they are: not encoded, not only in a file or another process.
 */
struct strand_chan;

/*
 * strand_chan_new - make a channel.
 * @element_size  bytes of an element, 0 (a signal) to 64 KiB
 * @capacity      elements that are buffered, 0 for none
 * @ret_chan      the channel with one reference, which is the caller's
 * Returns 0, -EINVAL (element too large), -ENOMEM, -ENXIO (runtime not running).
 * Context: a task or a plain thread.
 */
STRAND_API int strand_chan_new(size_t element_size, size_t capacity, struct strand_chan **ret_chan);

/*
 * strand_chan_ref, strand_chan_unref - take and drop a reference.
 * The last unref frees the channel and what it buffers. NULL is allowed. A
 * channel must not lose its last reference while a task waits on it.
 * strand_chan_ref returns its argument, strand_chan_unref returns NULL.
 */
STRAND_API struct strand_chan *strand_chan_ref(struct strand_chan *chan);
STRAND_API struct strand_chan *strand_chan_unref(struct strand_chan *chan);

/*
 * strand_chan_send - give one element, parking until it is buffered or taken.
 * @chan      caller holds a reference; NULL blocks
 * @element   element_size bytes, copied; may be NULL if element_size is 0
 * @deadline  absolute; STRAND_FOREVER waits, 0 tries
 * Returns 0, or
 *   -EPIPE      the channel is closed; not sent
 *   -ETIMEDOUT  not sent in time (with deadline 0: not possible at once)
 *   -ECANCELED  the task was cancelled; not sent
 * Context: a task or a plain thread. Parks as `chan send`.
 */
STRAND_API int strand_chan_send(struct strand_chan *chan, const void *element,
				strand_time deadline);

/*
 * strand_chan_recv - take one element, parking until there is one.
 * @chan         caller holds a reference; NULL blocks
 * @deadline     absolute; STRAND_FOREVER waits, 0 tries
 * @ret_element  element_size bytes; NULL drops the element
 * Returns 0, or
 *   -EPIPE      closed and drained; final
 *   -ETIMEDOUT  nothing came in time (with deadline 0: nothing there)
 *   -ECANCELED  the task was cancelled; nothing taken
 * Context: a task or a plain thread. Parks as `chan receive`.
 */
STRAND_API int strand_chan_recv(struct strand_chan *chan, strand_time deadline, void *ret_element);

/*
 * strand_chan_close - nothing more will be sent.
 * Wakes every waiting receiver and sender with -EPIPE; buffered elements can
 * still be received. Returns 0, -EPIPE if it was closed already, -EINVAL for NULL.
 * Context: a task or a plain thread; never parks.
 */
STRAND_API int strand_chan_close(struct strand_chan *chan);

/* Elements that are buffered now, and the capacity. 0 for NULL. */
STRAND_API size_t strand_chan_len(const struct strand_chan *chan);
STRAND_API size_t strand_chan_cap(const struct strand_chan *chan);

/* ---- select ---------------------------------------------------------------------- */

enum strand_case_op { STRAND_CASE_NONE = 0, STRAND_CASE_SEND, STRAND_CASE_RECV };

struct strand_case {
	enum strand_case_op op;   /* STRAND_CASE_NONE is never chosen */
	struct strand_chan *chan; /* NULL is never ready */
	void *element; /* what to send (not changed), or where to put what comes; may be NULL */
	int result;    /* of the chosen case: 0, or -EPIPE if its channel is closed */
};

#define STRAND_SELECT_MAX 256

/*
 * strand_select - do exactly one of several sends and receives.
 * @cases     count of them; a channel may occur more than once
 * @deadline  absolute; 0: only if one is ready now (a default case)
 * Of those that are ready one is chosen at random, so none starves. A closed channel is ready.
 * Returns the index of the case that was done, with its result filled in, or
 *   -ETIMEDOUT  none became ready in time; nothing was sent or taken
 *   -ECANCELED  the task was cancelled; nothing was sent or taken
 *   -EINVAL     count is larger than STRAND_SELECT_MAX, or an op is unknown
 * No cases, or only NULL channels, wait for ever, as in Go.
 * Context: a task or a plain thread. Parks as `select` (`select (no cases)`).
 */
STRAND_API int strand_select(struct strand_case *cases, size_t count, strand_time deadline);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Channels.
 *
 * Invariants, under the channel's lock:
 *   C1. Receivers wait only while the buffer is empty and no sender waits, and senders only
 *       while the buffer is full and no receiver waits. So one of the queues is empty.
 *   C2. A value goes to the receiver that waits longest, else into the buffer; a receiver
 *       takes the oldest buffered value and refills the slot from the longest waiting sender.
 *       So values of one sender arrive in the order sent.
 *   C3. A closed channel has no waiters.
 *   C4. A slot without a value is zero: no stale pointer in it keeps anything alive.
 *
 * The header is the runtime's; the buffer holds the user's data and is scanned by the leak
 * search as the content of the channel. A waiter lies on its owner's stack.
 */
#include "strand/chan.h"

#include <errno.h>
#include <string.h>

#include "strand/probes.h"
#include "strand/sched.h"
#include "strand/waiter.h"

#define ELEMENT_MAX ((size_t)64 << 10)

/* 2^40 bytes: keeps the sizes far from overflow; memory ends long before. */
#define BUFFER_MAX  ((size_t)1 << 40)

static __attribute__((noinline)) void trace(struct strand_chan *chan, enum strand_chan_event event,
					    void (*probe)(const struct strand_rec_chan *),
					    uintptr_t pc)
{
	struct task *task = sched_current_task();
	struct strand_rec_chan record = {
		.h = PROBE_HEADER(STRAND_PROBE_CHAN, record),
		.chan = (uintptr_t)chan,
		.task = task ? task->id : 0,
		.pc = pc,
		.event = event,
		.element_size = (uint32_t)chan->element_size,
		.capacity = chan->capacity,
		.queued = chan->count,
	};

	if (probe == strand_probe_send)
		record.h.probe = STRAND_PROBE_SEND;
	else if (probe == strand_probe_recv)
		record.h.probe = STRAND_PROBE_RECV;
	probe(&record);
}

/* ---- life ----------------------------------------------------------------------- */

int strand_chan_new(size_t element_size, size_t capacity, struct strand_chan **ret_chan)
{
	struct runtime *rt = runtime_get();

	if (element_size > ELEMENT_MAX)
		return -EINVAL;
	if (!rt)
		return -ENXIO;
	if (element_size && capacity > BUFFER_MAX / element_size)
		return -ENOMEM;

	struct object *object =
		object_new(rt->objects, sizeof(struct strand_chan) + element_size * capacity);
	struct strand_chan *chan = (struct strand_chan *)object;

	if (!chan)
		return -ENOMEM;
	chan->element_size = element_size;
	chan->capacity = capacity;
	atomic_init(&chan->refs, 1);
	list_init(&chan->receivers);
	list_init(&chan->senders);
	atomic_store_explicit(&object->kind, OBJECT_CHAN, memory_order_release);
	if (probes_tracing())
		trace(chan, STRAND_CHAN_NEW, strand_probe_chan,
		      (uintptr_t)__builtin_return_address(0));
	*ret_chan = chan;
	return 0;
}

struct strand_chan *strand_chan_ref(struct strand_chan *chan)
{
	if (chan)
		atomic_fetch_add_explicit(&chan->refs, 1, memory_order_relaxed);
	return chan;
}

struct strand_chan *strand_chan_unref(struct strand_chan *chan)
{
	if (!chan || atomic_fetch_sub_explicit(&chan->refs, 1, memory_order_acq_rel) != 1)
		return NULL;
	/* Misuse: somebody waits. The channel stays, so that they do not wait on freed memory. */
	if (!list_is_empty(&chan->receivers) || !list_is_empty(&chan->senders))
		return NULL;
	if (probes_tracing())
		trace(chan, STRAND_CHAN_FREE, strand_probe_chan,
		      (uintptr_t)__builtin_return_address(0));
	object_free(&chan->object);
	return NULL;
}

size_t strand_chan_len(const struct strand_chan *chan)
{
	return chan ? __atomic_load_n(&chan->count, __ATOMIC_RELAXED) : 0;
}

size_t strand_chan_cap(const struct strand_chan *chan)
{
	return chan ? chan->capacity : 0;
}

/* ---- sending and receiving ------------------------------------------------------- */

/*
 * Where the public call that ends in a tail call of the function with this frame was called from.
 * Each frame between the user's code and the switch costs a mispredicted return when the task
 * goes on, because the processor predicts the returns of the task that it has left; so the calls
 * that wait are tail calls. But no compiler promises to make them so (and with sanitizers none
 * does): then the frame is one further out.
 */
#define TAIL_CALLER_FRAME(caller_pc, caller_sp)                                   \
	((struct frame){                                                          \
		(caller_pc),                                                      \
		(caller_sp),                                                      \
		(uintptr_t)__builtin_return_address(0) == (caller_pc)             \
			? *(const uintptr_t *)__builtin_frame_address(0)          \
			: **(const uintptr_t *const *)__builtin_frame_address(0), \
	})

/* Park in a queue of the channel. Lock held; returns with it released. */
static __attribute__((noinline)) int chan_wait(struct strand_chan *chan, struct list *queue,
					       void *element, strand_time deadline, uintptr_t pc,
					       uintptr_t sp)
{
	bool sends = queue == &chan->senders;
	struct frame where = TAIL_CALLER_FRAME(pc, sp);
	struct sleeper sleeper = sleeper_here();
	struct waiter waiter = {.element = element};
	struct wait_info info = {sends ? STRAND_WAIT_CHAN_SEND : STRAND_WAIT_CHAN_RECEIVE,
				 (uintptr_t)chan, &where};
	int r = wait_allowed(&deadline);

	if (r < 0) {
		object_lock_release(&chan->object.lock);
		return r;
	}
	waiter_link(&waiter, &sleeper, queue, &chan->object.lock);
	r = waiter_wait(&waiter, &info, deadline);
	if (r == 0 && probes_tracing())
		trace(chan, STRAND_CHAN_XFER, sends ? strand_probe_send : strand_probe_recv, pc);
	return r;
}

/* A NULL channel: nobody will ever come. */
static __attribute__((noinline)) int nil_wait(enum strand_wait_reason reason, strand_time deadline,
					      uintptr_t pc, uintptr_t sp)
{
	struct frame where = TAIL_CALLER_FRAME(pc, sp);
	struct wait_info info = {reason, 0, &where};
	int r = wait_allowed(&deadline);

	return r < 0 ? r : wait_on_nothing(&info, deadline);
}

int strand_chan_send(struct strand_chan *chan, const void *element, strand_time deadline)
{
	uintptr_t pc = (uintptr_t)__builtin_return_address(0);
	uintptr_t sp = (uintptr_t)__builtin_dwarf_cfa();
	struct waiter *receiver = NULL;
	int r;

	sched_perturb();
	if (!chan)
		return nil_wait(STRAND_WAIT_CHAN_SEND_NIL, deadline, pc, sp);
	object_lock_take(&chan->object.lock);
	r = chan_try_send(chan, element, &receiver);
	if (r == -EAGAIN)
		return chan_wait(chan, &chan->senders, (void *)element, deadline, pc, sp);
	if (r == 0 && probes_tracing())
		trace(chan, STRAND_CHAN_XFER, strand_probe_send, pc);
	object_lock_release(&chan->object.lock);
	if (receiver)
		sleeper_wake(receiver->sleeper);
	return r;
}

int strand_chan_recv(struct strand_chan *chan, strand_time deadline, void *ret_element)
{
	uintptr_t pc = (uintptr_t)__builtin_return_address(0);
	uintptr_t sp = (uintptr_t)__builtin_dwarf_cfa();
	struct waiter *sender = NULL;
	int r;

	sched_perturb();
	if (!chan)
		return nil_wait(STRAND_WAIT_CHAN_RECEIVE_NIL, deadline, pc, sp);
	object_lock_take(&chan->object.lock);
	r = chan_try_recv(chan, ret_element, &sender);
	if (r == -EAGAIN)
		return chan_wait(chan, &chan->receivers, ret_element, deadline, pc, sp);
	if (r == 0 && probes_tracing())
		trace(chan, STRAND_CHAN_XFER, strand_probe_recv, pc);
	object_lock_release(&chan->object.lock);
	if (sender)
		sleeper_wake(sender->sleeper);
	return r;
}

int strand_chan_close(struct strand_chan *chan)
{
	struct list woken;

	if (!chan)
		return -EINVAL;
	sched_perturb();
	list_init(&woken);
	object_lock_take(&chan->object.lock);
	if (chan->closed) {
		object_lock_release(&chan->object.lock);
		return -EPIPE;
	}
	chan->closed = true;
	waiter_take_all(&chan->receivers, -EPIPE, &woken);
	waiter_take_all(&chan->senders, -EPIPE, &woken);
	object_lock_release(&chan->object.lock);
	if (probes_tracing())
		trace(chan, STRAND_CHAN_CLOSE, strand_probe_chan,
		      (uintptr_t)__builtin_return_address(0));
	waiter_wake_all(&woken);
	return 0;
}

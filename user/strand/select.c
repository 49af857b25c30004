/* SPDX-License-Identifier: MIT */
/*
 * Select: one of several sends and receives.
 *
 * 1. Lock all channels, in the order of their addresses, each once.
 * 2. If a case is ready, do it and unlock. The search begins at a random case.
 * 3. Else link a waiter to each channel, park, and unlock when the stack is saved.
 * 4. Whoever claims the sleeper (waiter.h) does the one case on its waiter.
 * 5. Awake, unlink the other waiters under their channels' locks. Until then others may
 *    come across them; `fired` tells them that it is too late.
 *
 * The unlocking in step 3 walks the sorted array on the parked task's own stack. That is
 * safe although a waker may come as soon as the first lock is free: it can only put the
 * task into the inbox of the worker that is still unlocking (I2 in task.h).
 */
#include <errno.h>
#include <string.h>

#include "strand/chan.h"
#include "strand/sched.h"
#include "strand/waiter.h"

struct selection {
	struct strand_case *cases;
	size_t count;
	struct strand_chan *order[STRAND_SELECT_MAX]; /* distinct, by address */
	size_t order_count;
};

/* Selects are short: insertion keeps equal addresses out and needs no memory. */
static void sort_channels(struct selection *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct strand_chan *chan = s->cases[i].chan;
		size_t at = s->order_count;

		if (!chan || s->cases[i].op == STRAND_CASE_NONE)
			continue;
		while (at > 0 && s->order[at - 1] > chan)
			at--;
		if (at > 0 && s->order[at - 1] == chan)
			continue;
		if (at < s->order_count)
			memmove(&s->order[at + 1], &s->order[at],
				(s->order_count - at) * sizeof(s->order[0]));
		s->order[at] = chan;
		s->order_count++;
	}
}

static inline void lock_all(const struct selection *s)
{
	for (size_t i = 0; i < s->order_count; i++)
		object_lock_take(&s->order[i]->object.lock);
}

static void unlock_all(void *context)
{
	const struct selection *s = context;

	for (size_t i = s->order_count; i-- > 0;)
		object_lock_release(&s->order[i]->object.lock);
}

/* xorshift: good enough to be fair, one word of state a thread. */
static size_t random_below(size_t n)
{
	static _Thread_local uint32_t state;
	struct worker *w = sched_this_worker;
	uint32_t x = state ? state : (uint32_t)(uintptr_t)&state | 1;

	if (seed_in_use() && w)
		return seed_below(&w->rt->seed, n);
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	state = x;
	return (size_t)(((uint64_t)x * n) >> 32);
}

/* Do the first ready case from a random one on. Locks held. Returns its index, or -EAGAIN. */
static int try_all(struct selection *s, struct waiter **ret_peer)
{
	size_t start = s->count ? random_below(s->count) : 0;

	for (size_t n = 0; n < s->count; n++) {
		size_t i = start + n < s->count ? start + n : start + n - s->count;
		struct strand_case *c = &s->cases[i];

		if (!c->chan || c->op == STRAND_CASE_NONE)
			continue;
		c->result = c->op == STRAND_CASE_SEND
				    ? chan_try_send(c->chan, c->element, ret_peer)
				    : chan_try_recv(c->chan, c->element, ret_peer);
		if (c->result != -EAGAIN)
			return (int)i;
	}
	return -EAGAIN;
}

static void link_all(struct selection *s, struct sleeper *sleeper, struct waiter *waiters)
{
	for (size_t i = 0; i < s->count; i++) {
		struct strand_case *c = &s->cases[i];

		waiters[i] = (struct waiter){.element = c->element};
		if (!c->chan || c->op == STRAND_CASE_NONE)
			continue;
		waiter_link(&waiters[i], sleeper,
			    c->op == STRAND_CASE_SEND ? &c->chan->senders : &c->chan->receivers,
			    &c->chan->object.lock);
	}
}

static void unlink_all(struct selection *s, struct waiter *waiters)
{
	lock_all(s);
	for (size_t i = 0; i < s->count; i++) {
		if (waiters[i].linked)
			list_remove(&waiters[i].link);
	}
	unlock_all(s);
}

/* Step 3 to 5. Locks held; released. */
static __attribute__((noinline)) int wait_for_any(struct selection *s, strand_time deadline,
						  const struct frame *where)
{
	struct sleeper sleeper = sleeper_here();
	struct waiter waiters[s->count ? s->count : 1];
	struct wait_info info = {
		s->order_count ? STRAND_WAIT_SELECT : STRAND_WAIT_SELECT_NO_CASES,
		s->order_count == 1 ? (uintptr_t)s->order[0] : 0,
		where,
	};
	int r;

	sleeper.shared = true;
	sleeper.cases = s->cases;
	sleeper.case_count = s->count;
	link_all(s, &sleeper, waiters);
	r = sleeper_wait(&sleeper, &info, deadline, unlock_all, s);
	unlink_all(s, waiters);
	if (!sleeper.waiter)
		return r; /* -ETIMEDOUT, -ECANCELED */

	size_t chosen = (size_t)(sleeper.waiter - waiters);

	s->cases[chosen].result = r;
	return (int)chosen;
}

static bool are_valid(const struct strand_case *cases, size_t count)
{
	if (count > STRAND_SELECT_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		if ((unsigned)cases[i].op > STRAND_CASE_RECV)
			return false;
	}
	return true;
}

int strand_select(struct strand_case *cases, size_t count, strand_time deadline)
{
	struct frame where = CALLER_FRAME();
	struct selection s;
	struct waiter *peer = NULL;
	int r;

	if (!are_valid(cases, count))
		return -EINVAL;
	sched_perturb();
	s.cases = cases;
	s.count = count;
	s.order_count = 0;
	sort_channels(&s);
	lock_all(&s);
	r = try_all(&s, &peer);
	if (r == -EAGAIN) {
		r = wait_allowed(&deadline);
		if (r == 0)
			return wait_for_any(&s, deadline, &where);
	}
	unlock_all(&s);
	if (peer)
		sleeper_wake(peer->sleeper);
	return r;
}

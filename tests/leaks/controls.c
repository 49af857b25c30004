/* SPDX-License-Identifier: MIT */
/*
 * Tasks that wait, for long or for ever, for what something live can reach: none is leaked. And
 * busy programs, searched in the middle of their work.
 */
#include "corpus.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- reachable: each kind of object, held in each kind of live place --------------------- */

struct control_objects {
	struct strand_chan *chan, *selected;
	struct strand_mutex mutex;
	struct strand_cond cond;
	struct strand_waitgroup group;
	struct strand_semaphore semaphore;
};

#define CONTROL_KINDS 5

static struct control_objects control_globals[CORPUS_INSTANCES];
/* Not static: nobody reads it, so the compiler would not write it either. */
struct strand_chan *control_chans[CORPUS_INSTANCES];

void control_recv(void *arg)
{
	struct control_objects *objects = arg;

	recv_from(objects->chan);
}

void control_select(void *arg)
{
	struct control_objects *objects = arg;

	select_one(CAN_SEND(objects->selected), CAN_RECV(new_chan(0)));
}

void control_cond(void *arg)
{
	struct control_objects *objects = arg;

	lock(&objects->mutex);
	cond_wait(&objects->cond, &objects->mutex);
}

void control_waitgroup(void *arg)
{
	struct control_objects *objects = arg;

	group_wait(&objects->group);
}

void control_semaphore(void *arg)
{
	struct control_objects *objects = arg;

	must(strand_semaphore_acquire(&objects->semaphore, 1, STRAND_FOREVER), "acquire");
}

/* One task waits for each. */
void control_await_all(struct control_objects *objects)
{
	objects->chan = new_chan(0);
	objects->selected = new_chan(0);
	group_add(&objects->group, 1);
	go(control_recv, objects);
	go(control_select, objects);
	go(control_cond, objects);
	go(control_waitgroup, objects);
	go(control_semaphore, objects);
}

void control_global(void *instance)
{
	control_await_all(&control_globals[(uintptr_t)instance]);
}

void control_sleeper(void *instance UNUSED_ARG)
{
	struct control_objects objects = {0};

	control_await_all(&objects);
	strand_sleep(SOME_DAY);
	close_chan(objects.chan);
}

void control_deadline(void *instance UNUSED_ARG)
{
	struct control_objects objects = {0};

	control_await_all(&objects);
	strand_chan_recv(new_chan(0), SOME_DAY, NULL);
	close_chan(objects.chan);
}

void control_io(void *instance UNUSED_ARG)
{
	struct control_objects objects = {0};
	int fds[2];

	control_await_all(&objects);
	must(pipe2(fds, O_NONBLOCK) < 0 ? -errno : 0, "make a pipe");
	strand_wait_fd(fds[0], STRAND_READABLE, STRAND_FOREVER);
	close_chan(objects.chan);
}

void control_recv_from(void *chan)
{
	recv_from(chan);
}

/* False negative by design: any code could find the global. */
void control_no_leak_global(void *instance)
{
	control_chans[(uintptr_t)instance] = new_chan(0);
	recv_from(control_chans[(uintptr_t)instance]);
}

/* ---- timers, tickers, signals -------------------------------------------------------------- */

void control_timer_wait(void *instance UNUSED_ARG)
{
	strand_chan_recv(new_chan(0), SOME_DAY, NULL);
}

void control_timers(void *instance UNUSED_ARG)
{
	for (int i = 0; i < 50; i++)
		go(control_timer_wait, NULL);
}

void control_tick(void *chan)
{
	for (;;) {
		strand_sleep(SOME_DAY);
		send_to(chan);
	}
}

/* Who made the ticker has ended. */
void control_ticker(void *instance UNUSED_ARG)
{
	struct strand_chan *chan = new_chan(0);

	go(control_tick, chan);
	for (int i = 0; i < 49; i++)
		go(control_recv_from, chan);
}

/* A table of channels to send on when a signal comes. */
void control_signal(void *instance)
{
	struct strand_chan *chan = new_chan(1);

	control_chans[(uintptr_t)instance] = chan;
	for (int i = 0; i < 50; i++)
		go(control_recv_from, chan);
}

/* A fresh one-shot timer each time: one for suspicion, not for proof. */
void control_looping_timer(void *instance UNUSED_ARG)
{
	while (strand_chan_recv(new_chan(0), SOME_DAY, NULL) == -ETIMEDOUT)
		;
}

/* ---- corner cases --------------------------------------------------------------------------- */

struct control_closure {
	void (*call)(struct strand_chan *chan);
	struct strand_chan *chan;
};

void control_close_it(struct strand_chan *chan)
{
	close_chan(chan);
}

void control_call_later(void *arg)
{
	struct control_closure *closure = arg;

	strand_sleep(SOME_DAY);
	closure->call(closure->chan);
	free(closure);
}

/* The one pointer to the channel is in a heap block, which who sleeps will use. */
void control_chan_in_closure(void *instance UNUSED_ARG)
{
	struct control_closure *closure = malloc(sizeof(*closure));

	must(closure ? 0 : -ENOMEM, "make a closure");
	*closure = (struct control_closure){control_close_it, new_chan(0)};
	go(control_recv_from, closure->chan);
	go(control_call_later, closure);
}

void control_clean_up(int *unused UNUSED_ARG)
{
	must(-ECANCELED, "clean up after a leaked task: it must never run again");
}

/* It is leaked, and told of, but stays as it is. */
void control_deferred(void *instance UNUSED_ARG)
{
	int resource __attribute__((cleanup(control_clean_up), unused)) = 0;

	recv_from(new_chan(0));
}

/* ---- busy, and searched meanwhile ------------------------------------------------------------ */

struct control_pair {
	struct strand_waitgroup *start;
	struct strand_chan *chan;
};

void control_pair_recv(void *chan)
{
	recv_from(chan);
	strand_chan_unref(chan);
}

void control_pair_send(void *arg)
{
	struct control_pair pair = *(struct control_pair *)arg;

	group_wait(pair.start);
	send_to(pair.chan);
	strand_chan_unref(pair.chan);
}

/* Senders wait to be let go; receivers are there already, or come afterwards. */
void control_pairs(struct strand_chan *chans[], int count, bool receivers_first)
{
	struct strand_waitgroup start = {0};

	group_add(&start, 1);
	for (int i = 0; i < count; i++) {
		struct control_pair pair = {&start, new_chan(0)};

		chans[i] = strand_chan_ref(pair.chan);
		if (receivers_first)
			go(control_pair_recv, chans[i]);
		go_and_settle(control_pair_send, &pair);
	}
	expect_leaks(0);
	group_done(&start);
	for (int i = 0; i < count && !receivers_first; i++)
		go(control_pair_recv, chans[i]);
	expect_leaks(0);
	settle();
}

void control_creation(void *instance UNUSED_ARG)
{
	struct strand_chan *chans[10];

	control_pairs(chans, 10, false);
}

void control_contention(void *instance UNUSED_ARG)
{
	struct strand_chan *chans[10];

	control_pairs(chans, 10, true);
}

void control_contended_close(void *instance UNUSED_ARG)
{
	struct strand_chan *chan = new_chan(0);

	for (int i = 0; i < 500; i++)
		go(control_recv_from, chan);
	settle();
	expect_leaks(0);
	close_chan(chan);
}

void control_compute(void *instance UNUSED_ARG)
{
	for (volatile int i = 0; i < 1000; i++)
		;
}

void control_no_blocks(void *instance UNUSED_ARG)
{
	for (int i = 0; i < 500; i++)
		go(control_compute, NULL);
	expect_leaks(0);
}

/* ---- used as meant ---------------------------------------------------------------------------- */

void control_signalled(void *instance UNUSED_ARG)
{
	struct control_objects objects = {0};

	go_and_settle(control_cond, &objects);
	expect_leaks(0);
	must(strand_cond_signal(&objects.cond), "signal");
	settle();
}

void control_lock_it(void *mutex)
{
	lock(mutex);
	unlock(mutex);
}

void control_unlocked(void *instance UNUSED_ARG)
{
	struct strand_mutex mutex = {0};

	lock(&mutex);
	go_and_settle(control_lock_it, &mutex);
	expect_leaks(0);
	unlock(&mutex);
	settle();
}

void control_count_is_zero(void *instance UNUSED_ARG)
{
	struct strand_waitgroup group = {0};

	group_wait(&group);
	group_add(&group, 1);
	group_done(&group);
	group_wait(&group);
}

const struct corpus_case control_cases[] = {
	{"control/NoLeakGlobal", control_no_leak_global, .waiting = 1},
	{"control/global", control_global, .waiting = CONTROL_KINDS},
	{"control/frame of a sleeper", control_sleeper, .waiting = CONTROL_KINDS + 1},
	{"control/frame of one with a deadline", control_deadline, .waiting = CONTROL_KINDS + 1},
	{"control/frame of one in I/O", control_io, .waiting = CONTROL_KINDS + 1},
	{"control/timer", control_timers, .waiting = 50},
	{"control/ticker", control_ticker, .waiting = 50},
	{"control/signal", control_signal, .waiting = 50},
	{"control/looping-timer", control_looping_timer, .waiting = 1},
	{"control/chan-in-closure", control_chan_in_closure, .waiting = 2},
	{"control/defer", control_deferred, .leaks = {{"control_deferred", "chan receive", 1}}},
	{"control/creation", control_creation, .waiting = 0},
	{"control/contention", control_contention, .waiting = 0},
	{"control/contended-close", control_contended_close, .waiting = 0},
	{"control/no-blocks", control_no_blocks, .waiting = 0},
	{"control/cond", control_signalled, .waiting = 0},
	{"control/mutex", control_unlocked, .waiting = 0},
	{"control/waitgroup", control_count_is_zero, .waiting = 0},
	{0},
};

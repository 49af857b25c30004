/* SPDX-License-Identifier: MIT */
/* One primitive each, used wrongly in the plainest way. */
#include "corpus.h"

/* ---- channels -------------------------------------------------------------------- */

void simple_nil_recv(void *instance UNUSED_ARG)
{
	recv_from(NULL);
}

void simple_nil_send(void *instance UNUSED_ARG)
{
	send_to(NULL);
}

void simple_select_no_cases(void *instance UNUSED_ARG)
{
	strand_select(NULL, 0, STRAND_FOREVER);
}

void simple_recv_from_idler(void *chan)
{
	recv_from(chan);
}

/*
 * Go spares its main goroutine in an empty select the report. Here the main task is like any
 * other, so one that waits for ever is told of, beside what it alone could have woken.
 */
void simple_idle_with_chan(void *instance UNUSED_ARG)
{
	struct strand_chan *chan = new_chan(0);

	go_and_settle(simple_recv_from_idler, chan);
	strand_select(NULL, 0, STRAND_FOREVER);
	close_chan(chan);
}

void simple_chan_recv(void *instance UNUSED_ARG)
{
	recv_from(new_chan(0));
}

void simple_chan_send(void *instance UNUSED_ARG)
{
	send_to(new_chan(0));
}

void simple_select(void *instance UNUSED_ARG)
{
	select_one(CAN_SEND(new_chan(0)), CAN_RECV(new_chan(0)));
}

void simple_loop(void *instance UNUSED_ARG)
{
	for (int i = 0; i < 5; i++)
		go(simple_chan_recv, NULL);
}

/* ---- locks ------------------------------------------------------------------------ */

void simple_mutex_on_stack(void *instance UNUSED_ARG)
{
	struct strand_mutex mutex = {0};

	lock(&mutex);
	lock(&mutex);
}

void simple_mutexes_on_stack(void *instance UNUSED_ARG)
{
	for (int i = 0; i < 50; i++)
		go(simple_mutex_on_stack, NULL);
}

/* Only the owner can unlock: that the heap is a root does not matter. */
void simple_mutex_on_heap(void *mutex)
{
	lock(mutex);
	lock(mutex);
}

void simple_mutex_parent(void *instance UNUSED_ARG)
{
	go(simple_mutex_on_heap, calloc(1, sizeof(struct strand_mutex)));
}

void simple_mutexes_on_heap(void *instance UNUSED_ARG)
{
	for (int i = 0; i < 50; i++)
		go(simple_mutex_parent, NULL);
}

void simple_read_as_writer(void *instance UNUSED_ARG)
{
	struct strand_rwlock rwlock = {0};

	write_lock(&rwlock);
	read_lock(&rwlock);
}

void simple_write_twice(void *instance UNUSED_ARG)
{
	struct strand_rwlock rwlock = {0};

	write_lock(&rwlock);
	write_lock(&rwlock);
}

void simple_write_and_end(void *rwlock)
{
	write_lock(rwlock);
}

void simple_read_after_writer(void *instance UNUSED_ARG)
{
	struct strand_rwlock rwlock = {0};

	go_and_settle(simple_write_and_end, &rwlock);
	read_lock(&rwlock);
}

void simple_read_and_end(void *rwlock)
{
	read_lock(rwlock);
}

void simple_write_after_reader(void *instance UNUSED_ARG)
{
	struct strand_rwlock rwlock = {0};

	go_and_settle(simple_read_and_end, &rwlock);
	write_lock(&rwlock);
}

/* ---- conditions and wait groups ------------------------------------------------------- */

void simple_cond(void *instance UNUSED_ARG)
{
	struct strand_mutex mutex = {0};
	struct strand_cond cond = {0};

	lock(&mutex);
	cond_wait(&cond, &mutex);
}

void simple_waitgroup(void *instance UNUSED_ARG)
{
	struct strand_waitgroup group = {0};

	group_add(&group, 1);
	group_wait(&group);
}

/* Needs to know who points to a heap block. */
void simple_waitgroup_on_heap(void *instance UNUSED_ARG)
{
	struct strand_waitgroup *group = calloc(1, sizeof(*group));

	group_add(group, 1);
	group_wait(group);
}

/* ---- two together ------------------------------------------------------------------ */

struct simple_mix {
	struct strand_waitgroup group;
	struct strand_chan *results;
};

void simple_mixed_worker(void *arg)
{
	struct simple_mix *mix = arg;

	send_to(mix->results);
	group_done(&mix->group);
}

/* It waits for the worker first, and would receive afterwards. */
void simple_mixed(void *instance UNUSED_ARG)
{
	struct simple_mix mix = {.results = new_chan(0)};

	group_add(&mix.group, 1);
	go(simple_mixed_worker, &mix);
	group_wait(&mix.group);
	recv_from(mix.results);
}

/* Of four workers the first fails; the collector takes no more results, and waits for all. */
void simple_collector(void *instance UNUSED_ARG)
{
	struct simple_mix mix = {.results = new_chan(0)};

	group_add(&mix.group, 4);
	for (int i = 0; i < 4; i++)
		go(simple_mixed_worker, &mix);
	recv_from(mix.results);
	group_wait(&mix.group);
}

void simple_activity(void *arg)
{
	struct simple_mix *mix = arg;

	group_done(&mix->group);
}

void simple_ranger(void *arg)
{
	struct simple_mix *mix = arg;

	while (recv_from(mix->results) == 0)
		;
	group_done(&mix->group);
}

/* Counted four, started three, and one of them waits for a close that comes after the wait. */
void simple_miscounted(void *instance UNUSED_ARG)
{
	struct simple_mix mix = {.results = new_chan(0)};

	group_add(&mix.group, 4);
	go(simple_activity, &mix);
	go(simple_activity, &mix);
	go(simple_ranger, &mix);
	group_wait(&mix.group);
	close_chan(mix.results);
}

/* ---- a tree of tasks: 1 + i * (those of depth i - 1) leak below depth i ------------------ */

void simple_tree(void *arg)
{
	intptr_t depth = (intptr_t)arg;

	if (depth > 0)
		go(simple_chan_recv, NULL);
	for (intptr_t i = 0; i < depth; i++)
		go(simple_tree, (void *)(depth - 1));
}

void simple_tree_root(void *instance UNUSED_ARG)
{
	go(simple_tree, (void *)5);
}

const struct corpus_case simple_cases[] = {
	{"simple/NilRecv", simple_nil_recv,
	 .leaks = {{"simple_nil_recv", "chan receive (nil chan)", 1}}},
	{"simple/NilSend", simple_nil_send,
	 .leaks = {{"simple_nil_send", "chan send (nil chan)", 1}}},
	{"simple/SelectNoCases", simple_select_no_cases,
	 .leaks = {{"simple_select_no_cases", "select (no cases)", 1}}},
	{"simple/SelectNoCasesMain", simple_idle_with_chan,
	 .leaks = {{"simple_idle_with_chan", "select (no cases)", 1},
		   {"simple_recv_from_idler", "chan receive", 1}}},
	{"simple/ChanRecv", simple_chan_recv, .leaks = {{"simple_chan_recv", "chan receive", 1}}},
	{"simple/ChanSend", simple_chan_send, .leaks = {{"simple_chan_send", "chan send", 1}}},
	{"simple/Select", simple_select, .leaks = {{"simple_select", "select", 1}}},
	{"simple/loop", simple_loop, .leaks = {{"simple_chan_recv", "chan receive", 5}}},
	{"simple/MutexStack", simple_mutexes_on_stack,
	 .leaks = {{"simple_mutex_on_stack", "mutex lock", 50}}},
	{"simple/MutexHeap", simple_mutexes_on_heap,
	 .leaks = {{"simple_mutex_on_heap", "mutex lock", 50}}},
	{"simple/RWMutexRLock", simple_read_as_writer,
	 .leaks = {{"simple_read_as_writer", "rwlock rlock", 1}}},
	{"simple/RWMutexLock", simple_write_twice,
	 .leaks = {{"simple_write_twice", "rwlock lock", 1}}},
	{"simple/rwmutex, writer ended", simple_read_after_writer,
	 .leaks = {{"simple_read_after_writer", "rwlock rlock", 1}}},
	{"simple/rwmutex, reader ended", simple_write_after_reader,
	 .leaks = {{"simple_write_after_reader", "rwlock lock", 1}}},
	{"simple/Cond", simple_cond, .leaks = {{"simple_cond", "cond wait", 1}}},
	{"simple/WaitGroup", simple_waitgroup,
	 .leaks = {{"simple_waitgroup", "waitgroup wait", 1}}},
	{"simple/heap-waitgroup", simple_waitgroup_on_heap,
	 .leaks = {{"simple_waitgroup_on_heap", "waitgroup wait", HEAP_TIER >= 1 ? 1 : 0}},
	 .waiting = HEAP_TIER >= 1 ? 0 : 1},
	{"simple/Mixed", simple_mixed,
	 .leaks = {{"simple_mixed", "waitgroup wait", 1}, {"simple_mixed_worker", "chan send", 1}}},
	{"simple/mixed, collector", simple_collector,
	 .leaks = {{"simple_collector", "waitgroup wait", 1},
		   {"simple_mixed_worker", "chan send", 3}}},
	{"complex/mixed-deadlock", simple_miscounted,
	 .leaks = {{"simple_miscounted", "waitgroup wait", 1},
		   {"simple_ranger", "chan receive", 1}}},
	{"stress/SpawnGC", simple_tree_root, .leaks = {{"simple_chan_recv", "chan receive", 206}}},
	{0},
};

/* SPDX-License-Identifier: MIT */
/* Kernels of bugs in CockroachDB, by the number of the issue or pull request. */
#include "corpus.h"

/* 584: the loop is left with the lock held; what comes next locks again. */
void cockroach584_bootstrap(struct strand_mutex *mutex)
{
	for (bool closed = false;; closed = true) {
		lock(mutex);
		if (closed)
			break;
		unlock(mutex);
	}
}

void cockroach584_manage(void *instance UNUSED_ARG)
{
	struct strand_mutex mutex = {0};

	cockroach584_bootstrap(&mutex);
	lock(&mutex);
}

/* 1462: the consumer left when asked to stop; the producer is already about to send. */
struct cockroach1462 {
	struct strand_chan *events, *stop;
	struct strand_waitgroup workers;
};

void cockroach1462_consumer(void *arg)
{
	struct cockroach1462 *stopper = arg;

	while (select_one(CAN_RECV(stopper->events), CAN_RECV(stopper->stop)) == 0)
		;
}

void cockroach1462_producer(void *arg)
{
	struct cockroach1462 *stopper = arg;

	send_to(stopper->events);
	group_done(&stopper->workers);
}

void cockroach1462_stop(void *instance UNUSED_ARG)
{
	struct cockroach1462 stopper = {.events = new_chan(0), .stop = new_chan(0)};

	group_add(&stopper.workers, 1);
	go_and_settle(cockroach1462_consumer, &stopper);
	close_chan(stopper.stop);
	settle();
	go(cockroach1462_producer, &stopper);
	group_wait(&stopper.workers);
}

/* 3710: read, a writer queues up, read again deeper down. */
void cockroach3710_process_raft(void *rwlock)
{
	write_lock(rwlock);
}

void cockroach3710_log_size(struct strand_rwlock *rwlock)
{
	read_lock(rwlock);
}

void cockroach3710_force_scan(void *instance UNUSED_ARG)
{
	struct strand_rwlock rwlock = {0};

	read_lock(&rwlock);
	go_and_settle(cockroach3710_process_raft, &rwlock);
	cockroach3710_log_size(&rwlock);
}

/* 7504: acquire takes names, then a lease; release takes tables, the lease, then names. */
struct cockroach7504 {
	struct strand_mutex names, lease, tables;
};

void cockroach7504_release(void *arg)
{
	struct cockroach7504 *manager = arg;

	lock(&manager->tables);
	lock(&manager->lease);
	lock(&manager->names);
}

void cockroach7504_acquire(void *instance UNUSED_ARG)
{
	struct cockroach7504 manager = {0};

	lock(&manager.names);
	go_and_settle(cockroach7504_release, &manager);
	lock(&manager.lease);
}

/* 9935: no log file can be made, so leave; leaving locks the log, which is locked. */
void cockroach9935_exit(struct strand_mutex *log)
{
	lock(log);
}

void cockroach9935_output(void *instance UNUSED_ARG)
{
	struct strand_mutex log = {0};

	lock(&log);
	cockroach9935_exit(&log);
}

/* 10790: cancelled before anybody has sent: drainers are started for those who never come. */
struct cockroach10790 {
	struct strand_chan *commands[2];
};

void cockroach10790_drain(void *arg)
{
	struct cockroach10790 batch = *(struct cockroach10790 *)arg;

	for (int i = 0; i < 2; i++)
		recv_from(batch.commands[i]);
}

void cockroach10790_begin(void *instance UNUSED_ARG)
{
	struct cockroach10790 batch = {{new_chan(0), new_chan(0)}};
	struct strand_chan *context = new_chan(0);

	close_chan(context);
	for (int i = 0; i < 2; i++)
		if (select_one(CAN_RECV(batch.commands[i]), CAN_RECV(context)) == 1)
			go_and_settle(cockroach10790_drain, &batch);
}

/* 13197: a transaction is dropped, neither committed nor rolled back. */
void cockroach13197_await_done(void *context)
{
	recv_from(context);
}

void cockroach13197_begin(void *instance UNUSED_ARG)
{
	go(cockroach13197_await_done, new_chan(0));
}

/* 18101: the reader returns after one item; six more fit, the eighth does not. */
void cockroach18101_split(void *ready)
{
	for (int i = 0; i < 8; i++)
		send_to(ready);
}

void cockroach18101_restore(void *instance UNUSED_ARG)
{
	struct strand_chan *ready = new_chan(6);

	go(cockroach18101_split, ready);
	recv_from(ready);
}

/* 24808: the one place is taken, and the reader is started after the send. */
void cockroach24808_reader(void *chan)
{
	recv_from(chan);
}

void cockroach24808_start(void *instance UNUSED_ARG)
{
	struct strand_chan *chan = new_chan(1);

	send_to(chan);
	send_to(chan);
	go(cockroach24808_reader, chan);
}

/* 25456: waits to be told of a quiescence that nobody will ever announce. */
void cockroach25456_process(void *instance UNUSED_ARG)
{
	recv_from(new_chan(0));
}

/* 35073: all places are taken, the outbox has ended without draining; both push. */
void cockroach35073_outbox(void *rows UNUSED_ARG)
{
}

void cockroach35073_push(void *rows)
{
	send_to(rows);
}

void cockroach35073_flow(void *instance UNUSED_ARG)
{
	struct strand_chan *rows = new_chan(16);

	for (int i = 0; i < 16; i++)
		send_to(rows);
	go_and_settle(cockroach35073_outbox, rows);
	go_and_settle(cockroach35073_push, rows);
	send_to(rows);
}

const struct corpus_case goker_cockroach_cases[] = {
	{"cockroach/584", cockroach584_manage, .leaks = {{"cockroach584_manage", "mutex lock", 1}}},
	{"cockroach/1462", cockroach1462_stop,
	 .leaks = {{"cockroach1462_producer", "chan send", 1},
		   {"cockroach1462_stop", "waitgroup wait", 1}}},
	{"cockroach/3710", cockroach3710_force_scan,
	 .leaks = {{"cockroach3710_log_size", "rwlock rlock", 1},
		   {"cockroach3710_process_raft", "rwlock lock", 1}}},
	{"cockroach/7504", cockroach7504_acquire,
	 .leaks = {{"cockroach7504_acquire", "mutex lock", 1},
		   {"cockroach7504_release", "mutex lock", 1}}},
	{"cockroach/9935", cockroach9935_output,
	 .leaks = {{"cockroach9935_exit", "mutex lock", 1}}},
	{"cockroach/10790", cockroach10790_begin,
	 .leaks = {{"cockroach10790_drain", "chan receive", 2}}},
	{"cockroach/13197", cockroach13197_begin,
	 .leaks = {{"cockroach13197_await_done", "chan receive", 1}}},
	{"cockroach/18101", cockroach18101_restore,
	 .leaks = {{"cockroach18101_split", "chan send", 1}}},
	{"cockroach/24808", cockroach24808_start,
	 .leaks = {{"cockroach24808_start", "chan send", 1}}},
	{"cockroach/25456", cockroach25456_process,
	 .leaks = {{"cockroach25456_process", "chan receive", 1}}},
	{"cockroach/35073", cockroach35073_flow,
	 .leaks = {{"cockroach35073_flow", "chan send", 1},
		   {"cockroach35073_push", "chan send", 1}}},
	{0},
};

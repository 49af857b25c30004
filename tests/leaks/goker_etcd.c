/* SPDX-License-Identifier: MIT */
/* Kernels of bugs in etcd, by the number of the issue or pull request. */
#include "corpus.h"

/* 6708: sync holds the lock, and asks a member for what reads under the same lock. */
void etcd6708_do(struct strand_rwlock *client)
{
	read_lock(client);
}

void etcd6708_sync(void *instance UNUSED_ARG)
{
	struct strand_rwlock client = {0};

	write_lock(&client);
	etcd6708_do(&client);
}

/* 6857: the loop took the stop and returned; a status is asked for without a look at done. */
struct etcd6857 {
	struct strand_chan *status, *stop, *done;
};

void etcd6857_run(void *arg)
{
	struct etcd6857 node = *(struct etcd6857 *)arg;

	while (select_one(CAN_RECV(node.status), CAN_RECV(node.stop)) == 0)
		;
	close_chan(node.done);
}

void etcd6857_status(void *status)
{
	send_to(status);
}

void etcd6857_test(void *instance UNUSED_ARG)
{
	struct etcd6857 node = {new_chan(0), new_chan(0), new_chan(0)};

	go_and_settle(etcd6857_run, &node);
	send_to(node.stop);
	recv_from(node.done);
	go(etcd6857_status, node.status);
}

/*
 * 7492: the first token is taken, the second buffered, the third adder sends with the lock
 * held; now the keeper's ticker wins, and wants that lock.
 */
struct etcd7492 {
	struct strand_rwlock tokens;
	struct strand_waitgroup adders;
	struct strand_chan *added, *tick;
};

void etcd7492_keeper(void *arg)
{
	struct etcd7492 *keeper = arg;

	select_one(CAN_RECV(keeper->added), CAN_RECV(keeper->tick));
	recv_from(keeper->tick); /* both would be ready: the choice that harms */
	write_lock(&keeper->tokens);
}

void etcd7492_add(void *arg)
{
	struct etcd7492 *keeper = arg;

	write_lock(&keeper->tokens);
	send_to(keeper->added);
	write_unlock(&keeper->tokens);
	group_done(&keeper->adders);
}

void etcd7492_test(void *instance UNUSED_ARG)
{
	struct etcd7492 keeper = {.added = new_chan(1), .tick = new_chan(0)};

	group_add(&keeper.adders, 3);
	go_and_settle(etcd7492_keeper, &keeper);
	for (int i = 0; i < 3; i++)
		go_and_settle(etcd7492_add, &keeper);
	send_to(keeper.tick);
	group_wait(&keeper.adders);
}

/* 10492: renewing a lease calls a checkpoint with the lock held, and that locks. */
void etcd10492_checkpoint(struct strand_rwlock *leases)
{
	write_lock(leases);
}

void etcd10492_renew(void *instance UNUSED_ARG)
{
	struct strand_rwlock leases = {0};

	write_lock(&leases);
	etcd10492_checkpoint(&leases);
}

/* 7443: who reads the channel itself sends on it, with a lock that others want. */
struct etcd7443 {
	struct strand_mutex balancer;
	struct strand_chan *notify;
};

void etcd7443_up(void *arg)
{
	struct etcd7443 *balancer = arg;

	lock(&balancer->balancer);
	unlock(&balancer->balancer);
}

void etcd7443_down(struct etcd7443 *balancer)
{
	lock(&balancer->balancer);
	go_and_settle(etcd7443_up, balancer);
	send_to(balancer->notify);
	unlock(&balancer->balancer);
}

void etcd7443_watcher(void *instance UNUSED_ARG)
{
	struct etcd7443 balancer = {.notify = new_chan(1)};

	send_to(balancer.notify);
	etcd7443_down(&balancer);
	recv_from(balancer.notify);
}

const struct corpus_case goker_etcd_cases[] = {
	{"etcd/6708", etcd6708_sync, .leaks = {{"etcd6708_do", "rwlock rlock", 1}}},
	{"etcd/6857", etcd6857_test, .leaks = {{"etcd6857_status", "chan send", 1}}},
	{"etcd/7492", etcd7492_test,
	 .leaks = {{"etcd7492_test", "waitgroup wait", 1},
		   {"etcd7492_add", "chan send", 1},
		   {"etcd7492_keeper", "rwlock lock", 1}}},
	{"etcd/10492", etcd10492_renew, .leaks = {{"etcd10492_checkpoint", "rwlock lock", 1}}},
	{"etcd/7443", etcd7443_watcher,
	 .leaks = {{"etcd7443_down", "chan send", 1}, {"etcd7443_up", "mutex lock", 1}}},
	{0},
};

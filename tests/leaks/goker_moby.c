/* SPDX-License-Identifier: MIT */
/* Kernels of bugs in Moby (Docker), by the number of the issue or pull request. */
#include "corpus.h"

/* 17176: nothing to clean up, so it returns early, with the lock held. */
void moby17176_cleanup(void *devices)
{
	lock(devices);
}

void moby17176_test(void *instance UNUSED_ARG)
{
	struct strand_mutex devices = {0};

	go_and_settle(moby17176_cleanup, &devices);
	lock(&devices);
}

/*
 * 21233: nobody takes progress any more, so the first forwarder is stuck in it. The tester
 * waits for it to say that it runs, and never comes to release the two others.
 */
struct moby21233 {
	struct strand_chan *progress, *running, *signal, *released;
};

void moby21233_forward(void *arg)
{
	struct moby21233 *transfer = arg;

	send_to(transfer->progress);
	close_chan(transfer->running);
}

void moby21233_watch(void *arg)
{
	struct moby21233 *transfer = arg;

	select_one(CAN_RECV(transfer->signal), CAN_RECV(transfer->released));
}

void moby21233_test(void *instance UNUSED_ARG)
{
	struct moby21233 transfer = {new_chan(0), new_chan(0), new_chan(0), new_chan(0)};

	go(moby21233_forward, &transfer);
	go(moby21233_watch, &transfer);
	go(moby21233_watch, &transfer);
	recv_from(transfer.running);
	close_chan(transfer.released);
}

/* 25384: counts all plugins, but waits after it has started the first one. */
void moby25384_restore(void *group)
{
	group_done(group);
}

void moby25384_init(void *instance UNUSED_ARG)
{
	struct strand_waitgroup group = {0};

	group_add(&group, 2);
	for (int i = 0; i < 2; i++) {
		go(moby25384_restore, &group);
		group_wait(&group);
	}
}

/* 28462: tells the monitor to stop with the lock held that the monitor's probe wants. */
struct moby28462 {
	struct strand_mutex container;
	struct strand_chan *stop;
};

void moby28462_monitor(void *arg)
{
	struct moby28462 *daemon = arg;

	lock(&daemon->container);
	unlock(&daemon->container);
	recv_from(daemon->stop);
}

void moby28462_state_changed(void *instance UNUSED_ARG)
{
	struct moby28462 daemon = {.stop = new_chan(0)};

	lock(&daemon.container);
	go(moby28462_monitor, &daemon);
	send_to(daemon.stop);
	unlock(&daemon.container);
}

/* 33781: the monitor returned when it was stopped; its probe has a result. */
struct moby33781 {
	struct strand_chan *results, *stop;
};

void moby33781_probe(void *results)
{
	send_to(results);
}

void moby33781_monitor(void *instance UNUSED_ARG)
{
	struct moby33781 monitor = {new_chan(0), new_chan(0)};

	close_chan(monitor.stop);
	if (select_one(CAN_RECV(monitor.results), CAN_RECV(monitor.stop)) == 1)
		go(moby33781_probe, monitor.results);
}

/* 36114: adding fails, and to remove again locks what adding has locked. */
void moby36114_hot_remove(struct strand_mutex *vm)
{
	lock(vm);
}

void moby36114_hot_add(void *instance UNUSED_ARG)
{
	struct strand_mutex vm = {0};

	lock(&vm);
	moby36114_hot_remove(&vm);
}

/* 33293: the error is sent before the caller has been given the channel. */
struct strand_chan *moby33293_wait(void)
{
	struct strand_chan *errors = new_chan(0);

	send_to(errors);
	return errors;
}

void moby33293_test(void *instance UNUSED_ARG)
{
	recv_from(moby33293_wait());
}

/* 4395: runs a function, and returns a channel with its result; the caller drops that. */
void moby4395_run(void *result)
{
	send_to(result);
}

struct strand_chan *moby4395_go(void)
{
	struct strand_chan *result = new_chan(0);

	go(moby4395_run, result);
	return result;
}

void moby4395_test(void *instance UNUSED_ARG)
{
	moby4395_go();
}

const struct corpus_case goker_moby_cases[] = {
	{"moby/17176", moby17176_test, .leaks = {{"moby17176_test", "mutex lock", 1}}},
	{"moby/21233", moby21233_test,
	 .leaks = {{"moby21233_test", "chan receive", 1},
		   {"moby21233_forward", "chan send", 1},
		   {"moby21233_watch", "select", 2}}},
	{"moby/25384", moby25384_init, .leaks = {{"moby25384_init", "waitgroup wait", 1}}},
	{"moby/28462", moby28462_state_changed,
	 .leaks = {{"moby28462_state_changed", "chan send", 1},
		   {"moby28462_monitor", "mutex lock", 1}}},
	{"moby/33781", moby33781_monitor, .leaks = {{"moby33781_probe", "chan send", 1}}},
	{"moby/36114", moby36114_hot_add, .leaks = {{"moby36114_hot_remove", "mutex lock", 1}}},
	{"moby/33293", moby33293_test, .leaks = {{"moby33293_wait", "chan send", 1}}},
	{"moby/4395", moby4395_test, .leaks = {{"moby4395_run", "chan send", 1}}},
	{0},
};

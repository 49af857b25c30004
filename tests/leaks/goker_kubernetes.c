/* SPDX-License-Identifier: MIT */
/* Kernels of bugs in Kubernetes, by the number of the issue or pull request. */
#include "corpus.h"

/* 1321: sends to a watcher with the lock held that one needs to close the watcher. */
struct kubernetes1321 {
	struct strand_mutex mutex;
	struct strand_chan *watcher;
};

void kubernetes1321_stop_watching(void *arg)
{
	struct kubernetes1321 *mux = arg;

	lock(&mux->mutex);
	close_chan(mux->watcher);
	unlock(&mux->mutex);
}

void kubernetes1321_distribute(struct kubernetes1321 *mux)
{
	lock(&mux->mutex);
	go(kubernetes1321_stop_watching, mux);
	send_to(mux->watcher);
	unlock(&mux->mutex);
}

void kubernetes1321_loop(void *instance UNUSED_ARG)
{
	struct kubernetes1321 mux = {.watcher = new_chan(0)};

	kubernetes1321_distribute(&mux);
}

/* 5316: the result comes after the caller has given up. */
struct kubernetes5316 {
	struct strand_chan *result, *late;
};

void kubernetes5316_handle(void *arg)
{
	struct kubernetes5316 request = *(struct kubernetes5316 *)arg;

	recv_from(request.late);
	send_to(request.result);
}

void kubernetes5316_finish(void *instance UNUSED_ARG)
{
	struct kubernetes5316 request = {new_chan(0), new_chan(0)};

	go(kubernetes5316_handle, &request);
	if (strand_chan_recv(request.result, VERY_SOON, NULL) == -ETIMEDOUT)
		send_to(request.late);
}

/* 10182: a second status is sent with the lock held; its one reader first wants the lock. */
struct kubernetes10182 {
	struct strand_rwlock rwlock;
	struct strand_chan *status;
};

void kubernetes10182_set_status(void *arg)
{
	struct kubernetes10182 *manager = arg;

	write_lock(&manager->rwlock);
	send_to(manager->status);
	write_unlock(&manager->rwlock);
}

void kubernetes10182_delete_status(struct kubernetes10182 *manager)
{
	write_lock(&manager->rwlock);
	write_unlock(&manager->rwlock);
}

void kubernetes10182_start(void *instance UNUSED_ARG)
{
	struct kubernetes10182 manager = {.status = new_chan(0)};

	go(kubernetes10182_set_status, &manager);
	recv_from(manager.status);
	settle();
	go_and_settle(kubernetes10182_set_status, &manager);
	kubernetes10182_delete_status(&manager);
}

/* 11298: the signal is lost: it comes before the one who waits for it. */
struct kubernetes11298 {
	struct strand_mutex mutex;
	struct strand_cond aborted;
	struct strand_chan *after, *service;
};

void kubernetes11298_after(void *arg)
{
	struct kubernetes11298 *notifier = arg;

	lock(&notifier->mutex);
	cond_wait(&notifier->aborted, &notifier->mutex);
	close_chan(notifier->after);
}

void kubernetes11298_service(void *arg)
{
	struct kubernetes11298 *notifier = arg;

	recv_from(notifier->after);
	close_chan(notifier->service);
}

void kubernetes11298_notify(void *instance UNUSED_ARG)
{
	struct kubernetes11298 notifier = {.after = new_chan(0), .service = new_chan(0)};

	must(strand_cond_signal(&notifier.aborted), "signal");
	go(kubernetes11298_after, &notifier);
	go(kubernetes11298_service, &notifier);
	recv_from(notifier.service);
}

/* 25331: on an error it cancels, and then sends the error to nobody. */
void kubernetes25331_run(void *instance UNUSED_ARG)
{
	struct strand_chan *context = new_chan(0), *results = new_chan(0);

	close_chan(context);
	send_to(results);
}

/* 26980: pop waits for the stop with the lock held; the adder wants it; the parent stops last. */
struct kubernetes26980 {
	struct strand_rwlock rwlock;
	struct strand_chan *added, *stop;
};

void kubernetes26980_pop(void *arg)
{
	struct kubernetes26980 *listener = arg;

	write_lock(&listener->rwlock);
	recv_from(listener->stop);
	write_unlock(&listener->rwlock);
}

void kubernetes26980_add(void *arg)
{
	struct kubernetes26980 *listener = arg;

	write_lock(&listener->rwlock);
	write_unlock(&listener->rwlock);
	send_to(listener->added);
}

void kubernetes26980_test(void *instance UNUSED_ARG)
{
	struct kubernetes26980 listener = {.added = new_chan(0), .stop = new_chan(0)};

	go_and_settle(kubernetes26980_pop, &listener);
	go(kubernetes26980_add, &listener);
	recv_from(listener.added);
	close_chan(listener.stop);
}

/* 30872: informer, then queue, against queue, then informer; who stops it all queues up. */
struct kubernetes30872 {
	struct strand_mutex informer, queue;
};

void kubernetes30872_pop(void *arg)
{
	struct kubernetes30872 *controller = arg;

	lock(&controller->queue);
	lock(&controller->informer);
}

void kubernetes30872_stop(void *arg)
{
	struct kubernetes30872 *controller = arg;

	lock(&controller->informer);
}

void kubernetes30872_start(void *instance UNUSED_ARG)
{
	struct kubernetes30872 controller = {0};

	lock(&controller.informer);
	go_and_settle(kubernetes30872_pop, &controller);
	go(kubernetes30872_stop, &controller);
	lock(&controller.queue);
}

/* 38669: the first events go out before there is a reader; stopping closes only the input. */
struct kubernetes38669 {
	struct strand_chan *input, *result;
};

void kubernetes38669_process(void *arg)
{
	struct kubernetes38669 watcher = *(struct kubernetes38669 *)arg;

	send_to(watcher.result);
	while (recv_from(watcher.input) == 0)
		send_to(watcher.result);
}

void kubernetes38669_watch(void *instance UNUSED_ARG)
{
	struct kubernetes38669 watcher = {new_chan(0), new_chan(0)};

	go_and_settle(kubernetes38669_process, &watcher);
	close_chan(watcher.input);
}

/* 62464: read, a writer queues up, read again. */
void kubernetes62464_remove(void *state)
{
	write_lock(state);
}

void kubernetes62464_cpu_set(struct strand_rwlock *state)
{
	read_lock(state);
}

void kubernetes62464_reconcile(void *instance UNUSED_ARG)
{
	struct strand_rwlock state = {0};

	read_lock(&state);
	go_and_settle(kubernetes62464_remove, &state);
	kubernetes62464_cpu_set(&state);
}

const struct corpus_case goker_kubernetes_cases[] = {
	{"kubernetes/1321", kubernetes1321_loop,
	 .leaks = {{"kubernetes1321_distribute", "chan send", 1},
		   {"kubernetes1321_stop_watching", "mutex lock", 1}}},
	{"kubernetes/5316", kubernetes5316_finish,
	 .leaks = {{"kubernetes5316_handle", "chan send", 1}}},
	{"kubernetes/10182", kubernetes10182_start,
	 .leaks = {{"kubernetes10182_set_status", "chan send", 1},
		   {"kubernetes10182_delete_status", "rwlock lock", 1}}},
	{"kubernetes/11298", kubernetes11298_notify,
	 .leaks = {{"kubernetes11298_after", "cond wait", 1},
		   {"kubernetes11298_service", "chan receive", 1},
		   {"kubernetes11298_notify", "chan receive", 1}}},
	{"kubernetes/25331", kubernetes25331_run,
	 .leaks = {{"kubernetes25331_run", "chan send", 1}}},
	{"kubernetes/26980", kubernetes26980_test,
	 .leaks = {{"kubernetes26980_test", "chan receive", 1},
		   {"kubernetes26980_pop", "chan receive", 1},
		   {"kubernetes26980_add", "rwlock lock", 1}}},
	{"kubernetes/30872", kubernetes30872_start,
	 .leaks = {{"kubernetes30872_start", "mutex lock", 1},
		   {"kubernetes30872_pop", "mutex lock", 1},
		   {"kubernetes30872_stop", "mutex lock", 1}}},
	{"kubernetes/38669", kubernetes38669_watch,
	 .leaks = {{"kubernetes38669_process", "chan send", 1}}},
	{"kubernetes/62464", kubernetes62464_reconcile,
	 .leaks = {{"kubernetes62464_cpu_set", "rwlock rlock", 1},
		   {"kubernetes62464_remove", "rwlock lock", 1}}},
	{0},
};

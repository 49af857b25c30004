/* SPDX-License-Identifier: MIT */
/* The bugs and patterns as they were repaired, in the same order of events: all tasks end. */
#include "corpus.h"

/* ---- patterns ------------------------------------------------------------------------- */

void fixed_send(void *chan)
{
	send_to(chan);
}

void fixed_recv(void *chan)
{
	recv_from(chan);
}

void fixed_range(void *jobs)
{
	while (recv_from(jobs) == 0)
		;
}

/* NoCloseRange: room for all jobs, and a close when all are in. */
void fixed_close_range(void *instance UNUSED_ARG)
{
	struct strand_chan *jobs = new_chan(20);

	for (int i = 0; i < 10; i++)
		go(fixed_range, jobs);
	for (int i = 0; i < 20; i++)
		send_to(jobs);
	close_chan(jobs);
}

/* Shared by the cases that wait for a result or for the end. */
struct fixed_two {
	struct strand_chan *result, *done;
};

void fixed_two_make(struct fixed_two *two)
{
	two->result = new_chan(0);
	two->done = new_chan(0);
}

void fixed_recv_until_done(void *arg)
{
	struct fixed_two two = *(struct fixed_two *)arg;

	while (select_one(CAN_RECV(two.result), CAN_RECV(two.done)) == 0)
		;
}

void fixed_send_unless_done(void *arg)
{
	struct fixed_two two = *(struct fixed_two *)arg;

	select_one(CAN_SEND(two.result), CAN_RECV(two.done));
}

/* MethodContractViolation: stop is called. */
void fixed_stopped(void *instance UNUSED_ARG)
{
	struct fixed_two worker;

	fixed_two_make(&worker);
	go_and_settle(fixed_recv_until_done, &worker);
	send_to(worker.result);
	close_chan(worker.done);
}

/* DoubleSend: returns after the error. */
void fixed_single_send(void *instance UNUSED_ARG)
{
	struct strand_chan *result = new_chan(0);

	go(fixed_send, result);
	recv_from(result);
}

/* EarlyReturn, kubernetes 5316, moby 4395: a result finds room though nobody comes for it. */
void fixed_room_for_one(void *instance UNUSED_ARG)
{
	go(fixed_send, new_chan(1));
}

/* NCastLeak, Timeout: room for every sender. */
void fixed_room_for_all(void *instance UNUSED_ARG)
{
	struct strand_chan *answers = new_chan(100);

	for (int i = 0; i < 100; i++)
		go(fixed_send, answers);
	recv_from(answers);
}

/* ---- cockroach ------------------------------------------------------------------------- */

/* 584: unlocks before it leaves the loop. */
void fixed_cockroach584(void *instance UNUSED_ARG)
{
	struct strand_mutex mutex = {0};

	for (bool closed = false; !closed; closed = true) {
		lock(&mutex);
		unlock(&mutex);
	}
	lock(&mutex);
	unlock(&mutex);
}

struct fixed_stopper {
	struct fixed_two two;
	struct strand_waitgroup tasks;
};

void fixed_counted_send(void *arg)
{
	struct fixed_stopper *stopper = arg;

	send_to(stopper->two.result);
	group_done(&stopper->tasks);
}

/* 1462: to send counts as a task, and the consumer is stopped when all those are over. */
void fixed_cockroach1462(void *instance UNUSED_ARG)
{
	struct fixed_stopper stopper = {.tasks = {0}};

	fixed_two_make(&stopper.two);
	group_add(&stopper.tasks, 1);
	go_and_settle(fixed_recv_until_done, &stopper.two);
	go(fixed_counted_send, &stopper);
	group_wait(&stopper.tasks);
	close_chan(stopper.two.done);
}

/* 9935: unlocks before it leaves. */
void fixed_cockroach9935(void *instance UNUSED_ARG)
{
	struct strand_mutex log = {0};

	lock(&log);
	unlock(&log);
	lock(&log);
	unlock(&log);
}

/* 10790: the drainer looks at the end, too. */
void fixed_cockroach10790(void *instance UNUSED_ARG)
{
	struct fixed_two batch;

	fixed_two_make(&batch);
	go_and_settle(fixed_recv_until_done, &batch);
	close_chan(batch.done);
}

/* 13197, grpc 862: whoever began cancels on its way out. */
void fixed_cancelled(void *instance UNUSED_ARG)
{
	struct strand_chan *context = new_chan(0);

	go_and_settle(fixed_recv, context);
	close_chan(context);
}

/* 25456: looks whether it is told to end, and does not wait for it. */
void fixed_cockroach25456(void *instance UNUSED_ARG)
{
	strand_chan_recv(new_chan(0), 0, NULL);
}

/* ---- etcd, grpc, istio -------------------------------------------------------------------- */

/* etcd 6857: a status is asked for with an eye on done, which the loop closes at its end. */
void fixed_etcd6857_run(void *arg)
{
	struct fixed_two node = *(struct fixed_two *)arg;

	close_chan(node.done);
}

void fixed_etcd6857(void *instance UNUSED_ARG)
{
	struct fixed_two node;

	fixed_two_make(&node);
	go_and_settle(fixed_etcd6857_run, &node);
	go_and_settle(fixed_send_unless_done, &node);
}

/* grpc 660: who sends also watches the end, and that comes. */
void fixed_grpc660(void *instance UNUSED_ARG)
{
	struct fixed_two client;

	fixed_two_make(&client);
	go_and_settle(fixed_send_unless_done, &client);
	close_chan(client.done);
}

/* istio 17860: the loop ends only when cancelled; so does who reports to it. */
void fixed_istio17860(void *instance UNUSED_ARG)
{
	struct fixed_two agent;

	fixed_two_make(&agent);
	go_and_settle(fixed_recv_until_done, &agent);
	go_and_settle(fixed_send_unless_done, &agent);
	close_chan(agent.done);
	settle();
	go_and_settle(fixed_send_unless_done, &agent);
}

/* ---- kubernetes, moby ------------------------------------------------------------------------ */

/* 5316: the result, late, finds room. */
void fixed_kubernetes5316(void *instance UNUSED_ARG)
{
	struct strand_chan *result = new_chan(1);

	if (strand_chan_recv(result, VERY_SOON, NULL) == -ETIMEDOUT)
		go(fixed_send, result);
}

/* 25331: the error goes out or the context ends; it is cancelled afterwards. */
void fixed_kubernetes25331(void *instance UNUSED_ARG)
{
	struct fixed_two watch;

	fixed_two_make(&watch);
	go_and_settle(fixed_send_unless_done, &watch);
	close_chan(watch.done);
}

/* 38669: stopping closes what the sender watches, for each of its events. */
void fixed_kubernetes38669_process(void *arg)
{
	struct fixed_two watcher = *(struct fixed_two *)arg;

	while (select_one(CAN_SEND(watcher.result), CAN_RECV(watcher.done)) == 0)
		;
}

void fixed_kubernetes38669(void *instance UNUSED_ARG)
{
	struct fixed_two watcher;

	fixed_two_make(&watcher);
	go_and_settle(fixed_kubernetes38669_process, &watcher);
	close_chan(watcher.done);
}

struct fixed_daemon {
	struct strand_mutex container;
	struct strand_chan *stop;
};

void fixed_moby28462_monitor(void *arg)
{
	struct fixed_daemon *daemon = arg;

	lock(&daemon->container);
	unlock(&daemon->container);
	recv_from(daemon->stop);
}

/* 28462: closes stop, which needs no receiver, and so soon unlocks. */
void fixed_moby28462(void *instance UNUSED_ARG)
{
	struct fixed_daemon daemon = {.stop = new_chan(0)};

	lock(&daemon.container);
	go_and_settle(fixed_moby28462_monitor, &daemon);
	close_chan(daemon.stop);
	unlock(&daemon.container);
	settle();
}

/* 33293: the error finds room, and the caller then finds the error. */
void fixed_moby33293(void *instance UNUSED_ARG)
{
	struct strand_chan *errors = new_chan(1);

	send_to(errors);
	recv_from(errors);
}

/* 33781: the result finds room, and is drained when the monitor stops. */
void fixed_moby33781(void *instance UNUSED_ARG)
{
	struct strand_chan *results = new_chan(1), *stop = new_chan(0);

	close_chan(stop);
	select_one(CAN_RECV(results), CAN_RECV(stop));
	go(fixed_send, results);
	recv_from(results);
}

const struct corpus_case fixed_cases[] = {
	{"fixed/NoCloseRange", fixed_close_range, .waiting = 0},
	{"fixed/MethodContractViolation", fixed_stopped, .waiting = 0},
	{"fixed/DoubleSend", fixed_single_send, .waiting = 0},
	{"fixed/EarlyReturn", fixed_room_for_one, .waiting = 0},
	{"fixed/NCastLeak and Timeout", fixed_room_for_all, .waiting = 0},
	{"fixed/cockroach/584", fixed_cockroach584, .waiting = 0},
	{"fixed/cockroach/1462", fixed_cockroach1462, .waiting = 0},
	{"fixed/cockroach/9935", fixed_cockroach9935, .waiting = 0},
	{"fixed/cockroach/10790", fixed_cockroach10790, .waiting = 0},
	{"fixed/cockroach/13197", fixed_cancelled, .waiting = 0},
	{"fixed/cockroach/25456", fixed_cockroach25456, .waiting = 0},
	{"fixed/etcd/6857", fixed_etcd6857, .waiting = 0},
	{"fixed/grpc/660", fixed_grpc660, .waiting = 0},
	{"fixed/grpc/862", fixed_cancelled, .waiting = 0},
	{"fixed/istio/17860", fixed_istio17860, .waiting = 0},
	{"fixed/kubernetes/5316", fixed_kubernetes5316, .waiting = 0},
	{"fixed/kubernetes/25331", fixed_kubernetes25331, .waiting = 0},
	{"fixed/kubernetes/38669", fixed_kubernetes38669, .waiting = 0},
	{"fixed/moby/28462", fixed_moby28462, .waiting = 0},
	{"fixed/moby/33293", fixed_moby33293, .waiting = 0},
	{"fixed/moby/33781", fixed_moby33781, .waiting = 0},
	{"fixed/moby/4395", fixed_room_for_one, .waiting = 0},
	{0},
};

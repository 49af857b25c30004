/* SPDX-License-Identifier: MIT */
/* The common patterns of leaks around channels. */
#include "corpus.h"

/* ---- NoCloseRange: workers take jobs until the end of a channel that never ends -------------- */

void pattern_range_worker(void *jobs)
{
	while (recv_from(jobs) == 0)
		;
}

void pattern_produce(struct strand_chan *jobs, int count)
{
	for (int i = 0; i < count; i++)
		send_to(jobs);
}

void pattern_no_close(void *instance UNUSED_ARG)
{
	struct strand_chan *jobs = new_chan(0);

	for (int i = 0; i < 10; i++)
		go(pattern_range_worker, jobs);
	pattern_produce(jobs, 20);
}

/* Without a worker the producer is stuck. */
void pattern_no_workers(void *instance UNUSED_ARG)
{
	pattern_produce(new_chan(0), 20);
}

/* ---- MethodContractViolation: who calls start has to call stop ------------------------------- */

struct pattern_worker {
	struct strand_chan *jobs, *done;
};

void pattern_worker_loop(void *arg)
{
	struct pattern_worker worker = *(struct pattern_worker *)arg;

	while (select_one(CAN_RECV(worker.jobs), CAN_RECV(worker.done)) == 0)
		;
}

void pattern_never_stopped(void *instance UNUSED_ARG)
{
	struct pattern_worker worker = {new_chan(0), new_chan(0)};

	go_and_settle(pattern_worker_loop, &worker);
	send_to(worker.jobs);
}

/* ---- DoubleSend: the error is sent, and then the result as well ------------------------------ */

void pattern_double_sender(void *result)
{
	send_to(result); /* the error; a return is missing */
	send_to(result);
}

void pattern_double_send(void *instance UNUSED_ARG)
{
	struct strand_chan *result = new_chan(0);

	go(pattern_double_sender, result);
	recv_from(result);
}

/* With room for one more nobody is stuck. */
void pattern_double_send_buffered(void *instance UNUSED_ARG)
{
	struct strand_chan *result = new_chan(1);

	go(pattern_double_sender, result);
	recv_from(result);
}

void pattern_single_sender(void *result)
{
	send_to(result);
}

/* No error, no second send. */
void pattern_double_send_no_error(void *instance UNUSED_ARG)
{
	struct strand_chan *result = new_chan(0);

	go(pattern_single_sender, result);
	recv_from(result);
}

/* ---- EarlyReturn: the parent fails after it has started who sends it a result ----------------- */

void pattern_early_sender(void *result)
{
	send_to(result);
}

void pattern_early_return(void *instance UNUSED_ARG)
{
	go(pattern_early_sender, new_chan(0));
}

/* ---- NCast: a hundred answers, of which the first is taken ------------------------------------- */

void pattern_ncast_sender(void *answers)
{
	send_to(answers);
}

void pattern_ncast(void *instance UNUSED_ARG)
{
	struct strand_chan *answers = new_chan(0);

	for (int i = 0; i < 100; i++)
		go(pattern_ncast_sender, answers);
	recv_from(answers);
}

/* No one to ask, so no first answer. */
void pattern_ncast_nobody(void *instance UNUSED_ARG)
{
	recv_from(new_chan(0));
}

/* ---- Timeout: the parent takes the way of a cancelled context ----------------------------------- */

void pattern_late_sender(void *result)
{
	send_to(result);
}

void pattern_cancelled(void *instance UNUSED_ARG)
{
	struct strand_chan *context = new_chan(0), *result = new_chan(0);

	close_chan(context);
	select_one(CAN_RECV(result), CAN_RECV(context));
	go(pattern_late_sender, result);
}

void pattern_timeouts(void *instance UNUSED_ARG)
{
	for (int i = 0; i < 5; i++)
		go(pattern_cancelled, NULL);
}

const struct corpus_case pattern_cases[] = {
	{"patterns/NoCloseRange", pattern_no_close,
	 .leaks = {{"pattern_range_worker", "chan receive", 10}}},
	{"patterns/NoCloseRange, 0 workers", pattern_no_workers,
	 .leaks = {{"pattern_produce", "chan send", 1}}},
	{"patterns/MethodContractViolation", pattern_never_stopped,
	 .leaks = {{"pattern_worker_loop", "select", 1}}},
	{"patterns/DoubleSend", pattern_double_send,
	 .leaks = {{"pattern_double_sender", "chan send", 1}}},
	{"patterns/DoubleSend, buffered", pattern_double_send_buffered, .waiting = 0},
	{"patterns/DoubleSend, no error", pattern_double_send_no_error, .waiting = 0},
	{"patterns/EarlyReturn", pattern_early_return,
	 .leaks = {{"pattern_early_sender", "chan send", 1}}},
	{"patterns/NCastLeak", pattern_ncast, .leaks = {{"pattern_ncast_sender", "chan send", 99}}},
	{"patterns/NCastLeak, 0 senders", pattern_ncast_nobody,
	 .leaks = {{"pattern_ncast_nobody", "chan receive", 1}}},
	{"patterns/Timeout", pattern_timeouts, .leaks = {{"pattern_late_sender", "chan send", 5}}},
	{0},
};

/* SPDX-License-Identifier: MIT */
/*
 * Example (d): c_range.c with the close. Nothing leaks and nothing waits.
 */
#include "live_on.h"

static void consume(void *arg)
{
	struct strand_chan *jobs = arg;
	volatile uint64_t result = 1;
	int job;

	while (strand_chan_recv(jobs, STRAND_FOREVER, &job) == 0)
		result = work_a_little(result + (uint64_t)job);
	strand_chan_unref(jobs);
}

static void produce(void *arg)
{
	struct strand_chan *jobs;

	(void)arg;
	if (strand_chan_new(sizeof(int), 2, &jobs))
		return;
	if (strand_go(consume, strand_chan_ref(jobs))) {
		strand_chan_unref(jobs);
	} else {
		for (int job = 0; job < 10; job++)
			strand_chan_send(jobs, &job, STRAND_FOREVER);
		strand_chan_close(jobs);
	}
	strand_chan_unref(jobs);
}

static int serve(void *arg)
{
	int err = strand_go(produce, NULL);

	strand_sleep(strand_now() + 100 * STRAND_MILLISECOND);
	return err ? err : live_on(*(long *)arg);
}

int main(int argc, char **argv)
{
	long seconds = life_seconds(argc, argv);

	return strand_main(serve, &seconds) ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: MIT */
/*
 * Example (e): a channel in a global variable. Nothing is proved to be leaked.
 *
 * A task waits for jobs that never come, just as in b_receiver.c. But the channel
 * can be reached from a global variable: any code might still send, so no proof
 * is possible. The observer lists the task as waiting and not as leaked.
 */
#include "live_on.h"

static struct strand_chan *jobs;

static void consume(void *arg)
{
	int job;

	(void)arg;
	while (strand_chan_recv(jobs, STRAND_FOREVER, &job) == 0) /* WAITS */
		printf("job %d\n", job);
}

static int serve(void *arg)
{
	int err = strand_chan_new(sizeof(int), 0, &jobs);

	if (!err)
		err = strand_go(consume, NULL); /* CREATES */
	strand_sleep(strand_now() + 100 * STRAND_MILLISECOND);
	return err ? err : live_on(*(long *)arg);
}

int main(int argc, char **argv)
{
	long seconds = life_seconds(argc, argv);

	return strand_main(serve, &seconds) ? EXIT_FAILURE : EXIT_SUCCESS;
}

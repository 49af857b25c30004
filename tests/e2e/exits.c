/* SPDX-License-Identifier: MIT */
/* A program that leaks a task and ends by exit(), in a task or in a plain thread. */
#include <pthread.h>
#include <stdlib.h>
#include <strand.h>
#include <string.h>

static void wait_for_nobody(void *arg)
{
	struct strand_chan *chan = arg;
	int value;

	strand_chan_recv(chan, STRAND_FOREVER, &value);
	strand_chan_unref(chan);
}

static void *exit_in_thread(void *arg)
{
	(void)arg;
	exit(0);
}

static int leak(void *arg)
{
	struct strand_chan *chan;
	pthread_t thread;

	if (strand_chan_new(sizeof(int), 0, &chan))
		return 1;
	strand_go(wait_for_nobody, strand_chan_ref(chan));
	strand_chan_unref(chan);
	chan = NULL;
	strand_yield();
	if (!arg)
		exit(0);
	pthread_create(&thread, NULL, exit_in_thread, NULL);
	return strand_sleep(STRAND_FOREVER);
}

int main(int argc, char **argv)
{
	return strand_main(leak, argc > 1 && !strcmp(argv[1], "thread") ? argv[1] : NULL);
}

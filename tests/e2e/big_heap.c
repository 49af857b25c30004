/* SPDX-License-Identifier: MIT */
/*
 * A target whose leak search takes a while: much memory, one leaked task, and a
 * count of its naps on stdout, so that a test sees that it works on.
 *
 * usage: big_heap MEGABYTES SECONDS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <strand.h>

struct settings {
	size_t bytes;
	long seconds;
};

static void wait_for_nobody(void *arg)
{
	struct strand_chan *chan = arg;

	strand_chan_recv(chan, STRAND_FOREVER, NULL);
	strand_chan_unref(chan);
}

static void leak_one(void *arg)
{
	struct strand_chan *chan;

	(void)arg;
	if (strand_chan_new(0, 0, &chan))
		return;
	if (strand_go(wait_for_nobody, strand_chan_ref(chan)))
		strand_chan_unref(chan);
	strand_chan_unref(chan);
}

static int live(void *arg)
{
	const struct settings *settings = arg;
	strand_time end = strand_now() + settings->seconds * STRAND_SECOND;
	char *heap = malloc(settings->bytes);
	int err;

	if (!heap)
		return EXIT_FAILURE;
	memset(heap, 0x55, settings->bytes);
	err = strand_go(leak_one, NULL);
	printf("%d ready\n", (int)getpid());
	for (long naps = 1; !err && strand_now() < end; naps++) {
		strand_sleep(strand_now() + 20 * STRAND_MILLISECOND);
		printf("%ld\n", naps);
		fflush(stdout);
	}
	free(heap);
	return err;
}

int main(int argc, char **argv)
{
	struct settings settings;

	if (argc != 3) {
		fprintf(stderr, "usage: big_heap MEGABYTES SECONDS\n");
		return 2;
	}
	settings.bytes = strtoul(argv[1], NULL, 10) << 20;
	settings.seconds = strtol(argv[2], NULL, 10);
	return strand_main(live, &settings) ? EXIT_FAILURE : EXIT_SUCCESS;
}

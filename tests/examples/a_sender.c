/* SPDX-License-Identifier: MIT */
/*
 * Example (a): a sender whose receiver returned early. One task leaks.
 *
 * A request handler asks a slow backend in a task of its own and waits for the
 * answer, but not for ever. After the time-out nobody receives any more: the
 * backend's task waits in strand_chan_send() until the process ends.
 *
 * The cure: a channel of capacity 1, so that the send always finds room.
 */
#include <errno.h>
#include "live_on.h"

static void ask_backend(void *arg)
{
	struct strand_chan *answers = arg;
	int answer = 42;

	strand_sleep(strand_now() + 50 * STRAND_MILLISECOND);
	strand_chan_send(answers, &answer, STRAND_FOREVER); /* LEAKS */
	strand_chan_unref(answers);
}

static int handle_request(void)
{
	struct strand_chan *answers;
	int answer, err;

	err = strand_chan_new(sizeof(answer), 0, &answers);
	if (err)
		return err;
	err = strand_go(ask_backend, strand_chan_ref(answers)); /* CREATES */
	if (err)
		strand_chan_unref(answers);
	else
		err = strand_chan_recv(answers, strand_now() + STRAND_MILLISECOND, &answer);
	strand_chan_unref(answers);
	return err;
}

/* Requests have tasks of their own; this one reports how it went and ends. */
static void request(void *arg)
{
	struct strand_chan *results = arg;
	int result = handle_request();

	strand_chan_send(results, &result, STRAND_FOREVER);
	strand_chan_unref(results);
}

static int serve(void *arg)
{
	struct strand_chan *results;
	int result, err;

	err = strand_chan_new(sizeof(result), 0, &results);
	if (err)
		return err;
	err = strand_go(request, strand_chan_ref(results));
	if (!err)
		err = strand_chan_recv(results, STRAND_FOREVER, &result);
	if (!err && result != -ETIMEDOUT)
		err = -EPROTO;
	/* The backend answers now, and finds nobody. */
	strand_sleep(strand_now() + 100 * STRAND_MILLISECOND);
	strand_chan_unref(results);
	return err ? err : live_on(*(long *)arg);
}

int main(int argc, char **argv)
{
	long seconds = life_seconds(argc, argv);

	return strand_main(serve, &seconds) ? EXIT_FAILURE : EXIT_SUCCESS;
}

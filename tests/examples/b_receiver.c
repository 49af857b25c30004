/* SPDX-License-Identifier: MIT */
/*
 * Example (b): a receiver whose sender returned early. One task leaks.
 *
 * A loader starts a task that waits for the configuration, then fails to read it
 * and returns: it neither sends nor closes. The other task waits in
 * strand_chan_recv() until the process ends.
 *
 * The cure: close the channel on every way out.
 */
#include <errno.h>
#include "live_on.h"

static void apply_config(void *arg)
{
	struct strand_chan *configs = arg;
	int config;

	if (strand_chan_recv(configs, STRAND_FOREVER, &config) == 0) /* LEAKS */
		printf("configuration %d\n", config);
	strand_chan_unref(configs);
}

static int read_config(const char *path, int *ret_config)
{
	FILE *file = fopen(path, "r");
	int err = 0;

	if (!file)
		return -errno;
	if (fscanf(file, "%d", ret_config) != 1)
		err = -EBADMSG;
	fclose(file);
	return err;
}

/* The task that loads: it ends, with or without a configuration. */
static void load(void *arg)
{
	struct strand_chan *configs;
	int config;

	(void)arg;
	if (strand_chan_new(sizeof(config), 0, &configs))
		return;
	if (strand_go(apply_config, strand_chan_ref(configs))) { /* CREATES */
		strand_chan_unref(configs);
	} else if (read_config("/nonexistent/config", &config) == 0) {
		strand_chan_send(configs, &config, STRAND_FOREVER);
		strand_chan_close(configs);
	}
	strand_chan_unref(configs);
}

static int serve(void *arg)
{
	int err = strand_go(load, NULL);

	strand_sleep(strand_now() + 100 * STRAND_MILLISECOND);
	return err ? err : live_on(*(long *)arg);
}

int main(int argc, char **argv)
{
	long seconds = life_seconds(argc, argv);

	return strand_main(serve, &seconds) ? EXIT_FAILURE : EXIT_SUCCESS;
}

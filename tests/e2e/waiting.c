/* SPDX-License-Identifier: MIT */
/* Tasks in each state that a debugger meets; it says "PID ready" and waits for its end. */
#include <stdio.h>
#include <strand.h>
#include <unistd.h>

static struct strand_chan *nothing_comes;

__attribute__((noinline)) static int wait_for_message(void)
{
	int result = strand_chan_recv(nothing_comes, STRAND_FOREVER, NULL);

	__asm__ volatile(""); /* no tail call: this frame is looked for */
	return result;
}

static void receiver(void *arg)
{
	int *result = arg;

	*result = wait_for_message();
}

static void sleeper(void *arg)
{
	(void)arg;
	strand_sleep(STRAND_FOREVER);
	__asm__ volatile("");
}

static void newcomer(void *arg)
{
	(void)arg;
}

static int start_all(void *arg)
{
	struct strand_task_options options = {.size = sizeof(options)};
	static int result;

	(void)arg;
	strand_chan_new(0, 0, &nothing_comes);
	options.name = "receiver";
	strand_go_with(&options, receiver, &result);
	options.name = "sleeper";
	strand_go_with(&options, sleeper, NULL);
	strand_sleep(strand_now() + 20 * STRAND_MILLISECOND); /* so that parks have their time */
	options.name = "newcomer";
	strand_go_with(&options, newcomer, NULL);
	printf("%d ready\n", (int)getpid());
	fflush(stdout);
	pause();
	return result;
}

int main(void)
{
	return strand_main(start_all, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * A program that runs a runtime, forks, and runs another in the child, again and again.
 * It says "PID ready" when the last child waits in a task of its own, with that child's id.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strand.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Long enough to be announced. */
static int nap(void *arg)
{
	(void)arg;
	return strand_sleep(strand_now() + 30 * STRAND_MILLISECOND);
}

static int wait_for_nobody(void *arg)
{
	(void)arg;
	printf("%d ready\n", (int)getpid());
	fflush(stdout);
	return strand_chan_recv(NULL, STRAND_FOREVER, NULL);
}

static void fork_and_run(int (*fn)(void *))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(strand_main(fn, NULL) != 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		printf("child: wait status 0x%x\n", status);
		exit(EXIT_FAILURE);
	}
}

int main(int argc, char **argv)
{
	for (int i = argc > 1 ? atoi(argv[1]) : 1; i > 0; i--) {
		if (strand_main(nap, NULL))
			return EXIT_FAILURE;
		fork_and_run(nap);
	}
	fork_and_run(wait_for_nobody);
	return EXIT_SUCCESS;
}

/* SPDX-License-Identifier: MIT */
/* Notes SIGINT and SIGTERM. */
#include "cmd/interrupt.h"

#include <signal.h>
#include <stddef.h>

/* A signal handler gets no context: this is the one variable that cannot be in a struct. */
static volatile sig_atomic_t received;

static void note(int signal)
{
	received = signal;
}

/* No SA_RESTART: the signal must end a wait. */
void interrupt_install(void)
{
	struct sigaction action = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

int interrupt_signal(void)
{
	return received;
}

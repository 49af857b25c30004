/* SPDX-License-Identifier: MIT */
/*
 * The control pipe and the thread that reads it.
 *
 * The thread runs leak searches, so its stack is the runtime's own memory and
 * masked: it runs no code of the user's, and what lies on it keeps nothing alive.
 */
#ifndef STRAND_CONTROL_H
#define STRAND_CONTROL_H

#include <pthread.h>
#include <stdbool.h>
#include <strand.h>
#include <strand/abi.h>
#include "strand/inquiry.h"
#include "strand/leak_sites.h"

struct runtime;

struct control {
	pthread_t thread;
	bool started;
	bool ended; /* never to be started (again) */
	int read_fd, write_fd;
	int report_fd; /* of the newest search, -1: none */
	int stop_signal;
	unsigned search_method; /* enum leakgc_method */
	strand_time last_search_end;
	volatile int cancel;      /* polled by the search */
	pthread_mutex_t starting; /* of the thread, if it is only needed later */
	struct inquiry inquiry;
	struct leak_sites sites;
	unsigned without; /* enum leakgc_treatment; nothing but tests ever sets one */
};

/* Make the pipe and start the thread. Returns 0 or -errno. */
int control_start(struct runtime *rt);
void control_stop(struct runtime *rt);

/* Start it if STRAND_OBSERVE=0 has kept it from being started; no observer is told. */
int control_need(struct runtime *rt);

/* Have the thread look at what is asked of it from inside. */
void control_wake(struct runtime *rt);

/* In the child of a fork: the pipe is the parent's, and there is no thread. */
void control_forked(struct runtime *rt);

#endif

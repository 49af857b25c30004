/* SPDX-License-Identifier: MIT */
/*
 * Stop, look, work, let go.
 *
 * I1. Whatever goes wrong, the threads are released and the runtime thawed. Between
 *     the first signal and the release there is one way through the code (stopped()),
 *     and it calls nothing that could take a lock.
 */
#include "leakgc/pause.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "leakgc/stop.h"
#include "leakgc/syscall.h"

/* ---- while the world stands still -------------------------------------------- */

enum strand_search_cause leakgc_pause_look(struct leakgc_session *s, uint64_t *ret_detail)
{
	struct leakgc_hands hands = {
		.world = &s->world,
		.runtime = s->runtime,
		.threads = s->threads,
		.thread_count = s->thread_count,
		.buffer = (char *)s->chunk,
		.buffer_size = LEAKGC_CHUNK,
		.skip = s->own[1],
		.own_fd = s->tracker.fd,
	};
	enum strand_search_cause cause = leakgc_hands_look(&hands);

	if (!cause)
		cause = leakgc_hands_copy_shared(&hands, &s->memory, s->copies,
						 s->limits->shared_copy_max);
	s->uprobe_bytes = hands.uprobe_bytes;
	*ret_detail = hands.detail;
	return cause;
}

/* The registers that lie in the signal frames, and memory that no snapshot holds. */
static void take_registers(struct leakgc_session *s)
{
	struct leakgc_world *w = &s->world;

	s->thread_count = leakgc_stop_threads(s->threads, w->root_ranges, LEAKGC_THREADS_MAX);
	w->root_range_count = s->thread_count;
	if (!leakgc_without(w, LEAKGC_WITHOUT_REGISTERS))
		return;
	for (size_t i = 0; i < w->root_range_count; i++) /* and what the handler itself pushed */
		leakgc_world_mask(w, w->root_ranges[i].lo - 1024, w->root_ranges[i].hi);
	w->root_range_count = 0;
}

static enum strand_search_cause stopped(struct leakgc_session *s, leakgc_pause_work *work,
					void *context, struct leakgc_result *result)
{
	enum strand_search_cause cause;
	int64_t began = leakgc_now();
	int r = leakgc_stop_world(s->runtime->stop_signal, began + s->limits->stop_ns,
				  &result->cause_detail);

	result->stopped_ns = leakgc_now();
	result->stop_ns = result->stopped_ns - began;
	if (r == -ETIMEDOUT && !leakgc_without(&s->world, LEAKGC_WITHOUT_STOP_PROOF))
		return STRAND_CAUSE_THREAD_NOT_STOPPED;
	if (r < 0 && r != -ETIMEDOUT)
		return STRAND_CAUSE_SYSTEM;
	take_registers(s);
	cause = leakgc_pause_look(s, &result->cause_detail);
	return cause ? cause : work(s, context, result);
}

/* ---- the whole of it ----------------------------------------------------------- */

/* A thread under a debugger stops when the debugger says so. */
static bool is_traced(uint64_t tid)
{
	char text[2048], path[64] = "/proc/self/task/", digits[24];
	size_t n = strlen(path), d = 0;
	const char *tracer;

	for (uint64_t rest = tid; rest; rest /= 10)
		digits[d++] = (char)('0' + rest % 10);
	while (d)
		path[n++] = digits[--d];
	memcpy(path + n, "/status", sizeof("/status"));
	if (leakgc_read_file(path, text, sizeof(text)) < 0)
		return false;
	tracer = strstr(text, "\nTracerPid:\t");
	return tracer && tracer[strlen("\nTracerPid:\t")] != '0';
}

enum strand_search_cause leakgc_pause(struct leakgc_session *s, leakgc_pause_work *work,
				      void *context, struct leakgc_result *result)
{
	enum strand_search_cause cause;
	uint64_t all = ~0ULL, before = 0;
	int64_t began;

	if (s->runtime->freeze(s->runtime->context) < 0)
		return STRAND_CAUSE_RUNTIME_BUSY;
	LEAKGC_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	began = leakgc_now();
	cause = stopped(s, work, context, result);
	leakgc_stop_release();
	result->pause_ns = leakgc_now() - began;
	LEAKGC_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	s->runtime->thaw(s->runtime->context);
	if (cause == STRAND_CAUSE_THREAD_NOT_STOPPED && is_traced(result->cause_detail))
		cause = STRAND_CAUSE_TRACED;
	return cause;
}

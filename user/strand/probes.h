/* SPDX-License-Identifier: MIT */
/*
 * The probe points, and what the observer finds the runtime by.
 *
 * Each probe is a function of its own in assembly (probes_ARCH.S) that does
 * nothing; the kernel patches its nop. A call is guarded by the semaphore, which
 * the kernel counts up for each attached uprobe: unobserved, a probe point costs one
 * predictable branch.
 *
 * Under Valgrind no probe is ever called: it translates the breakpoint that the kernel puts into
 * the file's page for every process, and the program would die of SIGTRAP.
 */
#ifndef STRAND_PROBES_H
#define STRAND_PROBES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <strand/abi.h>

extern volatile unsigned short strand_probe_semaphore __attribute__((visibility("hidden")));
extern struct strand_descriptor strand_descriptor;
extern const struct strand_note strand_probe_note __attribute__((visibility("hidden")));

/* To call one would end the program: under Valgrind, or in a child (probes_fork.c). */
extern bool strand_probes_deadly __attribute__((visibility("hidden")));

void strand_probe_spawn(const struct strand_rec_spawn *record);
void strand_probe_exit(const struct strand_rec_exit *record);
void strand_probe_park(const struct strand_rec_park_batch *batch);
void strand_probe_unpark(const struct strand_rec_unpark *record);
void strand_probe_chan(const struct strand_rec_chan *record);
void strand_probe_send(const struct strand_rec_chan *record);
void strand_probe_recv(const struct strand_rec_chan *record);
void strand_probe_scan_done(const struct strand_rec_scan_done *record);

/* STRAND_NO_PROBES is only for `make bench`, which measures what the guards cost. */
static inline bool probes_observed(void)
{
#ifdef STRAND_NO_PROBES
	return false;
#else
	return __builtin_expect(strand_probe_semaphore != 0, 0) && !strand_probes_deadly;
#endif
}

/* Full tracing: every event, at once. */
static inline bool probes_tracing(void)
{
	return probes_observed() &&
	       __atomic_load_n(&strand_descriptor.threshold_ns, __ATOMIC_RELAXED) == 0;
}

#define PROBE_HEADER(which, record)                                                      \
	{                                                                                \
		.abi_major = STRAND_ABI_MAJOR, .probe = (which), .size = sizeof(record), \
		.count = 1                                                               \
	}

#endif

/* SPDX-License-Identifier: MIT */
/* What a search says beyond yes and no: cycles, ended owners, chains from roots. */
#ifndef LEAKGC_ANSWERS_H
#define LEAKGC_ANSWERS_H

#include "leakgc/state.h"

/* Tasks of a cycle that are told; a longer one is cut. */
#define LEAKGC_CYCLE_MAX STRAND_TASK_LINKS_MAX

/* Links of a chain that are told: those next to the task. */
#define LEAKGC_CHAIN_MAX 8

/*
 * leakgc_answer - explain the verdicts that were just written to the findings.
 * @room  counts the verdicts that would fit
 * Changes no verdict. Where time or memory runs out, less is said.
 */
void leakgc_answer(struct leakgc_state *s, struct leakgc_findings *f, size_t room);

/* ---- cycles.c -------------------------------------------------------------------- */

/* Told of a cycle: each task waits for the next one, and the last for the first. */
typedef void leakgc_cycle_told(void *context, const uint32_t *tasks, size_t count);

/*
 * leakgc_cycles_find - find wait-for cycles among the nodes that are not LIVE.
 * @on_cycle  by node: true for tasks that are on a cycle that was told; in and out
 * Linear in nodes and edges. false: there is no memory for it.
 */
bool leakgc_cycles_find(struct leakgc_world *w, bool *on_cycle, leakgc_cycle_told *told,
			void *context);

#endif

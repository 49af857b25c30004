/* SPDX-License-Identifier: MIT */
/*
 * Verdicts from inside: asks the running runtime for a leak search over its own control pipe,
 * and reads the report when the runtime has noted the end of the search.
 *
 * Only ids and verdicts are kept: an address of a report that lay about in the program's memory
 * would keep alive what the next search is asked about.
 */
#ifndef LEAK_VERDICT_H
#define LEAK_VERDICT_H

#include "strand_test.h"

#include <sched.h>
#include "strand/probes.h"
#include "strand/runtime.h"

#define VERDICTS_MAX 64

static struct {
	uint64_t leaked;
	size_t count;
	uint64_t task[VERDICTS_MAX];
	enum strand_verdict verdict[VERDICTS_MAX];
} verdicts;

static inline void read_report(int fd, void *to, size_t size, size_t at)
{
	expect_eq(pread(fd, to, size, (off_t)at), size);
}

/* Returns how the search ended. */
static inline enum strand_search_status read_verdicts(int fd)
{
	struct strand_report_header h = {0};

	read_report(fd, &h, sizeof(h), 0);
	expect_eq(h.magic, STRAND_REPORT_MAGIC);
	expect_true(h.section[0].count <= VERDICTS_MAX);
	verdicts.leaked = h.leaked;
	verdicts.count = 0;
	for (size_t i = 0; i < h.section[0].count && i < VERDICTS_MAX; i++) {
		size_t at = h.section[0].offset + i * sizeof(struct strand_report_task);
		uint32_t verdict = 0;

		read_report(fd, &verdicts.task[i], sizeof(verdicts.task[i]),
			    at + offsetof(struct strand_report_task, task));
		read_report(fd, &verdict, sizeof(verdict),
			    at + offsetof(struct strand_report_task, verdict));
		verdicts.verdict[i] = verdict;
		verdicts.count++;
	}
	return h.status;
}

/* When the newest search had ended and its report was ready. */
static inline strand_time last_search(void)
{
	return __atomic_load_n(&runtime_get()->control.last_search_end, __ATOMIC_SEQ_CST);
}

/*
 * What earlier calls have left below the stack pointer may come to lie inside later frames, and
 * a stack is searched word by word: there, an old pointer to a task that waits keeps it alive.
 */
static __attribute__((noinline)) void wipe_stack(void)
{
	volatile char below[4096];

	for (size_t i = 0; i < sizeof(below); i++)
		below[i] = 0;
}

/* Ask, and keep asking while the answer is a refusal (too soon) or inconclusive (a pipe). */
static __attribute__((noinline)) void ask_for_search(void (*meanwhile)(void))
{
	const struct strand_command scan = {
		.magic = STRAND_COMMAND_MAGIC,
		.abi_major = STRAND_ABI_MAJOR,
		.type = STRAND_COMMAND_SCAN,
	};

	for (bool done = false; !done;) {
		strand_time before = last_search();
		uint64_t refused = strand_descriptor.commands_refused;

		expect_eq(write(strand_descriptor.control_fd, &scan, sizeof(scan)), sizeof(scan));
		while (last_search() == before &&
		       __atomic_load_n(&strand_descriptor.commands_refused, __ATOMIC_SEQ_CST) ==
			       refused)
			meanwhile();
		done = last_search() != before &&
		       read_verdicts(runtime_get()->control.report_fd) == STRAND_SEARCH_DONE;
	}
}

static inline void search_while(void (*meanwhile)(void))
{
	wipe_stack();
	ask_for_search(meanwhile);
}

static inline void yield_thread(void)
{
	sched_yield();
}

/* While nothing else runs on this worker. */
static inline void search_for_leaks(void)
{
	search_while(yield_thread);
}

/* Of a task that was a candidate; STRAND_VERDICT_WAITING if it was none. */
static inline enum strand_verdict verdict_of(uint64_t task)
{
	for (size_t i = 0; i < verdicts.count; i++)
		if (verdicts.task[i] == task)
			return verdicts.verdict[i];
	return STRAND_VERDICT_WAITING;
}

/* How many tasks are parked for this reason. Of those that waited before the call, all. */
static inline size_t count_parked(enum strand_wait_reason reason)
{
	size_t count = 0;

	for (struct task_slab *s = runtime_get()->tasks.slabs; s; s = s->next)
		for (size_t i = 0; i < s->count; i++)
			count += atomic_load(&s->tasks[i].state) == TASK_PARKED &&
				 __atomic_load_n(&s->tasks[i].reason, __ATOMIC_SEQ_CST) == reason;
	return count;
}

static inline void await_parked(enum strand_wait_reason reason, size_t count)
{
	while (count_parked(reason) != count)
		strand_yield();
}

#endif

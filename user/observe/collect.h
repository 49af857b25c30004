/* SPDX-License-Identifier: MIT */
/*
 * What the BPF programs gathered, read out of their maps and put into the model.
 */
#ifndef STRANDED_OBSERVE_COLLECT_H
#define STRANDED_OBSERVE_COLLECT_H

#include "model/model.h"
#include "observe/attach.h"
#include "../bpf/maps.h"

struct collected_task {
	struct waiting_key key;
	struct waiting_task task;
};

struct collected_process {
	uint32_t tgid;
	struct process_account account;
};

struct collected_site {
	struct site_key key;
	struct site_stats stats;
};

/* A copy of the maps. Tasks and sites are sorted by their keys, processes by tgid. */
struct collected {
	struct collected_task *tasks;
	size_t task_count;
	struct collected_site *sites;
	size_t site_count;
	struct collected_process *processes;
	size_t process_count;
	struct global_counters counters;
};

/* All of it, or all but the tasks: what that costs depends on sites only. */
int collect_read(const struct collect_maps *maps, struct collected *ret_collected);
int collect_read_sites(const struct collect_maps *maps, struct collected *ret_collected);
void collect_done(struct collected *c);

/* One process of it, and which of its life: its start time must agree. */
struct collected_slice {
	const struct process_account *account; /* NULL: it has announced nothing */
	const struct collected_task *tasks;
	size_t count;
	const struct collected_site *sites;
	size_t site_count;
};

/* @start_ticks as in /proc/PID/stat */
struct collected_slice collect_slice(const struct collected *c, pid_t pid, uint64_t start_ticks);

/* Add one task to a process of the model, without its stack. Returns 0 or -ENOMEM. */
int collect_add_task(const struct collected_task *from, struct model_process *p,
		     struct model_task **ret_task);

/* Is it the life of the process that is lived now? */
bool collect_is_current(const struct collected *c, uint32_t tgid, uint32_t instance);

/* Delete the entries of processes that have exited or exec'ed. Returns how many. */
size_t collect_purge(const struct collect_maps *maps, const struct collected *c);

/* The order of site keys. */
int collect_compare_sites(const struct site_key *a, const struct site_key *b);
struct site_key collect_site_of(const struct collected_task *task);

/*
 * collect_each_task - show every entry of the waiting map to visit(), a batch at a time, without
 * keeping them. One that comes while it runs may be missed, others may be shown twice only if the
 * kernel has no batches. Returns 0, -errno, or what visit() returned when not 0.
 */
int collect_each_task(const struct collect_maps *maps,
		      int (*visit)(void *context, const struct collected_task *task),
		      void *context);

/* One task's entry. Returns 0 or -ENOENT. */
int collect_find_task(const struct collect_maps *maps, const struct waiting_key *key,
		      struct collected_task *ret_task);

/* Is the task still in the park that the entry describes? */
bool collect_still_waiting(const struct collect_maps *maps, const struct collected_task *task);

/* ---- events -------------------------------------------------------------- */

struct collect_callbacks { /* any may be NULL; they must not read events themselves */
	void *context;
	void (*exec)(void *context, pid_t pid);
	void (*exit)(void *context, pid_t pid);
	void (*scan_done)(void *context, const struct event_scan_done *event);
};

struct event_reader;

int event_reader_new(const struct collect_maps *maps, const struct collect_callbacks *callbacks,
		     struct event_reader **ret_reader);
void event_reader_free(struct event_reader *r);

/* Readable when there are events; the reader's own. */
int event_reader_fd(const struct event_reader *r);

/* Wait for events at most so long and handle what is there. Returns 0, -EINTR or -errno. */
int event_reader_wait(struct event_reader *r, int64_t timeout_ns);

#endif

/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Layouts of the BPF maps and of the ring buffer: the BPF programs write them,
 * the observer reads them.
 *
 * Includes nothing: BPF code has the __uN types from vmlinux.h, others include
 * <linux/types.h> (or <strand/abi.h>) first.
 */
#ifndef STRANDED_BPF_MAPS_H
#define STRANDED_BPF_MAPS_H

/*
 * Room for waiting tasks. The elements are allocated as they come (192 bytes of kernel
 * memory each); raising the limit costs 16 bytes an entry at start. One process may fill half,
 * so that it cannot blind the others.
 */
#define WAITING_MAX   (1u << 21)
#define WAITING_QUOTA (WAITING_MAX / 2)
#define SITES_MAX     65536u
#define SITES_QUOTA   4096u /* of one process; what is beyond is counted at one site, SITE_OTHER */
#define PROCESSES_MAX 16384u
#define EVENTS_BYTES  (512u << 10)

/*
 * A process (one life of it: between two execs) gets a number of its own when it
 * first says something, so that entries of an earlier holder of its pid, or of an
 * earlier program of the same process, can never be taken for its own.
 */
struct waiting_key {
	__u32 tgid; /* in the initial pid namespace; from the kernel, never from a record */
	__u32 instance;
	__u64 task;
};

/* struct strand_rec_park as it came, but for its first word. All of it is the target's claim. */
struct waiting_task {
	__u64 host_since_ns; /* since_ns on the host's clock, not before the process's start */
	__u64 generation;
	__u64 since_ns; /* on the process's own clock, to compare with its reports */
	__u64 object;
	__u64 parent;
	__u64 fn;
	__u64 created_pc;
	__u64 pc;
	__u64 sp;
	__u64 fp;
	__u64 stack_hi;
	__u64 generation_addr;
	__u8 reason;
	__u8 has_deadline;
	__u16 worker;
	__u32 seen; /* when it was announced last, in units of 2^20 ns of the host's clock */
	char name[24];
};

/* Where a task waits and for what. Waits at the same site are alike, so they are counted here. */
struct site_key {
	__u32 tgid;
	__u32 instance;
	__u64 pc;
	__u64 fn;
	__u64 created_pc;
	__u32 reason; /* a byte of the record, so any; or SITE_OTHER with the rest 0 */
	__u32 reserved;
};

#define SITE_OTHER 256u /* all sites beyond the quota */
#define WAIT_SLOTS 32u  /* slot i: waits of less than 2^(i + 10) ns; the last one: all others */

/*
 * Kept up by the kernel side at every park and unpark that is announced, so that nobody needs to
 * read tasks to know how many there are. The oldest is only ever made older: when it has gone,
 * its number is in no entry any more, and the true oldest is younger than it was.
 */
struct site_stats {
	__u64 waiting;
	__u64 since_sum; /* of host_since_ns of those that wait, modulo 2^64 */
	__u64 oldest_since_ns;
	__u64 oldest_task;
	__u64 ended; /* waits that have ended */
	__u64 ended_ns;
	__u64 slots[WAIT_SLOTS]; /* ended waits by how long they were */
};

/* Key: __u32 tgid. Removed by the kernel side at exit and exec. */
struct process_account {
	__u64 start_boottime; /* of the thread group's leader, ns */
	__u32 instance;
	__u32 sites;   /* of this instance */
	__u64 waiting; /* entries of this instance */
	/* records seen, by enum strand_probe; a park batch counts its parks */
	__u64 records[8];
	/* records not kept */
	__u64 map_full;
	__u64 over_quota;
	__u64 bad_record;
	__u64 sites_full; /* tasks that are kept and counted at no site */
};

/* Per CPU, index 0: what belongs to no process. */
struct global_counters {
	__u64 ring_full;
	__u64 processes_full; /* records of processes that found no account */
};

/* Every event of the ring buffer starts with this. */
enum event_type {
	EVENT_EXEC = 1, /* any process of the machine */
	EVENT_EXIT,     /* a process that had an account */
	EVENT_SCAN_DONE /* the answer to the request that `wanted` named; one for each */
};

struct event {
	__u32 type; /* enum event_type */
	__u32 tgid;
	__u64 time_ns; /* CLOCK_MONOTONIC of the host */
	__u64 start_boottime;
};

struct event_scan_done {
	struct event event;
	__u64 request;
	__s32 report_fd;
	__u32 status;
	__u32 cause;
	__u32 reserved;
	__u64 report_size;
};

#endif

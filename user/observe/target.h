/* SPDX-License-Identifier: MIT */
/*
 * Processes that contain the runtime: found, identified, held on to.
 *
 * A target is one process with one copy of the runtime. Its /proc/PID directory
 * stays open from the moment its start time was read, so everything reached
 * through that directory belongs to that process and not to a later one with
 * the same number.
 */
#ifndef STRANDED_OBSERVE_TARGET_H
#define STRANDED_OBSERVE_TARGET_H

#include "model/model.h"
#include "observe/image.h"
#include "observe/scope.h"

/* One binary file that contains the runtime, whoever maps it. */
struct binary {
	dev_t dev; /* identity of the file behind the mapping */
	ino_t ino;
	struct image image;
	int error;      /* what image_read said: 0, or why it cannot be observed */
	int fd;         /* open (through map_files) as long as the binary is known */
	unsigned users; /* live targets that map it */
	bool announced; /* binary_added was called */
	void *link;     /* attach.c's, NULL: not attached */
};

struct target {
	pid_t pid;
	uint64_t start_ticks;
	uint64_t stack_start; /* of the first thread; other after an exec */
	uid_t uid;            /* effective */
	pid_t inner_pid;      /* in its own pid namespace; 0: unknown */
	int proc_fd;          /* O_DIRECTORY on /proc/PID */
	char command[16];
	char *exe; /* path as shown by the kernel; NULL: unreadable */
	struct binary *binary;
	uint64_t bias;               /* load address minus linked address */
	uint64_t descriptor_address; /* in the process */
	enum model_process_status status;
	char *status_text;                   /* one line, NULL if observed */
	struct strand_descriptor descriptor; /* as last read */
	bool has_descriptor;
	int64_t retry_ns; /* a hung one is not read again before (CLOCK_MONOTONIC) */
	void *link;       /* attach.c's, if only this process's probes are placed; else NULL */
	bool announced;   /* target_added was called */
	bool seen;        /* used by the scan */
};

struct negative_file; /* a file that is known to contain no runtime */

/* All that is known; owned by discover. Arrays of pointers: targets do not move. */
struct discovery {
	struct target **targets;
	size_t target_count, target_room;
	struct binary **binaries;
	size_t binary_count, binary_room;
	struct scope scope;              /* set before the first scan */
	struct negative_file *negatives; /* a cache; NULL before the first scan */
	uint64_t ignored;                /* targets not taken up because there are too many */
};

struct discovery_events { /* any may be NULL */
	void *context;
	void (*binary_added)(void *context, struct binary *binary);   /* attach it now */
	void (*binary_removed)(void *context, struct binary *binary); /* last user has gone */
	void (*target_added)(void *context, struct target *target);
	void (*target_changed)(void *context, struct target *target); /* status, pid or pipe */
	void (*target_removed)(void *context, struct target *target); /* has exited or exec'ed */
};

void discovery_init(struct discovery *d);
void discovery_done(struct discovery *d);

/*
 * discovery_scan - look at every process (pid 0) or at one, add what is new, remove what has gone.
 * Processes outside of the scope are not looked at; one that leaves it is removed.
 * A process that cannot be looked at and that may contain the runtime (its executable or a
 * mapping is unreadable) is only listed if it is known to: see status and status_text.
 * Descriptors are read anew, but for hung targets. A process has one target: the first copy of
 * the runtime in it that can be observed. Nothing is removed because it could not be looked at.
 * Returns 0 or -errno when /proc itself cannot be read (-EMFILE: or too many files are open).
 */
int discovery_scan(struct discovery *d, pid_t pid, const struct discovery_events *events);

/* Read all descriptors anew, but for hung targets: the counters in them move all the time. */
void discovery_refresh(struct discovery *d);

struct target *discovery_find(const struct discovery *d, pid_t pid);

/* Is it still the same process? Reads its start time through proc_fd. */
bool target_alive(const struct target *t);

/* Re-read the descriptor from the process, in at most 1 s. Returns 0, -ESRCH, -EACCES, -EBADMSG, -ETIMEDOUT. */
int target_read_descriptor(struct target *t);

#endif

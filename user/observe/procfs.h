/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says of one process, read through its open /proc/PID directory.
 *
 * None of these calls makes the target's memory, files or file systems answer:
 * they cannot hang. Strings in the answers are the target's and hostile.
 */
#ifndef STRANDED_OBSERVE_PROCFS_H
#define STRANDED_OBSERVE_PROCFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct procfs_stat {
	char state;
	unsigned threads;
	uint64_t start_ticks;
	uint64_t stack_start; /* 0: not allowed to know */
};

struct procfs_status {
	uid_t uid;       /* effective */
	pid_t inner_pid; /* in the process's own pid namespace; 0: unknown */
};

/* An executable mapping of a file. */
struct procfs_mapping {
	uint64_t start, end;
	uint64_t offset; /* in the file */
	uint64_t inode;
	unsigned dev_major, dev_minor; /* of the file system; on overlayfs not what stat() says */
	const char *path;              /* as the kernel shows it; NULL: unknown */
};

/* Opens /proc/PID. Returns a descriptor, or -ESRCH, or -errno. */
int procfs_open(pid_t pid);

int procfs_read_stat(int proc_fd, struct procfs_stat *ret_stat);
int procfs_read_status(int proc_fd, struct procfs_status *ret_status);
void procfs_read_command(int proc_fd, char command[16]);
char *procfs_read_exe(int proc_fd);    /* malloc'ed; NULL: unreadable */
char *procfs_read_cgroup(int proc_fd); /* path in the unified hierarchy, malloc'ed; NULL: unknown */

/* Has all of it exited? A leader that has ended may have threads that live on. */
bool procfs_has_exited(const struct procfs_stat *stat);

/*
 * procfs_each_executable - visit() the executable file mappings, until it returns false.
 * Returns 0, -EACCES, -ESRCH, ... A process without memory (kernel thread, zombie) has none.
 */
int procfs_each_executable(int proc_fd,
			   bool (*visit)(void *context, const struct procfs_mapping *mapping),
			   void *context);

/*
 * procfs_open_mapped - an O_PATH descriptor of the mapped file, whatever became of its name.
 * Goes through map_files; without the capability for that through the exe link or the path
 * below the process's root, and then only to the very inode that is mapped.
 */
int procfs_open_mapped(int proc_fd, const struct procfs_mapping *mapping);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What a process maps, and its binaries opened: read by a child with a deadline.
 *
 * Reading /proc/PID/maps may wait for a lock that the target holds, and opening,
 * reading and even closing one of its files may wait for a file system that the
 * target serves itself (FUSE). So none of it happens in the observer: a forked
 * child does it, and hands the open files on through a socket. The observer only
 * passes that socket to the sandbox and never owns a file of a target.
 */
#ifndef STRANDED_SYMBOL_FETCH_H
#define STRANDED_SYMBOL_FETCH_H

#include "symbol/engine.h"
#include "symbol/graves.h"

#include <stdio.h>
#include <sys/types.h>

#define FETCH_OBJECTS_MAX 1024 /* named things in the maps; further ones stay nameless */
#define FETCH_FILES_MAX   256  /* binaries opened per process */
#define FETCH_NAME_MAX    4096
#define FETCH_NO_OBJECT   UINT32_MAX

struct fetch_identity { /* of a file that was opened */
	uint64_t dev, ino, mtime_ns, size;
};

struct fetch_object {
	uint64_t dev, ino;              /* as the maps say; 0: not a file */
	uint64_t open_start, open_end;  /* its first executable mapping; 0, 0: none */
	struct fetch_identity identity; /* if opened */
	bool opened;                    /* its descriptor was sent, in the order of the objects */
	char name[FETCH_NAME_MAX];      /* as mapped */
};

struct fetch_map {
	uint64_t start, end, offset;
	uint32_t object; /* FETCH_NO_OBJECT: none */
	uint32_t flags;  /* enum engine_map_flag */
};

/* Filled by the child in memory that it shares with the observer. */
struct fetch_area {
	int32_t error; /* 0 or -errno */
	uint32_t object_count;
	uint32_t map_count;
	struct fetch_object objects[FETCH_OBJECTS_MAX];
	struct fetch_map maps[ENGINE_MAPS_MAX];
};

/* Put what the maps file says into area. Returns 0 or -errno. */
int fetch_parse_maps(FILE *file, struct fetch_area *area);

/*
 * fetch_run - read a process's maps and open its binaries.
 * @ret_files  a socket with one message for each object that was opened, carrying its descriptor
 * Returns 0, -ETIMEDOUT, -EAGAIN (too many are stuck) or another -errno.
 */
int fetch_run(int proc_fd, struct graves *graves, struct fetch_area **ret_area, int *ret_files);
void fetch_area_free(struct fetch_area *area);

#endif

/* SPDX-License-Identifier: MIT */
/* Reads the observer's own resources from /proc/self and the system. */
#include "cmd/self.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static int read_memory(struct openmetrics_self *s)
{
	FILE *file = fopen("/proc/self/statm", "re");
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int fields;

	if (!file)
		return -errno;
	fields = fscanf(file, "%" SCNu64 " %" SCNu64, &s->virtual_bytes, &s->resident_bytes);
	fclose(file);
	s->virtual_bytes *= page;
	s->resident_bytes *= page;
	return fields == 2 ? 0 : -EIO;
}

/* Field 22, counted from after the command in parentheses; our own has none in it. */
static int read_start(struct openmetrics_self *s)
{
	FILE *file = fopen("/proc/self/stat", "re");
	int64_t boot_wall_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME);
	uint64_t ticks = 0;
	int fields;

	if (!file)
		return -errno;
	fields = fscanf(file,
			"%*d (%*[^)]) %*c%*d%*d%*d%*d%*d%*d%*d%*d%*d%*d%*d%*d%*d%*d%*d%*d"
			"%*d%*d%" SCNu64,
			&ticks);
	fclose(file);
	if (fields != 1)
		return -EIO;
	s->start_wall_ns = boot_wall_ns + (int64_t)ticks * (SECOND / sysconf(_SC_CLK_TCK));
	return 0;
}

static int count_descriptors(struct openmetrics_self *s)
{
	DIR *folder = opendir("/proc/self/fd");
	struct rlimit limit;

	if (!folder)
		return -errno;
	while (readdir(folder))
		s->open_fds++;
	closedir(folder);
	s->open_fds -= 3; /* . and .. and the folder itself */
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	s->max_fds = limit.rlim_cur;
	return 0;
}

int self_read(struct openmetrics_self *ret_self)
{
	struct openmetrics_self s = {.cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
	int r = read_memory(&s);

	if (!r)
		r = read_start(&s);
	if (!r)
		r = count_descriptors(&s);
	if (!r)
		*ret_self = s;
	return r;
}

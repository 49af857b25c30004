/* SPDX-License-Identifier: MIT */
/* What the kernel says of this process's memory; C and C++. */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include "bench.h"

/* A field of /proc/self/status that is in KiB, in bytes. */
static inline double bench_memory(const char *field)
{
	FILE *status = fopen("/proc/self/status", "re");
	size_t length = strlen(field);
	char line[256];
	double kib = -1;

	bench_need(status != NULL, "opening /proc/self/status");
	while (kib < 0 && fgets(line, sizeof(line), status)) {
		if (strncmp(line, field, length) == 0 && line[length] == ':')
			kib = atof(line + length + 1);
	}
	fclose(status);
	bench_need(kib >= 0, field);
	return kib * 1024;
}

static inline double bench_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	double lines = 0;
	int c;

	bench_need(maps != NULL, "opening /proc/self/maps");
	while ((c = getc(maps)) != EOF)
		lines += c == '\n';
	fclose(maps);
	return lines;
}

struct bench_footprint {
	double rss, page_tables;
};

static inline struct bench_footprint bench_footprint_now(void)
{
	struct bench_footprint f = {bench_memory("VmRSS"), bench_memory("VmPTE")};

	return f;
}

/* NAME_rss, NAME_page_tables: bytes for each of count tasks since before; NAME_mappings. */
static inline void bench_report_footprint(const char *name, struct bench_footprint before,
					  long count)
{
	struct bench_footprint now = bench_footprint_now();
	char metric[128];

	snprintf(metric, sizeof(metric), "%s_rss", name);
	bench_report(metric, (now.rss - before.rss) / (double)count);
	snprintf(metric, sizeof(metric), "%s_page_tables", name);
	bench_report(metric, (now.page_tables - before.page_tables) / (double)count);
	snprintf(metric, sizeof(metric), "%s_mappings", name);
	bench_report(metric, bench_mappings());
}

#endif

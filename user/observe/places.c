/* SPDX-License-Identifier: MIT */
/* Reads /proc/PID/maps and, for stacks of threads, where each thread's stack pointer was. */
#include "observe/places.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAPS_MAX    65536 /* lines that are looked at */
#define THREADS_MAX 4096

struct place {
	uint64_t start, end;
	char name[512]; /* as maps has it; "": none */
};

static FILE *open_file(int proc_fd, const char *path)
{
	int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

	if (fd >= 0 && !file)
		close(fd);
	return file;
}

static bool find_mapping(int proc_fd, uint64_t address, struct place *ret_place)
{
	FILE *file = open_file(proc_fd, "maps");
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	for (int i = 0; file && !found && i < MAPS_MAX && getline(&line, &room, file) > 0; i++) {
		int name = 0;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %*s %n", &ret_place->start,
			   &ret_place->end, &name) != 2)
			break;
		found = address >= ret_place->start && address < ret_place->end;
		line[strcspn(line, "\n")] = '\0';
		snprintf(ret_place->name, sizeof(ret_place->name), "%s", name ? line + name : "");
	}
	free(line);
	if (file)
		fclose(file);
	return found;
}

/* Where a thread that is in the kernel has its stack pointer; 0: it runs, or is not to be asked. */
static uint64_t stack_pointer(int proc_fd, const char *thread)
{
	char path[288], line[256], *last = NULL, *sp = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "task/%s/syscall", thread);
	file = open_file(proc_fd, path);
	if (!file)
		return 0;
	/* NUMBER ARGUMENTS... SP PC, or -1 SP PC */
	if (fgets(line, sizeof(line), file))
		for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
			sp = last;
			last = word;
		}
	fclose(file);
	return sp ? strtoull(sp, NULL, 16) : 0;
}

static char *name_thread(int proc_fd, const struct place *place)
{
	int fd = openat(proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *threads = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	char *text = NULL;

	if (fd >= 0 && !threads)
		close(fd);
	for (int i = 0; threads && !text && i < THREADS_MAX && (entry = readdir(threads)); i++) {
		uint64_t sp = entry->d_name[0] == '.' ? 0 : stack_pointer(proc_fd, entry->d_name);

		if (sp >= place->start && sp < place->end &&
		    asprintf(&text, "stack of thread %s", entry->d_name) < 0)
			text = NULL;
	}
	if (threads)
		closedir(threads);
	return text;
}

char *places_name(int proc_fd, uint64_t address)
{
	struct place place;
	char *text = NULL;

	if (!find_mapping(proc_fd, address, &place))
		return NULL;
	if (!strcmp(place.name, "[heap]"))
		return strdup("heap");
	if (!place.name[0] || place.name[0] == '[')
		text = name_thread(proc_fd, &place);
	else if (asprintf(&text, "data of %s", place.name) < 0)
		text = NULL;
	return text ? text : strdup("anonymous memory");
}

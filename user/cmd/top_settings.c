/* SPDX-License-Identifier: MIT */
/*
 * Reads and replaces the settings file.
 *
 * Under sudo the folder may be another user's. Root must not be led by that user's links to write
 * somewhere else, so nothing is written into a folder that is not the caller's own.
 */
#include "cmd/top_settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/replace.h"
#include "view/settings.h"

#define FILE_MAX 65536

/* Returns 0 or -ENOENT: there is no home. */
static int find_folder(char ret_path[PATH_MAX])
{
	const char *config = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	int length;

	if (config && *config == '/')
		length = snprintf(ret_path, PATH_MAX, "%s/stranded", config);
	else if (home && *home == '/')
		length = snprintf(ret_path, PATH_MAX, "%s/.config/stranded", home);
	else
		return -ENOENT;
	return length < PATH_MAX - 16 ? 0 : -ENOENT;
}

void top_settings_load(struct browser_settings *settings)
{
	char path[PATH_MAX], *text;
	struct stat status;
	ssize_t size = -1;
	int fd;

	if (find_folder(path))
		return;
	strcat(path, "/top.conf");
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	text = malloc(FILE_MAX + 1);
	if (text && !fstat(fd, &status) && S_ISREG(status.st_mode))
		size = read(fd, text, FILE_MAX);
	if (size >= 0) {
		text[size] = '\0';
		settings_read(text, settings);
	}
	free(text);
	close(fd);
}

/* The folder and the one above it: $HOME/.config may not be there yet. */
static bool make_folder(char *path)
{
	char *slash = strrchr(path, '/');
	struct stat status;

	*slash = '\0';
	mkdir(path, 0700);
	*slash = '/';
	mkdir(path, 0700);
	return !lstat(path, &status) && S_ISDIR(status.st_mode) && status.st_uid == geteuid();
}

void top_settings_save(const struct browser_settings *settings)
{
	struct replacement r;
	char path[PATH_MAX];

	if (find_folder(path) || !make_folder(path))
		return;
	strcat(path, "/top.conf");
	if (replace_begin(&r, path))
		return;
	settings_write(r.stream, settings);
	replace_finish(&r);
}

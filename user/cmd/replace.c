/* SPDX-License-Identifier: MIT */
/* Writes a file beside the one that it will replace, then renames it. */
#include "cmd/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* mkostemp makes files that only we can read; this one is for collectors as well. */
static int open_up(int fd)
{
	mode_t mask = umask(0);

	umask(mask);
	return fchmod(fd, 0644 & ~mask) ? -errno : 0;
}

int replace_begin(struct replacement *r, const char *path)
{
	int fd, error;

	*r = (struct replacement){.path = path};
	if (asprintf(&r->temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(r->temporary, O_CLOEXEC);
	if (fd < 0) {
		error = -errno;
		free(r->temporary);
		return error;
	}
	error = open_up(fd);
	if (!error) {
		r->stream = fdopen(fd, "w");
		if (r->stream)
			return 0;
		error = -errno;
	}
	close(fd);
	unlink(r->temporary);
	free(r->temporary);
	return error;
}

void replace_abandon(struct replacement *r)
{
	if (r->stream)
		fclose(r->stream);
	unlink(r->temporary);
	free(r->temporary);
}

int replace_finish(struct replacement *r)
{
	int failed = ferror(r->stream);
	int error = 0;

	errno = EIO;
	failed |= fclose(r->stream);
	r->stream = NULL;
	if (failed || rename(r->temporary, r->path)) {
		error = -errno;
		replace_abandon(r);
		return error;
	}
	free(r->temporary);
	return 0;
}

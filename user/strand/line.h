/* SPDX-License-Identifier: MIT */
/* A line of text, put together and written without libc's help: also in signal handlers. */
#ifndef STRAND_LINE_H
#define STRAND_LINE_H

#include <stddef.h>
#include <stdint.h>

struct line {
	char text[512]; /* what does not fit is cut */
	size_t length;
};

void line_add(struct line *line, const char *text);
void line_add_number(struct line *line, uint64_t number);
void line_add_hex(struct line *line, uint64_t number);         /* 0x1f */
void line_add_seconds(struct line *line, int64_t nanoseconds); /* 1.250s */
void line_add_kib(struct line *line, uint64_t bytes);          /* 64 KiB, rounded up */
/* At most size bytes, up to a NUL; what is not printable ASCII becomes '?'. */
void line_add_quoted(struct line *line, const char *text, size_t size);

/* Write it and empty it. Returns 0 or -errno. Keeps errno. */
int line_write(struct line *line, int fd);

#endif

/* SPDX-License-Identifier: MIT */
/* Lines of text for signal handlers. */
#include "strand/line.h"

#include <errno.h>
#include <unistd.h>

static void add_char(struct line *line, char c)
{
	if (line->length < sizeof(line->text))
		line->text[line->length++] = c;
}

void line_add(struct line *line, const char *text)
{
	while (*text)
		add_char(line, *text++);
}

static void add_digits(struct line *line, uint64_t number, unsigned base, unsigned least)
{
	char digits[20];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number || n < least);
	while (n)
		add_char(line, digits[--n]);
}

void line_add_number(struct line *line, uint64_t number)
{
	add_digits(line, number, 10, 1);
}

void line_add_hex(struct line *line, uint64_t number)
{
	line_add(line, "0x");
	add_digits(line, number, 16, 1);
}

void line_add_seconds(struct line *line, int64_t nanoseconds)
{
	uint64_t milliseconds = nanoseconds > 0 ? (uint64_t)nanoseconds / 1000000 : 0;

	add_digits(line, milliseconds / 1000, 10, 1);
	add_char(line, '.');
	add_digits(line, milliseconds % 1000, 10, 3);
	add_char(line, 's');
}

void line_add_kib(struct line *line, uint64_t bytes)
{
	add_digits(line, (bytes + 1023) / 1024, 10, 1);
	line_add(line, " KiB");
}

void line_add_quoted(struct line *line, const char *text, size_t size)
{
	add_char(line, '"');
	for (size_t i = 0; i < size && text[i]; i++)
		add_char(line, text[i] < ' ' || text[i] > '~' || text[i] == '"' ? '?' : text[i]);
	add_char(line, '"');
}

int line_write(struct line *line, int fd)
{
	int saved_errno = errno, r = 0;
	size_t done = 0;

	while (r == 0 && done < line->length) {
		ssize_t n = write(fd, line->text + done, line->length - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			r = -errno;
	}
	line->length = 0;
	errno = saved_errno;
	return r;
}

/* SPDX-License-Identifier: MIT */
/* Writing leaked tasks: what the forms share. */
#ifndef STRAND_LEAKS_WRITE_H
#define STRAND_LEAKS_WRITE_H

#include <strand.h>
#include "strand/line.h"
#include "strand/symbols.h"

struct leaks_writer {
	int fd;
	int error; /* the first, 0: none */
	strand_time now;
	struct symbols *symbols; /* NULL: there was no memory */
	size_t count;            /* leaks written */
};

struct leaks_writer leaks_writer_new(int fd);
void leaks_writer_done(struct leaks_writer *w);

/* Write what was put together, without and with the end of the line. Empties it. */
void leaks_write(struct leaks_writer *w, struct line *line);
void leaks_write_line(struct leaks_writer *w, struct line *line);

/* One leak, as a block of debug=2: a callback of strand_leaks. */
void leaks_write_block(const struct strand_leak *leak, void *writer);

/* Say that nothing was proved. */
void leaks_write_inconclusive(struct leaks_writer *w, const struct strand_leaks_result *result);

/* ---- leaks_forms.c ------------------------------------------------------------------ */

/* debug=1, JSON: the search and all of the document. Return as strand_leaks_write. */
int leaks_write_profile(struct leaks_writer *w, strand_time min_age);
int leaks_write_json(struct leaks_writer *w, strand_time min_age);

#endif

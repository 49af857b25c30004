/* SPDX-License-Identifier: MIT */
/* Rows of text in aligned columns that fit a width. */
#ifndef STRANDED_VIEW_TABLE_H
#define STRANDED_VIEW_TABLE_H

#include <stdio.h>

#include "view/style.h"

struct table_column {
	const char *title;
	bool right;   /* aligned to the right */
	size_t least; /* columns that are left to it as long as others can give some */
};

struct table_row {
	char **cells;       /* one a column, escaped */
	const char *colour; /* SGR parameters; NULL: none */
};

struct table {
	const struct table_column *columns; /* borrowed */
	size_t column_count;
	struct table_row *rows;
	size_t row_count, row_room;
};

void table_init(struct table *t, const struct table_column *columns, size_t column_count);
void table_done(struct table *t);
/* Copies the cells, which are escaped already. Returns 0 or -ENOMEM. */
int table_add_row(struct table *t, const char *const *cells, const char *colour);
/* Cuts cells where style->columns demands it. Returns 0 or -ENOMEM. */
int table_print(struct table *t, FILE *out, const struct view_style *style);

#endif

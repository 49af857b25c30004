/* SPDX-License-Identifier: MIT */
/*
 * Writes and reads settings, one a line: KEY VALUE. The filter is not among them: a view that
 * hides things because of last week's question would be a trap.
 */
#include "view/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LINE_ROOM 512
#define DELAY_MIN INT64_C(100000000)
#define DELAY_MAX (INT64_C(86400) * 1000000000)

static void write_columns(FILE *out, uint32_t columns)
{
	const char *separator = " ";

	for (unsigned i = 0; i < COLUMNS; i++) {
		if (!(columns & UINT32_C(1) << i))
			continue;
		fprintf(out, "%s%s", separator, column_form(i)->name);
		separator = ",";
	}
}

void settings_write(FILE *out, const struct browser_settings *settings)
{
	fprintf(out,
		"# stranded top writes this file when it ends.\n"
		"view %s\ndelay_ms %" PRId64 "\n",
		row_kind_name(settings->kind), settings->delay_ns / 1000000);
	for (int kind = 0; kind < ROW_KINDS; kind++) {
		const struct browser_order *order = &settings->orders[kind];

		fprintf(out, "columns.%s", row_kind_name(kind));
		write_columns(out, order->columns);
		fputc('\n', out);
		if (order->sort != COLUMNS)
			fprintf(out, "sort.%s %s%s\n", row_kind_name(kind),
				order->reverse ? "-" : "", column_form(order->sort)->name);
	}
}

int settings_columns(const char *names, enum row_kind kind, uint32_t *ret_columns)
{
	uint32_t columns = 0;

	for (;;) {
		size_t length = strcspn(names, ",");
		enum column column = column_find(names, length);

		if (column == COLUMNS || !(row_columns(kind) & UINT32_C(1) << column))
			return -EINVAL;
		columns |= UINT32_C(1) << column;
		if (!names[length])
			break;
		names += length + 1;
	}
	*ret_columns = columns;
	return 0;
}

int settings_sort(const char *name, enum row_kind kind, struct browser_order *order)
{
	bool reverse = *name == '-';
	enum column column = column_find(name + reverse, strlen(name + reverse));

	if (column == COLUMNS || !(row_columns(kind) & UINT32_C(1) << column))
		return -EINVAL;
	order->sort = column;
	order->reverse = reverse;
	return 0;
}

static void read_delay(const char *value, struct browser_settings *s)
{
	char *end;
	long long delay_ns;

	errno = 0;
	delay_ns = strtoll(value, &end, 10);
	if (errno || end == value || *end || delay_ns > DELAY_MAX / 1000000)
		return;
	delay_ns *= 1000000;
	if (delay_ns >= DELAY_MIN)
		s->delay_ns = delay_ns;
}

/* KEY.KIND */
static void read_order(const char *key, const char *value, struct browser_settings *s)
{
	const char *dot = strchr(key, '.');
	enum row_kind kind = dot ? row_kind_find(dot + 1) : ROW_KINDS;

	if (kind == ROW_KINDS)
		return;
	if (!strncmp(key, "columns.", 8))
		settings_columns(value, kind, &s->orders[kind].columns);
	else if (!strncmp(key, "sort.", 5))
		settings_sort(value, kind, &s->orders[kind]);
}

static void read_line(const char *key, const char *value, struct browser_settings *s)
{
	if (!strcmp(key, "view")) {
		enum row_kind kind = row_kind_find(value);

		if (kind != ROW_KINDS)
			s->kind = kind;
	} else if (!strcmp(key, "delay_ms")) {
		read_delay(value, s);
	} else {
		read_order(key, value, s);
	}
}

void settings_read(const char *text, struct browser_settings *settings)
{
	while (*text) {
		size_t length = strcspn(text, "\n");
		char line[LINE_ROOM], *value;

		if (length < sizeof(line)) {
			memcpy(line, text, length);
			line[length] = '\0';
			value = strchr(line, ' ');
			if (value && *line != '#') {
				*value++ = '\0';
				read_line(line, value, settings);
			}
		}
		text += length + (text[length] == '\n');
	}
}

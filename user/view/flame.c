/* SPDX-License-Identifier: MIT */
/*
 * Draws a flame graph (icicles: callers above) in two passes over sorted rows.
 *
 * Rows are sorted by process and then by their stacks from the outermost frame, so that those
 * that share a box are neighbours: a box is a range of rows, and needs no tree.
 */
#include "view/flame.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "view/html.h"

#define WIDTH     1200.0
#define HEIGHT    18  /* of a box */
#define LETTER    6.7 /* width of a character of the font, measured */
#define LEAST     0.5 /* narrower boxes cannot be seen, and there may be ten thousand */
#define DEPTH_MAX 64

struct flame {
	FILE *out; /* NULL: only the depth is measured */
	const struct row **rows;
	unsigned depth; /* the deepest box */
};

static const struct model_stack *stack_of(const struct row *row)
{
	return &row->task->stack;
}

/* Level 0 is the process, then frames from the outermost, then the reason. NULL: no more. */
static const char *box_text(const struct row *row, unsigned level, char ret_text[PLACE_ROOM])
{
	size_t frames = stack_of(row)->count;
	char command[ESCAPE_ROOM];

	if (!level) {
		snprintf(ret_text, PLACE_ROOM, "%s (%d)",
			 escape_text(row->process->command, true, sizeof(command), command),
			 row->process->pid);
		return ret_text;
	}
	if (level <= frames)
		return place_line(&stack_of(row)->frames[frames - level], true, ret_text);
	if (level > frames + 1)
		return NULL;
	snprintf(ret_text, PLACE_ROOM, "%s", model_reason_text(row->task->reason));
	return ret_text;
}

static int compare_frames(const struct model_frame *a, const struct model_frame *b)
{
	char x[PLACE_ROOM], y[PLACE_ROOM];

	return a == b ? 0 : strcmp(place_line(a, true, x), place_line(b, true, y));
}

static int compare_stacks(const struct model_stack *a, const struct model_stack *b)
{
	size_t common = a->count < b->count ? a->count : b->count;

	for (size_t i = 1; i <= common; i++) {
		int r = compare_frames(&a->frames[a->count - i], &b->frames[b->count - i]);

		if (r)
			return r;
	}
	return (a->count > b->count) - (a->count < b->count);
}

static int compare_rows(const void *x, const void *y)
{
	const struct row *a = *(const struct row *const *)x, *b = *(const struct row *const *)y;
	int r;

	if (a->process != b->process)
		return a->process < b->process ? -1 : 1;
	r = compare_stacks(stack_of(a), stack_of(b));
	if (!r)
		r = (a->task->reason > b->task->reason) - (a->task->reason < b->task->reason);
	return r ? r : (a->state > b->state) - (a->state < b->state);
}

static bool same_box(const struct row *a, const struct row *b, unsigned level)
{
	char x[PLACE_ROOM], y[PLACE_ROOM];
	const char *text = box_text(a, level, x), *other = box_text(b, level, y);

	return text && other && a->process == b->process && !strcmp(text, other);
}

static void sum_up(const struct flame *f, size_t first, size_t end, double *ret_all,
		   double *ret_leaked)
{
	*ret_all = *ret_leaked = 0;
	for (size_t i = first; i < end; i++) {
		*ret_all += (double)row_count(f->rows[i]);
		*ret_leaked += (double)f->rows[i]->tasks[MODEL_LEAKED];
	}
}

static void write_label(FILE *out, const char *text, double x, unsigned y, double width)
{
	size_t room = width > 2 * LETTER ? (size_t)((width - 4) / LETTER) : 0;
	char shown[PLACE_ROOM + 4];

	if (room < 3)
		return;
	strcpy(shown, text);
	escape_fit(shown, true, room, sizeof(shown));
	fprintf(out, "<text x=\"%.1f\" y=\"%u\">", x + 3, y + 13);
	html_text(out, shown);
	fputs("</text>", out);
}

static void write_box(const struct flame *f, const char *text, unsigned level, double x,
		      double width, double all, double leaked)
{
	unsigned y = level * HEIGHT;
	int heat = all > 0 ? (int)(leaked / all * 3 + 0.999) : 0;

	fprintf(f->out, "<g class=\"h%d\"><title>%.0f tasks, %.0f leaked: ", heat, all, leaked);
	html_text(f->out, text);
	fprintf(f->out, "</title><rect x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"%d\"/>", x, y,
		width > 1 ? width - 0.5 : width, HEIGHT - 1);
	write_label(f->out, text, x, y, width);
	fputs("</g>\n", f->out);
}

/* The boxes of one level over a range of rows, and what hangs below each. */
static void write_level(struct flame *f, size_t first, size_t end, unsigned level, double x,
			double scale)
{
	for (size_t next; first < end && level < DEPTH_MAX; first = next) {
		char text[PLACE_ROOM];
		double all, leaked;

		for (next = first + 1; next < end; next++)
			if (!same_box(f->rows[first], f->rows[next], level))
				break;
		sum_up(f, first, next, &all, &leaked);
		if (!box_text(f->rows[first], level, text) || all * scale < LEAST) {
			x += all * scale;
			continue;
		}
		if (level > f->depth)
			f->depth = level;
		if (f->out)
			write_box(f, text, level, x, all * scale, all, leaked);
		write_level(f, first, next, level + 1, x, scale);
		x += all * scale;
	}
}

int flame_write(FILE *out, const struct board_rows *sites)
{
	struct flame f = {.rows = calloc(sites->count + 1, sizeof(*f.rows))};
	double all, leaked;

	if (!f.rows)
		return -ENOMEM;
	for (size_t i = 0; i < sites->count; i++)
		f.rows[i] = &sites->rows[i];
	qsort(f.rows, sites->count, sizeof(*f.rows), compare_rows);
	sum_up(&f, 0, sites->count, &all, &leaked);
	if (all > 0) {
		write_level(&f, 0, sites->count, 0, 0, WIDTH / all);
		fprintf(out,
			"<div class=\"wide\"><svg class=\"flame\" viewBox=\"0 0 %.0f %u\" "
			"role=\"img\" "
			"aria-label=\"Flame graph of waiting tasks\">\n",
			WIDTH, (f.depth + 1) * HEIGHT);
		f.out = out;
		write_level(&f, 0, sites->count, 0, 0, WIDTH / all);
		fputs("</svg></div>\n", out);
	}
	free(f.rows);
	return 0;
}

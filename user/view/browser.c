/* SPDX-License-Identifier: MIT */
/* What keys do to the state of the live view. */
#include "view/browser.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECOND    INT64_C(1000000000)
#define DELAY_MIN 0.1
#define DELAY_MAX 86400.0

void browser_default(struct browser_settings *ret_settings)
{
	*ret_settings = (struct browser_settings){.delay_ns = 2 * SECOND};
	for (int i = 0; i < ROW_KINDS; i++)
		ret_settings->orders[i] =
			(struct browser_order){.sort = COLUMNS, .columns = row_default_columns(i)};
}

void browser_init(struct browser *b, const struct browser_settings *settings, bool utf8,
		  const struct details_source *source)
{
	*b = (struct browser){.settings = *settings, .utf8 = utf8, .page = 1};
	if (source)
		b->source = *source;
}

void browser_done(struct browser *b)
{
	free(b->shown);
	details_done(&b->details);
	memset(b, 0, sizeof(*b));
}

/* ---- the rows that are shown ------------------------------------------------------ */

/* Rows that are equal in the column keep the board's order, whichever way it is sorted. */
static int compare_shown(const void *x, const void *y, void *context)
{
	const struct row *a = *(const struct row *const *)x, *b = *(const struct row *const *)y;
	const struct browser_order *order = context;
	int r = row_compare(a, b, order->sort);

	if (r)
		return order->reverse ? -r : r;
	return (a > b) - (a < b);
}

static void reverse_rows(const struct row **rows, size_t count)
{
	for (size_t i = 0; i < count / 2; i++) {
		const struct row *swap = rows[i];

		rows[i] = rows[count - 1 - i];
		rows[count - 1 - i] = swap;
	}
}

const struct row **browser_select(const struct board_rows *rows, const char *filter,
				  const struct browser_order *order, size_t *ret_count)
{
	const struct row **shown = calloc(rows->count + 1, sizeof(const struct row *));
	struct browser_order by = *order;
	size_t count = 0;

	if (!shown)
		return NULL;
	for (size_t i = 0; i < rows->count; i++)
		if (!*filter || filter_matches(filter, &rows->rows[i]))
			shown[count++] = &rows->rows[i];
	if (by.sort != COLUMNS)
		qsort_r(shown, count, sizeof(*shown), compare_shown, &by);
	else if (by.reverse)
		reverse_rows(shown, count);
	*ret_count = count;
	return shown;
}

static struct browser_order *order_of(struct browser *b)
{
	return &b->settings.orders[b->settings.kind];
}

static void move_to(struct browser *b, size_t cursor)
{
	b->cursor = cursor < b->shown_count ? cursor : b->shown_count ? b->shown_count - 1 : 0;
	b->has_key = b->cursor < b->shown_count;
	if (b->has_key)
		b->key = row_key(b->shown[b->cursor]);
}

/* Whoever is at the top wants to see what comes to the top; others follow their row. */
static void follow_key(struct browser *b)
{
	size_t cursor = b->cursor;

	for (size_t i = 0; cursor && b->has_key && i < b->shown_count; i++)
		if (row_has_key(b->shown[i], &b->key))
			cursor = i;
	move_to(b, cursor);
}

static int show_rows(struct browser *b)
{
	const struct row **shown;
	size_t count;

	if (!b->board)
		return 0;
	/* The order of a tree is its meaning. */
	if (b->settings.kind == ROW_CYCLE)
		*order_of(b) =
			(struct browser_order){.sort = COLUMNS, .columns = order_of(b)->columns};
	shown = browser_select(&b->board->rows[b->settings.kind], b->settings.filter, order_of(b),
			       &count);
	if (!shown)
		return -ENOMEM;
	free(b->shown);
	b->shown = shown;
	b->shown_count = count;
	follow_key(b);
	return 0;
}

const struct row *browser_selected(const struct browser *b)
{
	if (b->mode == BROWSER_DETAILS && b->details_gone)
		return NULL;
	return b->cursor < b->shown_count ? b->shown[b->cursor] : NULL;
}

static int open_details(struct browser *b, const struct row *row)
{
	struct details details;
	int r = details_build(row, b->board->model.now_ns, b->utf8,
			      b->source.read ? &b->source : NULL, &details);

	if (r)
		return r;
	details_done(&b->details);
	b->details = details;
	b->details_gone = false;
	return 0;
}

static bool is_shown(const struct browser *b, const struct row_key *key)
{
	for (size_t i = 0; i < b->shown_count; i++)
		if (row_has_key(b->shown[i], key))
			return true;
	return false;
}

/* Details of a row that is gone stay as they were last: that is when people read them. */
static int refresh_details(struct browser *b, const struct row_key *key)
{
	b->details_gone = !is_shown(b, key);
	if (!b->details_gone)
		return open_details(b, b->shown[b->cursor]);
	b->key = *key;
	return 0;
}

int browser_take(struct browser *b, const struct board *board)
{
	const struct row_key key = b->key;
	int r;

	b->board = board;
	b->shown_count = 0; /* they point into the board before */
	/* In details the row counts, not the place: also that at the top is followed. */
	if (b->mode == BROWSER_DETAILS && !b->cursor)
		b->cursor = SIZE_MAX;
	r = show_rows(b);
	if (!r && b->mode == BROWSER_DETAILS)
		r = refresh_details(b, &key);
	return r;
}

static void note(struct browser *b, const char *text)
{
	snprintf(b->note, sizeof(b->note), "%s", text);
}

static void change(struct browser *b)
{
	if (show_rows(b))
		note(b, "out of memory");
}

/* ---- sorting, grouping ------------------------------------------------------------- */

static void sort_by_next(struct browser *b, int step)
{
	struct browser_order *order = order_of(b);
	int column = order->sort == COLUMNS ? (step > 0 ? -1 : COLUMNS) : (int)order->sort;

	if (b->settings.kind == ROW_CYCLE)
		return;
	do
		column += step;
	while (column >= 0 && column < COLUMNS && !(order->columns & UINT32_C(1) << column));
	if (column < 0 || column >= COLUMNS) {
		*order = (struct browser_order){.sort = COLUMNS, .columns = order->columns};
		note(b, "order: leaked first, then the most");
	} else {
		order->sort = (enum column)column;
		order->reverse = column_form(order->sort)->falling;
	}
	change(b);
}

static void set_kind(struct browser *b, enum row_kind kind)
{
	b->settings.kind = kind;
	b->cursor = b->top = 0;
	change(b);
}

static void page(struct browser *b, int pages)
{
	size_t step = b->page > 1 ? b->page - 1 : 1;

	if (pages > 0)
		move_to(b, b->cursor + step);
	else
		move_to(b, b->cursor > step ? b->cursor - step : 0);
}

/* ---- keys of each mode -------------------------------------------------------------- */

static bool move_key(struct browser *b, uint32_t key)
{
	switch (key) {
	case BROWSER_UP:
	case BROWSER_WHEEL_UP:
	case 'k':
		move_to(b, b->cursor ? b->cursor - 1 : 0);
		return true;
	case BROWSER_DOWN:
	case BROWSER_WHEEL_DOWN:
	case 'j':
		move_to(b, b->cursor + 1);
		return true;
	case BROWSER_PAGE_UP:
		page(b, -1);
		return true;
	case BROWSER_PAGE_DOWN:
	case ' ':
		page(b, 1);
		return true;
	case BROWSER_HOME:
	case 'g':
		move_to(b, 0);
		return true;
	case BROWSER_END:
	case 'G':
		move_to(b, b->shown_count);
		return true;
	}
	return false;
}

static void enter_details(struct browser *b)
{
	const struct row *row = browser_selected(b);

	if (!row)
		return;
	if (open_details(b, row)) {
		note(b, "out of memory");
		return;
	}
	b->mode = BROWSER_DETAILS;
	b->scroll = 0;
}

static void begin_input(struct browser *b, enum browser_mode mode, const char *text)
{
	b->mode = mode;
	snprintf(b->input, sizeof(b->input), "%s", text);
}

static void toggle_pause(struct browser *b)
{
	b->paused = !b->paused;
	note(b, b->paused ? "paused: p goes on" : "goes on");
}

static void show_help(struct browser *b)
{
	b->after_help = b->mode;
	b->mode = BROWSER_HELP;
}

/* Keys that mean the same in the list and in the details. */
static enum browser_action common_key(struct browser *b, uint32_t key)
{
	switch (key) {
	case 's':
		return browser_selected(b) ? BROWSER_SEARCH : BROWSER_NOTHING;
	case 'y':
		return browser_selected(b) ? BROWSER_COPY : BROWSER_NOTHING;
	case 'p':
		toggle_pause(b);
		break;
	case '?':
		show_help(b);
		break;
	}
	return BROWSER_NOTHING;
}

static void change_key(struct browser *b, uint32_t key)
{
	char delay[32];

	switch (key) {
	case '<':
	case BROWSER_LEFT:
	case 'h':
		sort_by_next(b, -1);
		break;
	case '>':
	case BROWSER_RIGHT:
	case 'l':
		sort_by_next(b, 1);
		break;
	case 'r':
		order_of(b)->reverse = !order_of(b)->reverse;
		change(b);
		break;
	case 't':
	case '\t':
		set_kind(b, (b->settings.kind + 1) % ROW_KINDS);
		break;
	case '/':
		begin_input(b, BROWSER_FILTER, b->settings.filter);
		break;
	case 'c':
		b->mode = BROWSER_COLUMNS;
		b->menu = 0;
		break;
	case 'd':
		snprintf(delay, sizeof(delay), "%g", (double)b->settings.delay_ns / 1e9);
		begin_input(b, BROWSER_DELAY, delay);
		break;
	}
}

static enum browser_action list_key(struct browser *b, uint32_t key)
{
	if (key == 'q')
		return BROWSER_QUIT;
	if (move_key(b, key))
		return BROWSER_NOTHING;
	if (key == BROWSER_ENTER)
		enter_details(b);
	else if (key == BROWSER_ESCAPE && b->settings.filter[0]) {
		b->settings.filter[0] = '\0';
		change(b);
	} else if (key >= '1' && key < '1' + ROW_KINDS)
		set_kind(b, (enum row_kind)(key - '1'));
	else
		change_key(b, key);
	return common_key(b, key);
}

static void scroll_by(struct browser *b, size_t lines, bool down)
{
	if (down)
		b->scroll += lines; /* drawing stops it at the end */
	else
		b->scroll = b->scroll > lines ? b->scroll - lines : 0;
}

static enum browser_action details_key(struct browser *b, uint32_t key)
{
	switch (key) {
	case 'q':
	case BROWSER_ESCAPE:
	case BROWSER_ENTER:
	case BROWSER_LEFT:
	case 'h':
		b->mode = BROWSER_LIST;
		if (b->details_gone)
			move_to(b, b->cursor);
		return BROWSER_NOTHING;
	case BROWSER_UP:
	case BROWSER_WHEEL_UP:
	case 'k':
		scroll_by(b, 1, false);
		return BROWSER_NOTHING;
	case BROWSER_DOWN:
	case BROWSER_WHEEL_DOWN:
	case 'j':
		scroll_by(b, 1, true);
		return BROWSER_NOTHING;
	case BROWSER_PAGE_UP:
		scroll_by(b, b->page, false);
		return BROWSER_NOTHING;
	case BROWSER_PAGE_DOWN:
	case ' ':
		scroll_by(b, b->page, true);
		return BROWSER_NOTHING;
	case BROWSER_HOME:
	case 'g':
		b->scroll = 0;
		return BROWSER_NOTHING;
	case BROWSER_END:
	case 'G':
		scroll_by(b, b->details.count, true);
		return BROWSER_NOTHING;
	}
	return common_key(b, key);
}

/* One character more or less. Returns whether the text has changed. */
static bool edit(char *text, size_t room, uint32_t key)
{
	size_t length = strlen(text);
	char bytes[4];
	size_t size;

	if (key == BROWSER_BACKSPACE) {
		if (!length)
			return false;
		while (length > 1 && ((unsigned char)text[length - 1] & 0xc0) == 0x80)
			length--;
		text[length - 1] = '\0';
		return true;
	}
	if (key >= 0x110000 || escape_is_harmful(key))
		return false;
	size = escape_encode(key, bytes);
	if (length + size >= room)
		return false;
	memcpy(text + length, bytes, size);
	text[length + size] = '\0';
	return true;
}

/* The list follows each key, so that people see what their words find. */
static void filter_key(struct browser *b, uint32_t key)
{
	if (key == BROWSER_ENTER) {
		b->mode = BROWSER_LIST;
		return;
	}
	if (key == BROWSER_ESCAPE) {
		b->mode = BROWSER_LIST;
		b->input[0] = '\0';
	} else if (!edit(b->input, sizeof(b->input), key)) {
		return;
	}
	strcpy(b->settings.filter, b->input);
	b->cursor = 0;
	change(b);
}

static void delay_key(struct browser *b, uint32_t key)
{
	double seconds;
	char *end;

	if (key == BROWSER_ESCAPE)
		b->mode = BROWSER_LIST;
	if (key != BROWSER_ENTER) {
		edit(b->input, sizeof(b->input), key);
		return;
	}
	b->mode = BROWSER_LIST;
	seconds = strtod(b->input, &end);
	if (end == b->input || *end || !(seconds >= DELAY_MIN && seconds <= DELAY_MAX))
		note(b, "delay: seconds from 0.1 to 86400");
	else
		b->settings.delay_ns = (int64_t)(seconds * 1e9);
}

static uint32_t nth_column(uint32_t columns, size_t n)
{
	while (n-- && columns)
		columns &= columns - 1;
	return columns & -columns;
}

static void columns_key(struct browser *b, uint32_t key)
{
	uint32_t all = row_columns(b->settings.kind);
	size_t count = (size_t)__builtin_popcount(all);
	struct browser_order *order = order_of(b);

	switch (key) {
	case BROWSER_UP:
	case BROWSER_WHEEL_UP:
	case 'k':
		b->menu = b->menu ? b->menu - 1 : 0;
		break;
	case BROWSER_DOWN:
	case BROWSER_WHEEL_DOWN:
	case 'j':
		b->menu += b->menu + 1 < count;
		break;
	case ' ':
		order->columns ^= nth_column(all, b->menu);
		if (!order->columns)
			order->columns = row_default_columns(b->settings.kind);
		break;
	case BROWSER_ENTER:
	case BROWSER_ESCAPE:
	case 'c':
	case 'q':
		b->mode = BROWSER_LIST;
		break;
	}
}

enum browser_action browser_key(struct browser *b, uint32_t key)
{
	b->note[0] = '\0';
	switch (b->mode) {
	case BROWSER_LIST:
		return list_key(b, key);
	case BROWSER_DETAILS:
		return details_key(b, key);
	case BROWSER_HELP:
		b->mode = b->after_help;
		break;
	case BROWSER_FILTER:
		filter_key(b, key);
		break;
	case BROWSER_DELAY:
		delay_key(b, key);
		break;
	case BROWSER_COLUMNS:
		columns_key(b, key);
		break;
	}
	return BROWSER_NOTHING;
}

enum browser_action browser_click(struct browser *b, size_t row, bool twice)
{
	size_t index = b->top + row - b->list_row;

	if (b->mode == BROWSER_HELP)
		b->mode = b->after_help;
	else if (b->mode == BROWSER_LIST && row >= b->list_row && index < b->shown_count &&
		 row < b->list_row + b->page) {
		move_to(b, index);
		if (twice)
			enter_details(b);
	}
	return BROWSER_NOTHING;
}

char *browser_copy(const struct browser *b)
{
	const struct row *row = browser_selected(b);
	uint32_t columns = b->settings.orders[b->settings.kind].columns;
	char cell[ROW_CELL_ROOM], *text = NULL;
	size_t size;
	FILE *stream;

	if (!row)
		return NULL;
	stream = open_memstream(&text, &size);
	if (!stream)
		return NULL;
	for (unsigned i = 0; i < COLUMNS; i++)
		if (columns & UINT32_C(1) << i)
			fprintf(stream, "%s%s", ftell(stream) ? "  " : "",
				row_cell(row, i, b->board->model.now_ns, b->utf8, cell));
	if (fclose(stream)) {
		free(text);
		return NULL;
	}
	return text;
}

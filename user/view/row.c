/* SPDX-License-Identifier: MIT */
/* Names, writes and compares the columns of rows. */
#include "view/row.h"

#include <inttypes.h>
#include <string.h>

#include "view/clock.h"

static const struct column_form forms[COLUMNS] = {
	[COLUMN_PID] = {"pid", "PID", true, false, 7, 7, 0},
	[COLUMN_COMMAND] = {"command", "COMMAND", false, false, 8, 16, 1},
	[COLUMN_STATUS] = {"status", "STATUS", false, false, 11, 16, 4},
	[COLUMN_TASK] = {"task", "TASK", true, false, 6, 12, 1},
	[COLUMN_NAME] = {"name", "NAME", false, false, 8, 20, 7},
	[COLUMN_OBJECT] = {"object", "OBJECT", true, false, 14, 14, 3},
	[COLUMN_STATE] = {"state", "STATE", false, false, 21, 28, 1},
	[COLUMN_COUNT] = {"count", "COUNT", true, true, 6, 8, 1},
	[COLUMN_SENDERS] = {"senders", "SENDERS", true, true, 7, 8, 4},
	[COLUMN_RECEIVERS] = {"receivers", "RECEIVERS", true, true, 9, 9, 4},
	[COLUMN_NEW] = {"new", "+/MIN", true, true, 6, 7, 6},
	[COLUMN_LEAKED] = {"leaked", "LEAKED", true, true, 6, 8, 2},
	[COLUMN_SUSPECT] = {"suspect", "SUSPECT", true, true, 7, 8, 4},
	[COLUMN_RETAINED] = {"retained", "RETAINED", true, true, 8, 8, 5},
	[COLUMN_OLDEST] = {"oldest", "OLDEST", true, true, 6, 7, 2},
	[COLUMN_SEARCH] = {"search", "SEARCH", false, false, 12, 40, 3},
	[COLUMN_WAITS_FOR] = {"waits-for", "WAITS FOR", false, false, 25, 46, 1},
	[COLUMN_WHERE] = {"where", "WHERE", false, false, 14, 60, 2},
	[COLUMN_CREATED] = {"created", "CREATED BY", false, false, 12, 60, 3},
	[COLUMN_SEEN] = {"seen", "FIRST SEEN", true, true, 10, 10, 8},
};

#define BIT(column) (UINT32_C(1) << COLUMN_##column)
#define BOTH        (BIT(PID) | BIT(COMMAND) | BIT(OLDEST))
#define PLACES      (BIT(WHERE) | BIT(CREATED))

static const struct {
	const char *name;
	uint32_t shown, all;
} kinds[ROW_KINDS] = {
	[ROW_SITE] = {"site", BOTH | PLACES | BIT(STATE) | BIT(COUNT) | BIT(NEW) | BIT(RETAINED),
		      BOTH | PLACES | BIT(STATE) | BIT(COUNT) | BIT(NEW) | BIT(RETAINED) |
			      BIT(LEAKED) | BIT(SUSPECT) | BIT(NAME) | BIT(SEEN)},
	[ROW_PROCESS] = {"process",
			 BOTH | BIT(STATUS) | BIT(COUNT) | BIT(LEAKED) | BIT(SUSPECT) | BIT(NEW) |
				 BIT(RETAINED) | BIT(SEARCH),
			 BOTH | BIT(STATUS) | BIT(COUNT) | BIT(LEAKED) | BIT(SUSPECT) | BIT(NEW) |
				 BIT(RETAINED) | BIT(SEARCH)},
	[ROW_TASK] = {"task", BOTH | PLACES | BIT(TASK) | BIT(NAME) | BIT(STATE) | BIT(RETAINED),
		      BOTH | PLACES | BIT(TASK) | BIT(NAME) | BIT(STATE) | BIT(RETAINED) |
			      BIT(OBJECT)},
	[ROW_OBJECT] = {"channel",
			BOTH | BIT(OBJECT) | BIT(STATE) | BIT(COUNT) | BIT(SENDERS) |
				BIT(RECEIVERS) | BIT(LEAKED) | BIT(WHERE),
			BOTH | PLACES | BIT(OBJECT) | BIT(STATE) | BIT(COUNT) | BIT(SENDERS) |
				BIT(RECEIVERS) | BIT(LEAKED) | BIT(RETAINED)},
	[ROW_CYCLE] = {"cycle", BOTH | PLACES | BIT(WAITS_FOR) | BIT(RETAINED),
		       BOTH | PLACES | BIT(WAITS_FOR) | BIT(RETAINED) | BIT(NAME)},
};

const struct column_form *column_form(enum column column)
{
	return &forms[column];
}

enum column column_find(const char *name, size_t length)
{
	unsigned i = 0;

	while (i < COLUMNS &&
	       (strlen(forms[i].name) != length || strncmp(forms[i].name, name, length) != 0))
		i++;
	return i;
}

uint32_t row_default_columns(enum row_kind kind)
{
	return kinds[kind].shown;
}

uint32_t row_columns(enum row_kind kind)
{
	return kinds[kind].all;
}

static size_t least_width(uint32_t columns, size_t gap)
{
	size_t width = 0;

	for (unsigned i = 0; i < COLUMNS; i++)
		if (columns & UINT32_C(1) << i)
			width += forms[i].least + (width ? gap : 0);
	return width;
}

/* The column that people miss least. */
static uint32_t least_needed(uint32_t columns)
{
	unsigned found = COLUMNS;

	for (unsigned i = 0; i < COLUMNS; i++)
		if (columns & UINT32_C(1) << i &&
		    (found == COLUMNS || forms[i].rank >= forms[found].rank))
			found = i;
	return UINT32_C(1) << found;
}

uint32_t row_fit_columns(uint32_t columns, size_t room, size_t gap)
{
	while (columns & (columns - 1) && least_width(columns, gap) > room)
		columns &= ~least_needed(columns);
	return columns;
}

const char *row_kind_name(enum row_kind kind)
{
	return kinds[kind].name;
}

enum row_kind row_kind_find(const char *name)
{
	unsigned i = 0;

	while (i < ROW_KINDS && strcmp(kinds[i].name, name) != 0)
		i++;
	return i;
}

uint64_t row_count(const struct row *row)
{
	uint64_t sum = 0;

	for (int i = 0; i < MODEL_TASK_STATES; i++)
		if (__builtin_add_overflow(sum, row->tasks[i], &sum))
			return UINT64_MAX;
	return sum;
}

const char *row_size(uint64_t bytes, char ret_text[24])
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes;
	int unit = -1;

	if (bytes < 1024) {
		snprintf(ret_text, 24, "%" PRIu64, bytes);
		return ret_text;
	}
	for (; value >= 999.5 && units[unit + 1]; unit++)
		value /= 1024;
	snprintf(ret_text, 24, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
	return ret_text;
}

/* ---- cells ------------------------------------------------------------------ */

static void put_number(uint64_t number, char *ret_text)
{
	snprintf(ret_text, ROW_CELL_ROOM, "%" PRIu64, number);
}

static void put_place(const struct model_frame *f, bool utf8, char *ret_text)
{
	if (f)
		place_line(f, utf8, ret_text);
	else
		strcpy(ret_text, "-");
}

static const struct model_frame *where_of(const struct row *row)
{
	return row->task && row->task->stack.count ? &row->task->stack.frames[0] : NULL;
}

static const struct model_frame *creator_of(const struct row *row)
{
	return row->task && row->task->created_by.pc ? &row->task->created_by : NULL;
}

/* Where tasks of an object wait in several ways, the oldest tells. */
static void put_state(const struct row *row, char *ret_text)
{
	static const char *const suffixes[MODEL_TASK_STATES] = {
		[MODEL_WAITING] = "",
		[MODEL_LEAKED] = " (leaked)",
		[MODEL_SUSPECT] = " (suspect)",
	};

	if (!row->task)
		strcpy(ret_text, "-");
	else
		snprintf(ret_text, ROW_CELL_ROOM, "%s%s", model_reason_text(row->task->reason),
			 suffixes[row->state]);
}

static void put_growth(const struct row *row, char *ret_text)
{
	double growth = row->growth;

	if (!row->has_growth)
		*ret_text = '\0';
	else if (growth > -0.05 && growth < 0.05)
		strcpy(ret_text, "0");
	else
		snprintf(ret_text, ROW_CELL_ROOM,
			 growth > -99.5 && growth < 99.5 ? "%+.1f" : "%+.0f", growth);
}

static void put_search(const struct row *row, int64_t now_ns, char *ret_text)
{
	const struct model_search *s = &row->process->search;
	char age[CLOCK_ROOM];

	if (!s->asked) {
		strcpy(ret_text, "-");
		return;
	}
	if (!s->answered) {
		strcpy(ret_text, "no answer");
		return;
	}
	clock_short_age(clock_age(now_ns, s->finished_ns), age);
	if (!model_search_proved(s))
		snprintf(ret_text, ROW_CELL_ROOM, "%s %s ago: %s",
			 s->status == STRAND_SEARCH_REFUSED ? "refused" : "inconclusive", age,
			 model_cause_text(s->cause));
	else
		snprintf(ret_text, ROW_CELL_ROOM, "done %s ago, pause %.1fms", age,
			 (double)s->pause_ns / 1e6);
}

static const char *branch_text(enum row_branch branch, bool utf8)
{
	static const char *const texts[][2] = {
		[ROW_IN_CYCLE] = {"|- ", "\u251c\u2500 "},
		[ROW_CYCLE_FIRST] = {",- ", "\u256d\u2500 "},
		[ROW_CYCLE_LAST] = {"`- ", "\u2570\u2500 "},
		[ROW_CYCLE_ALONE] = {"@- ", "\u21ba  "},
		[ROW_BEHIND] = {"   \\ ", "   \u2514 "},
	};

	return texts[branch][utf8];
}

static void put_waits_for(const struct row *row, bool utf8, char *ret_text)
{
	char next[40] = "";

	if (row->next)
		snprintf(next, sizeof(next), " %s %" PRIu64, utf8 ? "\u2192" : "->", row->next);
	snprintf(ret_text, ROW_CELL_ROOM, "%s%" PRIu64 " %s%s", branch_text(row->branch, utf8),
		 row->id, row->task ? model_reason_text(row->task->reason) : "(not shown)", next);
}

static void put_status(const struct row *row, char *ret_text)
{
	strcpy(ret_text, model_process_status_text(row->process->status));
}

static void put_object(const struct row *row, char *ret_text)
{
	snprintf(ret_text, ROW_CELL_ROOM, "0x%" PRIx64, row->task ? row->task->object : 0);
}

static void put_oldest(const struct row *row, int64_t now_ns, char *ret_text)
{
	if (row_count(row))
		clock_short_age(clock_age(now_ns, row->oldest_since_ns), ret_text);
}

static void put_seen(const struct row *row, int64_t now_ns, char *ret_text)
{
	if (row->past)
		clock_short_age(clock_age(now_ns, row->past->first_seen_ns), ret_text);
}

static void put_quantity(const struct row *row, enum column column, char *ret_text)
{
	switch (column) {
	case COLUMN_PID:
		snprintf(ret_text, ROW_CELL_ROOM, "%d", row->process->pid);
		break;
	case COLUMN_TASK:
		put_number(row->id, ret_text);
		break;
	case COLUMN_COUNT:
		put_number(row_count(row), ret_text);
		break;
	case COLUMN_SENDERS:
		put_number(row->senders, ret_text);
		break;
	case COLUMN_RECEIVERS:
		put_number(row->receivers, ret_text);
		break;
	case COLUMN_LEAKED:
		put_number(row->tasks[MODEL_LEAKED], ret_text);
		break;
	case COLUMN_SUSPECT:
		put_number(row->tasks[MODEL_SUSPECT], ret_text);
		break;
	default:
		if (row->retained)
			row_size(row->retained, ret_text);
	}
}

const char *row_cell(const struct row *row, enum column column, int64_t now_ns, bool utf8,
		     char ret_text[ROW_CELL_ROOM])
{
	*ret_text = '\0';
	switch (column) {
	case COLUMN_COMMAND:
		return escape_text(row->process->command, utf8, ESCAPE_ROOM, ret_text);
	case COLUMN_NAME:
		return escape_text(row->task ? row->task->name : NULL, utf8, ESCAPE_ROOM, ret_text);
	case COLUMN_STATUS:
		put_status(row, ret_text);
		break;
	case COLUMN_OBJECT:
		put_object(row, ret_text);
		break;
	case COLUMN_STATE:
		put_state(row, ret_text);
		break;
	case COLUMN_NEW:
		put_growth(row, ret_text);
		break;
	case COLUMN_OLDEST:
		put_oldest(row, now_ns, ret_text);
		break;
	case COLUMN_SEARCH:
		put_search(row, now_ns, ret_text);
		break;
	case COLUMN_WAITS_FOR:
		put_waits_for(row, utf8, ret_text);
		break;
	case COLUMN_WHERE:
		put_place(where_of(row), utf8, ret_text);
		break;
	case COLUMN_CREATED:
		put_place(creator_of(row), utf8, ret_text);
		break;
	case COLUMN_SEEN:
		put_seen(row, now_ns, ret_text);
		break;
	default:
		put_quantity(row, column, ret_text);
	}
	return ret_text;
}

/* ---- order ------------------------------------------------------------------ */

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_texts(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int compare_places(const struct model_frame *a, const struct model_frame *b)
{
	int r = compare_texts(a ? a->file : NULL, b ? b->file : NULL);

	if (!r)
		r = compare_u64(a ? a->line : 0, b ? b->line : 0);
	if (!r)
		r = compare_texts(a ? a->function : NULL, b ? b->function : NULL);
	return r ? r : compare_u64(a ? a->pc : 0, b ? b->pc : 0);
}

static int compare_states(const struct row *a, const struct row *b)
{
	int r = compare_texts(a->task ? model_reason_text(a->task->reason) : NULL,
			      b->task ? model_reason_text(b->task->reason) : NULL);

	return r ? r : compare_u64(a->state, b->state);
}

static double growth_of(const struct row *row)
{
	return row->has_growth ? row->growth : 0;
}

/* By age: those without tasks are the youngest. */
static int compare_ages(const struct row *a, const struct row *b)
{
	int64_t x = row_count(a) ? a->oldest_since_ns : INT64_MAX;
	int64_t y = row_count(b) ? b->oldest_since_ns : INT64_MAX;

	return (x < y) - (x > y);
}

static int compare_quantities(const struct row *a, const struct row *b, enum column column)
{
	switch (column) {
	case COLUMN_PID:
		return (a->process->pid > b->process->pid) - (a->process->pid < b->process->pid);
	case COLUMN_OBJECT:
		return compare_u64(a->task ? a->task->object : 0, b->task ? b->task->object : 0);
	case COLUMN_COUNT:
		return compare_u64(row_count(a), row_count(b));
	case COLUMN_SENDERS:
		return compare_u64(a->senders, b->senders);
	case COLUMN_RECEIVERS:
		return compare_u64(a->receivers, b->receivers);
	case COLUMN_LEAKED:
		return compare_u64(a->tasks[MODEL_LEAKED], b->tasks[MODEL_LEAKED]);
	case COLUMN_SUSPECT:
		return compare_u64(a->tasks[MODEL_SUSPECT], b->tasks[MODEL_SUSPECT]);
	case COLUMN_RETAINED:
		return compare_u64(a->retained, b->retained);
	case COLUMN_NEW:
		return (growth_of(a) > growth_of(b)) - (growth_of(a) < growth_of(b));
	default:
		return compare_u64(a->id, b->id);
	}
}

int row_compare(const struct row *a, const struct row *b, enum column column)
{
	switch (column) {
	case COLUMN_COMMAND:
		return compare_texts(a->process->command, b->process->command);
	case COLUMN_STATUS:
		return compare_u64(a->process->status, b->process->status);
	case COLUMN_NAME:
		return compare_texts(a->task ? a->task->name : NULL,
				     b->task ? b->task->name : NULL);
	case COLUMN_STATE:
		return compare_states(a, b);
	case COLUMN_OLDEST:
		return compare_ages(a, b);
	case COLUMN_SEARCH:
		return -compare_u64((uint64_t)a->process->search.finished_ns,
				    (uint64_t)b->process->search.finished_ns);
	case COLUMN_WHERE:
		return compare_places(where_of(a), where_of(b));
	case COLUMN_CREATED:
		return compare_places(creator_of(a), creator_of(b));
	case COLUMN_SEEN:
		return -compare_u64(a->past ? (uint64_t)a->past->first_seen_ns : UINT64_MAX,
				    b->past ? (uint64_t)b->past->first_seen_ns : UINT64_MAX);
	default:
		return compare_quantities(a, b, column);
	}
}

/* Tasks and objects change their state; sites of two states are two sites. */
struct row_key row_key(const struct row *row)
{
	return (struct row_key){
		.kind = row->kind,
		.state = row->kind == ROW_SITE ? row->state : MODEL_WAITING,
		.pid = row->process->pid,
		.start_ticks = row->process->start_ticks,
		.id = row->id,
	};
}

bool row_has_key(const struct row *row, const struct row_key *key)
{
	const struct row_key own = row_key(row);

	return own.kind == key->kind && own.state == key->state && own.pid == key->pid &&
	       own.start_ticks == key->start_ticks && own.id == key->id;
}

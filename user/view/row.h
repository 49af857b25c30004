/* SPDX-License-Identifier: MIT */
/*
 * One row of a table that people look through: a site, a process, a task, a wait object or a
 * member of a wait-for cycle. Its columns have names, titles, an order and a text.
 */
#ifndef STRANDED_VIEW_ROW_H
#define STRANDED_VIEW_ROW_H

#include <stdio.h>

#include "model/model.h"
#include "view/place.h"

enum row_kind {
	ROW_SITE = 0,
	ROW_PROCESS,
	ROW_TASK,
	ROW_OBJECT, /* what tasks wait on: a channel, a lock, ... */
	ROW_CYCLE,  /* tasks that wait for each other in a ring, and those behind them */
	ROW_KINDS
};

enum column {
	COLUMN_PID = 0,
	COLUMN_COMMAND,
	COLUMN_STATUS,
	COLUMN_TASK,
	COLUMN_NAME,
	COLUMN_OBJECT,
	COLUMN_STATE,
	COLUMN_COUNT,
	COLUMN_SENDERS,
	COLUMN_RECEIVERS,
	COLUMN_NEW,
	COLUMN_LEAKED,
	COLUMN_SUSPECT,
	COLUMN_RETAINED,
	COLUMN_OLDEST,
	COLUMN_SEARCH,
	COLUMN_WAITS_FOR,
	COLUMN_WHERE,
	COLUMN_CREATED,
	COLUMN_SEEN,
	COLUMNS
};

enum row_branch { ROW_IN_CYCLE = 0, ROW_CYCLE_FIRST, ROW_CYCLE_LAST, ROW_CYCLE_ALONE, ROW_BEHIND };

struct row {
	enum row_kind kind;
	enum row_branch branch; /* of ROW_CYCLE */
	const struct model_process *process;
	const struct model_task *task; /* the oldest of them; NULL: none is known */
	const struct model_past *past; /* NULL: nothing is remembered */
	enum model_task_state state;   /* the worst of them */
	uint64_t id;                   /* of the task, the object, or the site's fingerprint */
	uint64_t tasks[MODEL_TASK_STATES];
	uint64_t senders, receivers;
	uint64_t retained;
	uint64_t next; /* ROW_CYCLE: the task that it waits for, 0: unknown */
	int64_t oldest_since_ns;
	bool has_growth;
	double growth; /* tasks more a minute */
};

struct row_key { /* finds a row again in the next model */
	enum row_kind kind;
	enum model_task_state state;
	pid_t pid;
	uint64_t start_ticks, id;
};

struct column_form {
	const char *name;     /* in options and settings */
	const char *title;    /* on the screen */
	bool right;           /* aligned */
	bool falling;         /* large values first when it is chosen to sort by */
	unsigned least, most; /* columns of a terminal */
	unsigned rank;        /* the higher goes first where not all fit */
};

#define ROW_CELL_ROOM (PLACE_ROOM + 64)

const struct column_form *column_form(enum column column);
/* COLUMNS if there is none of that name. */
enum column column_find(const char *name, size_t length);
/* The columns that a kind shows unless asked otherwise, as bits. */
uint32_t row_default_columns(enum row_kind kind);
/* All that mean something for it. */
uint32_t row_columns(enum row_kind kind);
/* Those of the columns that fit into so many of a terminal: one at least. */
uint32_t row_fit_columns(uint32_t columns, size_t room, size_t gap);
const char *row_kind_name(enum row_kind kind);
/* ROW_KINDS if there is none of that name. */
enum row_kind row_kind_find(const char *name);

uint64_t row_count(const struct row *row);
/* The escaped text of a cell. Returns ret_text. */
const char *row_cell(const struct row *row, enum column column, int64_t now_ns, bool utf8,
		     char ret_text[ROW_CELL_ROOM]);
/* As strcmp, smallest first. */
int row_compare(const struct row *a, const struct row *b, enum column column);
struct row_key row_key(const struct row *row);
bool row_has_key(const struct row *row, const struct row_key *key);

/* 640, 1.2K, 35M. Returns ret_text. */
const char *row_size(uint64_t bytes, char ret_text[24]);

#endif

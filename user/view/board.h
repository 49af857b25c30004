/* SPDX-License-Identifier: MIT */
/*
 * Everything that a live view shows of one model, prepared: the rows of every kind and totals.
 *
 * Made away from the thread that answers keys, since it costs by tasks; what is done with it
 * later costs by rows, and of tasks and objects there are at most BOARD_ROWS_MAX.
 */
#ifndef STRANDED_VIEW_BOARD_H
#define STRANDED_VIEW_BOARD_H

#include "view/row.h"
#include "view/trend.h"

#define BOARD_ROWS_MAX 10000

struct board_rows {
	struct row *rows;
	size_t count, room;
	size_t left_out; /* the youngest that are not leaked */
};

struct board_totals {
	size_t observed, not_observed, incomplete;
	uint64_t tasks[MODEL_TASK_STATES];
	uint64_t retained, lost, retracted;
	int64_t searched_ns;     /* the newest search that answered; 0: none */
	int64_t pause_ns;        /* of that one */
	double ended_per_second; /* negative: unknown */
	uint64_t leaked[TREND_SAMPLES];
	size_t leaked_count;
	int64_t leaked_span_ns;
};

struct board {
	struct model model; /* the rows point into it */
	struct board_rows rows[ROW_KINDS];
	struct board_totals totals;
};

/*
 * board_build - prepare a model.
 * @m  taken over, whatever is returned
 * Returns 0 or -ENOMEM; then there is nothing to end.
 */
int board_build(struct model *m, struct trend *trend, struct board *ret_board);
void board_done(struct board *board);

/* For board.c: adds a zeroed row. Returns NULL without memory. */
struct row *board_add(struct board_rows *rows, enum row_kind kind, const struct model_process *p);
/* In cycles.c: the rings of tasks that wait for each other, with those behind them. */
int board_add_cycles(struct board_rows *rows, const struct model_process *p);

#endif

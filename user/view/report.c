/* SPDX-License-Identifier: MIT */
/*
 * Writes the page.
 *
 * Everything that a target said goes through html_text() or html_raw(), into elements or quoted
 * attributes only: never into a style, a script or an address. The page's own policy forbids it
 * to load anything, so that a hole in that would still send nothing anywhere.
 */
#include "view/report.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "view/clock.h"
#include "view/flame.h"
#include "view/html.h"

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	"style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<meta name=\"color-scheme\" content=\"light dark\">\n"
	"<title>stranded: waiting and leaked tasks</title>\n<style>\n"
	":root{--bg:#fff;--fg:#1c2024;--dim:#60646c;--line:#e0e1e6;--card:#f9f9fb;--red:#c62a2f;"
	"--amber:#a35200;--h0:#cfe0f5;--h1:#f6c6bd;--h2:#ee9a8d;--h3:#e5766a}\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#111113;--fg:#edeef0;--dim:#b0b4ba;"
	"--line:#363a3f;--card:#1b1c1f;--red:#ff8589;--amber:#ffb86b;--h0:#24405f;--h1:#63312d;"
	"--h2:#87362f;--h3:#a83f36}}\n"
	"*{box-sizing:border-box}body{margin:0 auto;max-width:1240px;padding:16px;"
	"background:var(--bg);color:var(--fg);font:15px/1.45 system-ui,sans-serif}\n"
	"h1{font-size:22px;margin:0}h2{font-size:17px;margin:28px 0 8px}p{margin:4px 0}"
	".dim{color:var(--dim)}.leaked{color:var(--red)}.suspect{color:var(--amber)}\n"
	".cards{display:flex;flex-wrap:wrap;gap:8px;margin:16px 0}.card{background:var(--card);"
	"border:1px solid var(--line);border-radius:8px;padding:8px 14px;min-width:110px}"
	".card b{display:block;font-size:22px}\n"
	".wide{overflow-x:auto}.flame{width:100%;min-width:760px;display:block;"
	"font:11px ui-monospace,monospace}.flame text{fill:var(--fg);pointer-events:none}"
	".h0 rect{fill:var(--h0)}.h1 rect{fill:var(--h1)}.h2 rect{fill:var(--h2)}"
	".h3 rect{fill:var(--h3)}.flame g:hover rect{stroke:var(--fg)}\n"
	"input{width:100%;padding:8px 10px;font:inherit;color:inherit;background:var(--card);"
	"border:1px solid var(--line);border-radius:8px;margin-bottom:8px}\n"
	"table{border-collapse:collapse;width:100%;font-size:14px}th,td{text-align:left;"
	"padding:6px 8px;border-bottom:1px solid var(--line);vertical-align:top;"
	"overflow-wrap:anywhere}th{color:var(--dim);font-weight:600}.n{text-align:right;"
	"font-variant-numeric:tabular-nums;white-space:nowrap}code,.ring,pre{font-family:"
	"ui-monospace,monospace;font-size:13px}\n"
	"summary{cursor:pointer}pre{white-space:pre-wrap;margin:6px 0}"
	".ring{display:flex;flex-wrap:wrap;gap:6px;list-style:none;padding:0;margin:8px 0}"
	".ring li{border:1px solid var(--line);border-radius:8px;padding:4px 8px;"
	"background:var(--card);max-width:100%;overflow-wrap:anywhere}\n"
	"@media(max-width:640px){thead{display:none}tr{display:block;border-bottom:2px solid "
	"var(--line);padding:6px 0}td{display:flex;gap:10px;border:0;padding:2px 0;"
	"text-align:left!important;white-space:normal!important}"
	"td::before{content:attr(data-t);flex:0 0 92px;color:var(--dim)}}\n"
	"</style></head><body>\n";

/* Rows are hidden, not made: what a target said is in the page once, as text. */
static const char script[] =
	"<script>\n"
	"var q=document.getElementById('q');\n"
	"q.addEventListener('input',function(){var w=q.value.toLowerCase().split(/\\s+/);"
	"document.querySelectorAll('#t tbody tr').forEach(function(r){"
	"var s=r.textContent.toLowerCase();"
	"r.hidden=!w.every(function(x){return s.indexOf(x)>=0})})});\n"
	"</script>\n";

/* ---- the lines above ----------------------------------------------------------------- */

static void write_card(FILE *out, const char *class, const char *value, const char *name)
{
	fprintf(out, "<div class=\"card %s\"><b>%s</b>%s</div>\n", class, value, name);
}

static void write_count(FILE *out, const char *class, uint64_t count, const char *name)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, count);
	write_card(out, count ? class : "", text, name);
}

static void write_summary(FILE *out, const struct board *board)
{
	const struct board_totals *t = &board->totals;
	char time[CLOCK_ROOM], size[24];

	fputs("<h1>Waiting and leaked tasks</h1>\n<p class=\"dim\">", out);
	html_raw(out, board->model.host);
	fprintf(out, ", %s</p>\n<div class=\"cards\">\n",
		clock_rfc3339(board->model.wall_ns, 0, time));
	write_count(out, "", t->observed, "processes observed");
	write_count(out, "",
		    t->tasks[MODEL_WAITING] + t->tasks[MODEL_LEAKED] + t->tasks[MODEL_SUSPECT],
		    "tasks wait");
	write_count(out, "leaked", t->tasks[MODEL_LEAKED], "leaked");
	write_count(out, "suspect", t->tasks[MODEL_SUSPECT], "suspect");
	write_card(out, "", row_size(t->retained, size), "retained by leaks");
	if (t->not_observed)
		write_count(out, "suspect", t->not_observed, "not observed");
	if (t->incomplete)
		write_count(out, "suspect", t->incomplete, "incomplete");
	write_count(out, "suspect", t->lost, "records lost");
	fputs("</div>\n<p class=\"dim\">Leaked: proved, nothing that lives can ever wake the task. "
	      "Suspect: no proof. Processes that are incomplete may have more leaks than are "
	      "shown.</p>\n",
	      out);
}

/* ---- the table -------------------------------------------------------------------------- */

static const enum column columns[] = {COLUMN_PID,      COLUMN_COMMAND, COLUMN_STATE,  COLUMN_COUNT,
				      COLUMN_RETAINED, COLUMN_OLDEST,  COLUMN_CREATED};

static void write_cell(FILE *out, const struct row *row, enum column column, int64_t now_ns)
{
	char cell[ROW_CELL_ROOM];

	fprintf(out, "<td data-t=\"%s\"%s>", column_form(column)->title,
		column_form(column)->right ? " class=\"n\"" : "");
	html_text(out, row_cell(row, column, now_ns, true, cell));
	fputs("</td>", out);
}

static void write_why(FILE *out, const struct row *row)
{
	const char *why = row->state == MODEL_LEAKED ? model_why_text(row->task->why) : "";

	if (*why)
		fprintf(out, "<span class=\"leaked\">%s</span>\n", why);
	for (unsigned i = 0; i < MODEL_SUSPECT_RULES; i++)
		if (row->task->suspect_rules & 1u << i)
			fprintf(out, "<span class=\"suspect\">suspect: %s</span>\n",
				model_suspect_rule_text(1u << i));
}

static void write_stack(FILE *out, const struct row *row, int64_t now_ns)
{
	const struct model_stack *stack = &row->task->stack;
	char text[ROW_CELL_ROOM];

	fputs("<td data-t=\"WHERE\"><details><summary><code>", out);
	html_text(out, row_cell(row, COLUMN_WHERE, now_ns, true, text));
	fputs("</code></summary><pre>", out);
	for (size_t i = 0; i < stack->count; i++) {
		html_text(out, place_line(&stack->frames[i], true, text));
		fputc('\n', out);
	}
	fputs("</pre>", out);
	write_why(out, row);
	fputs("</details></td>", out);
}

static void write_row(FILE *out, const struct row *row, int64_t now_ns)
{
	static const char *const classes[MODEL_TASK_STATES] = {[MODEL_WAITING] = "waiting",
							       [MODEL_LEAKED] = "leaked",
							       [MODEL_SUSPECT] = "suspect"};

	fprintf(out, "<tr class=\"%s\">", classes[row->state]);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		write_cell(out, row, columns[i], now_ns);
		if (columns[i] == COLUMN_OLDEST)
			write_stack(out, row, now_ns);
	}
	fputs("</tr>\n", out);
}

static void write_title(FILE *out, enum column column)
{
	fprintf(out, "<th%s>%s</th>", column_form(column)->right ? " class=\"n\"" : "",
		column_form(column)->title);
}

static void write_table(FILE *out, const struct board *board)
{
	const struct board_rows *sites = &board->rows[ROW_SITE];

	fprintf(out,
		"<h2>Sites</h2>\n<input id=\"q\" type=\"search\" placeholder=\"Search %zu sites\" "
		"aria-label=\"Search\">\n<table id=\"t\"><thead><tr>",
		sites->count);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		write_title(out, columns[i]);
		if (columns[i] == COLUMN_OLDEST)
			write_title(out, COLUMN_WHERE);
	}
	fputs("</tr></thead><tbody>\n", out);
	for (size_t i = 0; i < sites->count; i++)
		write_row(out, &sites->rows[i], board->model.now_ns);
	fputs("</tbody></table>\n", out);
}

/* ---- who waits for whom -------------------------------------------------------------------- */

static void write_member(FILE *out, const struct row *row, int64_t now_ns)
{
	char text[ROW_CELL_ROOM];

	fprintf(out, "<li><b>task %" PRIu64 "</b> ", row->id);
	if (row->task) {
		fprintf(out, "%s<br>", model_reason_text(row->task->reason));
		html_text(out, row_cell(row, COLUMN_WHERE, now_ns, true, text));
	}
	if (row->next)
		fprintf(out, "<br>\u2192 task %" PRIu64, row->next);
	fputs("</li>\n", out);
}

static bool begins_list(const struct board_rows *rows, size_t i)
{
	enum row_branch branch = rows->rows[i].branch;

	if (branch == ROW_BEHIND)
		return !i || rows->rows[i - 1].branch != ROW_BEHIND ||
		       rows->rows[i - 1].process != rows->rows[i].process;
	return branch == ROW_CYCLE_FIRST || branch == ROW_CYCLE_ALONE;
}

static void write_rings(FILE *out, const struct board *board)
{
	const struct board_rows *rows = &board->rows[ROW_CYCLE];

	if (!rows->count)
		return;
	fputs("<h2>Who waits for whom</h2>\n", out);
	for (size_t i = 0; i < rows->count; i++) {
		if (begins_list(rows, i)) {
			fputs(i ? "</ul>\n<p>" : "<p>", out);
			html_raw(out, rows->rows[i].process->command);
			fprintf(out, " (%d): %s</p>\n<ul class=\"ring\">\n",
				rows->rows[i].process->pid,
				rows->rows[i].branch == ROW_BEHIND
					? "behind leaked tasks or an ended owner"
					: "a ring, each waits for the next");
		}
		write_member(out, &rows->rows[i], board->model.now_ns);
	}
	fputs("</ul>\n", out);
}

int view_report(FILE *out, const struct board *board)
{
	fputs(head, out);
	write_summary(out, board);
	fputs("<h2>Tasks by stack</h2>\n<p class=\"dim\">Callers above; as wide as there are "
	      "tasks; "
	      "the redder, the more of them are leaked.</p>\n",
	      out);
	if (flame_write(out, &board->rows[ROW_SITE]))
		return -ENOMEM;
	write_rings(out, board);
	write_table(out, board);
	fputs(script, out);
	fprintf(out, "<p class=\"dim\">stranded %s</p>\n</body></html>\n",
		board->model.observer_version ? board->model.observer_version : "");
	return 0;
}

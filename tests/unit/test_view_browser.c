/* SPDX-License-Identifier: MIT */
/* Tests the live view without a terminal: golden screens, keys, sizes, hostile names, large models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "view/browser.h"
#include "view_model.h"

struct fixture {
	struct board board;
	struct trend trend;
	struct browser browser;
};

static struct fixture *new_fixture(void (*make)(struct model *), bool utf8)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct browser_settings settings;
	struct model m;

	assert_non_null(f);
	make(&m);
	trend_init(&f->trend);
	assert_int_equal(board_build(&m, &f->trend, &f->board), 0);
	browser_default(&settings);
	browser_init(&f->browser, &settings, utf8, NULL);
	assert_int_equal(browser_take(&f->browser, &f->board), 0);
	return f;
}

static void free_fixture(struct fixture *f)
{
	browser_done(&f->browser);
	board_done(&f->board);
	trend_done(&f->trend);
	free(f);
}

static char *drawn(struct browser *b, size_t rows, size_t columns)
{
	struct screen s;
	char *out;
	FILE *stream = capture(&out);

	assert_int_equal(screen_init(&s, rows, columns), 0);
	browser_draw(b, &s);
	for (size_t i = 0; i < rows; i++) {
		char *line = screen_row_text(&s, i);

		assert_non_null(line);
		assert_true(escape_columns(line) <= columns);
		fprintf(stream, "%s\n", line);
		free(line);
	}
	screen_done(&s);
	fclose(stream);
	return out;
}

static void check_screen(struct browser *b, size_t rows, size_t columns, const char *expected)
{
	char *out = drawn(b, rows, columns);

	assert_string_equal(out, expected);
	free(out);
}

static void check_shows(struct browser *b, const char *wanted)
{
	char *out = drawn(b, 50, 120);

	if (!strstr(out, wanted))
		fail_msg("'%s' is not in:\n%s", wanted, out);
	free(out);
}

static void type(struct browser *b, const char *keys)
{
	for (; *keys; keys++)
		browser_key(b, (unsigned char)*keys);
}

/* Two tasks that wait for each other's lock, one behind them, two sites more than that. */
static void rings_model(struct model *m)
{
	struct model_process *p;

	model_init(m);
	m->host = text("web1");
	m->observer_version = "0.1.0";
	m->wall_ns = WALL;
	m->now_ns = NOW;
	p = add_process(m, 50, "bank");
	for (uint64_t id = 17; id <= 18; id++) {
		struct model_task *t =
			add_task(p, id, STRAND_WAIT_MUTEX_LOCK, SECOND * (int64_t)id);

		t->state = MODEL_LEAKED;
		t->why = STRAND_WHY_CYCLE;
		t->object = 0x1000 * id;
		add_link(t, STRAND_LINK_TASK, id, 0);
		add_link(t, STRAND_LINK_TASK, 35 - id, 0);
		push_frame(t, frame(0x1000 + id, "transfer", "bank.c", (unsigned)id));
	}
	add_task(p, 20, STRAND_WAIT_CHAN_RECEIVE, 5 * SECOND)->object = 0x9000;
	add_task(p, 21, STRAND_WAIT_CHAN_SEND, 6 * SECOND)->object = 0x9000;
	p->tasks[2].state = MODEL_LEAKED;
	p->tasks[2].why = STRAND_WHY_BEHIND;
	p->tasks[2].root = 17;
	model_sort(m);
}

#define HEADER_80                                                                       \
	"stranded  web1  2026-11-23T18:01:16Z  1 process  1 not observed\n"             \
	"4 tasks wait  2 leaked  1 suspect  16K retained  0 lost  searched 500ms ago, " \
	"pa\u2026\n"
#define HINT "? help  Enter details  t group  < > sort  / filter  s search  p pause  q quit\n"

static void golden_sites(void **state)
{
	struct fixture *f = new_fixture(fixed_model, true);

	(void)state;
	check_screen(
		&f->browser, 9, 80,
		HEADER_80
		"leaked \u2588 in 0ms  by site: 3\n"
		"    PID COMMAND  STATE                  COUNT OLDEST WHERE          CREATED BY\n"
		"     42 app      chan receive (leaked)      2  2m30s recv_loop wor\u2026 "
		"spawn_all a\u2026\n"
		"     42 app      mutex lock (suspect)       1  3h00m -              -\n"
		"     42 app      select                     1  400ms ?\?@libfoo.so+\u2026 "
		"?\?@0x55aa\n"
		"\n" HINT);
	free_fixture(f);
}

static void golden_in_ascii(void **state)
{
	struct fixture *f = new_fixture(rings_model, false);

	(void)state;
	browser_key(&f->browser, '5');
	check_screen(
		&f->browser, 9, 100,
		"stranded  web1  2026-11-23T18:01:16Z  1 process  1 incomplete\n"
		"4 tasks wait  3 leaked  0 suspect  0 retained  0 lost\n"
		"leaked # in 0ms  by cycle: 3\n"
		"    PID COMMAND      RETAINED  OLDEST WAITS FOR                    WHERE        "
		"     CREATED BY\n"
		"     50 bank                      17s ,- 17 mutex lock -> 18       transfer ban"
		"k.c:> -\n"
		"     50 bank                      18s `- 18 mutex lock -> 17       transfer ban"
		"k.c:> -\n"
		"     50 bank                     5.0s    \\ 20 chan receive -> 17   -            "
		"     -\n"
		"\n" HINT);
	free_fixture(f);
}

static void every_kind_has_its_rows(void **state)
{
	struct fixture *f = new_fixture(rings_model, true);
	static const size_t counts[ROW_KINDS] = {4, 1, 4, 3, 3};

	(void)state;
	for (int i = 0; i < ROW_KINDS; i++) {
		assert_int_equal(f->browser.settings.kind, i);
		assert_int_equal(f->browser.shown_count, counts[i]);
		browser_key(&f->browser, i % 2 ? 't' : '\t');
	}
	assert_int_equal(f->browser.settings.kind, ROW_SITE);
	browser_key(&f->browser, '4');
	check_shows(&f->browser, "0x9000 chan receive (leaked)");
	free_fixture(f);
}

static void keys_move_the_cursor(void **state)
{
	struct fixture *f = new_fixture(fixed_model, true);
	struct browser *b = &f->browser;

	(void)state;
	free(drawn(b, 24, 80));
	browser_key(b, BROWSER_DOWN);
	assert_int_equal(b->cursor, 1);
	type(b, "jjj");
	assert_int_equal(b->cursor, 2);
	browser_key(b, BROWSER_UP);
	type(b, "k");
	assert_int_equal(b->cursor, 0);
	browser_key(b, BROWSER_UP);
	assert_int_equal(b->cursor, 0);
	browser_key(b, BROWSER_END);
	assert_int_equal(b->cursor, 2);
	browser_key(b, BROWSER_HOME);
	assert_int_equal(b->cursor, 0);
	browser_key(b, BROWSER_PAGE_DOWN);
	assert_int_equal(b->cursor, 2);
	browser_key(b, BROWSER_PAGE_UP);
	assert_int_equal(b->cursor, 0);
	browser_click(b, b->list_row + 1, false);
	assert_int_equal(b->cursor, 1);
	browser_click(b, b->list_row + 9, false);
	assert_int_equal(b->cursor, 1);
	browser_click(b, b->list_row, true);
	assert_int_equal(b->mode, BROWSER_DETAILS);
	free_fixture(f);
}

static void keys_sort(void **state)
{
	struct fixture *f = new_fixture(fixed_model, true);
	struct browser *b = &f->browser;

	(void)state;
	type(b, "<"); /* from the last column backwards: CREATED BY */
	check_shows(b, "CREATED BY\u25b2");
	type(b, "<<");
	check_shows(b, "OLDEST\u25bc"); /* large numbers come first */
	free_fixture(f);
}

static void keys_sort_by_age(void **state)
{
	struct fixture *f = new_fixture(fixed_model, true);
	struct browser *b = &f->browser;

	(void)state;
	for (int i = 0; i < COLUMNS && b->settings.orders[ROW_SITE].sort != COLUMN_OLDEST; i++)
		type(b, ">");
	assert_int_equal(browser_selected(b)->task->id, 10);
	type(b, "r");
	browser_key(b, BROWSER_HOME);
	assert_int_equal(browser_selected(b)->task->id, 9);
	free_fixture(f);
}

static void filters(void **state)
{
	static const struct {
		const char *filter;
		size_t rows;
	} cases[] = {
		{"", 3},
		{"recv", 1},
		{"RECV", 1},
		{"nothing", 0},
		{"state:leak", 1},
		{"!state:leak", 2},
		{"pid:42", 3},
		{"pid:4", 0},
		{"app mutex", 1},
		{"reason:select", 1},
		{"by:spawn", 1},
		{"file:worker.c", 1},
		{"fn:worker_m", 1},
		{"where:worker_m", 0},
		{"ch:0x7f", 1},
		{"a:b", 0},
		{"name:worker", 3},
		{"cmd:app !recv", 2},
		{"unit:x", 0},
		{"state:", 3},
	};
	struct fixture *f = new_fixture(fixed_model, true);
	struct browser *b = &f->browser;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		type(b, "/");
		type(b, cases[i].filter);
		if (b->shown_count != cases[i].rows)
			fail_msg("'%s' found %zu rows", cases[i].filter, b->shown_count);
		browser_key(b, BROWSER_ENTER);
		assert_string_equal(b->settings.filter, cases[i].filter);
		browser_key(b, BROWSER_ESCAPE);
		assert_string_equal(b->settings.filter, "");
	}
	type(b, "/xy");
	browser_key(b, BROWSER_BACKSPACE);
	assert_string_equal(b->settings.filter, "x");
	check_shows(b, "filter: x");
	browser_key(b, BROWSER_ESCAPE);
	assert_int_equal(b->shown_count, 3);
	free_fixture(f);
}

static void settings_by_keys(void **state)
{
	struct fixture *f = new_fixture(fixed_model, true);
	struct browser *b = &f->browser;

	(void)state;
	type(b, "d");
	browser_key(b, BROWSER_BACKSPACE);
	type(b, "0.5");
	browser_key(b, BROWSER_ENTER);
	assert_int_equal(b->settings.delay_ns, SECOND / 2);
	type(b, "d");
	type(b, "x");
	browser_key(b, BROWSER_ENTER);
	assert_int_equal(b->settings.delay_ns, SECOND / 2);
	assert_non_null(strstr(b->note, "0.1"));
	type(b, "cj "); /* the second column: COMMAND */
	assert_false(b->settings.orders[ROW_SITE].columns & 1u << COLUMN_COMMAND);
	type(b, " c");
	assert_true(b->settings.orders[ROW_SITE].columns & 1u << COLUMN_COMMAND);
	assert_int_equal(b->mode, BROWSER_LIST);
	type(b, "p");
	assert_true(b->paused);
	check_shows(b, "PAUSED");
	type(b, "p");
	assert_false(b->paused);
	free_fixture(f);
}

static void keys_ask_for_actions(void **state)
{
	struct fixture *f = new_fixture(fixed_model, true);
	struct browser *b = &f->browser;
	char *copy;

	(void)state;
	assert_int_equal(browser_key(b, 's'), BROWSER_SEARCH);
	assert_int_equal(browser_key(b, 'y'), BROWSER_COPY);
	copy = browser_copy(b);
	assert_string_equal(copy, "42  app  chan receive (leaked)  2    16K  2m30s  "
				  "recv_loop worker.c:42  spawn_all app.c:17");
	free(copy);
	assert_int_equal(browser_key(b, '?'), BROWSER_NOTHING);
	check_shows(b, "search the selected process");
	assert_int_equal(browser_key(b, 'q'), BROWSER_NOTHING); /* leaves the help only */
	assert_int_equal(browser_key(b, 'q'), BROWSER_QUIT);
	free_fixture(f);
}

static char *read_source(void *context, const struct model_process *p, const char *file,
			 unsigned first, unsigned last)
{
	char *lines = NULL;

	(void)context;
	assert_int_equal(p->pid, 42);
	if (strcmp(file, "src/worker.c") != 0)
		return NULL;
	assert_int_equal(first, 40);
	assert_int_equal(last, 44);
	assert_true(asprintf(&lines, "int x;\n\033[2J\n\trecv(ch);\n") > 0);
	return lines;
}

static void details(void **state)
{
	struct fixture *f = new_fixture(fixed_model, true);
	struct browser *b = &f->browser;

	(void)state;
	b->source = (struct details_source){.read = read_source};
	browser_key(b, BROWSER_ENTER);
	assert_int_equal(b->mode, BROWSER_DETAILS);
	check_shows(b, "chan receive (leaked): 2 tasks of app (pid 42), oldest 2m30s");
	check_shows(b, "it is part of a wait-for cycle");
	check_shows(b, "recv_loop                     src/worker.c:42");
	check_shows(b, "      40  int x;");
	check_shows(b, "      41  \\x1b[2J");
	check_shows(b, ">     42      recv(ch);");
	check_shows(b, "spawn_all                     src/app.c:17");
	browser_key(b, BROWSER_END);
	check_shows(b, "libstrand 0.1.0 (static)");
	browser_key(b, BROWSER_ESCAPE);
	assert_int_equal(b->mode, BROWSER_LIST);
	type(b, "j");
	browser_key(b, BROWSER_ENTER);
	check_shows(b, "Kept alive by a word in live memory at 0x404040");
	check_shows(b, "heap block 0x606000 of 48 bytes");
	free_fixture(f);
}

static void take(struct fixture *f, struct board *next, void (*make)(struct model *))
{
	struct model m;

	make(&m);
	m.now_ns += 60 * SECOND;
	assert_int_equal(board_build(&m, &f->trend, next), 0);
	assert_int_equal(browser_take(&f->browser, next), 0);
	board_done(&f->board);
}

static void without_leaks(struct model *m)
{
	fixed_model(m);
	m->processes[0].tasks[0].state = m->processes[0].tasks[1].state = MODEL_WAITING;
}

/* The row under the cursor stays so in the next model; details of what is gone stay readable. */
static void rows_are_followed(void **state)
{
	struct fixture *f = new_fixture(fixed_model, true);
	struct browser *b = &f->browser;
	struct board next;

	(void)state;
	type(b, "jj");
	take(f, &next, fixed_model);
	assert_int_equal(browser_selected(b)->task->id, 9);
	f->board = next;
	browser_key(b, BROWSER_HOME);
	browser_key(b, BROWSER_ENTER);
	take(f, &next, without_leaks);
	f->board = next;
	assert_true(b->details_gone);
	assert_null(browser_selected(b));
	check_shows(b, "gone: nothing waits here any more");
	check_shows(b, "recv_loop                     src/worker.c:42");
	take(f, &next, fixed_model);
	f->board = next;
	assert_false(b->details_gone);
	assert_int_equal(browser_selected(b)->task->id, 7);
	free_fixture(f);
}

static void more_receivers(struct model *m)
{
	fixed_model(m);
	add_receiver(&m->processes[0], 11, SECOND);
	add_receiver(&m->processes[0], 12, SECOND);
	add_receiver(&m->processes[0], 13, SECOND);
	m->processes[0].counts.known = false;
	m->processes[0].counts = (struct model_counts){0};
	model_sort(m);
}

static void growth_and_sparkline(void **state)
{
	struct fixture *f = new_fixture(fixed_model, true);
	struct board next;
	char bars[64];

	(void)state;
	take(f, &next, more_receivers);
	f->board = next;
	check_shows(&f->browser, "   +3.0 ");
	check_shows(&f->browser, "leaked \u2584\u2588 in 1m00s");
	assert_string_equal(trend_sparkline((const uint64_t[]){0, 1, 7, 7}, 4, 3, false,
					    sizeof(bars), bars),
			    ".##");
	free_fixture(f);
}

/* Whatever the target says and whatever the size, nothing of it reaches the screen as it is. */
static void hostile_names_at_any_size(void **state)
{
	struct fixture *f = new_fixture(hostile_model, true);
	struct browser *b = &f->browser;

	(void)state;
	for (size_t columns = 1; columns < 260; columns += 7) {
		for (int mode = 0; mode < ROW_KINDS + 3; mode++) {
			char *out;

			type(b, mode < ROW_KINDS ? (char[]){(char)('1' + mode), 0} : "");
			browser_key(b, mode == ROW_KINDS       ? BROWSER_ENTER
				       : mode == ROW_KINDS + 1 ? '?'
							       : BROWSER_ESCAPE);
			out = drawn(b, columns % 61 + 1, columns);
			for (const char *at = out; *at; at++)
				assert_true((unsigned char)*at >= 0x20 || *at == '\n');
			assert_null(strstr(out, "\u202e"));
			free(out);
			browser_key(b, BROWSER_ESCAPE);
			browser_key(b, BROWSER_ESCAPE);
		}
	}
	free_fixture(f);
}

static void many_tasks(struct model *m)
{
	struct model_process *p;

	model_init(m);
	m->host = text("web1");
	m->now_ns = NOW;
	p = add_process(m, 60, "crowd");
	for (uint64_t id = 1; id <= BOARD_ROWS_MAX + 5; id++) {
		struct model_task *t = add_task(p, id, STRAND_WAIT_CHAN_SEND, (int64_t)id);

		t->object = id;
		push_frame(t, frame(id, "f", "f.c", (unsigned)id));
	}
	p->tasks[3].state = MODEL_LEAKED;
	model_sort(m);
}

static void rows_of_tasks_are_bounded(void **state)
{
	struct fixture *f = new_fixture(many_tasks, true);

	(void)state;
	assert_int_equal(f->browser.shown_count, BOARD_ROWS_MAX + 5);
	browser_key(&f->browser, '3');
	assert_int_equal(f->browser.shown_count, BOARD_ROWS_MAX);
	assert_int_equal(f->browser.shown[0]->id, 4); /* leaked comes first, then the oldest */
	assert_int_equal(f->browser.shown[1]->id, BOARD_ROWS_MAX + 5);
	check_shows(&f->browser, "5 more not listed");
	browser_key(&f->browser, '4');
	check_shows(&f->browser, "5 more not listed");
	free_fixture(f);
}

static void a_stale_view_says_so(void **state)
{
	struct fixture *f = new_fixture(fixed_model, true);

	(void)state;
	f->browser.stale_ns = 12 * SECOND;
	check_shows(&f->browser, "STALE: 12s old");
	free_fixture(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_sites),
		cmocka_unit_test(golden_in_ascii),
		cmocka_unit_test(every_kind_has_its_rows),
		cmocka_unit_test(keys_move_the_cursor),
		cmocka_unit_test(keys_sort),
		cmocka_unit_test(keys_sort_by_age),
		cmocka_unit_test(filters),
		cmocka_unit_test(settings_by_keys),
		cmocka_unit_test(keys_ask_for_actions),
		cmocka_unit_test(details),
		cmocka_unit_test(rows_are_followed),
		cmocka_unit_test(growth_and_sparkline),
		cmocka_unit_test(hostile_names_at_any_size),
		cmocka_unit_test(rows_of_tasks_are_bounded),
		cmocka_unit_test(a_stale_view_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

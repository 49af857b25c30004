/* SPDX-License-Identifier: MIT */
/*
 * Whatever targets call themselves comes out harmless in every format: random names of the worst
 * characters, each output read by a parser that is not ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "pprof_reader.h"
#include "view/escape.h"
#include "view/finding.h"
#include "view/go_text.h"
#include "view/json.h"
#include "view/messages.h"
#include "view/openmetrics.h"
#include "view/profile.h"
#include "view/top.h"
#include "view_model.h"

#define ROUNDS       200
#define OTHER_ROUNDS 10 /* each starts a process */

/* ---- hostile models -------------------------------------------------------------------- */

static uint64_t seed;

static unsigned roll(unsigned sides)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned)(seed >> 33) % sides;
}

/* Characters and halves of characters that have broken parsers, terminals or people's eyes. */
static const char *const pieces[] = {
	"a",
	"worker",
	" ",
	"\"",
	"'",
	"\\",
	"\n",
	"\r\n",
	"\t",
	"\033[2J",
	"\033]0;x\007",
	"\x7f",
	"\x01",
	"\xc2\x9b[1m",
	"\xff",
	"\xc0\xaf",
	"\xed\xa0\x80",
	"\xf4\x90\x80\x80",
	"\xe2\x82",
	"\xe2\x80\xae",
	"\xe2\x81\xa6",
	"\xe2\x80\x8b",
	"\xe2\x80\xa8",
	"\xef\xbb\xbf",
	"\xf3\xa0\x81\x81",
	"\xef\xbf\xbe",
	"\xef\xbf\xbd",
	"<",
	">",
	"&amp;",
	"]]>",
	"<!--",
	"{",
	"}",
	"=",
	"# EOF\n",
	"# HELP x\n",
	"%s%n",
	"${x}",
	"../",
	"/",
	":1: error:",
	"\xe4\xb8\xad",
	"e\xcc\x81",
	"goroutine 1 [running]:\n",
};

static char *hostile_text(void)
{
	unsigned count = roll(8) ? roll(12) : 400 + roll(400);
	char *out;
	FILE *stream = capture(&out);

	while (count--)
		fputs(pieces[roll(sizeof(pieces) / sizeof(pieces[0]))], stream);
	fclose(stream);
	return out;
}

static char *maybe_text(void)
{
	return roll(6) ? hostile_text() : NULL;
}

static uint64_t hostile_number(void)
{
	static const uint64_t numbers[] = {0,          1,          4096,     INT64_MAX,
					   UINT64_MAX, UINT32_MAX, 1ul << 53};

	return numbers[roll(7)] + roll(3);
}

static struct model_frame hostile_frame(void)
{
	return (struct model_frame){
		.pc = hostile_number(),
		.function = maybe_text(),
		.function_offset = hostile_number(),
		.file = maybe_text(),
		.line = (unsigned)hostile_number(),
		.module = maybe_text(),
		.module_offset = hostile_number(),
	};
}

static void add_hostile_task(struct model_process *p, uint64_t id)
{
	struct model_task *t = add_task(p, id, (enum strand_wait_reason)roll(40), 0);

	free(t->name);
	t->name = hostile_text();
	t->parent = hostile_number();
	t->object = hostile_number();
	t->since_ns = (int64_t)hostile_number();
	t->state = (enum model_task_state)roll(MODEL_TASK_STATES);
	t->verdict = (enum strand_verdict)roll(5);
	t->root_kind = (enum strand_root_kind)roll(8);
	t->root = hostile_number();
	t->why = (enum strand_leak_why)roll(20);
	t->retained = hostile_number();
	t->stands_for = hostile_number();
	for (unsigned frames = roll(4); frames; frames--)
		push_frame(t, hostile_frame());
	t->created_by = hostile_frame();
	t->entry = hostile_frame();
}

static void add_hostile_process(struct model *m, pid_t pid)
{
	struct model_process *p = add_process(m, pid, "");

	free(p->command);
	p->command = hostile_text();
	p->exe = maybe_text();
	p->cgroup = maybe_text();
	p->runtime = maybe_text();
	p->status = (enum model_process_status)roll(MODEL_EXITED + 1);
	p->status_text = p->status ? maybe_text() : NULL;
	p->losses.map_full = hostile_number();
	p->search = (struct model_search){
		.asked = roll(2),
		.answered = roll(2),
		.status = (enum strand_search_status)roll(5),
		.cause = (enum strand_search_cause)roll(60),
		.finished_ns = (int64_t)hostile_number(),
		.pause_ns = (int64_t)hostile_number(),
		.total_ns = (int64_t)hostile_number(),
		.error = maybe_text(),
	};
	for (unsigned tasks = roll(6); tasks; tasks--)
		add_hostile_task(p, tasks);
}

static void make_hostile(struct model *m, unsigned round)
{
	seed = round * UINT64_C(0x9e3779b97f4a7c15) + 1;
	model_init(m);
	m->host = maybe_text();
	m->observer_version = "0.1.0";
	m->wall_ns = (int64_t)hostile_number();
	m->now_ns = (int64_t)hostile_number();
	for (pid_t pid = 1 + (pid_t)roll(4); pid; pid--)
		add_hostile_process(m, pid);
	model_sort(m);
}

/* ---- what all texts have in common ------------------------------------------------------ */

/* Valid UTF-8, and nothing in it that acts on a terminal or cannot be seen. */
static void assert_harmless(const char *format, unsigned round, const char *text)
{
	for (size_t size; *text; text += size) {
		uint32_t c = escape_decode(text, &size);

		if (c == '\n' || c == '\t')
			continue;
		if (escape_is_harmful(c) || (c == ESCAPE_REPLACEMENT && size != 3))
			fail_msg("%s, round %u: U+%04x in '%.60s'", format, round, c, text);
	}
}

static size_t count_lines(const char *text)
{
	size_t lines = 0;

	while ((text = strchr(text, '\n'))) {
		lines++;
		text++;
	}
	return lines;
}

/* The model is used up. */
static void print_tables(FILE *stream, struct model *m, const struct view_style *style)
{
	struct browser_settings settings;
	struct board board;
	struct trend trend;

	browser_default(&settings);
	trend_init(&trend);
	assert_int_equal(board_build(m, &trend, &board), 0);
	for (settings.kind = 0; settings.kind < ROW_KINDS; settings.kind++)
		assert_int_equal(view_top(stream, &board, &settings, style), 0);
	board_done(&board);
	trend_done(&trend);
}

static void texts_are_harmless(void **state)
{
	const struct view_style style = {.utf8 = true, .columns = 120};

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct model m;
		struct findings f;
		char *out;
		FILE *stream = capture(&out);

		make_hostile(&m, round);
		assert_int_equal(findings_build(&m, &f), 0);
		view_go_text(stream, &m, GO_TEXT_ALL, &style);
		view_messages(stream, &m, &style);
		view_findings_text(stream, &f, true);
		for (unsigned kind = 0; kind < PROFILE_KINDS; kind++)
			assert_int_equal(view_profile(stream, &m, kind, 1), 0);
		findings_done(&f);
		print_tables(stream, &m, &style);
		fclose(stream);
		assert_harmless("text", round, out);
		free(out);
	}
}

/* ---- JSON: jansson --------------------------------------------------------------------- */

static void assert_json(const char *format, unsigned round, char *out)
{
	json_error_t error;
	json_t *parsed = json_loads(out, JSON_REJECT_DUPLICATES, &error);

	if (!parsed)
		fail_msg("%s, round %u: %s", format, round, error.text);
	assert_harmless(format, round, out);
	json_decref(parsed);
	free(out);
}

static void render_findings(const struct model *m,
			    void (*view)(FILE *, const struct findings_context *), char **ret_out)
{
	struct findings f;
	struct findings_context c = {
		.model = m,
		.findings = &f,
		.command = m->processes[0].command,
		.conclusive = roll(2),
		.duration_ns = SECOND,
	};
	FILE *stream = capture(ret_out);

	assert_int_equal(findings_build(m, &f), 0);
	for (size_t i = 0; i < f.count; i++)
		f.findings[i].kind = (enum finding_kind)roll(FINDING_KINDS);
	findings_count(&f);
	view(stream, &c);
	fclose(stream);
	findings_done(&f);
}

static void json_is_read_by_jansson(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct model m;
		char *out;
		FILE *stream = capture(&out);

		make_hostile(&m, round);
		view_json(stream, &m, JSON_SNAPSHOT);
		fclose(stream);
		assert_json("json", round, out);
		stream = capture(&out);
		view_json_line(stream, &m, JSON_LEAKS);
		fclose(stream);
		assert_int_equal(count_lines(out), 1);
		assert_json("jsonl", round, out);
		render_findings(&m, view_findings_sarif, &out);
		assert_json("sarif", round, out);
		model_done(&m);
	}
}

/* ---- profiles -------------------------------------------------------------------------- */

static void profiles_are_valid(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct model m;

		make_hostile(&m, round);
		for (unsigned kind = 0; kind < PROFILE_KINDS; kind++) {
			char *out;
			size_t size;
			FILE *stream = open_memstream(&out, &size);
			struct reader *r;

			assert_int_equal(view_profile(stream, &m, kind, 0), 0);
			fclose(stream);
			r = reader_new(out, size);
			for (size_t i = 0; i < r->string_count; i++)
				assert_harmless("pprof", round, r->strings[i]);
			reader_free(r);
			free(out);
		}
		model_done(&m);
	}
}

/* ---- metrics and XML: other programs ---------------------------------------------------- */

static bool have(const char *program)
{
	char command[64];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
	return system(command) == 0;
}

static void assert_accepted(const char *command, unsigned round, const char *text)
{
	FILE *pipe = popen(command, "w");

	assert_non_null(pipe);
	fputs(text, pipe);
	if (pclose(pipe) != 0)
		fail_msg("%s, round %u: refused:\n%s", command, round, text);
}

static void metrics_are_harmless(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct openmetrics_options o = {.dialect = (enum openmetrics_dialect)(round % 2),
						.group_by = (enum group_by)(round % 3)};
		struct model m;
		char *out;
		FILE *stream = capture(&out);

		make_hostile(&m, round);
		assert_int_equal(view_openmetrics(stream, &m, &o), 0);
		fclose(stream);
		assert_harmless("metrics", round, out);
		free(out);
		model_done(&m);
	}
}

static void metrics_are_read_by_promtool(void **state)
{
	(void)state;
	if (!have("promtool"))
		skip();
	for (unsigned round = 0; round < OTHER_ROUNDS; round++) {
		const struct openmetrics_options o = {.group_by = (enum group_by)(round % 3)};
		struct model m;
		char *out;
		FILE *stream = capture(&out);

		make_hostile(&m, round);
		assert_int_equal(view_openmetrics(stream, &m, &o), 0);
		fclose(stream);
		assert_accepted("promtool check metrics", round, out);
		free(out);
		model_done(&m);
	}
}

static void xml_is_read_by_python(void **state)
{
	(void)state;
	if (!have("python3"))
		skip();
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct model m;
		char *out;

		make_hostile(&m, round);
		render_findings(&m, view_findings_junit, &out);
		assert_harmless("junit", round, out);
		if (round < OTHER_ROUNDS)
			assert_accepted("python3 -c 'import sys, xml.etree.ElementTree as tree; "
					"tree.fromstring(sys.stdin.buffer.read())'",
					round, out);
		free(out);
		model_done(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_harmless),
		cmocka_unit_test(json_is_read_by_jansson),
		cmocka_unit_test(profiles_are_valid),
		cmocka_unit_test(metrics_are_harmless),
		cmocka_unit_test(metrics_are_read_by_promtool),
		cmocka_unit_test(xml_is_read_by_python),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

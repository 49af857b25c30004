/* SPDX-License-Identifier: MIT */
/* Tests the metrics: golden values, the syntax of every line in both dialects, bounded groups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <regex.h>

#include "view/openmetrics.h"
#include "view_model.h"

static const struct openmetrics_self self = {
	.cpu_ns = 1500000000,
	.resident_bytes = 20 << 20,
	.virtual_bytes = 100 << 20,
	.open_fds = 12,
	.max_fds = 1024,
	.start_wall_ns = WALL - 60 * SECOND,
};

static char *render(const struct model *m, const struct openmetrics_options *o)
{
	char *out;
	FILE *stream = capture(&out);

	assert_int_equal(view_openmetrics(stream, m, o), 0);
	fclose(stream);
	return out;
}

static char *render_made(void (*make)(struct model *), enum openmetrics_dialect dialect)
{
	const struct openmetrics_options o = {.dialect = dialect, .self = &self};
	struct model m;
	char *out;

	make(&m);
	out = render(&m, &o);
	model_done(&m);
	return out;
}

static void assert_line(const char *text, const char *line)
{
	size_t length = strlen(line);

	for (const char *at = text; (at = strstr(at, line)); at += length)
		if ((at == text || at[-1] == '\n') && at[length] == '\n')
			return;
	fail_msg("no line '%s' in:\n%s", line, text);
}

static size_t count_of(const char *text, const char *what)
{
	size_t count = 0;

	for (const char *at = text; (at = strstr(at, what)); at++)
		count++;
	return count;
}

static void golden_values(void **state)
{
	char *out = render_made(fixed_model, OPENMETRICS_TEXT);

	(void)state;
	assert_line(out, "stranded_build_info{version=\"0.1.0\"} 1");
	assert_line(out, "# TYPE stranded_build_info gauge");
	assert_line(out, "stranded_snapshot_timestamp_seconds 1795456876.123456789");
	assert_line(out, "stranded_complete 0");
	assert_line(out, "stranded_tasks{group=\"app\",state=\"waiting\"} 1");
	assert_line(out, "stranded_tasks{group=\"app\",state=\"leaked\"} 2");
	assert_line(out, "stranded_tasks{group=\"app\",state=\"suspect\"} 1");
	assert_line(out, "stranded_oldest_wait_seconds{group=\"app\",state=\"leaked\"} "
			 "150.000000000");
	assert_line(out, "stranded_last_search_timestamp_seconds{group=\"app\"} "
			 "1795456875.623456789");
	assert_line(out, "stranded_processes{group=\"app\",status=\"observed\"} 1");
	assert_line(out, "stranded_processes{group=\"bad\\\\n\\\\x1b[2J\",status=\"denied\"} 1");
	assert_line(out, "stranded_processes_unsearched{group=\"bad\\\\n\\\\x1b[2J\"} 1");
	assert_line(out, "# TYPE stranded_searches_total counter");
	assert_line(out, "stranded_searches_total{result=\"no answer\"} 0");
	assert_line(out, "process_cpu_seconds_total 1.500000000");
	assert_line(out, "process_open_fds 12");
	assert_line(out, "stranded_leak_retained_bytes{group=\"app\"} 16384");
	assert_null(strstr(out, "# EOF"));
	free(out);
}

/* A leaked task keeps at least its stack: if nothing is said, that is not 0. */
static void unknown_is_not_zero(void **state)
{
	const struct openmetrics_options o = {0};
	struct model m;
	char *out;

	(void)state;
	model_init(&m);
	add_task(add_process(&m, 1, "x"), 1, STRAND_WAIT_SELECT, 0)->state = MODEL_LEAKED;
	add_process(&m, 2, "y");
	model_sort(&m);
	out = render(&m, &o);
	assert_null(strstr(out, "stranded_leak_retained_bytes{group=\"x\"}"));
	assert_line(out, "stranded_leak_retained_bytes{group=\"y\"} 0");
	assert_null(strstr(out, "stranded_last_search_timestamp_seconds{"));
	free(out);
	model_done(&m);
}

static void openmetrics_names_families_without_total(void **state)
{
	char *out = render_made(fixed_model, OPENMETRICS_1_0);

	(void)state;
	assert_line(out, "# TYPE stranded_searches counter");
	assert_line(out, "# TYPE stranded_build info");
	assert_line(out, "# UNIT stranded_search_duration_seconds seconds");
	assert_line(out, "stranded_searches_total{result=\"done\"} 0");
	assert_string_equal(out + strlen(out) - 6, "# EOF\n");
	free(out);
}

#define LABEL "[a-z]+=\"([^\"\\\\]|\\\\[\\\\\"n])*\""

/* Of each line: a comment of a known kind, or a sample; and no sample comes twice. */
static void check_syntax(char *text)
{
	regex_t sample, comment;
	char *seen = calloc(1, strlen(text) + 2);
	char *save = NULL;

	assert_non_null(seen);
	strcpy(seen, "\n");
	assert_int_equal(regcomp(&sample,
				 "^[a-z_]+(\\{" LABEL "(," LABEL ")*\\})? -?[0-9]+(\\.[0-9]+)?$",
				 REG_EXTENDED | REG_NOSUB),
			 0);
	assert_int_equal(regcomp(&comment, "^# ((HELP|TYPE|UNIT) [a-z_]+ .+|EOF)$",
				 REG_EXTENDED | REG_NOSUB),
			 0);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char key[2048];

		if (*line == '#') {
			assert_int_equal(regexec(&comment, line, 0, NULL, 0), 0);
			continue;
		}
		if (regexec(&sample, line, 0, NULL, 0))
			fail_msg("malformed: %s", line);
		snprintf(key, sizeof(key), "\n%.*s\n", (int)(strrchr(line, ' ') - line), line);
		if (strstr(seen, key))
			fail_msg("twice: %s", line);
		strcat(seen, key + 1);
	}
	regfree(&sample);
	regfree(&comment);
	free(seen);
}

static void every_line_is_well_formed(void **state)
{
	void (*const models[])(struct model *) = {model_init, fixed_model, hostile_model};

	(void)state;
	for (unsigned i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		for (int dialect = OPENMETRICS_TEXT; dialect <= OPENMETRICS_1_0; dialect++) {
			char *out = render_made(models[i], dialect);

			assert_null(strstr(out, "\033"));
			assert_null(strstr(out, "\n\n"));
			check_syntax(out);
			free(out);
		}
	}
}

/* Each process a group of its own but for the equal names; leaks make a group important. */
static void groups_are_bounded(void **state)
{
	struct openmetrics_options o = {.groups_max = 5};
	struct model m;
	char *out;

	(void)state;
	model_init(&m);
	for (pid_t pid = 1; pid <= 50; pid++) {
		char name[16];
		struct model_process *p;

		snprintf(name, sizeof(name), "p%d", pid / 2);
		p = add_process(&m, pid, name);
		add_task(p, 1, STRAND_WAIT_SELECT, SECOND)->state =
			pid == 40 ? MODEL_LEAKED : MODEL_WAITING;
	}
	add_task(add_process(&m, 99, "other"), 1, STRAND_WAIT_SELECT, 0)->state = MODEL_LEAKED;
	model_sort(&m);
	out = render(&m, &o);
	assert_int_equal(count_of(out, ",state=\"leaked\"} "), 2 * 5);
	assert_line(out, "stranded_tasks{group=\"p20\",state=\"leaked\"} 1");
	assert_line(out, "stranded_tasks{group=\"p20\",state=\"waiting\"} 1");
	/* A group that is really called so, and what did not fit, are one. */
	assert_line(out, "stranded_tasks{group=\"other\",state=\"leaked\"} 1");
	assert_line(out, "stranded_tasks{group=\"other\",state=\"waiting\"} 42");
	assert_int_equal(count_of(out, "group=\"other\",state=\"leaked\""), 2);
	free(out);
	o.groups_max = 6;
	out = render(&m, &o);
	assert_int_equal(count_of(out, ",state=\"leaked\"} "), 2 * 6);
	free(out);
	model_done(&m);
}

static void groups_by_unit_and_cgroup(void **state)
{
	static const char *const cases[][2] = {
		{"/system.slice/nginx.service", "nginx.service"},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/app-a.scope",
		 "app-a.scope"},
		{"/user.slice/user-1000.slice", "user-1000.slice"},
		{"/kubepods.slice/kubepods-burstable.slice/cri-containerd-0f.scope/inner",
		 "cri-containerd-0f.scope"},
		{"/", "none"},
		{"", "none"},
		{"/.service", "none"},
		{"a.service", "a.service"},
	};
	const struct openmetrics_options unit = {.group_by = GROUP_BY_UNIT};
	const struct openmetrics_options cgroup = {.group_by = GROUP_BY_CGROUP};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct model m;
		char line[256];
		char *out;

		model_init(&m);
		add_process(&m, 1, "x")->cgroup = text(cases[i][0]);
		model_sort(&m);
		out = render(&m, &unit);
		snprintf(line, sizeof(line), "stranded_tasks{group=\"%s\",state=\"leaked\"} 0",
			 cases[i][1]);
		assert_line(out, line);
		free(out);
		out = render(&m, &cgroup);
		snprintf(line, sizeof(line), "stranded_tasks{group=\"%s\",state=\"leaked\"} 0",
			 *cases[i][0] ? cases[i][0] : "none");
		assert_line(out, line);
		free(out);
		model_done(&m);
	}
}

static void sums_saturate(void **state)
{
	const struct openmetrics_options o = {0};
	struct model m;
	char *out;

	(void)state;
	model_init(&m);
	for (pid_t pid = 1; pid <= 2; pid++) {
		struct model_process *p = add_process(&m, pid, "x");

		p->counts = (struct model_counts){.known = true, .retained_bytes = UINT64_MAX};
		p->counts.tasks[MODEL_LEAKED] = UINT64_MAX - 1;
		p->losses.map_full = UINT64_MAX;
	}
	model_sort(&m);
	out = render(&m, &o);
	assert_line(out, "stranded_tasks{group=\"x\",state=\"leaked\"} 18446744073709551615");
	assert_line(out, "stranded_leak_retained_bytes{group=\"x\"} 18446744073709551615");
	assert_line(out, "stranded_lost_records{reason=\"map full\"} 18446744073709551615");
	free(out);
	model_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_values),
		cmocka_unit_test(unknown_is_not_zero),
		cmocka_unit_test(openmetrics_names_families_without_total),
		cmocka_unit_test(every_line_is_well_formed),
		cmocka_unit_test(groups_are_bounded),
		cmocka_unit_test(groups_by_unit_and_cgroup),
		cmocka_unit_test(sums_saturate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Which paths, methods and parameters the daemon knows, and how it refuses the others. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "serve/route.h"
#include "view/profile.h"

static struct question found(const char *method, const char *path)
{
	struct refusal refusal;
	struct route r;

	if (!route_find(method, path, &r, &refusal))
		fail_msg("%s %s: %u %s", method, path, refusal.status, refusal.text);
	assert_int_equal(r.changes, r.question.kind == QUESTION_SEARCH);
	return r.question;
}

static void refused(unsigned status, const char *method, const char *path)
{
	struct refusal refusal = {.status = 0};
	struct route r;

	if (route_find(method, path, &r, &refusal))
		fail_msg("%s %s was found", method, path);
	assert_int_equal(refusal.status, status);
	assert_non_null(refusal.text);
	assert_int_equal(refusal.allows != NULL, status == 405);
}

static void test_documents(void **state)
{
	(void)state;
	assert_int_equal(found("GET", "/healthz").kind, QUESTION_HEALTH);
	assert_int_equal(found("HEAD", "/metrics").kind, QUESTION_METRICS);
	assert_int_equal(found("GET", "/v1/snapshot").kind, QUESTION_SNAPSHOT);
	assert_int_equal(found("GET", "/v1/processes").kind, QUESTION_PROCESSES);
	assert_int_equal(found("GET", "/v1/tasks").kind, QUESTION_TASKS);
	assert_int_equal(found("GET", "/v1/sites").kind, QUESTION_SITES);
	assert_int_equal(found("GET", "/v1/leaks").kind, QUESTION_LEAKS);
	assert_int_equal(found("GET", "/v1/targets").kind, QUESTION_TARGETS);
	assert_int_equal(found("GET", "/").kind, QUESTION_INDEX);
}

static void test_paths_of_a_process(void **state)
{
	struct question q = found("GET", "/pid/42-18446744073709551615/debug/pprof/block");

	(void)state;
	assert_int_equal(q.kind, QUESTION_PROFILE);
	assert_int_equal(q.profile, PROFILE_BLOCK);
	assert_int_equal(q.pid, 42);
	assert_true(q.start == UINT64_MAX);
	assert_int_equal(found("GET", "/pid/42-7/debug/pprof/").kind, QUESTION_INDEX);
	q = found("POST", "/v1/processes/42-7/search");
	assert_int_equal(q.kind, QUESTION_SEARCH);
	assert_int_equal(q.start, 7);
}

static void test_unknown(void **state)
{
	static const char *const paths[] = {
		"",
		"//",
		"/v1",
		"/v1/",
		"/v1/snapshot/",
		"/V1/snapshot",
		"/v1/../metrics",
		"/%6detrics",
		"/pid/42/debug/pprof/block",
		"/pid/0-7/debug/pprof/block",
		"/pid/-42-7/debug/pprof/block",
		"/pid/+42-7/debug/pprof/block",
		"/pid/ 42-7/debug/pprof/block",
		"/pid/042-7/debug/pprof/block",
		"/pid/42-0/debug/pprof/block",
		"/pid/42-7/debug/pprof/heap",
		"/pid/42-7/debug/pprof",
		"/pid/42-",
		"/pid/42",
		"/pid/",
		"/pid/2147483648-7/debug/pprof/block",
		"/pid/42-18446744073709551616/debug/pprof/block",
		"/v1/processes/42-7/search/",
		"/v1/processes/42-7",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		refused(404, "GET", paths[i]);
}

static void test_methods(void **state)
{
	(void)state;
	refused(405, "POST", "/metrics");
	refused(405, "get", "/metrics");
	refused(405, "OPTIONS", "/");
	refused(405, "DELETE", "/pid/42-7/debug/pprof/block");
	refused(405, "GET", "/v1/processes/42-7/search"); /* a GET changes nothing */
	refused(404, "BREW", "/coffee");
}

static bool parameter(const char *path, const char *name, const char *value, struct route *r)
{
	struct refusal refusal = {.status = 0};
	bool taken;

	assert_true(route_find("GET", path, r, &refusal));
	taken = route_parameter(r, name, value, &refusal);
	assert_int_equal(refusal.status, taken ? 0 : 400);
	return taken;
}

static void test_parameters(void **state)
{
	const char *const profile = "/pid/42-7/debug/pprof/goroutine";
	struct route r;

	(void)state;
	assert_true(parameter("/v1/leaks", "pid", "42", &r));
	assert_int_equal(r.question.pid, 42);
	assert_int_equal(r.question.start, 0);
	assert_true(parameter(profile, "debug", "2", &r));
	assert_int_equal(r.question.debug, 2);
	assert_false(parameter("/v1/leaks", "pid", NULL, &r));
	assert_false(parameter("/v1/leaks", "pid", "", &r));
	assert_false(parameter("/v1/leaks", "pid", "42x", &r));
	assert_false(parameter("/v1/leaks", "pid", "-1", &r));
	assert_false(parameter("/v1/leaks", "pid", "4294967338", &r));
	assert_false(parameter("/v1/leaks", "debug", "1", &r));
	assert_false(parameter("/metrics", "pid", "42", &r));
	assert_false(parameter(profile, "pid", "43", &r)); /* not the one of the path */
	assert_false(parameter(profile, "debug", "3", &r));
	assert_false(parameter(profile, "debug", "11", &r));
	assert_false(parameter(profile, "debug", NULL, &r));
	assert_false(parameter(profile, "seconds", "5", &r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents),  cmocka_unit_test(test_paths_of_a_process),
		cmocka_unit_test(test_unknown),    cmocka_unit_test(test_methods),
		cmocka_unit_test(test_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

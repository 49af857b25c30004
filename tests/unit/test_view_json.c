/* SPDX-License-Identifier: MIT */
/*
 * Tests the snapshot document against its schema, both ways: what is written is
 * in the schema, and what is in the schema is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <regex.h>
#include <jansson.h>

#include "view/json.h"
#include "view_model.h"

#define SCHEMA "user/view/snapshot.schema.json" /* tests run from the top of the tree */

struct checker {
	json_t *root;    /* the schema */
	json_t *visited; /* set of names in $defs that values were checked against */
	char error[256];
};

static bool valid(struct checker *c, json_t *schema, json_t *value);

static bool refuse(struct checker *c, const char *what, const char *name)
{
	snprintf(c->error, sizeof(c->error), "%s: %s", what, name);
	return false;
}

static bool has_type(json_t *value, const char *type)
{
	if (!strcmp(type, "string"))
		return json_is_string(value);
	if (!strcmp(type, "integer"))
		return json_is_integer(value);
	if (!strcmp(type, "number"))
		return json_is_number(value);
	if (!strcmp(type, "boolean"))
		return json_is_boolean(value);
	if (!strcmp(type, "null"))
		return json_is_null(value);
	if (!strcmp(type, "array"))
		return json_is_array(value);
	if (!strcmp(type, "object"))
		return json_is_object(value);
	fail_msg("unknown type %s in the schema", type);
	return false;
}

static bool valid_type(json_t *types, json_t *value)
{
	size_t i;
	json_t *one;

	if (json_is_string(types))
		return has_type(value, json_string_value(types));
	json_array_foreach(types, i, one) if (has_type(value, json_string_value(one))) return true;
	return false;
}

static bool contains(json_t *array, json_t *value)
{
	size_t i;
	json_t *one;

	json_array_foreach(array, i, one) if (json_equal(one, value)) return true;
	return false;
}

static bool matches(json_t *pattern, json_t *value)
{
	regex_t regex;
	bool match;

	if (!json_is_string(value))
		return true; /* as JSON Schema has it */
	assert_int_equal(regcomp(&regex, json_string_value(pattern), REG_EXTENDED | REG_NOSUB), 0);
	match = !regexec(&regex, json_string_value(value), 0, NULL, 0);
	regfree(&regex);
	return match;
}

static bool valid_reference(struct checker *c, json_t *reference, json_t *value)
{
	const char *prefix = "#/$defs/", *path = json_string_value(reference);
	json_t *target;

	assert_memory_equal(path, prefix, strlen(prefix));
	target = json_object_get(json_object_get(c->root, "$defs"), path + strlen(prefix));
	assert_non_null(target);
	json_object_set_new(c->visited, path + strlen(prefix), json_true());
	return valid(c, target, value);
}

/* Every property of the schema is required, so the two sets must be the same. */
static bool valid_object(struct checker *c, json_t *properties, json_t *value)
{
	const char *key;
	json_t *one;

	if (!json_is_object(value))
		return true;
	json_object_foreach(value, key, one) if (!json_object_get(properties, key)) return refuse(
		c, "not in the schema", key);
	json_object_foreach(properties, key, one)
	{
		if (!json_object_get(value, key))
			return refuse(c, "not in the document", key);
		if (!valid(c, one, json_object_get(value, key)))
			return strchr(c->error, ':') ? false : refuse(c, "invalid", key);
	}
	return true;
}

static bool valid_items(struct checker *c, json_t *items, json_t *value)
{
	size_t i;
	json_t *one;

	json_array_foreach(value, i, one) if (!valid(c, items, one)) return false;
	return true;
}

static bool valid_any(struct checker *c, json_t *choices, json_t *value)
{
	size_t i;
	json_t *one;

	json_array_foreach(choices, i, one)
	{
		if (valid(c, one, value)) {
			c->error[0] = '\0';
			return true;
		}
	}
	return false;
}

static bool valid_keyword(struct checker *c, const char *keyword, json_t *argument, json_t *value)
{
	if (!strcmp(keyword, "$ref"))
		return valid_reference(c, argument, value);
	if (!strcmp(keyword, "type"))
		return valid_type(argument, value);
	if (!strcmp(keyword, "enum"))
		return contains(argument, value);
	if (!strcmp(keyword, "pattern"))
		return matches(argument, value);
	if (!strcmp(keyword, "minimum"))
		return !json_is_number(value) ||
		       json_number_value(value) >= json_number_value(argument);
	if (!strcmp(keyword, "maximum"))
		return !json_is_number(value) ||
		       json_number_value(value) <= json_number_value(argument);
	if (!strcmp(keyword, "properties"))
		return valid_object(c, argument, value);
	if (!strcmp(keyword, "items"))
		return valid_items(c, argument, value);
	if (!strcmp(keyword, "anyOf"))
		return valid_any(c, argument, value);
	if (strcmp(keyword, "required") && strcmp(keyword, "description") &&
	    strcmp(keyword, "title") && strcmp(keyword, "$schema") && strcmp(keyword, "$id") &&
	    strcmp(keyword, "$defs"))
		fail_msg("the checker does not know the keyword %s", keyword);
	return true;
}

static bool valid(struct checker *c, json_t *schema, json_t *value)
{
	const char *keyword;
	json_t *argument;

	json_object_foreach(schema, keyword, argument)
	{
		if (valid_keyword(c, keyword, argument, value))
			continue;
		if (!c->error[0])
			snprintf(c->error, sizeof(c->error), "%s: not satisfied", keyword);
		return false;
	}
	return true;
}

static void open_schema(struct checker *c)
{
	json_error_t error;

	*c = (struct checker){.root = json_load_file(SCHEMA, JSON_REJECT_DUPLICATES, &error)};
	if (!c->root)
		fail_msg("%s: %s, line %d; run from the top of the tree", SCHEMA, error.text,
			 error.line);
	c->visited = json_object();
}

static void close_schema(struct checker *c)
{
	json_decref(c->visited);
	json_decref(c->root);
}

static json_t *document(void (*make)(struct model *), enum json_content content)
{
	struct model m;
	char *out;
	FILE *stream = capture(&out);
	json_error_t error;
	json_t *parsed;

	make(&m);
	view_json(stream, &m, content);
	fclose(stream);
	model_done(&m);
	parsed = json_loads(out, JSON_REJECT_DUPLICATES, &error);
	if (!parsed)
		fail_msg("%s, line %d", error.text, error.line);
	free(out);
	return parsed;
}

static void assert_valid(struct checker *c, json_t *doc)
{
	if (!valid(c, c->root, doc))
		fail_msg("%s", c->error);
}

static void documents_satisfy_the_schema(void **state)
{
	struct checker c;
	const char *name;
	json_t *one, *doc;

	(void)state;
	open_schema(&c);
	doc = document(fixed_model, JSON_SNAPSHOT);
	assert_valid(&c, doc);
	json_decref(doc);
	json_object_foreach(json_object_get(c.root, "$defs"), name,
			    one) if (!json_object_get(c.visited, name))
		fail_msg("nothing was checked against $defs/%s", name);
	doc = document(fixed_model, JSON_LEAKS);
	assert_valid(&c, doc);
	json_decref(doc);
	doc = document(hostile_model, JSON_SNAPSHOT);
	assert_valid(&c, doc);
	json_decref(doc);
	doc = document(model_init, JSON_SNAPSHOT);
	assert_valid(&c, doc);
	json_decref(doc);
	close_schema(&c);
}

static json_t *at(json_t *doc, const char *array, size_t index)
{
	json_t *found = json_array_get(json_object_get(doc, array), index);

	assert_non_null(found);
	return found;
}

/* The other half of the test above: the checker does find what is wrong. */
static void the_checker_refuses(void **state)
{
	struct checker c;

	(void)state;
	open_schema(&c);
	for (int i = 0; i < 7; i++) {
		json_t *doc = document(fixed_model, JSON_SNAPSHOT);
		json_t *task = at(at(doc, "processes", 0), "tasks", 0);

		switch (i) {
		case 0:
			json_object_del(task, "reason");
			break;
		case 1:
			json_object_set_new(task, "extra", json_null());
			break;
		case 2:
			json_object_set_new(task, "id", json_integer(7));
			break;
		case 3:
			json_object_set_new(task, "state", json_string("lost"));
			break;
		case 4:
			json_object_set_new(at(task, "stack", 0), "pc", json_string("40101e"));
			break;
		case 5:
			json_object_set_new(task, "waiting_seconds", json_real(-1));
			break;
		case 6:
			json_object_del(json_object_get(task, "created_by"), "pc");
			break;
		}
		c.error[0] = '\0';
		if (valid(&c, c.root, doc))
			fail_msg("change %d was not noticed", i);
		json_decref(doc);
	}
	close_schema(&c);
}

static void check_required(json_t *schema)
{
	json_t *properties = json_object_get(schema, "properties"), *one;
	json_t *required = json_object_get(schema, "required");
	const char *key;

	assert_int_equal(json_array_size(required), json_object_size(properties));
	json_object_foreach(properties, key, one)
	{
		json_t *name = json_string(key);

		if (!contains(required, name))
			fail_msg("%s is not required", key);
		json_decref(name);
	}
}

static void the_schema_requires_all_properties(void **state)
{
	struct checker c;
	const char *name;
	json_t *one;

	(void)state;
	open_schema(&c);
	json_object_foreach(json_object_get(c.root, "$defs"), name, one) check_required(one);
	close_schema(&c);
}

/* Every wait reason and process status that can be written is named in the schema. */
static void the_schema_names_all_texts(void **state)
{
	struct checker c;
	json_t *defs, *reasons, *statuses, *value;

	(void)state;
	open_schema(&c);
	defs = json_object_get(c.root, "$defs");
	assert_int_equal(json_unpack(defs, "{s:{s:{s:{s:o}}}}", "task", "properties", "reason",
				     "enum", &reasons),
			 0);
	assert_int_equal(json_unpack(defs, "{s:{s:{s:{s:o}}}}", "process", "properties", "status",
				     "enum", &statuses),
			 0);
	for (int i = 0; i <= STRAND_WAIT_REASON_COUNT; i++) {
		value = json_string(model_reason_text(i));
		assert_true(contains(reasons, value));
		json_decref(value);
	}
	assert_int_equal(json_array_size(reasons), STRAND_WAIT_REASON_COUNT + 1);
	for (int i = 0; i <= MODEL_EXITED + 1; i++) {
		value = json_string(model_process_status_text(i));
		assert_true(contains(statuses, value));
		json_decref(value);
	}
	close_schema(&c);
}

static void assert_text(json_t *object, const char *key, const char *expected)
{
	assert_string_equal(json_string_value(json_object_get(object, key)), expected);
}

static void values_are_the_model_s(void **state)
{
	json_t *doc = document(fixed_model, JSON_SNAPSHOT);
	json_t *process = at(doc, "processes", 0), *task = at(process, "tasks", 0);

	(void)state;
	assert_text(doc, "schema", "stranded.snapshot/v1");
	assert_text(doc, "time", "2026-11-23T18:01:16.123456789Z");
	assert_text(doc, "monotonic_ns", "100000000000000");
	assert_true(json_is_false(json_object_get(doc, "complete"))); /* process 43 */
	assert_true(json_is_true(json_object_get(process, "complete")));
	assert_int_equal(json_integer_value(json_object_get(process, "pid")), 42);
	assert_text(process, "start", "4200");
	assert_text(process, "linking", "static");
	assert_text(process, "abi", "1.0");
	assert_text(json_object_get(process, "search"), "status", "done");
	assert_true(json_is_null(json_object_get(json_object_get(process, "search"), "cause")));
	assert_int_equal(json_array_size(json_object_get(process, "tasks")), 4);
	assert_text(task, "id", "7");
	assert_text(task, "reason", "chan receive");
	assert_text(task, "object", "0x7f0000001000");
	assert_true(json_number_value(json_object_get(task, "waiting_seconds")) == 150.0);
	assert_text(task, "since", "2026-11-23T17:58:46.123456789Z");
	assert_text(task, "state", "leaked");
	assert_text(task, "parent", "1");
	assert_text(at(task, "stack", 0), "function", "recv_loop");
	assert_text(json_object_get(task, "created_by"), "file", "src/app.c");
	task = at(process, "tasks", 2);
	assert_text(json_object_get(task, "root"), "value", "3");
	assert_true(json_is_null(json_object_get(task, "parent")));
	assert_true(json_is_null(json_object_get(at(task, "stack", 0), "function")));
	assert_text(at(task, "stack", 0), "module_offset", "0x1234");
	assert_true(json_is_null(json_object_get(task, "entry")));
	assert_text(json_object_get(at(process, "tasks", 3), "root"), "value", "0x404040");
	assert_text(at(doc, "processes", 1), "command", "bad\n\033[2J");
	json_decref(doc);
}

static void leaks_are_the_leaked_tasks_only(void **state)
{
	json_t *doc = document(fixed_model, JSON_LEAKS);
	json_t *tasks = json_object_get(at(doc, "processes", 0), "tasks");

	(void)state;
	assert_text(doc, "schema", "stranded.leaks/v1");
	assert_int_equal(json_array_size(tasks), 2);
	assert_int_equal(json_array_size(json_object_get(doc, "processes")), 2);
	json_decref(doc);
}

static void processes_come_without_tasks(void **state)
{
	json_t *doc = document(hostile_model, JSON_PROCESSES);

	(void)state;
	assert_text(doc, "schema", "stranded.processes/v1");
	assert_non_null(json_object_get(at(doc, "processes", 0), "search"));
	assert_null(json_object_get(at(doc, "processes", 0), "tasks"));
	json_decref(doc);
}

static void tasks_name_their_process(void **state)
{
	json_t *doc = document(fixed_model, JSON_TASKS), *snapshot;
	json_t *process;

	(void)state;
	snapshot = document(fixed_model, JSON_SNAPSHOT);
	process = at(snapshot, "processes", 0);
	assert_text(doc, "schema", "stranded.tasks/v1");
	assert_int_equal(json_integer_value(json_object_get(at(doc, "tasks", 0), "pid")),
			 json_integer_value(json_object_get(process, "pid")));
	assert_true(json_array_size(json_object_get(doc, "tasks")) >=
		    json_array_size(json_object_get(process, "tasks")));
	json_decref(snapshot);
	json_decref(doc);
}

static void check_sites(void (*make)(struct model *))
{
	json_t *doc, *site;
	struct model m;
	char *said;
	size_t size;
	FILE *out = open_memstream(&said, &size);

	assert_non_null(out);
	make(&m);
	assert_int_equal(view_json_sites(out, &m), 0);
	fclose(out);
	doc = json_loads(said, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(doc);
	assert_text(doc, "schema", "stranded.sites/v1");
	site = at(doc, "sites", 0);
	assert_true(json_integer_value(json_object_get(site, "count")) >= 1);
	assert_true(json_is_object(json_object_get(site, "example")));
	json_decref(doc);
	free(said);
	model_done(&m);
}

static void sites_have_an_example(void **state)
{
	(void)state;
	check_sites(fixed_model);
	check_sites(hostile_model);
}

static void hostile_values_saturate(void **state)
{
	json_t *doc = document(hostile_model, JSON_SNAPSHOT);
	json_t *process = at(doc, "processes", 0), *task = at(process, "tasks", 1);

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(process, "tasks_spawned")),
			 9007199254740991);
	assert_text(task, "id", "18446744073709551615");
	assert_text(task, "reason", "unknown");
	assert_text(task, "verdict", "unknown");
	assert_text(json_object_get(task, "root"), "kind", "unknown");
	assert_text(json_object_get(process, "search"), "status", "unknown");
	assert_text(json_object_get(process, "search"), "cause", "unknown");
	assert_true(json_number_value(
			    json_object_get(at(process, "tasks", 0), "waiting_seconds")) == 0.0);
	json_decref(doc);
}

static void a_line_holds_the_same(void **state)
{
	json_t *whole = document(hostile_model, JSON_SNAPSHOT), *line;
	json_error_t error;
	struct model m;
	char *out;
	FILE *stream = capture(&out);

	(void)state;
	hostile_model(&m);
	view_json_line(stream, &m, JSON_SNAPSHOT);
	fclose(stream);
	model_done(&m);
	assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
	line = json_loads(out, JSON_REJECT_DUPLICATES, &error);
	assert_true(json_equal(line, whole));
	json_decref(line);
	json_decref(whole);
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_satisfy_the_schema),
		cmocka_unit_test(the_checker_refuses),
		cmocka_unit_test(the_schema_requires_all_properties),
		cmocka_unit_test(the_schema_names_all_texts),
		cmocka_unit_test(values_are_the_model_s),
		cmocka_unit_test(leaks_are_the_leaked_tasks_only),
		cmocka_unit_test(processes_come_without_tasks),
		cmocka_unit_test(tasks_name_their_process),
		cmocka_unit_test(sites_have_an_example),
		cmocka_unit_test(hostile_values_saturate),
		cmocka_unit_test(a_line_holds_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

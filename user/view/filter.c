/* SPDX-License-Identifier: MIT */
/*
 * Finds words in rows. Looks at what the model says, not at cells: a search through ten thousand
 * rows has to be done between two keys.
 */
#include "view/filter.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

enum key {
	KEY_ANY = 0,
	KEY_PID,
	KEY_COMMAND,
	KEY_STATE,
	KEY_REASON,
	KEY_NAME,
	KEY_TASK,
	KEY_WHERE,
	KEY_CREATED,
	KEY_FILE,
	KEY_FUNCTION,
	KEY_OBJECT,
	KEY_UNIT,
};

static const struct {
	const char *name;
	enum key key;
} keys[] = {
	{"pid", KEY_PID},     {"command", KEY_COMMAND}, {"cmd", KEY_COMMAND},
	{"state", KEY_STATE}, {"reason", KEY_REASON},   {"name", KEY_NAME},
	{"task", KEY_TASK},   {"where", KEY_WHERE},     {"created", KEY_CREATED},
	{"by", KEY_CREATED},  {"file", KEY_FILE},       {"function", KEY_FUNCTION},
	{"fn", KEY_FUNCTION}, {"object", KEY_OBJECT},   {"ch", KEY_OBJECT},
	{"unit", KEY_UNIT},
};

static bool finds(const char *word, const char *in)
{
	return in && strcasestr(in, word);
}

static bool is_number(const char *word, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	return !strcmp(word, text);
}

static bool finds_object(const char *word, const struct row *row)
{
	char text[24];

	if (!row->task)
		return false;
	snprintf(text, sizeof(text), "0x%" PRIx64, row->task->object);
	return finds(word, text);
}

static bool in_function(const char *word, const struct model_frame *f)
{
	return finds(word, f->function) || (!f->function && finds(word, f->module));
}

static bool in_place(const char *word, const struct model_frame *f)
{
	return in_function(word, f) || finds(word, f->file);
}

static bool in_stack(const char *word, const struct row *row,
		     bool (*in)(const char *word, const struct model_frame *f))
{
	for (size_t i = 0; row->task && i < row->task->stack.count; i++)
		if (in(word, &row->task->stack.frames[i]))
			return true;
	return false;
}

static bool in_file(const char *word, const struct model_frame *f)
{
	return finds(word, f->file);
}

static bool in_state(const char *word, const struct row *row)
{
	return row_count(row) && finds(word, model_task_state_text(row->state));
}

static bool in_reason(const char *word, const struct row *row)
{
	return row->task && finds(word, model_reason_text(row->task->reason));
}

static bool in_creator(const char *word, const struct row *row)
{
	return row->task && row->task->created_by.pc && in_place(word, &row->task->created_by);
}

static bool in_task(const char *word, const struct row *row)
{
	return (row->kind == ROW_TASK || row->kind == ROW_CYCLE) && is_number(word, row->id);
}

static bool in_name(const char *word, const struct row *row)
{
	return row->task && finds(word, row->task->name);
}

static bool anywhere(const char *word, const struct row *row)
{
	return finds(word, row->process->command) || is_number(word, (uint64_t)row->process->pid) ||
	       in_state(word, row) || in_reason(word, row) || in_name(word, row) ||
	       in_task(word, row) || in_stack(word, row, in_place) || in_creator(word, row);
}

static bool word_matches(enum key key, const char *word, const struct row *row)
{
	switch (key) {
	case KEY_PID:
		return is_number(word, (uint64_t)row->process->pid);
	case KEY_COMMAND:
		return finds(word, row->process->command);
	case KEY_STATE:
		return in_state(word, row);
	case KEY_REASON:
		return in_reason(word, row);
	case KEY_NAME:
		return in_name(word, row);
	case KEY_TASK:
		return in_task(word, row);
	case KEY_WHERE:
		return row->task && row->task->stack.count &&
		       in_place(word, &row->task->stack.frames[0]);
	case KEY_CREATED:
		return in_creator(word, row);
	case KEY_FILE:
		return in_stack(word, row, in_file);
	case KEY_FUNCTION:
		return in_stack(word, row, in_function);
	case KEY_OBJECT:
		return finds_object(word, row);
	case KEY_UNIT:
		return finds(word, row->process->cgroup);
	case KEY_ANY:
		break;
	}
	return anywhere(word, row);
}

static enum key find_key(const char **word)
{
	const char *colon = strchr(*word, ':');

	for (size_t i = 0; colon && i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t length = strlen(keys[i].name);

		if (length != (size_t)(colon - *word) ||
		    strncasecmp(*word, keys[i].name, length) != 0)
			continue;
		*word = colon + 1;
		return keys[i].key;
	}
	return KEY_ANY;
}

bool filter_matches(const char *text, const struct row *row)
{
	char copy[FILTER_ROOM], *rest = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *next = strtok_r(copy, " ", &rest); next; next = strtok_r(NULL, " ", &rest)) {
		const char *word = next;
		bool wanted = *word != '!';
		enum key key;

		word += !wanted;
		key = find_key(&word);
		if (*word && word_matches(key, word, row) != wanted)
			return false;
	}
	return true;
}

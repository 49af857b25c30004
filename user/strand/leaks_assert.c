/* SPDX-License-Identifier: MIT */
/* strand_assert_no_leaks: for the end of a test. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "strand/leaks_write.h"
#include "strand/task.h"

/* Between two looks: doubled each time, up to the second. */
#define LOOK_AGAIN_FIRST STRAND_MILLISECOND
#define LOOK_AGAIN_MAX   (100 * STRAND_MILLISECOND)

struct assertion {
	struct leaks_writer writer;
	const char *const *ignore; /* names of functions, up to NULL; may be NULL */
	size_t found;
};

static bool is_ignored_function(struct assertion *a, uintptr_t pc)
{
	struct symbol symbol;

	symbols_find(a->writer.symbols, pc, &symbol);
	for (const char *const *name = a->ignore; *name; name++)
		if (symbol.name[0] && !strcmp(symbol.name, *name))
			return true;
	return false;
}

static bool is_ignored(struct assertion *a, const struct strand_leak *leak)
{
	if (!a->ignore || !*a->ignore)
		return false;
	for (size_t i = 0; i < leak->stack_count; i++)
		if (is_ignored_function(a, leak->stack[i] - 1))
			return true;
	return is_ignored_function(a, leak->created_pc - 1) ||
	       is_ignored_function(a, (uintptr_t)leak->entry);
}

static void check_leak(const struct strand_leak *leak, void *arg)
{
	struct assertion *a = arg;

	if (is_ignored(a, leak))
		return;
	a->found++;
	leaks_write_block(leak, &a->writer);
}

/* Nothing runs or will run by itself but the caller: waiting would change nothing. */
static bool is_settled(void)
{
	struct strand_stats s = {.size = sizeof(s)};
	bool in_task = strand_task_id() != 0;

	if (strand_stats(&s) < 0)
		return true;
	return !s.tasks_ready && s.tasks_running <= in_task && !s.timers &&
	       !s.parked_by_reason[STRAND_WAIT_IO_WAIT] &&
	       !s.parked_by_reason[STRAND_WAIT_BLOCKING_CALL];
}

int strand_assert_no_leaks(strand_time settle, const char *const *ignore)
{
	struct assertion a = {.writer = leaks_writer_new(STDERR_FILENO), .ignore = ignore};
	strand_time pause = LOOK_AGAIN_FIRST, end = strand_now() + (settle < 0 ? 0 : settle);
	struct strand_leaks_result result = {0};
	int r;

	for (;;) {
		bool over = is_settled() || strand_now() >= end;

		r = strand_leaks(0, check_leak, &a, &result);
		if (a.found || (over && r >= 0) || strand_now() >= end ||
		    (r < 0 && r != -EAGAIN && r != -EBUSY))
			break;
		if (strand_sleep(strand_now() + pause) < 0)
			break;
		pause = 2 * pause < LOOK_AGAIN_MAX ? 2 * pause : LOOK_AGAIN_MAX;
	}
	if (r == -EAGAIN)
		leaks_write_inconclusive(&a.writer, &result);
	leaks_writer_done(&a.writer);
	return a.found ? (int)a.found : r < 0 ? r : 0;
}

/* SPDX-License-Identifier: MIT */
/* Leaked tasks as text, in the form of Go's goroutine dumps; and STRAND_LEAKS=exit. */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <strand.h>
#include <string.h>
#include <unistd.h>

#include "strand/leaks.h"
#include "strand/leaks_send.h"
#include "strand/line.h"

/*
 * Before the search at exit, so that tasks that are just about to end do: a leak is proved at
 * any moment, but a task that still runs keeps alive what it points to.
 */
#define SETTLE_TIME (100 * STRAND_MILLISECOND)

#define REPORT_TO   "report:" /* in STRAND_LEAKS: the path of a socket follows */

struct text {
	int fd;
	int error; /* the first, 0: none */
	strand_time now;
};

static void write_line(struct text *t, struct line *line)
{
	int r;

	line_add(line, "\n");
	r = line_write(line, t->fd);
	if (r < 0 && !t->error)
		t->error = r;
}

/* The two lines of a frame, or of who created the task; names only where the dynamic linker knows them. */
static void write_frame(struct text *t, uintptr_t pc, const struct strand_leak *created)
{
	struct line line = {.length = 0};
	Dl_info info = {0};
	bool known = dladdr((void *)(pc - 1), &info) != 0;
	uintptr_t base =
		known && info.dli_saddr ? (uintptr_t)info.dli_saddr : (uintptr_t)info.dli_fbase;

	line_add(&line, created ? "created by " : "");
	line_add(&line, known && info.dli_sname ? info.dli_sname : "??");
	line_add(&line, created ? "" : "(...)");
	if (created && created->parent) {
		line_add(&line, " in goroutine ");
		line_add_number(&line, created->parent);
	}
	write_line(t, &line);
	line_add(&line, "\t");
	line_add(&line, known && info.dli_fname ? info.dli_fname : "??");
	line_add(&line, " +");
	line_add_hex(&line, pc - base);
	write_line(t, &line);
}

static void write_leak(const struct strand_leak *leak, void *arg)
{
	struct text *t = arg;
	struct line line = {.length = 0};
	uint64_t minutes = (uint64_t)((t->now - leak->since) / (60 * STRAND_SECOND));

	line_add(&line, "goroutine ");
	line_add_number(&line, leak->task);
	line_add(&line, " [");
	line_add(&line, leak->reason);
	line_add(&line, " (leaked)");
	if (leak->since && minutes) {
		line_add(&line, ", ");
		line_add_number(&line, minutes);
		line_add(&line, " minutes");
	}
	line_add(&line, "]:");
	write_line(t, &line);
	for (size_t i = 0; i < leak->stack_count; i++)
		write_frame(t, leak->stack[i], NULL);
	write_frame(t, leak->created_pc, leak);
	write_line(t, &line);
}

int strand_leaks_print(int fd, strand_time min_age)
{
	struct text t = {.fd = fd, .now = strand_now()};
	struct strand_leaks_result result = {0};
	int r = strand_leaks(min_age, write_leak, &t, &result);

	if (r == -EAGAIN) {
		struct line line = {.length = 0};

		line_add(&line, "strand: search for leaks inconclusive: ");
		line_add(&line, result.cause);
		write_line(&t, &line);
	}
	return t.error ? t.error : r;
}

/* The value of "status=N" in STRAND_LEAKS, else 1. */
static int wanted_status(const char *setting)
{
	const char *status = strstr(setting, "status=");

	return status ? (int)strtol(status + strlen("status="), NULL, 10) : 1;
}

int leaks_at_exit(int result)
{
	const char *setting = getenv("STRAND_LEAKS");
	struct line line = {.length = 0};
	int leaked;

	if (!setting)
		return result;
	if (!strncmp(setting, REPORT_TO, strlen(REPORT_TO))) {
		strand_sleep(strand_now() + SETTLE_TIME);
		leaks_send(setting + strlen(REPORT_TO));
		return result;
	}
	if (strncmp(setting, "exit", 4) != 0)
		return result;
	strand_sleep(strand_now() + SETTLE_TIME);
	leaked = strand_leaks_print(STDERR_FILENO, 0);
	if (leaked == 0)
		return result;
	line_add(&line, "strand: ");
	if (leaked > 0) {
		line_add_number(&line, (uint64_t)leaked);
		line_add(&line, leaked == 1 ? " leaked task" : " leaked tasks");
	} else {
		line_add(&line, "leaks could not be searched for");
	}
	line_add(&line, " at exit\n");
	line_write(&line, STDERR_FILENO);
	return result ? result : wanted_status(setting);
}

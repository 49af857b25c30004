/* SPDX-License-Identifier: MIT */
/* Leaked tasks as text, in the form of Go's goroutine dumps; and STRAND_LEAKS=exit. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <strand.h>
#include <string.h>
#include <unistd.h>

#include "strand/leaks.h"
#include "strand/leaks_send.h"
#include "strand/leaks_write.h"
#include "strand/line.h"
#include "strand/runtime.h"

/*
 * Before the search at exit, so that tasks that are just about to end do: a leak is proved at
 * any moment, but a task that still runs keeps alive what it points to.
 */
#define SETTLE_TIME (100 * STRAND_MILLISECOND)

#define REPORT_TO   "report:" /* in STRAND_LEAKS: the path of a socket follows */

struct leaks_writer leaks_writer_new(int fd)
{
	return (struct leaks_writer){.fd = fd, .now = strand_now(), .symbols = symbols_new()};
}

void leaks_writer_done(struct leaks_writer *w)
{
	symbols_free(w->symbols);
}

void leaks_write(struct leaks_writer *w, struct line *line)
{
	int r = line_write(line, w->fd);

	if (r < 0 && !w->error)
		w->error = r;
}

void leaks_write_line(struct leaks_writer *w, struct line *line)
{
	line_add(line, "\n");
	leaks_write(w, line);
}

/* The two lines of a frame, or of who created the task. */
static void write_frame(struct leaks_writer *w, uintptr_t pc, const struct strand_leak *created)
{
	struct line line = {.length = 0};
	struct symbol symbol;

	symbols_find(w->symbols, pc - 1, &symbol);
	line_add(&line, created ? "created by " : "");
	line_add(&line, symbol.name[0] ? symbol.name : "??");
	line_add(&line, created ? "" : "(...)");
	if (created && created->parent) {
		line_add(&line, " in goroutine ");
		line_add_number(&line, created->parent);
	}
	leaks_write_line(w, &line);
	line_add(&line, "\t");
	line_add(&line, symbol.module);
	line_add(&line, " +");
	line_add_hex(&line, symbol.offset + 1);
	leaks_write_line(w, &line);
}

void leaks_write_block(const struct strand_leak *leak, void *writer)
{
	struct leaks_writer *w = writer;
	struct line line = {.length = 0};
	uint64_t minutes = (uint64_t)((w->now - leak->since) / (60 * STRAND_SECOND));

	line_add(&line, "goroutine ");
	line_add_number(&line, leak->task);
	line_add(&line, " [");
	line_add(&line, leak->reason);
	line_add(&line, " (leaked)");
	if (leak->since && w->now > leak->since && minutes) {
		line_add(&line, ", ");
		line_add_number(&line, minutes);
		line_add(&line, " minutes");
	}
	line_add(&line, "]:");
	leaks_write_line(w, &line);
	for (size_t i = 0; i < leak->stack_count; i++)
		write_frame(w, leak->stack[i], NULL);
	write_frame(w, leak->created_pc, leak);
	leaks_write_line(w, &line);
	w->count++;
}

void leaks_write_inconclusive(struct leaks_writer *w, const struct strand_leaks_result *result)
{
	struct line line = {.length = 0};

	line_add(&line, "strand: search for leaks inconclusive: ");
	line_add(&line, result->cause ? result->cause : "");
	leaks_write_line(w, &line);
}

static int write_blocks(struct leaks_writer *w, strand_time min_age)
{
	struct strand_leaks_result result = {0};
	int r = strand_leaks(min_age, leaks_write_block, w, &result);

	if (r == -EAGAIN)
		leaks_write_inconclusive(w, &result);
	return r;
}

int strand_leaks_write(int fd, enum strand_leaks_form form, strand_time min_age)
{
	struct leaks_writer w = leaks_writer_new(fd);
	int r = -EINVAL;

	switch (form) {
	case STRAND_LEAKS_DEBUG_2:
		r = write_blocks(&w, min_age);
		break;
	case STRAND_LEAKS_DEBUG_1:
		r = leaks_write_profile(&w, min_age);
		break;
	case STRAND_LEAKS_JSON:
		r = leaks_write_json(&w, min_age);
		break;
	}
	leaks_writer_done(&w);
	return w.error ? w.error : r;
}

int strand_leaks_print(int fd, strand_time min_age)
{
	return strand_leaks_write(fd, STRAND_LEAKS_DEBUG_2, min_age);
}

/* The value of "status=N" in STRAND_LEAKS, else 1. */
static int wanted_status(const char *setting)
{
	const char *status = strstr(setting, "status=");

	return status ? (int)strtol(status + strlen("status="), NULL, 10) : 1;
}

/* The path that STRAND_LEAKS=report:PATH names, NULL: it does not. */
static const char *report_path(void)
{
	const char *setting = getenv("STRAND_LEAKS");

	if (!setting || strncmp(setting, REPORT_TO, strlen(REPORT_TO)) != 0)
		return NULL;
	return setting + strlen(REPORT_TO);
}

static atomic_bool reported; /* of the runtime that runs */

static void report(const char *path)
{
	if (atomic_exchange(&reported, true))
		return;
	strand_sleep(strand_now() + SETTLE_TIME);
	leaks_send(path);
}

/* A task, or a plain thread, has called exit(): no main task will return any more. */
static void report_at_exit(void)
{
	const char *path = report_path();

	if (path && runtime_get())
		report(path);
}

static void register_report(void)
{
	atexit(report_at_exit);
}

void leaks_before_main(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	atomic_store(&reported, false);
	if (report_path())
		pthread_once(&once, register_report);
}

int leaks_at_exit(int result)
{
	const char *setting = getenv("STRAND_LEAKS");
	struct line line = {.length = 0};
	int leaked;

	if (!setting)
		return result;
	if (report_path()) {
		report(report_path());
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

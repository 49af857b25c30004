/* SPDX-License-Identifier: MIT */
/* Leaked tasks as Go's legacy profile (debug=1), and as JSON. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "strand/leaks_write.h"

/* ---- debug=1 ------------------------------------------------------------------------- */

#define FRAMES_MAX 32
#define STACKS_MAX 4096 /* different ones that are told apart */

struct profile_stack {
	size_t count; /* tasks */
	size_t depth;
	uintptr_t pcs[FRAMES_MAX];
};

struct profile {
	size_t total, stack_count;
	struct profile_stack stacks[STACKS_MAX]; /* pages that are not needed cost nothing */
};

static void count_stack(const struct strand_leak *leak, void *arg)
{
	struct profile *p = arg;
	size_t depth = leak->stack_count < FRAMES_MAX ? leak->stack_count : FRAMES_MAX;
	struct profile_stack *s;
	size_t i;

	p->total++;
	for (i = 0; i < p->stack_count; i++) {
		s = &p->stacks[i];
		if (s->depth == depth && !memcmp(s->pcs, leak->stack, depth * sizeof(s->pcs[0])))
			break;
	}
	if (i == STACKS_MAX)
		return;
	s = &p->stacks[i];
	if (i == p->stack_count) {
		p->stack_count++;
		s->depth = depth;
		memcpy(s->pcs, leak->stack, depth * sizeof(s->pcs[0]));
	}
	s->count++;
}

/* The next in descending order of count; those of the same count as they came. */
static struct profile_stack *largest(struct profile *p)
{
	struct profile_stack *found = NULL;

	for (size_t i = 0; i < p->stack_count; i++)
		if (p->stacks[i].count && (!found || p->stacks[i].count > found->count))
			found = &p->stacks[i];
	return found;
}

static void write_profile_frame(struct leaks_writer *w, uintptr_t pc)
{
	struct line line = {.length = 0};
	struct symbol symbol;

	symbols_find(w->symbols, pc - 1, &symbol);
	line_add(&line, "#\t");
	line_add_hex(&line, pc);
	line_add(&line, "\t");
	line_add(&line, symbol.name[0] ? symbol.name : "??");
	line_add(&line, "+");
	line_add_hex(&line, symbol.offset + 1);
	line_add(&line, "\t");
	line_add(&line, symbol.module);
	line_add(&line, ":0");
	leaks_write_line(w, &line);
}

static void write_profile_stack(struct leaks_writer *w, const struct profile_stack *s)
{
	struct line line = {.length = 0};

	line_add_number(&line, s->count);
	line_add(&line, " @");
	for (size_t i = 0; i < s->depth; i++) {
		line_add(&line, " ");
		line_add_hex(&line, s->pcs[i]);
		leaks_write(w, &line);
	}
	leaks_write_line(w, &line);
	for (size_t i = 0; i < s->depth; i++)
		write_profile_frame(w, s->pcs[i]);
	leaks_write_line(w, &line);
}

int leaks_write_profile(struct leaks_writer *w, strand_time min_age)
{
	struct strand_leaks_result result = {0};
	struct line line = {.length = 0};
	struct profile_stack *s;
	struct profile *p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int r;

	if (p == MAP_FAILED)
		return -ENOMEM;
	r = strand_leaks(min_age, count_stack, p, &result);
	if (r == -EAGAIN)
		leaks_write_inconclusive(w, &result);
	if (r >= 0) {
		line_add(&line, "goroutineleak profile: total ");
		line_add_number(&line, p->total);
		leaks_write_line(w, &line);
	}
	while (r >= 0 && (s = largest(p))) {
		write_profile_stack(w, s);
		s->count = 0;
	}
	munmap(p, sizeof(*p));
	return r;
}

/* ---- JSON ------------------------------------------------------------------------------ */

/* Bytes that are not printable ASCII are written as U+FFFD: names may be in any encoding. */
static void add_string(struct line *line, const char *text)
{
	line_add(line, "\"");
	for (; *text; text++) {
		char one[3] = {*text, '\0', '\0'};

		if (*text == '"' || *text == '\\') {
			one[0] = '\\';
			one[1] = *text;
		}
		line_add(line, *text < ' ' || *text > '~' ? "\\ufffd" : one);
	}
	line_add(line, "\"");
}

static void add_key(struct line *line, const char *key)
{
	add_string(line, key);
	line_add(line, ": ");
}

/* Ids and addresses are strings: they have 64 bits. */
static void add_id(struct line *line, uint64_t id)
{
	line_add(line, "\"");
	line_add_number(line, id);
	line_add(line, "\"");
}

static void add_address(struct line *line, uint64_t address)
{
	line_add(line, "\"");
	line_add_hex(line, address);
	line_add(line, "\"");
}

static void write_json_frame(struct leaks_writer *w, uintptr_t pc)
{
	struct line line = {.length = 0};
	struct symbol symbol;

	symbols_find(w->symbols, pc - 1, &symbol);
	line_add(&line, "{");
	add_key(&line, "function");
	if (symbol.name[0])
		add_string(&line, symbol.name);
	else
		line_add(&line, "null");
	line_add(&line, ", ");
	leaks_write(w, &line);
	add_key(&line, "module");
	add_string(&line, symbol.module);
	leaks_write(w, &line);
	line_add(&line, ", ");
	add_key(&line, "pc");
	add_address(&line, pc);
	line_add(&line, "}");
	leaks_write(w, &line);
}

static void write_json_cycle(struct leaks_writer *w, const struct strand_leak *leak)
{
	struct line line = {.length = 0};

	line_add(&line, ", ");
	add_key(&line, "cycle");
	line_add(&line, "[");
	for (size_t i = 0; i < leak->cycle_count; i++) {
		line_add(&line, i ? ", " : "");
		add_id(&line, leak->cycle[i]);
		leaks_write(w, &line);
	}
	line_add(&line, "]");
	leaks_write(w, &line);
}

static void write_json_stack(struct leaks_writer *w, const struct strand_leak *leak)
{
	struct line line = {.length = 0};

	line_add(&line, ", ");
	add_key(&line, "stack");
	line_add(&line, "[");
	leaks_write(w, &line);
	for (size_t i = 0; i < leak->stack_count; i++) {
		line_add(&line, i ? ", " : "");
		leaks_write(w, &line);
		write_json_frame(w, leak->stack[i]);
	}
	line_add(&line, "], ");
	add_key(&line, "created_by");
	leaks_write(w, &line);
	write_json_frame(w, leak->created_pc);
}

static void write_json_leak(const struct strand_leak *leak, void *writer)
{
	struct leaks_writer *w = writer;
	struct line line = {.length = 0};

	line_add(&line, w->count++ ? ",\n\t{" : "\n\t{");
	add_key(&line, "id");
	add_id(&line, leak->task);
	line_add(&line, ", ");
	add_key(&line, "name");
	add_string(&line, leak->name);
	line_add(&line, ", ");
	add_key(&line, "reason");
	add_string(&line, leak->reason);
	line_add(&line, ", ");
	add_key(&line, "why");
	add_string(&line, leak->why);
	line_add(&line, ", ");
	add_key(&line, "behind");
	add_id(&line, leak->behind);
	leaks_write(w, &line);
	line_add(&line, ", ");
	add_key(&line, "object");
	add_address(&line, leak->object);
	line_add(&line, ", ");
	add_key(&line, "waiting_seconds");
	line_add_number(&line, (uint64_t)((w->now - leak->since) / STRAND_SECOND));
	line_add(&line, ", ");
	add_key(&line, "retained_bytes");
	line_add_number(&line, leak->retained);
	line_add(&line, ", ");
	add_key(&line, "searches_seen");
	line_add_number(&line, leak->searches_seen);
	leaks_write(w, &line);
	write_json_cycle(w, leak);
	write_json_stack(w, leak);
	line_add(&line, "}");
	leaks_write(w, &line);
}

int leaks_write_json(struct leaks_writer *w, strand_time min_age)
{
	struct strand_leaks_result result = {.cause = ""};
	struct line line = {.length = 0};
	int r;

	line_add(&line, "{");
	add_key(&line, "schema");
	add_string(&line, "strand.leaks/v1");
	line_add(&line, ", ");
	add_key(&line, "tasks");
	line_add(&line, "[");
	leaks_write(w, &line);
	r = strand_leaks(min_age, write_json_leak, w, &result);
	line_add(&line, w->count ? "\n], " : "], ");
	add_key(&line, "leaked");
	line_add_number(&line, w->count);
	line_add(&line, ", ");
	add_key(&line, "candidates");
	line_add_number(&line, result.candidates);
	line_add(&line, ", ");
	add_key(&line, "searched");
	line_add(&line, r >= 0 ? "true, " : "false, ");
	add_key(&line, "cause");
	add_string(&line, result.cause);
	line_add(&line, "}");
	leaks_write_line(w, &line);
	return r;
}

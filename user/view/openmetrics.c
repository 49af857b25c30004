/* SPDX-License-Identifier: MIT */
/*
 * Writes the model as Prometheus text 0.0.4 or OpenMetrics 1.0.
 *
 * The two differ in three things: what a counter's family is called (with or without _total), the
 * UNIT lines, and the EOF line. A family whose samples would be guesses has none.
 */
#include "view/openmetrics.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "view/clock.h"

enum family_type { GAUGE, COUNTER, INFO };

struct family {
	const char *name; /* without _total and _info */
	enum family_type type;
	const char *unit; /* NULL: none; else the name ends in it */
	const char *help;
};

struct writer {
	FILE *out;
	enum openmetrics_dialect dialect;
	const struct family *family; /* the one that is being written */
};

/* ---- syntax ---------------------------------------------------------------------- */

static const char *suffix_of(const struct family *f)
{
	return f->type == COUNTER ? "_total" : f->type == INFO ? "_info" : "";
}

static void begin_family(struct writer *w, const struct family *f)
{
	bool text = w->dialect == OPENMETRICS_TEXT;
	const char *suffix = text ? suffix_of(f) : "";
	const char *type = f->type == COUNTER         ? "counter"
			   : f->type == GAUGE || text ? "gauge"
						      : "info";

	w->family = f;
	fprintf(w->out, "# HELP %s%s %s\n", f->name, suffix, f->help);
	fprintf(w->out, "# TYPE %s%s %s\n", f->name, suffix, type);
	if (!text && f->unit)
		fprintf(w->out, "# UNIT %s %s\n", f->name, f->unit);
}

/* The text is free of control characters already (escape_text): only the syntax's own are left. */
static void write_label(struct writer *w, const char *name, const char *value, bool first)
{
	fprintf(w->out, "%s%s=\"", first ? "{" : ",", name);
	for (; *value; value++) {
		assert(*value != '\n');
		if (*value == '"' || *value == '\\')
			fputc('\\', w->out);
		fputc(*value, w->out);
	}
	fputc('"', w->out);
}

/* Name and labels of a sample; either label may be absent. */
static void begin_sample(struct writer *w, const char *group, const char *label, const char *value)
{
	fprintf(w->out, "%s%s", w->family->name, suffix_of(w->family));
	if (group)
		write_label(w, "group", group, true);
	if (label)
		write_label(w, label, value, !group);
	fputs(group || label ? "} " : " ", w->out);
}

static void end_count(struct writer *w, uint64_t value)
{
	fprintf(w->out, "%" PRIu64 "\n", value);
}

/* From integers: exact, and without the locale's decimal point. */
static void end_seconds(struct writer *w, int64_t ns)
{
	uint64_t size = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;

	fprintf(w->out, "%s%" PRIu64 ".%09" PRIu64 "\n", ns < 0 ? "-" : "", size / 1000000000,
		size % 1000000000);
}

/* A family of one sample without labels. */
static void write_count(struct writer *w, const struct family *f, uint64_t value)
{
	begin_family(w, f);
	begin_sample(w, NULL, NULL, NULL);
	end_count(w, value);
}

static void write_seconds(struct writer *w, const struct family *f, int64_t ns)
{
	begin_family(w, f);
	begin_sample(w, NULL, NULL, NULL);
	end_seconds(w, ns);
}

/* ---- the observer ---------------------------------------------------------------- */

static void write_build(struct writer *w, const struct model *m)
{
	static const struct family build = {"stranded_build", INFO, NULL, "Version of stranded."};
	char version[ESCAPE_ROOM];

	begin_family(w, &build);
	escape_text(m->observer_version, true, sizeof(version), version);
	begin_sample(w, NULL, "version", version);
	end_count(w, 1);
}

static void write_snapshot(struct writer *w, const struct model *m)
{
	static const struct family taken = {"stranded_snapshot_timestamp_seconds", GAUGE, "seconds",
					    "When the figures were taken, Unix time."};
	static const struct family complete = {
		"stranded_complete", GAUGE, NULL,
		"1: nothing was lost and every process was searched; 0: there may be more."};

	write_seconds(w, &taken, m->wall_ns);
	write_count(w, &complete, model_complete(m));
}

static void write_search_times(struct writer *w, const struct family *f,
			       const int64_t ns[MODEL_SEARCH_RESULTS])
{
	begin_family(w, f);
	for (unsigned i = 0; i < MODEL_SEARCH_RESULTS; i++) {
		begin_sample(w, NULL, "result", model_search_result_text(i));
		end_seconds(w, ns[i]);
	}
}

static void write_searches(struct writer *w, const struct model_search_totals *t)
{
	static const struct family searches = {"stranded_searches", COUNTER, NULL,
					       "Leak searches that ended, by how."};
	static const struct family seconds = {"stranded_search_duration_seconds", COUNTER,
					      "seconds", "Time that leak searches took."};
	static const struct family pause = {
		"stranded_search_pause_seconds", COUNTER, "seconds",
		"Time that searched processes stood still, as they say themselves."};

	begin_family(w, &searches);
	for (unsigned i = 0; i < MODEL_SEARCH_RESULTS; i++) {
		begin_sample(w, NULL, "result", model_search_result_text(i));
		end_count(w, t->count[i]);
	}
	write_search_times(w, &seconds, t->total_ns);
	write_search_times(w, &pause, t->pause_ns);
}

static void write_self(struct writer *w, const struct openmetrics_self *s)
{
	static const struct family cpu = {"process_cpu_seconds", COUNTER, "seconds",
					  "CPU time of stranded itself."};
	static const struct family resident = {"process_resident_memory_bytes", GAUGE, "bytes",
					       "Resident memory of stranded itself."};
	static const struct family virtual = {"process_virtual_memory_bytes", GAUGE, "bytes",
					      "Address space of stranded itself."};
	static const struct family fds = {"process_open_fds", GAUGE, NULL,
					  "Open descriptors of stranded itself."};
	static const struct family fds_max = {"process_max_fds", GAUGE, NULL,
					      "Descriptors that stranded itself may open."};
	static const struct family start = {"process_start_time_seconds", GAUGE, "seconds",
					    "When stranded itself was started, Unix time."};

	write_seconds(w, &cpu, s->cpu_ns);
	write_count(w, &resident, s->resident_bytes);
	write_count(w, &virtual, s->virtual_bytes);
	write_count(w, &fds, s->open_fds);
	write_count(w, &fds_max, s->max_fds);
	write_seconds(w, &start, s->start_wall_ns);
}

/* ---- groups ------------------------------------------------------------------------ */

static void write_processes(struct writer *w, const struct groups *g)
{
	static const struct family processes = {"stranded_processes", GAUGE, NULL,
						"Processes that use libstrand, by whether they "
						"could be observed."};
	static const struct family unproved = {
		"stranded_processes_unsearched", GAUGE, NULL,
		"Processes of which no search has proved anything: leaks in them are not seen."};

	begin_family(w, &processes);
	for (size_t i = 0; i < g->count; i++) {
		for (unsigned s = 0; s < GROUP_STATUSES; s++) {
			if (!g->groups[i].processes[s])
				continue;
			begin_sample(w, g->groups[i].name, "status", model_process_status_text(s));
			end_count(w, g->groups[i].processes[s]);
		}
	}
	begin_family(w, &unproved);
	for (size_t i = 0; i < g->count; i++) {
		begin_sample(w, g->groups[i].name, NULL, NULL);
		end_count(w, g->groups[i].unproved);
	}
}

/* All states of each group, so that a leak that goes away is a 0 and not a gap. */
static void write_tasks(struct writer *w, const struct groups *g)
{
	static const struct family tasks = {
		"stranded_tasks", GAUGE, NULL,
		"Waiting tasks, each in one state: leaked is proved, suspect is not."};

	begin_family(w, &tasks);
	for (size_t i = 0; i < g->count; i++) {
		for (unsigned s = 0; s < MODEL_TASK_STATES; s++) {
			begin_sample(w, g->groups[i].name, "state", model_task_state_text(s));
			end_count(w, g->groups[i].counts.tasks[s]);
		}
	}
}

static void write_oldest(struct writer *w, const struct groups *g, int64_t now_ns)
{
	static const struct family oldest = {"stranded_oldest_wait_seconds", GAUGE, "seconds",
					     "How long the task that waits longest has waited."};

	begin_family(w, &oldest);
	for (size_t i = 0; i < g->count; i++) {
		const struct model_counts *c = &g->groups[i].counts;

		for (unsigned s = 0; s < MODEL_TASK_STATES; s++) {
			begin_sample(w, g->groups[i].name, "state", model_task_state_text(s));
			end_seconds(w, c->tasks[s] ? clock_age(now_ns, c->oldest_since_ns[s]) : 0);
		}
	}
}

/* Leaked tasks retain at least their stacks: 0 then means that nobody has counted. */
static void write_retained(struct writer *w, const struct groups *g)
{
	static const struct family retained = {
		"stranded_leak_retained_bytes", GAUGE, "bytes",
		"Memory that only leaked tasks reach, as far as it is known."};

	begin_family(w, &retained);
	for (size_t i = 0; i < g->count; i++) {
		const struct model_counts *c = &g->groups[i].counts;

		if (c->tasks[MODEL_LEAKED] && !c->retained_bytes)
			continue;
		begin_sample(w, g->groups[i].name, NULL, NULL);
		end_count(w, c->retained_bytes);
	}
}

/* The model's times are monotonic; Prometheus wants Unix time. */
static void write_searched(struct writer *w, const struct model *m, const struct groups *g)
{
	static const struct family searched = {
		"stranded_last_search_timestamp_seconds", GAUGE, "seconds",
		"Unix time of the newest search that proved something; of the group's "
		"processes the oldest."};

	begin_family(w, &searched);
	for (size_t i = 0; i < g->count; i++) {
		int64_t age_ns = clock_age(m->now_ns, g->groups[i].searched_ns);
		int64_t wall_ns;

		if (!g->groups[i].searched_ns ||
		    __builtin_sub_overflow(m->wall_ns, age_ns, &wall_ns))
			continue;
		begin_sample(w, g->groups[i].name, NULL, NULL);
		end_seconds(w, wall_ns);
	}
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	uint64_t s;

	return __builtin_add_overflow(a, b, &s) ? UINT64_MAX : s;
}

/* Records and stacks that are missing now: what a new announcement brings back is no loss. */
static void write_losses(struct writer *w, const struct model *m, const struct groups *g)
{
	static const struct family lost = {
		"stranded_lost_records", GAUGE, NULL,
		"Records that are known to be missing from these figures, by why."};
	struct model_losses l = m->losses;
	const struct {
		const char *reason;
		const uint64_t *count;
	} rows[] = {
		{"map full", &l.map_full},
		{"ring full", &l.ring_full},
		{"bad record", &l.bad_record},
		{"unread stack", &l.unread},
	};

	for (size_t i = 0; i < g->count; i++) {
		const struct model_losses *more = &g->groups[i].losses;

		l.map_full = sum(l.map_full, more->map_full);
		l.ring_full = sum(l.ring_full, more->ring_full);
		l.bad_record = sum(l.bad_record, more->bad_record);
		l.unread = sum(l.unread, more->unread);
	}
	begin_family(w, &lost);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin_sample(w, NULL, "reason", rows[i].reason);
		end_count(w, *rows[i].count);
	}
}

int view_openmetrics(FILE *out, const struct model *m, const struct openmetrics_options *o)
{
	struct writer w = {.out = out, .dialect = o->dialect};
	struct groups groups;
	int r = group_processes(m, o->group_by,
				o->groups_max ? o->groups_max : OPENMETRICS_GROUPS_MAX, &groups);

	if (r)
		return r;
	write_build(&w, m);
	write_snapshot(&w, m);
	write_processes(&w, &groups);
	write_tasks(&w, &groups);
	write_oldest(&w, &groups, m->now_ns);
	write_retained(&w, &groups);
	write_searched(&w, m, &groups);
	write_searches(&w, &m->searches);
	write_losses(&w, m, &groups);
	if (o->self)
		write_self(&w, o->self);
	if (o->dialect == OPENMETRICS_1_0)
		fputs("# EOF\n", out);
	groups_done(&groups);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* Judges a model by thresholds, and says so as monitoring plugins do. */
#include "view/nagios.h"

#include <inttypes.h>

struct totals {
	uint64_t tasks[MODEL_TASK_STATES];
	size_t processes, unsearched;
};

static struct totals sum_up(const struct model *m)
{
	struct totals t = {.processes = m->process_count};

	for (size_t i = 0; i < m->process_count; i++) {
		const struct model_process *p = &m->processes[i];

		for (unsigned s = 0; s < MODEL_TASK_STATES; s++)
			if (__builtin_add_overflow(t.tasks[s], p->counts.tasks[s], &t.tasks[s]))
				t.tasks[s] = UINT64_MAX;
		t.unsearched += p->status != MODEL_EXITED && !model_search_proved(&p->search);
	}
	return t;
}

static enum nagios_state judge(const struct totals *t, unsigned warning, unsigned critical)
{
	if (t->tasks[MODEL_LEAKED] >= critical)
		return NAGIOS_CRITICAL;
	if (t->tasks[MODEL_LEAKED] >= warning)
		return NAGIOS_WARNING;
	return t->unsearched ? NAGIOS_UNKNOWN : NAGIOS_OK;
}

enum nagios_state view_nagios(FILE *out, const struct model *m, unsigned warning, unsigned critical)
{
	static const char *const states[] = {
		[NAGIOS_OK] = "OK",
		[NAGIOS_WARNING] = "WARNING",
		[NAGIOS_CRITICAL] = "CRITICAL",
		[NAGIOS_UNKNOWN] = "UNKNOWN",
	};
	const struct totals t = sum_up(m);
	enum nagios_state state = judge(&t, warning, critical);

	fprintf(out, "STRANDED %s - %" PRIu64 " leaked %s in %zu %s", states[state],
		t.tasks[MODEL_LEAKED], t.tasks[MODEL_LEAKED] == 1 ? "task" : "tasks", t.processes,
		t.processes == 1 ? "process" : "processes");
	if (t.unsearched)
		fprintf(out, ", %zu not searched", t.unsearched);
	fprintf(out,
		" | leaked=%" PRIu64 ";%u;%u;0 suspect=%" PRIu64 ";;;0 waiting=%" PRIu64
		";;;0 processes=%zu;;;0 unsearched=%zu;;;0\n",
		t.tasks[MODEL_LEAKED], warning, critical, t.tasks[MODEL_SUSPECT],
		t.tasks[MODEL_WAITING], t.processes, t.unsearched);
	return state;
}

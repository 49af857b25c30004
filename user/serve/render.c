/* SPDX-License-Identifier: MIT */
/* Picks what a viewer may see and gives it to the view that was asked for. */
#include "serve/render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "view/json.h"
#include "view/json_writer.h"
#include "view/profile.h"

static bool is_visible(const struct model_process *p, const struct question *q)
{
	if (!q->sees_all && p->uid != q->uid)
		return false;
	return !q->pid || (p->pid == q->pid && (!q->start || p->start_ticks == q->start));
}

int render_select(const struct model *m, const struct question *q, struct model *ret_part)
{
	struct model part = *m;

	part.process_count = 0;
	part.processes = calloc(m->process_count + 1, sizeof(*part.processes));
	if (!part.processes)
		return -ENOMEM;
	part.process_room = m->process_count + 1;
	for (size_t i = 0; i < m->process_count; i++)
		if (is_visible(&m->processes[i], q))
			part.processes[part.process_count++] = m->processes[i];
	*ret_part = part;
	return 0;
}

void render_unselect(struct model *part)
{
	free(part->processes);
}

static int render_metrics(FILE *out, const struct model *m, const struct openmetrics_self *self,
			  const struct question *q)
{
	const struct openmetrics_options options = {
		.dialect = q->openmetrics ? OPENMETRICS_1_0 : OPENMETRICS_TEXT,
		.self = self,
	};

	return view_openmetrics(out, m, &options);
}

/* One group a process: who scrapes takes the path of its profiles from a label. */
static void write_target(struct json_writer *w, const struct model_process *p, unsigned port)
{
	char text[64];

	json_begin_object(w, NULL);
	json_begin_array(w, "targets");
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	json_write_string(w, NULL, text);
	json_end_array(w);
	json_begin_object(w, "labels");
	snprintf(text, sizeof(text), "/pid/%d-%" PRIu64, p->pid, p->start_ticks);
	json_write_string(w, "__meta_stranded_path_prefix", text);
	json_write_string(w, "__meta_stranded_command", p->command ? p->command : "");
	snprintf(text, sizeof(text), "%d", p->pid);
	json_write_string(w, "__meta_stranded_pid", text);
	json_end_object(w);
	json_end_object(w);
}

/* The form of Prometheus's http_sd. Nobody can be sent to a socket, so without a port there are none. */
static void render_targets(FILE *out, const struct model *m, const struct question *q)
{
	struct json_writer w;

	json_writer_init(&w, out);
	json_begin_array(&w, NULL);
	for (size_t i = 0; q->port && i < m->process_count; i++)
		if (model_process_observed(&m->processes[i]))
			write_target(&w, &m->processes[i], q->port);
	json_end_array(&w);
	json_writer_finish(&w);
}

static int render(FILE *out, const struct model *m, const struct openmetrics_self *self,
		  const struct question *q)
{
	switch ((enum question_kind)q->kind) {
	case QUESTION_SNAPSHOT:
		view_json(out, m, JSON_SNAPSHOT);
		return 0;
	case QUESTION_PROCESSES:
		view_json(out, m, JSON_PROCESSES);
		return 0;
	case QUESTION_TASKS:
		view_json(out, m, JSON_TASKS);
		return 0;
	case QUESTION_SITES:
		return view_json_sites(out, m);
	case QUESTION_LEAKS:
		view_json(out, m, JSON_LEAKS);
		return 0;
	case QUESTION_METRICS:
		return render_metrics(out, m, self, q);
	case QUESTION_PROFILE:
		return view_profile(out, m, q->profile, q->debug);
	case QUESTION_TARGETS:
		render_targets(out, m, q);
		return 0;
	case QUESTION_HEALTH:
	case QUESTION_SEARCH:
	case QUESTION_INDEX:
	case QUESTION_KINDS:
		break;
	}
	return -EINVAL;
}

int render_document(FILE *out, const struct model *m, const struct openmetrics_self *self,
		    const struct question *q)
{
	struct model part;
	int error = render_select(m, q, &part);

	if (error)
		return error;
	error = q->pid && !part.process_count ? -ESRCH : render(out, &part, self, q);
	render_unselect(&part);
	return error;
}

/* SPDX-License-Identifier: MIT */
/*
 * Builds the model of one moment: maps, verdicts and stacks of every watched process.
 */
#include "observe/observer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "observe/census.h"
#include "observe/filler.h"
#include "observe/past.h"
#include "observe/procfs.h"
#include "observe/watch.h"

/* Reading descriptors takes a child process; their counters need not be newer than this. */
#define REFRESH_NS 1000000000LL

/* ---- processes ----------------------------------------------------------- */

static void set_status(struct model_process *p, enum model_process_status status, const char *text)
{
	if (p->status != MODEL_OBSERVED || status == MODEL_OBSERVED)
		return;
	p->status = status;
	p->status_text = text ? strdup(text) : NULL;
}

static void fill_status(struct filler *f)
{
	const struct target *t = f->w->target;
	const struct watch *w = f->w;
	struct model_process *p = f->p;
	int error = observer_attach_error(f->o, w);

	set_status(p, t->status, t->status_text);
	if (error && p->status == MODEL_OBSERVED) {
		p->status = MODEL_DENIED;
		if (asprintf(&p->status_text, "the kernel refuses its probes: %s",
			     strerror(-error)) < 0)
			p->status_text = NULL;
	}
	if (w->hello_error)
		set_status(p, search_control_status(w->hello_error),
			   search_control_text(w->hello_error));
	set_status(p, w->search.status, w->search.result.error);
}

static int fill_process(struct filler *f)
{
	struct target *t = f->w->target;
	struct model_process *p = f->p;

	p->pid = t->pid;
	p->start_ticks = t->start_ticks;
	p->uid = t->uid;
	p->command = strndup(t->command, sizeof(t->command));
	p->exe = t->exe ? strdup(t->exe) : NULL;
	p->cgroup = procfs_read_cgroup(t->proc_fd);
	if (t->has_descriptor) {
		p->runtime = strndup(t->descriptor.build, sizeof(t->descriptor.build));
		p->tasks_spawned = t->descriptor.tasks_spawned;
		p->tasks_exited = t->descriptor.tasks_exited;
	}
	if (t->binary) {
		p->abi_major = t->binary->image.abi_major;
		p->abi_minor = t->binary->image.abi_minor;
		p->is_static = !t->binary->image.is_shared_library;
	}
	if (f->slice.account)
		p->losses = healing_losses(&f->w->healing, f->slice.account);
	fill_status(f);
	return search_copy_result(&f->w->search, &p->search);
}

static int add_process(struct observer *o, struct watch *w, const struct collected *c,
		       struct model *m)
{
	struct filler f = {.o = o, .w = w, .now_ns = m->now_ns};
	int error = model_add_process(m, &f.p);

	if (error)
		return error;
	f.slice = collect_slice(c, w->target->pid, w->target->start_ticks);
	error = fill_process(&f);
	if (error)
		return error;
	if (w->sites.count)
		naming_prepare(&w->naming, o->symboliser, w->target);
	error = c->tasks ? filler_add_tasks(&f) : filler_add_examples(&f);
	if (!error)
		error = filler_add_waits(&f);
	return error;
}

static int add_host(struct model *m)
{
	char host[256] = "";
	struct timespec wall;

	gethostname(host, sizeof(host) - 1);
	clock_gettime(CLOCK_REALTIME, &wall);
	m->host = strdup(host);
	m->wall_ns = wall.tv_sec * 1000000000LL + wall.tv_nsec;
	m->now_ns = observe_now_ns();
	m->observer_version = STRANDED_VERSION;
	return m->host ? 0 : -ENOMEM;
}

/* ---- the whole ------------------------------------------------------------- */

static int update_sites(struct observer *o, const struct collected *c)
{
	for (size_t i = 0; i < o->watch_count; i++) {
		struct watch *w = o->watches[i];
		struct collected_slice slice =
			collect_slice(c, w->target->pid, w->target->start_ticks);
		int error = site_table_update(&w->sites, &slice);

		if (error)
			return error;
		for (size_t j = 0; j < w->sites.count; j++)
			suspects_judge_site(&o->options.suspects, &w->sites.sites[j]);
	}
	return 0;
}

static int build(struct observer *o, const struct collected *c, struct model *m)
{
	int error = add_host(m);

	m->searches = o->searches;
	m->losses.ring_full = c->counters.ring_full;
	m->losses.map_full = c->counters.processes_full;
	for (size_t i = 0; i < o->watch_count && !error; i++)
		if (target_alive(o->watches[i]->target))
			error = add_process(o, o->watches[i], c, m);
	return error;
}

/* Names come while the model is built, and pasts go by names. */
static int add_pasts(struct observer *o, struct model *m, bool counted)
{
	for (size_t i = 0; i < o->watch_count; i++) {
		struct watch *w = o->watches[i];
		struct filler f = {.o = o, .w = w};

		if (counted) {
			past_note(w, w->searched);
			if (w->searched)
				site_table_sample(&w->sites);
			w->searched = false;
		}
		f.p = model_find_process(m, w->target->pid, w->target->start_ticks);
		if (f.p && filler_add_pasts(&f))
			return -ENOMEM;
	}
	return 0;
}

static int snapshot(struct observer *o, const struct collected *c, struct model *m)
{
	bool counted = false;
	int error = update_sites(o, c);

	if (!error && (c->tasks || census_is_needed(o))) {
		error = census_take(o, c);
		counted = true;
	}
	if (!error)
		error = build(o, c, m);
	if (!error)
		error = add_pasts(o, m, counted);
	return error;
}

static int take(struct observer *o, bool with_tasks, struct model *ret_model)
{
	struct collected c;
	struct model m;
	int error;

	if (observe_now_ns() >= o->refresh_due_ns) {
		discovery_refresh(&o->discovery);
		o->refresh_due_ns = observe_now_ns() + REFRESH_NS;
	}
	error = with_tasks ? collect_read(&o->maps, &c) : collect_read_sites(&o->maps, &c);
	if (error)
		return error;
	collect_purge(&o->maps, &c);
	if (with_tasks)
		o->purge_wanted = false;
	model_init(&m);
	error = snapshot(o, &c, &m);
	collect_done(&c);
	if (error) {
		model_done(&m);
		return error;
	}
	model_sort(&m);
	*ret_model = m;
	return 0;
}

int observer_snapshot(struct observer *o, struct model *ret_model)
{
	return take(o, true, ret_model);
}

int observer_overview(struct observer *o, struct model *ret_model)
{
	return take(o, false, ret_model);
}

/* SPDX-License-Identifier: MIT */
/*
 * The observer: keeps the set of watched processes, greets them, searches them.
 *
 * O1. Nothing that one target does keeps the others from being observed: every step
 *     that touches a target has a deadline, and its failure is that target's alone.
 * O2. A binary's probes are in place before any target that maps it is greeted, so
 *     the parks that the greeting makes it announce are all seen.
 * O3. Callbacks of the ring buffer only note things down. Discovery, and with it the
 *     end of watches, runs between two reads of events.
 */
#include "observe/observer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "observe/census.h"
#include "observe/control.h"
#include "observe/watch.h"

#define SECOND_NS           1000000000LL
#define MILLISECOND_NS      1000000LL
#define FULL_SCAN_PERIOD_NS (5 * SECOND_NS) /* finds a dlopen of the runtime */
#define FULL_SCAN_SHARE     500 /* on a machine with many processes it is rarer: 0.2 % of a core */
#define HEALING_PERIOD_NS   (2 * SECOND_NS)
#define HELLO_DELAY_NS      (100 * MILLISECOND_NS)
#define HELLO_DELAY_MAX_NS  (60 * SECOND_NS)

/* How long a search waits for the announcements of the leaked tasks; a sweep may be late. */
#define SETTLE_NS           SECOND_NS
#define SETTLE_PERIOD_NS    (5 * MILLISECOND_NS)

/* Searches at one time: a process's search may take a core, and all copy memory. */
#define SEARCHES_AT_ONCE    4

/* After an exec the dynamic linker needs a moment to map libraries, programs to dlopen them. */
static const int64_t rescan_after_ns[] = {10 * MILLISECOND_NS, 100 * MILLISECOND_NS, SECOND_NS};
#define RESCAN_STEPS (sizeof(rescan_after_ns) / sizeof(rescan_after_ns[0]))

int64_t observe_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND_NS + t.tv_nsec;
}

/* ---- watches ------------------------------------------------------------- */

static struct watch *find_watch(const struct observer *o, pid_t pid)
{
	for (size_t i = 0; i < o->watch_count; i++)
		if (o->watches[i]->target->pid == pid)
			return o->watches[i];
	return NULL;
}

/* Are probes placed process by process? Then nobody else notices that somebody observes. */
static bool is_scoped(const struct observer *o)
{
	return o->options.scope.pid || o->options.scope.by_uid;
}

int observer_attach_error(const struct observer *o, const struct watch *w)
{
	const struct binary *binary = w->target->binary;

	if (w->attach_error)
		return w->attach_error;
	for (size_t i = 0; i < o->unattached_count; i++)
		if (o->unattached[i].binary == binary)
			return o->unattached[i].error;
	return 0;
}

static void forget_unattached(struct observer *o, const struct binary *binary)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->unattached_count; i++)
		if (o->unattached[i].binary != binary)
			o->unattached[kept++] = o->unattached[i];
	o->unattached_count = kept;
}

static void on_binary_added(void *context, struct binary *binary)
{
	struct observer *o = context;
	struct unattached *more;
	int error;

	if (binary->error || is_scoped(o)) /* the targets' status says it; each gets its own */
		return;
	error = attacher_attach(o->attacher, binary);
	if (!error)
		return;
	more = reallocarray(o->unattached, o->unattached_count + 1, sizeof(*more));
	if (!more)
		return;
	o->unattached = more;
	o->unattached[o->unattached_count++] = (struct unattached){binary, error};
}

static void on_binary_removed(void *context, struct binary *binary)
{
	attacher_detach(binary);
	forget_unattached(context, binary);
}

/* A runtime that is still starting has no pipe yet: greet again, less and less often. */
static void greet(struct observer *o, struct watch *w)
{
	bool reachable = w->target->status == MODEL_OBSERVED;

	w->hello_error = reachable ? control_hello(w->target, o->options.threshold_ns) : 0;
	w->hello_due_ns = 0;
	if (w->hello_error == -ESRCH || w->hello_error == -ETIMEDOUT)
		return;
	if (reachable && !w->hello_error)
		return;
	w->hello_due_ns = observe_now_ns() + w->hello_delay_ns;
	w->hello_delay_ns *= 2;
	if (w->hello_delay_ns > HELLO_DELAY_MAX_NS)
		w->hello_delay_ns = HELLO_DELAY_MAX_NS;
}

static void on_target_added(void *context, struct target *target)
{
	struct observer *o = context;
	struct watch *w;

	if (o->watch_count == o->watch_room) {
		size_t room = o->watch_room ? 2 * o->watch_room : 16;
		struct watch **more = reallocarray(o->watches, room, sizeof(struct watch *));

		if (!more)
			return;
		o->watches = more;
		o->watch_room = room;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return;
	w->target = target;
	w->hello_delay_ns = HELLO_DELAY_NS;
	o->watches[o->watch_count++] = w;
	if (is_scoped(o) && !target->binary->error)
		w->attach_error = attacher_attach_target(o->attacher, target);
	greet(o, w);
}

static void free_watch(struct watch *w)
{
	search_done(&w->search);
	naming_done(&w->naming);
	site_table_done(&w->sites);
	free(w->pasts);
	free(w);
}

static void on_target_removed(void *context, struct target *target)
{
	struct observer *o = context;
	size_t kept = 0;

	attacher_detach_target(target);
	for (size_t i = 0; i < o->watch_count; i++) {
		if (o->watches[i]->target == target)
			free_watch(o->watches[i]);
		else
			o->watches[kept++] = o->watches[i];
	}
	o->watch_count = kept;
}

/* ---- discovery over time ------------------------------------------------- */

static int scan(struct observer *o, pid_t pid)
{
	const struct discovery_events events = {
		.context = o,
		.binary_added = on_binary_added,
		.binary_removed = on_binary_removed,
		.target_added = on_target_added,
		.target_removed = on_target_removed,
	};

	return discovery_scan(&o->discovery, pid, &events);
}

static void plan_rescan(void *context, pid_t pid)
{
	struct observer *o = context;
	int64_t now = observe_now_ns();
	size_t i = 0;

	if (o->options.scope.pid && pid != o->options.scope.pid)
		return;
	while (i < o->rescan_count && o->rescans[i].pid != pid)
		i++;
	if (i == RESCANS_MAX) { /* a storm: one look at all costs less than one at each */
		if (o->full_scan_due_ns > now + SECOND_NS)
			o->full_scan_due_ns = now + SECOND_NS;
		return;
	}
	o->rescans[i] = (struct rescan){.pid = pid, .started_ns = now};
	if (i == o->rescan_count)
		o->rescan_count++;
}

/* Every search that was asked for ends in one of these two, or in a failure to start. */
static void give_up(struct observer *o, struct watch *w, enum model_process_status status,
		    const char *why)
{
	search_give_up(&w->search, &o->maps, w->target, status, why);
	model_count_search(&o->searches, &w->search.result);
}

static bool finish_search(struct observer *o, struct watch *w)
{
	bool usable = search_finish(&w->search, w->target);

	w->searched = o->census_wanted = true;
	model_count_search(&o->searches, &w->search.result);
	return usable;
}

static void on_exit_event(void *context, pid_t pid)
{
	struct observer *o = context;
	struct watch *w = find_watch(o, pid);

	o->purge_wanted = true;
	if (!w)
		return;
	if (w->search.request)
		give_up(o, w, MODEL_EXITED, "it has exited");
	plan_rescan(o, pid);
}

static void on_scan_done(void *context, const struct event_scan_done *event)
{
	struct watch *w = find_watch(context, event->event.tgid);

	if (w)
		search_answered(&w->search, event);
}

static int64_t rescan_due_ns(const struct rescan *r)
{
	return r->started_ns + rescan_after_ns[r->step];
}

static void run_rescans(struct observer *o, int64_t now)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->rescan_count; i++) {
		struct rescan *r = &o->rescans[i];

		if (rescan_due_ns(r) <= now) {
			scan(o, r->pid);
			r->step++;
		}
		if (r->step < RESCAN_STEPS)
			o->rescans[kept++] = *r;
	}
	o->rescan_count = kept;
}

static void run_greetings(struct observer *o, int64_t now)
{
	for (size_t i = 0; i < o->watch_count; i++) {
		struct watch *w = o->watches[i];

		if (!w->hello_due_ns || w->hello_due_ns > now)
			continue;
		if (w->hello_error || w->target->status == MODEL_NO_CONTROL)
			target_read_descriptor(w->target);
		greet(o, w);
	}
}

/* A greeting more costs the process one announcement of what it has parked. */
static void run_healing(struct observer *o, int64_t now)
{
	for (size_t i = 0; i < o->watch_count; i++) {
		struct watch *w = o->watches[i];
		uint32_t tgid = (uint32_t)w->target->pid;
		struct process_account account;

		if (bpf_map_lookup_elem(o->maps.processes, &tgid, &account) ||
		    healing_look(&w->healing, &account, now) != HEALING_GREET)
			continue;
		w->hello_delay_ns = HELLO_DELAY_NS;
		greet(o, w);
	}
	o->healing_due_ns = now + HEALING_PERIOD_NS;
}

static void plan_full_scan(struct observer *o, int64_t cost_ns)
{
	int64_t pause = FULL_SCAN_SHARE * cost_ns;

	o->full_scan_due_ns =
		observe_now_ns() + (pause > FULL_SCAN_PERIOD_NS ? pause : FULL_SCAN_PERIOD_NS);
}

static void run_due(struct observer *o)
{
	int64_t now = observe_now_ns();

	run_rescans(o, now);
	if (o->full_scan_due_ns <= now) {
		scan(o, 0);
		if (o->purge_wanted)
			census_purge(o);
		plan_full_scan(o, observe_now_ns() - now);
	}
	run_greetings(o, now);
	if (o->healing_due_ns <= now)
		run_healing(o, now);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int observer_fd(const struct observer *o)
{
	return event_reader_fd(o->reader);
}

int64_t observer_due_ns(const struct observer *o)
{
	int64_t due = o->full_scan_due_ns;

	for (size_t i = 0; i < o->rescan_count; i++)
		due = earlier(due, rescan_due_ns(&o->rescans[i]));
	for (size_t i = 0; i < o->watch_count; i++)
		if (o->watches[i]->hello_due_ns)
			due = earlier(due, o->watches[i]->hello_due_ns);
	return due;
}

int observer_run(struct observer *o, int64_t until_ns)
{
	for (;;) {
		int64_t now = observe_now_ns();
		int error =
			event_reader_wait(o->reader, earlier(until_ns, observer_due_ns(o)) - now);

		if (error)
			return error;
		run_due(o);
		if (observe_now_ns() >= until_ns)
			return 0;
	}
}

/* ---- searches ------------------------------------------------------------ */

struct round { /* one call of observer_search */
	pid_t pid;
	int64_t timeout_ns;
	size_t next; /* index of the watch to start next */
	size_t running;
	int answered;
	int64_t started_ns;
};

/* Why it cannot be asked at all, or NULL. */
static const char *unsearchable(struct watch *w, enum model_process_status *ret_status)
{
	const struct target *t = w->target;

	*ret_status = MODEL_OBSERVED;
	if (w->hello_error == -ETIMEDOUT) { /* its pipe hangs: no second child is risked on it */
		*ret_status = search_control_status(w->hello_error);
		return search_control_text(w->hello_error);
	}
	if (w->hello_error || t->status == MODEL_NO_CONTROL)
		target_read_descriptor(w->target);
	if (t->status == MODEL_OBSERVED)
		return NULL;
	return t->status_text ? t->status_text : model_process_status_text(t->status);
}

static int start_search(struct observer *o, struct watch *w, int64_t timeout_ns)
{
	enum model_process_status status;
	const char *why = unsearchable(w, &status);
	int error;

	if (why) {
		give_up(o, w, status, why);
		return -ENOTCONN;
	}
	error = search_start(&w->search, &o->maps, w->target, ++o->last_request,
			     observe_now_ns() + timeout_ns);
	if (error)
		model_count_search(&o->searches, &w->search.result);
	if (error == -ETIMEDOUT)
		w->hello_error = error;
	return error;
}

static void start_searches(struct observer *o, struct round *round)
{
	while (round->running < SEARCHES_AT_ONCE && round->next < o->watch_count) {
		struct watch *w = o->watches[round->next++];

		if (round->pid && w->target->pid != round->pid)
			continue;
		if (!start_search(o, w, round->timeout_ns))
			round->running++;
	}
}

static void finish_searches(struct observer *o, struct round *round)
{
	char why[64];

	snprintf(why, sizeof(why), "no answer within %.1f s",
		 (double)round->timeout_ns / (double)SECOND_NS);
	round->running = 0;
	for (size_t i = 0; i < o->watch_count; i++) {
		struct watch *w = o->watches[i];

		if (!w->search.request)
			continue;
		if (w->search.has_answer)
			round->answered += finish_search(o, w);
		else if (w->search.deadline_ns <= observe_now_ns())
			give_up(o, w, MODEL_HUNG, why);
		else
			round->running++;
	}
}

static int64_t first_deadline_ns(const struct observer *o)
{
	int64_t deadline = INT64_MAX;

	for (size_t i = 0; i < o->watch_count; i++)
		if (o->watches[i]->search.request)
			deadline = earlier(deadline, o->watches[i]->search.deadline_ns);
	return deadline;
}

static void give_up_all(struct observer *o)
{
	for (size_t i = 0; i < o->watch_count; i++)
		if (o->watches[i]->search.request)
			give_up(o, o->watches[i], MODEL_OBSERVED, "interrupted");
}

static size_t count_unseen(const struct observer *o, const struct round *round)
{
	size_t unseen = 0;

	for (size_t i = 0; i < o->watch_count; i++) {
		const struct watch *w = o->watches[i];

		if (w->search.result.answered && w->search.result.finished_ns >= round->started_ns)
			unseen += search_unseen(&w->search, &o->maps, w->target->pid);
	}
	return unseen;
}

/* A leaked task never wakes, so it will be announced, unless there is no room for it. */
static void settle(struct observer *o, const struct round *round)
{
	int64_t give_up = observe_now_ns() + o->options.threshold_ns + SETTLE_NS;

	while (count_unseen(o, round) && observe_now_ns() < give_up)
		if (event_reader_wait(o->reader, SETTLE_PERIOD_NS))
			return;
}

int observer_search(struct observer *o, pid_t pid, int64_t timeout_ns)
{
	struct round round = {.pid = pid, .timeout_ns = timeout_ns, .started_ns = observe_now_ns()};

	if (pid && !find_watch(o, pid))
		return -ESRCH;
	for (;;) {
		start_searches(o, &round);
		if (!round.running) {
			settle(o, &round);
			return round.answered;
		}
		if (event_reader_wait(o->reader, first_deadline_ns(o) - observe_now_ns())) {
			give_up_all(o);
			return round.answered;
		}
		finish_searches(o, &round);
	}
}

/* ---- life ---------------------------------------------------------------- */

static int refuse(int error, char **ret_error, const char *text)
{
	*ret_error = strdup(text);
	return error;
}

/* BPF names processes by their numbers in the initial namespace; ours must be the same. */
static int check_pid_namespace(char **ret_error)
{
	static const char initial[] = "pid:[4026531836]"; /* PROC_PID_INIT_INO, fixed */
	char name[64];
	ssize_t length = readlink("/proc/self/ns/pid", name, sizeof(name));

	if (length < 0)
		return refuse(-errno, ret_error, "stranded: cannot read /proc: mount it");
	if ((size_t)length == strlen(initial) && !memcmp(name, initial, (size_t)length))
		return 0;
	return refuse(-EOPNOTSUPP, ret_error,
		      "stranded: cannot observe from inside a PID namespace: the kernel names "
		      "processes by their numbers outside; run it on the host or with --pid=host");
}

static int start(struct observer *o, char **ret_error)
{
	const struct attach_options attach = {.only_pid = o->options.scope.pid,
					      .waiting_quota = o->options.waiting_quota};
	const struct collect_callbacks callbacks = {
		.context = o,
		.exec = plan_rescan,
		.exit = on_exit_event,
		.scan_done = on_scan_done,
	};
	int error = check_pid_namespace(ret_error);
	int64_t began_ns;

	if (error)
		return error;
	/* First: its sandbox is a fork, which must not inherit the maps of BPF. */
	if (o->options.stacks && symboliser_new(&o->symboliser) < 0)
		return refuse(-ENOMEM, ret_error, "stranded: cannot start: out of memory");
	error = attacher_new(&attach, &o->attacher, ret_error);
	if (error)
		return error;
	o->maps = attacher_maps(o->attacher);
	error = event_reader_new(&o->maps, &callbacks, &o->reader);
	if (error)
		return refuse(error, ret_error, "stranded: cannot map the BPF ring buffer");
	began_ns = observe_now_ns();
	error = scan(o, 0);
	if (error)
		return refuse(error, ret_error,
			      "stranded: cannot list processes in /proc: mount it");
	plan_full_scan(o, observe_now_ns() - began_ns);
	return 0;
}

int observer_new(const struct observer_options *options, struct observer **ret_observer,
		 char **ret_error)
{
	struct observer *o = calloc(1, sizeof(*o));
	int error;

	*ret_error = NULL;
	if (!o)
		return -ENOMEM;
	o->options = *options;
	/* Requests of an observer before us must not be answers to ours. */
	o->last_request = (uint64_t)observe_now_ns();
	discovery_init(&o->discovery);
	o->discovery.scope = options->scope;
	error = start(o, ret_error);
	if (error) {
		observer_free(o);
		return error;
	}
	*ret_observer = o;
	return 0;
}

void observer_free(struct observer *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->watch_count; i++)
		free_watch(o->watches[i]);
	free(o->watches);
	for (size_t i = 0; i < o->discovery.binary_count; i++)
		attacher_detach(o->discovery.binaries[i]);
	for (size_t i = 0; i < o->discovery.target_count; i++)
		attacher_detach_target(o->discovery.targets[i]);
	free(o->unattached);
	discovery_done(&o->discovery);
	symboliser_free(o->symboliser);
	event_reader_free(o->reader);
	attacher_free(o->attacher);
	free(o);
}

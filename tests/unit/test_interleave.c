/* SPDX-License-Identifier: MIT */
/* Channels, select, cancel, join and scopes over thousands of interleavings each. */
#include "interleave.h"

/* ---- seeds themselves -------------------------------------------------------------------- */

#define LOG_MAX 512

/* Who did what in which order. */
struct event_log {
	size_t count;
	uint64_t events[LOG_MAX];
};

static void log_event(struct event_log *log, int who, int what)
{
	if (log->count < LOG_MAX)
		log->events[log->count++] = (uint64_t)who << 32 | (uint32_t)what;
}

struct busy {
	struct event_log *log;
	struct strand_chan *a, *b;
	struct strand_mutex mutex;
};

struct busy_role {
	struct busy *busy;
	int number;
};

static int busy_task(void *arg)
{
	struct busy *busy = ((struct busy_role *)arg)->busy;
	int in = 0, me = ((struct busy_role *)arg)->number, out = me;
	struct strand_case cases[] = {
		{STRAND_CASE_SEND, busy->a, &out, 0},
		{STRAND_CASE_RECV, busy->a, &in, 0},
		{STRAND_CASE_RECV, busy->b, &in, 0},
	};

	for (int i = 0; i < 4; i++) {
		int r = strand_select(cases, 3, strand_now() + 10 * STRAND_MICROSECOND);

		log_event(busy->log, me, r < 0 ? r : r << 8 | in);
		expect_eq(strand_mutex_lock(&busy->mutex, STRAND_FOREVER), 0);
		strand_chan_send(busy->b, &out, strand_now() + 5 * STRAND_MICROSECOND);
		log_event(busy->log, me, 1000 + i);
		expect_eq(strand_mutex_unlock(&busy->mutex), 0);
		strand_sleep(strand_now() + STRAND_SECOND);
	}
	return 0;
}

static int busy_program(void *arg)
{
	struct busy busy = {
		.log = arg, .a = new_chan(sizeof(int), 0), .b = new_chan(sizeof(int), 1)};
	struct busy_role roles[5];
	struct strand_task *tasks[5];

	for (int i = 0; i < 5; i++) {
		roles[i] = (struct busy_role){&busy, i};
		tasks[i] = start_task(busy_task, &roles[i]);
	}
	for (int i = 0; i < 5; i++)
		expect_eq(end_task(tasks[i]), 0);
	strand_chan_unref(busy.a);
	strand_chan_unref(busy.b);
	return 0;
}

static void run_busy(const char *seed, struct event_log *ret_log)
{
	ret_log->count = 0;
	assert_true(interleave_once(seed, busy_program, ret_log));
	assert_int_equal(ret_log->count, 5 * 4 * 2);
}

static bool is_same(const struct event_log *a, const struct event_log *b)
{
	return a->count == b->count &&
	       !memcmp(a->events, b->events, a->count * sizeof(a->events[0]));
}

static void test_seed_repeats(void **state)
{
	static struct event_log first, again;

	(void)state;
	interleave_name = "busy program";
	for (int i = 0; i < 200; i++) {
		char seed[24];

		snprintf(seed, sizeof(seed), "%d", i);
		run_busy(seed, &first);
		run_busy(seed, &again);
		assert_true(is_same(&first, &again));
	}
}

static void test_seeds_differ(void **state)
{
	static struct event_log logs[50];
	int same = 0;

	(void)state;
	interleave_name = "busy program";
	for (int i = 0; i < 50; i++) {
		char seed[24];

		snprintf(seed, sizeof(seed), "%d", i);
		run_busy(seed, &logs[i]);
		for (int j = 0; j < i; j++)
			same += is_same(&logs[i], &logs[j]);
	}
	assert_int_equal(same, 0);
}

/* An hour passes at once, for as many tasks as wait, and they wake in the order of their times. */
static int sleepers_woken;

static int sleeper(void *arg)
{
	strand_time until = *(const strand_time *)arg;

	expect_eq(strand_sleep(until), 0);
	expect_true(strand_now() >= until);
	return sleepers_woken++;
}

static int sleep_long(void *arg)
{
	strand_time start = strand_now(), until[4];
	struct strand_task *tasks[4];

	(void)arg;
	sleepers_woken = 0;
	for (int i = 0; i < 4; i++) {
		until[i] = start + (4 - i) * 900 * STRAND_SECOND;
		tasks[i] = start_task(sleeper, &until[i]);
	}
	for (int i = 0; i < 4; i++)
		expect_eq(end_task(tasks[i]), 3 - i);
	return 0;
}

static void test_time_is_virtual(void **state)
{
	strand_time start = strand_now();

	(void)state;
	over_seeds("sleepers", sleep_long, NULL);
	/* Two thousand times an hour: 100 seconds is no measurement, but no hour either. */
	assert_true(strand_now() - start < 100 * STRAND_SECOND);
}

/* ---- values over channels ------------------------------------------------------------------ */

enum { SENDERS = 3, RECEIVERS = 3, VALUES = 4 };

struct value {
	int sender, number;
};

struct traffic {
	bool by_select, deadlines, cancels, closes_early; /* what is to happen */
	struct strand_chan *chan[2];                      /* the second with by_select only */
	int sent[SENDERS][VALUES], received[SENDERS][VALUES];
	int senders, receivers; /* started */
};

static void take(struct traffic *t, const struct value *value, int *last)
{
	expect_true(value->sender >= 0 && value->sender < SENDERS);
	expect_true(value->number >= 0 && value->number < VALUES);
	t->received[value->sender][value->number]++;
	if (!t->by_select) /* two channels may overtake each other */
		expect_true(value->number > last[value->sender]);
	last[value->sender] = value->number;
}

static strand_time deadline_in(const struct traffic *t)
{
	return t->deadlines ? draw_deadline() : STRAND_FOREVER;
}

/* Only the chosen case may have been touched. Returns its result, or why there is none. */
static int select_one(struct strand_case *cases, size_t count, strand_time deadline)
{
	for (size_t i = 0; i < count; i++)
		cases[i].result = 77;

	int r = strand_select(cases, count, deadline);

	for (size_t i = 0; i < count; i++) {
		const struct value *value = cases[i].element;

		if ((int)i != r && cases[i].op == STRAND_CASE_RECV)
			expect_eq(value->sender, -1);
	}
	if (r < 0)
		return r;
	expect_true(cases[r].op != STRAND_CASE_NONE);
	expect_true(cases[r].result == 0 || cases[r].result == -EPIPE);
	return cases[r].result;
}

static int send_one(struct traffic *t, struct value value)
{
	struct strand_case cases[] = {
		{STRAND_CASE_SEND, t->chan[0], &value, 0},
		{STRAND_CASE_SEND, t->chan[1], &value, 0},
	};

	return t->by_select ? select_one(cases, 2, deadline_in(t))
			    : strand_chan_send(t->chan[0], &value, deadline_in(t));
}

static int sender(void *arg)
{
	struct traffic *t = arg;
	int me = t->senders++;

	for (int i = 0; i < VALUES; i++) {
		int r = send_one(t, (struct value){me, i});

		t->sent[me][i] = r == 0;
		if (r == -ETIMEDOUT && t->deadlines)
			continue;
		if (r == -ECANCELED && t->cancels) {
			expect_true(strand_cancelled());
			return 0;
		}
		if (r == -EPIPE && (t->closes_early || t->cancels))
			return 0;
		expect_eq(r, 0);
	}
	return 0;
}

static int receive_one(struct traffic *t, struct strand_case *cases, struct value *values)
{
	values[0] = values[1] = (struct value){-1, -1};
	if (!t->by_select)
		return strand_chan_recv(t->chan[0], deadline_in(t), &values[0]);

	int r = select_one(cases, 2, deadline_in(t));

	if (values[1].sender >= 0)
		values[0] = values[1];
	if (r != -EPIPE)
		return r;
	/* One channel is closed: go on with the other. */
	for (int i = 0; i < 2; i++) {
		if (cases[i].result == -EPIPE)
			cases[i].op = STRAND_CASE_NONE;
	}
	return cases[0].op || cases[1].op ? -EAGAIN : -EPIPE;
}

static int receiver(void *arg)
{
	struct traffic *t = arg;
	struct value values[2];
	struct strand_case cases[] = {
		{STRAND_CASE_RECV, t->chan[0], &values[0], 0},
		{STRAND_CASE_RECV, t->chan[1], &values[1], 0},
	};
	int last[SENDERS] = {-1, -1, -1};

	for (;;) {
		int r = receive_one(t, cases, values);

		if (r == 0) {
			take(t, &values[0], last);
			continue;
		}
		expect_eq(values[0].sender, -1);
		if (r == -EPIPE)
			return 0;
		if (r == -ECANCELED && t->cancels)
			return 0;
		if (r == -ETIMEDOUT && t->deadlines)
			strand_yield(); /* a try must not keep the worker for itself */
		else
			expect_eq(r, -EAGAIN);
	}
}

/* What is buffered when the last receiver has gone. */
static void drain(struct traffic *t)
{
	struct value value;
	int last[SENDERS] = {-1, -1, -1};

	for (int i = 0; i < 2; i++) {
		while (t->chan[i] && strand_chan_recv(t->chan[i], 0, &value) == 0)
			take(t, &value, last);
		strand_chan_unref(t->chan[i]);
	}
}

static void close_all(struct traffic *t)
{
	for (int i = 0; i < 2; i++) {
		if (t->chan[i])
			expect_eq(strand_chan_close(t->chan[i]), 0);
	}
}

static void compare_sent_with_received(const struct traffic *t)
{
	bool all = !t->deadlines && !t->cancels && !t->closes_early;

	for (int i = 0; i < SENDERS; i++) {
		for (int j = 0; j < VALUES; j++) {
			expect_eq(t->received[i][j], t->sent[i][j]);
			if (all)
				expect_eq(t->sent[i][j], 1);
		}
	}
}

static int run_traffic(void *arg)
{
	struct traffic t = *(const struct traffic *)arg;
	struct strand_task *senders[SENDERS], *receivers[RECEIVERS];

	t.chan[0] = new_chan(sizeof(struct value), draw(3));
	t.chan[1] = t.by_select ? new_chan(sizeof(struct value), draw(3)) : NULL;
	for (int i = 0; i < SENDERS; i++) {
		senders[i] = start_task(sender, &t);
		receivers[i] = start_task(receiver, &t);
	}
	if (t.cancels || t.closes_early)
		let_some_run(8);
	if (t.cancels) {
		strand_cancel(senders[draw(SENDERS)]);
		strand_cancel(receivers[draw(RECEIVERS)]);
		let_some_run(4);
		strand_cancel(receivers[draw(RECEIVERS)]);
		let_some_run(4);
		/* Sometimes all receivers: only the close is left to wake the senders. */
		for (int i = draw(3) ? RECEIVERS : 0; i < RECEIVERS; i++)
			strand_cancel(receivers[i]);
		let_some_run(4);
	}
	if (t.cancels || t.closes_early)
		close_all(&t);
	for (int i = 0; i < SENDERS; i++)
		expect_eq(end_task(senders[i]), 0);
	if (!t.cancels && !t.closes_early)
		close_all(&t);
	for (int i = 0; i < RECEIVERS; i++)
		expect_eq(end_task(receivers[i]), 0);
	drain(&t);
	compare_sent_with_received(&t);
	return 0;
}

static void test_traffic(void **state)
{
	static const struct {
		const char *name;
		struct traffic t;
	} all[] = {
		{"channel", {0}},
		{"channel, close", {.closes_early = true}},
		{"channel, deadlines", {.deadlines = true}},
		{"channel, cancel", {.cancels = true}},
		{"channel, everything", {.cancels = true, .deadlines = true, .closes_early = true}},
		{"select", {.by_select = true}},
		{"select, close", {.by_select = true, .closes_early = true}},
		{"select, deadlines", {.by_select = true, .deadlines = true}},
		{"select, cancel", {.by_select = true, .cancels = true}},
		{"select, everything",
		 {.by_select = true, .cancels = true, .deadlines = true, .closes_early = true}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		over_seeds(all[i].name, run_traffic, (void *)&all[i].t);
}

/* ---- selects against selects ----------------------------------------------------------------- */

struct crossing {
	struct strand_chan *a, *b;
	int sent, received; /* over both channels */
};

/* Sends and receives on the same channels: must never serve itself, and never two at once. */
static int cross(void *arg)
{
	struct crossing *c = arg;
	struct value in[2], out = {1, 1};
	struct strand_case cases[] = {
		{STRAND_CASE_SEND, c->a, &out, 0},
		{STRAND_CASE_RECV, c->a, &in[0], 0},
		{STRAND_CASE_RECV, c->b, &in[1], 0},
		{STRAND_CASE_SEND, c->b, &out, 0},
	};
	int r;

	do {
		in[0] = in[1] = (struct value){-1, -1};
		r = select_one(cases, 4, draw_deadline());
		if (r == 0) {
			bool got = in[0].sender == 1 || in[1].sender == 1;

			c->received += got;
			c->sent += !got;
		} else if (r == -ETIMEDOUT) {
			strand_yield();
		}
	} while (r == 0 || r == -ETIMEDOUT);
	expect_true(r == -EPIPE || r == -ECANCELED);
	return 0;
}

static int run_crossing(void *arg)
{
	struct crossing c = {new_chan(sizeof(struct value), 0), new_chan(sizeof(struct value), 0),
			     0, 0};
	struct strand_task *tasks[4];

	(void)arg;
	for (int i = 0; i < 4; i++)
		tasks[i] = start_task(cross, &c);
	let_some_run(20);
	strand_cancel(tasks[0]);
	let_some_run(5);
	expect_eq(strand_chan_close(c.a), 0);
	let_some_run(2);
	expect_eq(strand_chan_close(c.b), 0);
	for (int i = 0; i < 4; i++)
		expect_eq(end_task(tasks[i]), 0);
	expect_eq(c.received, c.sent);
	strand_chan_unref(c.a);
	strand_chan_unref(c.b);
	return 0;
}

static void test_crossing_selects(void **state)
{
	(void)state;
	over_seeds("crossing selects", run_crossing, NULL);
}

/* ---- join against exit and cancel -------------------------------------------------------------- */

struct ending {
	struct strand_chan *go; /* the joined task ends when it gets a message, or is cancelled */
	struct strand_task *task;
	bool ended;
};

static int to_be_joined(void *arg)
{
	struct ending *e = arg;
	int r = strand_chan_recv(e->go, draw_deadline(), NULL);

	expect_true(r == 0 || r == -ETIMEDOUT || r == -ECANCELED);
	e->ended = true;
	return 42;
}

static int joiner(void *arg)
{
	struct ending *e = arg;
	strand_time deadline = draw_deadline();
	int result = 0, r = strand_join(e->task, deadline, &result);

	expect_eq(result, r == 0 ? 42 : 0);
	if (r == 0)
		expect_true(e->ended);
	else if (r == -ECANCELED)
		expect_true(strand_cancelled());
	else
		expect_true(r == -ETIMEDOUT && deadline != STRAND_FOREVER);
	strand_task_unref(e->task);
	return 0;
}

static int run_join(void *arg)
{
	struct ending e = {.go = new_chan(0, 0)};
	struct strand_task *joiners[3];

	(void)arg;
	e.task = start_task(to_be_joined, &e);
	for (int i = 0; i < 3; i++) {
		strand_task_ref(e.task);
		joiners[i] = start_task(joiner, &e);
	}
	let_some_run(6);
	strand_cancel(joiners[draw(3)]);
	if (draw(2))
		strand_cancel(e.task);
	else
		strand_chan_send(e.go, NULL, strand_now() + STRAND_MICROSECOND);
	let_some_run(3);
	strand_cancel(e.task);
	strand_cancel(e.task);
	for (int i = 0; i < 3; i++)
		expect_eq(end_task(joiners[i]), 0);
	expect_eq(end_task(e.task), 42);
	strand_chan_unref(e.go);
	return 0;
}

static void test_join(void **state)
{
	(void)state;
	over_seeds("join", run_join, NULL);
}

/* ---- scopes -------------------------------------------------------------------------------------- */

struct family {
	struct strand_chan *never;
	strand_time limit;
	int running;
	int first_error;
	bool cancelled; /* from outside */
};

static int family_end(struct family *f, int result)
{
	f->running--;
	if (result < 0 && !f->first_error)
		f->first_error = result;
	return result;
}

static int child(void *arg)
{
	struct family *f = arg;
	int r = 0;

	switch (draw(4)) {
	case 0: /* waits for what never comes */
		r = strand_chan_recv(f->never, STRAND_FOREVER, NULL);
		expect_true(r == -ECANCELED || (r == -ETIMEDOUT && strand_now() >= f->limit));
		break;
	case 1: /* ends by itself */
		r = strand_sleep(strand_now() + (strand_time)draw(20 * STRAND_MICROSECOND));
		expect_true(r == 0 || r == -ECANCELED || r == -ETIMEDOUT);
		break;
	case 2: /* fails */
		let_some_run(4);
		r = -EIO;
		break;
	default:
		let_some_run(4);
	}
	return family_end(f, r);
}

static int add_child(struct family *f, struct strand_scope *scope, int (*fn)(void *))
{
	int r;

	f->running++;
	r = strand_scope_go(scope, NULL, fn, f);
	if (r < 0)
		f->running--;
	return r;
}

/* A scope in a scope: cancelling the outer one goes down, and nobody is left behind. */
static int child_with_scope(void *arg)
{
	struct family *outer = arg, inner = {.never = outer->never, .limit = outer->limit};
	struct strand_scope *scope = NULL;
	int r;

	expect_eq(strand_scope_new(STRAND_FOREVER, &scope), 0);
	for (int i = 0; i < 2; i++)
		expect_eq(add_child(&inner, scope, child), inner.first_error ? -ECANCELED : 0);
	r = strand_scope_wait(scope);
	expect_eq(inner.running, 0);
	expect_eq(r, inner.first_error);
	return family_end(outer, r);
}

static int run_family(void *arg)
{
	struct family *f = arg;
	struct strand_scope *scope = NULL;
	int r;

	f->limit = strand_now() + (strand_time)draw(50 * STRAND_MICROSECOND);
	expect_eq(strand_scope_new(f->limit, &scope), 0);
	for (int i = 0; i < 3; i++) {
		r = add_child(f, scope, i == 1 ? child_with_scope : child);
		expect_true(r == 0 || r == -ECANCELED);
		expect_eq(r == -ECANCELED, f->first_error != 0);
		let_some_run(2);
	}
	if (draw(4) == 0)
		expect_eq(strand_scope_cancel(scope), 0);
	r = strand_scope_wait(scope);
	expect_eq(f->running, 0);
	expect_eq(r, f->first_error);
	return 0;
}

static int run_scope(void *arg)
{
	struct family f = {.never = new_chan(0, 0)};
	struct strand_task *task = start_task(run_family, &f);

	(void)arg;
	if (draw(3) == 0) {
		let_some_run(10);
		f.cancelled = true;
		strand_cancel(task);
	}
	expect_eq(end_task(task), 0);
	strand_chan_unref(f.never);
	return 0;
}

static void test_scopes(void **state)
{
	(void)state;
	over_seeds("scopes", run_scope, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seed_repeats),     cmocka_unit_test(test_seeds_differ),
		cmocka_unit_test(test_time_is_virtual),  cmocka_unit_test(test_traffic),
		cmocka_unit_test(test_crossing_selects), cmocka_unit_test(test_join),
		cmocka_unit_test(test_scopes),
	};

	interleave_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

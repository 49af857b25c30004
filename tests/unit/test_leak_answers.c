/* SPDX-License-Identifier: MIT */
/* What a program learns of its leaks beyond that they are there, and what it can do about them. */
#include "leak_case.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "leakgc/world.h"

/* ---- why ------------------------------------------------------------------------------ */

#define SEEN_MAX 8

static struct seen_leak {
	uint64_t task, behind, cycle[4];
	size_t cycle_count, searches_seen;
	char why[64];
} seen[SEEN_MAX];
static size_t seen_count;

static void see(const struct strand_leak *leak, void *arg)
{
	struct seen_leak *s = &seen[seen_count];

	(void)arg;
	if (seen_count++ >= SEEN_MAX)
		return;
	*s = (struct seen_leak){.task = leak->task,
				.behind = leak->behind,
				.cycle_count = leak->cycle_count,
				.searches_seen = leak->searches_seen};
	snprintf(s->why, sizeof(s->why), "%s", leak->why);
	for (size_t i = 0; i < leak->cycle_count && i < 4; i++)
		s->cycle[i] = leak->cycle[i];
}

/* As many are leaked. */
static void expect_seen(size_t count)
{
	int r;

	wipe_stack();
	do {
		seen_count = 0;
		r = strand_leaks(0, see, NULL, NULL);
	} while (r == -EAGAIN);
	expect_eq(r, count);
	expect_eq(seen_count, count);
}

static const struct seen_leak *seen_of(int n)
{
	static const struct seen_leak none;

	for (size_t i = 0; i < seen_count && i < SEEN_MAX; i++)
		if (seen[i].task == ids[n])
			return &seen[i];
	return &none;
}

static void expect_why(int n, const char *why, uint64_t behind)
{
	const struct seen_leak *s = seen_of(n);

	if (strcmp(s->why, why))
		dprintf(STDERR_FILENO, "task %d: %s\n", n, s->why);
	expect_true(!strcmp(s->why, why));
	expect_eq(s->behind, behind);
}

/* It waits for the next one, and so on. */
static void expect_cycle(const int *tasks, size_t count)
{
	for (size_t n = 0; n < count; n++) {
		const struct seen_leak *s = seen_of(tasks[n]);
		size_t at = 0;

		expect_eq(s->cycle_count, count);
		while (at < count && s->cycle[at] != ids[tasks[n]])
			at++;
		for (size_t i = 0; i < count; i++)
			expect_eq(s->cycle[(at + i) % count], ids[tasks[(n + i) % count]]);
	}
}

static struct strand_mutex a, b;
static struct strand_rwlock lock;

#define CYCLE  "it is part of a wait-for cycle"
#define BEHIND "only leaked tasks reach what it waits for"
#define DEAD   "the task that holds the lock has ended"

static void lock_ab(void *arg)
{
	(void)arg;
	i_am(0);
	expect_eq(strand_mutex_lock(&a, STRAND_FOREVER), 0);
	reach(1);
	await_step(2);
	strand_mutex_lock(&b, STRAND_FOREVER);
}

static void lock_ba(void *arg)
{
	(void)arg;
	i_am(1);
	await_step(1);
	expect_eq(strand_mutex_lock(&b, STRAND_FOREVER), 0);
	reach(2);
	strand_mutex_lock(&a, STRAND_FOREVER);
}

static void lock_b(void *arg)
{
	(void)arg;
	i_am(2);
	strand_mutex_lock(&b, STRAND_FOREVER);
}

static int abba(void *arg)
{
	static const int cycle[] = {0, 1};

	(void)arg;
	go(lock_ab);
	go(lock_ba);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 2);
	go(lock_b);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 3);
	expect_seen(3);
	expect_why(0, CYCLE, 0);
	expect_why(1, CYCLE, 0);
	expect_why(2, BEHIND, ids[1]);
	expect_cycle(cycle, 2);
	for (int i = 0; i < 3; i++)
		expect_eq(seen_of(i)->searches_seen, 1);
	expect_seen(3);
	for (int i = 0; i < 3; i++)
		expect_eq(seen_of(i)->searches_seen, 2);
	return 0;
}

static void lock_a_twice(void *arg)
{
	(void)arg;
	i_am(0);
	expect_eq(strand_mutex_lock(&a, STRAND_FOREVER), 0);
	strand_mutex_lock(&a, STRAND_FOREVER);
}

static int double_lock(void *arg)
{
	static const int cycle[] = {0};

	(void)arg;
	go(lock_a_twice);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 1);
	expect_seen(1);
	expect_why(0, CYCLE, 0);
	expect_cycle(cycle, 1);
	return 0;
}

/* Reads, and reads again when a writer has come; another reader is only behind them. */
static void read_twice(void *arg)
{
	(void)arg;
	i_am(0);
	expect_eq(strand_rwlock_rlock(&lock, STRAND_FOREVER), 0);
	reach(1);
	await_step(2);
	strand_rwlock_rlock(&lock, STRAND_FOREVER);
}

static void write_once(void *arg)
{
	(void)arg;
	i_am(1);
	strand_rwlock_lock(&lock, STRAND_FOREVER);
}

static void read_once(void *arg)
{
	(void)arg;
	i_am(2);
	strand_rwlock_rlock(&lock, STRAND_FOREVER);
}

static int recursive_read(void *arg)
{
	static const int cycle[] = {0, 1};

	(void)arg;
	go(read_twice);
	await_step(1);
	go(write_once);
	await_parked(STRAND_WAIT_RWLOCK_LOCK, 1);
	reach(2);
	await_parked(STRAND_WAIT_RWLOCK_RLOCK, 1);
	go(read_once);
	await_parked(STRAND_WAIT_RWLOCK_RLOCK, 2);
	expect_seen(3);
	expect_why(0, CYCLE, 0);
	expect_why(1, CYCLE, 0);
	expect_cycle(cycle, 2);
	expect_why(2, BEHIND, seen_of(2)->behind);
	expect_true(seen_of(2)->behind == ids[0] || seen_of(2)->behind == ids[1]);
	return 0;
}

static void take_and_end(void *arg)
{
	(void)arg;
	i_am(7);
	expect_eq(strand_mutex_lock(&a, STRAND_FOREVER), 0);
	expect_eq(strand_rwlock_rlock(&lock, STRAND_FOREVER), 0);
	reach(1);
}

static void lock_a(void *arg)
{
	(void)arg;
	i_am(0);
	strand_mutex_lock(&a, STRAND_FOREVER);
}

static int owner_has_ended(void *arg)
{
	(void)arg;
	go(take_and_end);
	await_step(1);
	let_others_run();
	go(lock_a);
	go(write_once);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 1);
	await_parked(STRAND_WAIT_RWLOCK_LOCK, 1);
	expect_seen(2);
	expect_why(0, DEAD, ids[7]);
	expect_why(1, DEAD, 0); /* which reader it was, no lock knows */
	return 0;
}

/* ---- recovery ------------------------------------------------------------------------------ */

static int cleaned_up; /* atomic */

struct request {
	int fd;
	struct strand_chan *answer;
	char *buffer;
};

/* Owns all of it, and gives it back whatever comes. */
static void serve(void *arg)
{
	struct request *r = arg;

	memset(r->buffer, 1, 4096);
	expect_eq(strand_chan_send(r->answer, NULL, STRAND_FOREVER), -ECANCELED);
	expect_eq(strand_cancelled(), 1);
	close(r->fd);
	strand_chan_unref(r->answer);
	free(r->buffer);
	free(r);
	__atomic_add_fetch(&cleaned_up, 1, __ATOMIC_SEQ_CST);
}

/* On the heap lies what the request needs, but for the channel: that is on the task's stack. */
static void serve_one(void *arg)
{
	struct request *r = malloc(sizeof(*r));

	(void)arg;
	r->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	r->buffer = malloc(4096);
	r->answer = NULL; /* blocks for ever, as in Go: heap memory keeps nothing else alive */
	serve(r);
}

static void lock_and_unlock(struct strand_mutex *first, struct strand_mutex *second, int n)
{
	expect_eq(strand_mutex_lock(first, STRAND_FOREVER), 0);
	__atomic_add_fetch(&step, 1, __ATOMIC_SEQ_CST);
	await_step(n);
	/* One of the two may get the lock that the other one gives back when it is cancelled. */
	if (strand_mutex_lock(second, STRAND_FOREVER) == 0)
		expect_eq(strand_mutex_unlock(second), 0);
	expect_eq(strand_mutex_unlock(first), 0);
	__atomic_add_fetch(&cleaned_up, 1, __ATOMIC_SEQ_CST);
}

static void unlock_ab(void *arg)
{
	(void)arg;
	lock_and_unlock(&a, &b, 2);
}

static void unlock_ba(void *arg)
{
	(void)arg;
	lock_and_unlock(&b, &a, 2);
}

static void receive_forever(void *arg)
{
	expect_eq(strand_chan_recv(arg, STRAND_FOREVER, NULL), 0);
	__atomic_add_fetch(&cleaned_up, 100, __ATOMIC_SEQ_CST);
}

static struct strand_chan *global;

#define REQUESTS 50

/* Leaked tasks end, and only they; what they held comes back. */
static int recovery(void *arg)
{
	struct strand_leaks_options options = {.size = sizeof(options),
					       .on_leak = STRAND_ON_LEAK_CANCEL};
	struct strand_stats stats = {.size = sizeof(stats)};
	size_t fds;
	int r;

	(void)arg;
	global = new_chan(0, 0);
	expect_eq(strand_go(receive_forever, global), 0);
	await_parked(STRAND_WAIT_CHAN_RECEIVE, 1);
	expect_seen(0);
	fds = count_entries("/proc/self/fd");
	for (int i = 0; i < REQUESTS; i++)
		go(serve_one);
	go(unlock_ab);
	go(unlock_ba);
	await_parked(STRAND_WAIT_CHAN_SEND_NIL, REQUESTS);
	await_parked(STRAND_WAIT_MUTEX_LOCK, 2);
	expect_eq(count_entries("/proc/self/fd"), fds + REQUESTS);
	wipe_stack();
	do
		r = strand_leaks_with(&options, NULL, NULL, NULL);
	while (r == -EAGAIN);
	expect_eq(r, REQUESTS + 2);
	while (__atomic_load_n(&cleaned_up, __ATOMIC_SEQ_CST) < REQUESTS + 2)
		strand_yield();
	await_parked(STRAND_WAIT_CHAN_SEND_NIL, 0);
	expect_eq(count_entries("/proc/self/fd"), fds);
	expect_eq(strand_mutex_lock(&a, 0), 0); /* free again */
	expect_eq(strand_mutex_lock(&b, 0), 0);
	expect_eq(cleaned_up, REQUESTS + 2);
	strand_chan_send(global, NULL, STRAND_FOREVER);
	let_others_run();
	expect_eq(strand_stats(&stats), 0);
	expect_eq(stats.leaks_retracted, 0);
	expect_seen(0);
	return 0;
}

static int wrong_options(void *arg)
{
	struct strand_leaks_options options = {.size = sizeof(options), .on_leak = 2};

	(void)arg;
	expect_eq(strand_leaks_with(NULL, NULL, NULL, NULL), -EINVAL);
	expect_eq(strand_leaks_with(&options, NULL, NULL, NULL), -EINVAL);
	options.size = 0;
	expect_eq(strand_leaks_with(&options, NULL, NULL, NULL), -EINVAL);
	return 0;
}

/* ---- retraction ------------------------------------------------------------------------------ */

/* A pointer with a tag: found only if tags are masked. */
static uintptr_t tagged;

static void hold_tagged(void *arg)
{
	struct strand_chan *chan = new_chan(0, 0);

	(void)arg;
	tagged = (uintptr_t)chan | (uintptr_t)1 << 60;
	reach(1);
	expect_eq(strand_chan_recv(chan, STRAND_FOREVER, NULL), 0);
	reach(2);
}

static void send_untagged(void *arg)
{
	(void)arg;
	strand_chan_send((struct strand_chan *)(tagged & ~((uintptr_t)1 << 60)), NULL,
			 STRAND_FOREVER);
}

static void report_wrongly_and_send(void)
{
	reach(0);
	go(hold_tagged);
	await_step(1);
	await_parked(STRAND_WAIT_CHAN_RECEIVE, 1);
	runtime_get()->control.without = 0;
	expect_seen(0);
	runtime_get()->control.without = LEAKGC_WITHOUT_TAG_MASK;
	expect_seen(1);
	go(send_untagged);
	await_step(2);
}

/* Counted each time, told once for the site; and a test run would end. */
static int retraction(void *arg)
{
	struct strand_stats stats = {.size = sizeof(stats)};
	int saved = dup(STDERR_FILENO), file = memfd_create("stderr", MFD_CLOEXEC);
	const char *line;
	char text[1024] = "";

	(void)arg;
	unsetenv("STRAND_RETRACTED");
	dup2(file, STDERR_FILENO);
	report_wrongly_and_send();
	expect_eq(strand_stats(&stats), 0);
	expect_eq(stats.leaks_retracted, 1);
	report_wrongly_and_send();
	expect_eq(strand_stats(&stats), 0);
	expect_eq(stats.leaks_retracted, 2);
	expect_eq(strand_descriptor.retracted, 2);
	dup2(saved, STDERR_FILENO);
	expect_true(pread(file, text, sizeof(text) - 1, 0) > 0);
	line = strstr(text, "strand: retracted: task ");
	expect_true(line && !strstr(line + 1, "strand: retracted: task "));
	if (!line)
		dprintf(STDERR_FILENO, "%s\n", text);
	return 0;
}

static int retract_and_die(void *arg)
{
	(void)arg;
	setenv("STRAND_RETRACTED", "abort", 1);
	close(STDERR_FILENO);
	report_wrongly_and_send();
	return 0;
}

static int run_retract_and_die(void)
{
	set_workers(2);
	return strand_main(retract_and_die, NULL);
}

static void test_retraction_ends_test_runs(void **state)
{
	int status = run_child(run_retract_and_die);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* ---- threads that ask while the runtime ends ---------------------------------------------------- */

static _Atomic bool asking_is_over;
static _Atomic unsigned asked;

static void *ask_all_the_time(void *arg)
{
	(void)arg;
	while (!atomic_load(&asking_is_over)) {
		struct strand_leaks_result result = {.cause = NULL};
		int r = strand_leaks(0, see, NULL, &result);

		if (r != -ENXIO && r != -EBUSY && r != -EAGAIN && r != 0)
			expect_eq(r, 0);
		atomic_fetch_add(&asked, r != -ENXIO);
	}
	return NULL;
}

static int end_soon(void *arg)
{
	unsigned before = atomic_load(&asked);

	/* In the middle of a search, as often as not. */
	if (arg)
		while (atomic_load(&asked) == before)
			strand_yield();
	return 0;
}

#define ENDS 300

static int ask_and_end(void)
{
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		start_thread(&threads[i], ask_all_the_time, NULL);
	for (int i = 0; i < ENDS; i++)
		expect_eq(strand_main(end_soon, i % 2 ? &asked : NULL), 0);
	atomic_store(&asking_is_over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	return test_failures;
}

static void test_ask_while_it_ends(void **state)
{
	(void)state;
	set_workers(2);
	assert_int_equal(run_child(ask_and_end), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_case(abba),
		leak_case(double_lock),
		leak_case(recursive_read),
		leak_case(owner_has_ended),
		leak_case(recovery),
		leak_case(wrong_options),
		leak_case(retraction),
		cmocka_unit_test(test_retraction_ends_test_runs),
		cmocka_unit_test(test_ask_while_it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

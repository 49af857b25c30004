/* SPDX-License-Identifier: MIT */
/*
 * Out of memory: the Nth mapping fails, for every N, and every call says so or works.
 *
 * The runtime maps what it needs by mmap, madvise and mprotect; this program has functions of
 * its own by these names. Each N runs in a process of its own, so that it finds nothing that a
 * run before it has mapped. There the program runs with the failure, and again without: what
 * is mapped in the end must not be more than after two runs that have failed in nothing.
 */
#include "strand_test.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "strand/object.h"
#include "strand/probes.h"

/* ---- failing ------------------------------------------------------------------------------ */

static struct {
	bool on, for_good;   /* for_good: that one and all later ones */
	unsigned fail, made; /* by number, from 1 */
	long mapped;         /* bytes, over all */
} mappings;

static bool is_to_fail(void)
{
	unsigned n;

	if (!__atomic_load_n(&mappings.on, __ATOMIC_SEQ_CST))
		return false;
	n = __atomic_add_fetch(&mappings.made, 1, __ATOMIC_SEQ_CST);
	return n == mappings.fail || (mappings.for_good && n > mappings.fail);
}

static long answer(long r)
{
	if (r >= 0 || r < -4095)
		return r;
	errno = (int)-r;
	return -1;
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	long r = is_to_fail() ? answer(-ENOMEM)
			      : syscall(SYS_mmap, address, size, protection, flags, fd, offset);

	if ((void *)r != MAP_FAILED)
		__atomic_add_fetch(&mappings.mapped, (long)size, __ATOMIC_SEQ_CST);
	return (void *)r;
}

int munmap(void *address, size_t size)
{
	__atomic_sub_fetch(&mappings.mapped, (long)size, __ATOMIC_SEQ_CST);
	return (int)syscall(SYS_munmap, address, size);
}

int madvise(void *address, size_t size, int advice)
{
	return (int)(is_to_fail() ? answer(-ENOMEM) : syscall(SYS_madvise, address, size, advice));
}

int mprotect(void *address, size_t size, int protection)
{
	return (int)(is_to_fail() ? answer(-ENOMEM)
				  : syscall(SYS_mprotect, address, size, protection));
}

/* ---- a program that needs all kinds of memory ---------------------------------------------- */

static bool may_fail; /* this run */
static unsigned failed_calls;

/* Did the call work? It may also have found no memory. */
static bool works(int r, const char *what, int line)
{
	if (r == -ENOMEM && may_fail) {
		__atomic_add_fetch(&failed_calls, 1, __ATOMIC_SEQ_CST);
		return false;
	}
	if (r < 0)
		test_report(__FILE__, line, what, r, 0);
	return r >= 0;
}

#define TRY(call) works((call), #call, __LINE__)

#define SOON      (strand_now() + STRAND_MILLISECOND / 10)

/* A wait that has to end by its deadline. */
static int timed_out(int r)
{
	return r == -ETIMEDOUT ? 0 : r == 0 ? -EPROTO : r;
}

/* What pthread_create says when it finds no memory for a stack. */
static int no_thread(int r)
{
	return r == -EAGAIN ? -ENOMEM : r;
}

static void nothing(void *arg)
{
	(void)arg;
}

static int return_it(void *arg)
{
	return *(const int *)arg;
}

static void use_channels(void)
{
	struct strand_chan *chan = NULL, *large = NULL;
	long value = 7;

	if (TRY(strand_chan_new(sizeof(long), 0, &chan))) {
		struct strand_case cases[] = {{STRAND_CASE_RECV, chan, &value, 0},
					      {STRAND_CASE_SEND, chan, &value, 0}};

		TRY(timed_out(strand_chan_recv(chan, SOON, &value)));
		TRY(timed_out(strand_chan_send(chan, &value, SOON)));
		TRY(timed_out(strand_select(cases, 2, SOON)));
		expect_eq(strand_chan_recv(chan, 0, &value), -ETIMEDOUT);
		expect_eq(strand_chan_close(chan), 0);
	}
	if (TRY(strand_chan_new(sizeof(long), 1 << 17, &large))) {
		expect_eq(strand_chan_send(large, &value, 0), 0);
		expect_eq(strand_chan_recv(large, 0, &value), 0);
	}
	expect_eq(value, 7);
	strand_chan_unref(chan);
	strand_chan_unref(large);
}

static void use_tasks(void)
{
	struct strand_task_options large = {.size = sizeof(large), .stack_size = 1 << 20};
	struct strand_task *task = NULL;
	struct strand_scope *scope = NULL;
	int number = 5, result = 0;

	TRY(strand_go(nothing, NULL));
	TRY(strand_go_with(&large, nothing, NULL));
	if (TRY(strand_spawn(NULL, return_it, &number, &task))) {
		expect_eq(strand_join(task, STRAND_FOREVER, &result), 0);
		expect_eq(result, 5);
	}
	strand_task_unref(task);
	if (TRY(strand_scope_new(strand_now() + STRAND_SECOND, &scope))) {
		TRY(strand_scope_go(scope, NULL, return_it, &number));
		expect_eq(strand_scope_wait(scope), 0);
	}
	TRY(strand_sleep(SOON));
}

/* More than the first slabs of tasks, stacks and timers hold. */
static int sleep_soon(void *arg)
{
	(void)arg;
	return TRY(strand_sleep(SOON)) ? 1 : 0;
}

static void use_many_tasks(void)
{
	enum { MANY = 600 };
	static struct strand_task *tasks[MANY];
	int started = 0, ended = 0;

	for (int i = 0; i < MANY; i++) {
		tasks[i] = NULL;
		started += TRY(strand_spawn(NULL, sleep_soon, NULL, &tasks[i]));
	}
	for (int i = 0; i < MANY; i++) {
		if (!tasks[i])
			continue;
		expect_eq(strand_join(tasks[i], STRAND_FOREVER, NULL), 0);
		strand_task_unref(tasks[i]);
		ended++;
	}
	expect_eq(ended, started);
}

struct contended {
	struct strand_mutex mutex;
	struct strand_rwlock lock;
	struct strand_semaphore semaphore;
	struct strand_waitgroup group;
	struct strand_cond cond;
	struct strand_mutex cond_mutex;
};

static int contend(void *arg)
{
	struct contended *c = arg;

	TRY(timed_out(strand_mutex_lock(&c->mutex, SOON)));
	TRY(timed_out(strand_rwlock_rlock(&c->lock, SOON)));
	TRY(timed_out(strand_rwlock_lock(&c->lock, SOON)));
	TRY(timed_out(strand_semaphore_acquire(&c->semaphore, 1, SOON)));
	TRY(timed_out(strand_waitgroup_wait(&c->group, SOON)));
	expect_eq(strand_mutex_lock(&c->cond_mutex, STRAND_FOREVER), 0);
	TRY(timed_out(strand_cond_wait(&c->cond, &c->cond_mutex, SOON)));
	expect_eq(strand_mutex_unlock(&c->cond_mutex), 0);
	return 0;
}

static void use_locks(void)
{
	struct contended c = {0};
	struct strand_task *task = NULL;

	expect_eq(strand_mutex_lock(&c.mutex, 0), 0);
	expect_eq(strand_rwlock_lock(&c.lock, 0), 0);
	expect_eq(strand_waitgroup_add(&c.group, 1), 0);
	if (TRY(strand_spawn(NULL, contend, &c, &task)))
		expect_eq(strand_join(task, STRAND_FOREVER, NULL), 0);
	strand_task_unref(task);
	expect_eq(strand_waitgroup_done(&c.group), 0);
	expect_eq(strand_rwlock_unlock(&c.lock), 0);
	expect_eq(strand_mutex_unlock(&c.mutex), 0);
	expect_eq(strand_mutex_lock(&c.mutex, 0), 0); /* nobody who gave up stands in the way */
	expect_eq(strand_rwlock_lock(&c.lock, 0), 0);
}

static void use_descriptors(void)
{
	int fds[2], number = 6, result = 0;

	if (pipe(fds) < 0) {
		expect_eq(errno, 0);
		return;
	}
	TRY(timed_out(strand_wait_fd(fds[0], STRAND_READABLE, SOON)));
	expect_eq(strand_wait_fd(fds[1], STRAND_WRITABLE, 0), STRAND_WRITABLE);
	expect_eq(strand_close(fds[0]), 0);
	expect_eq(strand_close(fds[1]), 0);
	if (TRY(no_thread(strand_block(return_it, &number, STRAND_FOREVER, &result))))
		expect_eq(result, 6);
}

static int use_all(void *arg)
{
	(void)arg;
	use_channels();
	use_tasks();
	use_locks();
	use_descriptors();
	use_many_tasks();
	return 0;
}

/* ---- running it -------------------------------------------------------------------------------- */

/* Returns whether the runtime started. */
static bool run(bool with_failure)
{
	int r;

	may_fail = with_failure;
	__atomic_store_n(&mappings.on, with_failure, __ATOMIC_SEQ_CST);
	r = no_thread(strand_main(use_all, NULL));
	__atomic_store_n(&mappings.on, false, __ATOMIC_SEQ_CST);
	if (r == -ENOMEM && may_fail) {
		failed_calls++;
		return false;
	}
	expect_eq(r, 0);
	return true;
}

/* Slots that nobody has given back. */
static size_t objects_in_use(void)
{
	const struct object_pool *pool = object_pool_get();
	size_t count = 0;

	for (const struct object_chunk *chunk = pool->chunks; chunk; chunk = chunk->next)
		count += chunk->slots;
	for (int i = 0; i < OBJECT_CLASSES; i++) {
		for (const struct object *o = pool->free[i]; o; o = o->next_free)
			count--;
	}
	return count;
}

/* What a child tells its parent. */
static struct told {
	unsigned made, failed_calls;
	long mapped;    /* after two runs */
	bool abandoned; /* tasks had not ended when main had: then memory stays, on purpose */
	int failures;
} * told;

static void tell(void)
{
	expect_eq(objects_in_use(), 0);
	told->failed_calls = failed_calls;
	told->mapped = mappings.mapped;
	told->abandoned = strand_descriptor.tasks_spawned != strand_descriptor.tasks_exited;
	told->failures = test_failures;
}

static int child(void)
{
	bool fails = mappings.fail != 0;

	mappings.on = false;
	mappings.mapped = 0;
	run(fails || mappings.for_good);
	told->made = mappings.made;
	run(false);
	tell();
	return 0;
}

static struct told run_in_child(unsigned fail, bool for_good)
{
	int status;

	mappings.fail = fail;
	mappings.for_good = for_good;
	mappings.made = 0;
	test_failures = 0;
	memset(told, 0, sizeof(*told));
	status = run_child(child);
	if (status || told->failures)
		print_error("mapping %u%s fails: status %#x, %d failed checks\n", fail,
			    for_good ? " and all after it" : "", status, told->failures);
	assert_int_equal(status, 0);
	assert_int_equal(told->failures, 0);
	return *told;
}

/* For each mapping that the program makes. */
static void fail_each(bool for_good)
{
	struct told good = run_in_child(0, false), with;
	unsigned n = 0, noticed = 0, whole = 0;

	do {
		with = run_in_child(++n, for_good);
		noticed += with.failed_calls > 0;
		/* Threads end in any order: what they need may be reused, or not. */
		if (with.mapped > good.mapped && !with.abandoned)
			print_error("mapping %u: %ld bytes are left, not %ld\n", n, with.mapped,
				    good.mapped);
		assert_true(with.abandoned || with.mapped <= good.mapped);
		whole += !with.abandoned;
	} while (with.made >= n && n < 5000);
	assert_true(n < 5000);
	assert_true(noticed > 10);
	assert_true(whole > n / 2);
}

/* With so much address space beyond what there is. */
static rlim_t room;

static int limited_child(void)
{
	struct rlimit before, limit;

	getrlimit(RLIMIT_AS, &before);
	limit = before;
	limit.rlim_cur = status_kib("VmSize") * 1024 + room;
	mappings.mapped = 0;
	setrlimit(RLIMIT_AS, &limit);
	run(true);
	setrlimit(RLIMIT_AS, &before);
	run(false);
	tell();
	return 0;
}

static void test_address_space(void **state)
{
	struct told good = run_in_child(0, false);
	bool all_worked = false, none_worked = false;

	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* they need all of it for themselves */
#endif
	for (room = 0; room <= (rlim_t)128 << 20; room += (rlim_t)1 << 20) {
		memset(told, 0, sizeof(*told));
		assert_int_equal(run_child(limited_child), 0);
		assert_int_equal(told->failures, 0);
		if (told->mapped > good.mapped && !told->abandoned)
			print_error("room %lu MiB: %ld bytes are left, not %ld\n",
				    (unsigned long)(room >> 20), told->mapped, good.mapped);
		assert_true(told->abandoned || told->mapped <= good.mapped);
		none_worked |= room == 0 && told->failed_calls > 0;
		all_worked |= told->failed_calls == 0;
	}
	assert_true(none_worked);
	assert_true(all_worked);
}

static int setup(void **state)
{
	(void)state;
	crash_plainly();
	told = (struct told *)syscall(SYS_mmap, NULL, sizeof(*told), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0L);
	return (void *)told == MAP_FAILED;
}

static void test_each_once(void **state)
{
	(void)state;
	setenv("STRAND_SEED", "1", 1); /* so that the Nth is the same each time */
	fail_each(false);
	unsetenv("STRAND_SEED");
}

static void test_each_and_all_after(void **state)
{
	(void)state;
	setenv("STRAND_SEED", "1", 1);
	fail_each(true);
	unsetenv("STRAND_SEED");
}

static void test_several_workers(void **state)
{
	(void)state;
	set_workers(3);
	fail_each(false);
	set_workers(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_once),
		cmocka_unit_test(test_each_and_all_after),
		cmocka_unit_test(test_several_workers),
		cmocka_unit_test(test_address_space),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}

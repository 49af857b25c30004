/* SPDX-License-Identifier: MIT */
/* The leak search as a whole: what is leaked, what is live and why, and how a search ends. */
#include "leakgc_scene.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static uintptr_t *heap_slot; /* an application's variable on the heap */

static void nothing_arranged(void)
{
	*heap_slot = 0;
}

static void root_on_heap(void)
{
	*heap_slot = scene_object(0) + 100;
}

/* ---- verdicts ---------------------------------------------------------------- */

static void test_leaked(void **state)
{
	(void)state;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LEAKED);
}

static void test_waits_on_nothing(void **state)
{
	(void)state;
	scene.tasks[0].object = -1;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LEAKED);
}

static void test_root_is_named(void **state)
{
	struct leakgc_result r;
	const struct leakgc_verdict *v;

	(void)state;
	r = scene_run(root_on_heap, 0);
	v = scene_verdict(&r, 0);
	assert_non_null(v);
	assert_int_equal(v->verdict, STRAND_VERDICT_LIVE);
	assert_int_equal(v->root_kind, STRAND_ROOT_MEMORY);
	assert_int_equal(v->root, (uintptr_t)heap_slot);
	assert_int_equal(r.candidates, 1);
	assert_int_equal(r.leaked, 0);
	leakgc_result_done(&r);
}

static void live_task_points(void)
{
	scene_put(scene_sp(1) + 8, scene_object(0));
}

static void test_live_task_is_named(void **state)
{
	struct leakgc_result r;
	const struct leakgc_verdict *v;

	(void)state;
	scene_add_task(1, -1);
	scene.tasks[1].live = true;
	r = scene_run(live_task_points, 0);
	v = scene_verdict(&r, 0);
	assert_non_null(v);
	assert_int_equal(v->verdict, STRAND_VERDICT_LIVE);
	assert_int_equal(v->root_kind, STRAND_ROOT_TASK);
	assert_int_equal(v->root, SCENE_TASK_ID(1));
	leakgc_result_done(&r);
}

static void dead_stack_points(void)
{
	scene_put(scene_sp(1) - 8, scene_object(0));
}

static void test_below_the_stack_pointer(void **state)
{
	(void)state;
	scene_add_task(1, -1);
	scene.tasks[1].live = true;
	scene_expect(scene_run(dead_stack_points, 0), 0, STRAND_VERDICT_LEAKED);
}

/* Each waits for what only the other can reach. */
static void arrange_cycle(void)
{
	scene_put(scene_sp(0) + 8, scene_object(1));
	scene_put(scene_sp(1) + 8, scene_object(0));
}

static void arrange_reachable_cycle(void)
{
	arrange_cycle();
	*heap_slot = scene_object(1) + 8; /* its start would be one past the end of object 0 */
}

static void test_cycle(void **state)
{
	(void)state;
	*heap_slot = 0;
	scene_add_object(1);
	scene_add_task(1, 1);
	scene_expect(scene_run(arrange_cycle, 0), 0, STRAND_VERDICT_LEAKED);
	scene_expect(scene_run(arrange_cycle, 0), 1, STRAND_VERDICT_LEAKED);
	scene_expect(scene_run(arrange_reachable_cycle, 0), 0, STRAND_VERDICT_LIVE);
}

/* The content of a channel: another channel. */
static void arrange_object_in_object(void)
{
	scene_put(scene_object(1) + 64, scene_object(0));
	*heap_slot = scene_object(1) + 8; /* its start would be one past the end of object 0 */
}

static void arrange_object_in_lost_object(void)
{
	scene_put(scene_object(1) + 64, scene_object(0));
	*heap_slot = 0;
}

/* What lies in an object beside its content is the runtime's own. */
static void arrange_pointer_beside_content(void)
{
	scene_put(scene_object(1) + 8, scene_object(0));
	*heap_slot = scene_object(1) + 8; /* its start would be one past the end of object 0 */
}

static void test_object_in_object(void **state)
{
	(void)state;
	scene_add_object(1);
	scene_expect(scene_run(arrange_object_in_object, 0), 0, STRAND_VERDICT_LIVE);
	scene_expect(scene_run(arrange_object_in_lost_object, 0), 0, STRAND_VERDICT_LEAKED);
	scene_reset();
	scene_add_object(1);
	scene_expect(scene_run(arrange_pointer_beside_content, 0), 0, STRAND_VERDICT_LEAKED);
}

static void arrange_root_to_second(void)
{
	*heap_slot = scene_object(1) + 8; /* its start would be one past the end of object 0 */
}

/* A lock: whoever can reach it cannot unlock it, its owner can. */
static void test_owner(void **state)
{
	(void)state;
	scene_add_object(1);
	scene_add_task(1, 1);
	scene.tasks[0].object = -1;
	scene.tasks[0].owner = 1;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LEAKED);
	scene_expect(scene_run(root_on_heap, 0), 0, STRAND_VERDICT_LEAKED);
	scene_expect(scene_run(arrange_root_to_second, 0), 0, STRAND_VERDICT_LIVE);
	*heap_slot = 0;
	scene.tasks[1].live = true;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LIVE);
}

static void test_in_place(void **state)
{
	(void)state;
	scene_expect(scene_run_in_place(nothing_arranged, 0), 0, STRAND_VERDICT_LEAKED);
	scene_expect(scene_run_in_place(root_on_heap, 0), 0, STRAND_VERDICT_LIVE);
}

/* ---- how a search ends --------------------------------------------------------- */

static volatile uintptr_t nowhere = 4096;

static void crash(void)
{
	*(volatile int *)nowhere = 1;
}

static volatile sig_atomic_t *handled; /* shared with the child */

static void handler(int signal)
{
	(void)signal;
	*handled = 1;
	_exit(0);
}

/* The target neither dies of it nor sees its own crash handler run. */
static void test_child_crashes(void **state)
{
	struct sigaction action = {.sa_handler = handler}, before;

	(void)state;
	handled = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(handled, MAP_FAILED);
	sigaction(SIGSEGV, &action, &before);
	scene.limits.method = LEAKGC_METHOD_CLONE; /* the hook runs in the child */
	scene.describe_hook = crash;
	scene_expect_cause(scene_run(NULL, 0), STRAND_CAUSE_CHILD_DIED);
	sigaction(SIGSEGV, &before, NULL);
	assert_int_equal(*handled, 0);
	munmap((void *)handled, 4096);
	scene.describe_hook = abort;
	scene_expect_cause(scene_run(NULL, 0), STRAND_CAUSE_CHILD_DIED);
	scene.describe_hook = NULL;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LEAKED);
}

static void hang(void)
{
	for (;;)
		pause();
}

static void test_child_hangs(void **state)
{
	(void)state;
	scene.limits.method = LEAKGC_METHOD_CLONE; /* the hook runs in the child */
	scene.describe_hook = hang;
	scene.limits.time_ns = 50000000;
	scene_expect_cause(scene_run(NULL, 0), STRAND_CAUSE_TIME_BUDGET);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD); /* reaped */
}

static void test_cancel(void **state)
{
	(void)state;
	scene.limits.method = LEAKGC_METHOD_CLONE; /* the hook runs in the child */
	scene.describe_hook = hang;
	scene.cancel = 1;
	scene_expect_cause(scene_run(NULL, 0), STRAND_CAUSE_CANCELLED);
}

static void test_describe_fails(void **state)
{
	(void)state;
	scene.describe_error = -EBUSY;
	scene_expect_cause(scene_run(NULL, 0), STRAND_CAUSE_RUNTIME_BUSY);
	scene.describe_error = -ENOMEM;
	scene_expect_cause(scene_run(NULL, 0), STRAND_CAUSE_MEMORY_BUDGET);
	scene.describe_error = -EIO;
	scene_expect_cause(scene_run(NULL, 0), STRAND_CAUSE_SYSTEM);
}

static void test_time_budget(void **state)
{
	(void)state;
	scene.limits.time_ns = 1;
	scene_expect_cause(scene_run(nothing_arranged, 0), STRAND_CAUSE_TIME_BUDGET);
}

static void test_pause_budget(void **state)
{
	struct leakgc_result r;

	(void)state;
	scene.limits.pause_ns = 1;
	r = scene_run(nothing_arranged, 0);
	scene_expect_cause(r, STRAND_CAUSE_PAUSE_BUDGET);
	assert_int_equal(r.stopped_ns, 0);
}

/* Without our handler the stop signal would end the process. */
static void test_signal_taken(void **state)
{
	struct sigaction ours;

	(void)state;
	sigaction(scene.signal, NULL, &ours);
	signal(scene.signal, SIG_DFL);
	scene_expect_cause(scene_run(nothing_arranged, 0), STRAND_CAUSE_SIGNAL_TAKEN);
	sigaction(scene.signal, &ours, NULL);
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LEAKED);
}

static int count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	int count = 0, c;

	while ((c = getc(maps)) != EOF)
		count += c == '\n';
	fclose(maps);
	return count;
}

static void test_nothing_is_left_behind(void **state)
{
	int descriptors, mappings;

	(void)state;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LEAKED);
	descriptors = count_descriptors();
	mappings = count_mappings();
	for (int i = 0; i < 5; i++)
		scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LEAKED);
	scene.limits.method = LEAKGC_METHOD_CLONE; /* the hook runs in the child */
	scene.describe_hook = abort;
	scene_expect_cause(scene_run(nothing_arranged, 0), STRAND_CAUSE_CHILD_DIED);
	assert_int_equal(count_descriptors(), descriptors);
	assert_int_equal(count_mappings(), mappings);
}

/* ---- threads ------------------------------------------------------------------- */

static atomic_int storm_ends;

static void *short_lived(void *unused)
{
	return unused;
}

static void *storm(void *unused)
{
	while (!atomic_load(&storm_ends)) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, short_lived, NULL) == 0)
			pthread_join(thread, NULL);
	}
	return unused;
}

/* Threads come and go while the world is being stopped. */
static void test_thread_storm(void **state)
{
	pthread_t threads[3];
	int done = 0;

	(void)state;
	atomic_store(&storm_ends, 0);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, storm, NULL);
	for (int i = 0; i < 20; i++) {
		struct leakgc_result r = scene_run(root_on_heap, 0);

		assert_int_equal(r.leaked, 0);
		done += r.status == STRAND_SEARCH_DONE;
		leakgc_result_done(&r);
	}
	atomic_store(&storm_ends, 1);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_true(done > 0);
}

/* One pointer hops between a register, the heap and a stack: never in two places. */
static _Atomic uintptr_t hop_on_heap;

static void *hopper(void *unused)
{
	_Atomic uintptr_t hop_on_stack = 0;

	while (!atomic_load(&storm_ends)) {
		uintptr_t in_register = atomic_exchange(&hop_on_heap, 0);

		atomic_store(&hop_on_stack, in_register);
		in_register = atomic_exchange(&hop_on_stack, 0);
		atomic_store(&hop_on_heap, in_register);
	}
	return unused;
}

static void test_hopping_pointer(void **state)
{
	const size_t size = 256u << 10;
	/* Unmapped in the end: registers of its stops stay in a stack that is used again. */
	void *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attributes;
	pthread_t thread;
	int done = 0;

	(void)state;
	atomic_store(&storm_ends, 0);
	atomic_store(&hop_on_heap, scene_object(0));
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, stack, size);
	pthread_create(&thread, &attributes, hopper, NULL);
	pthread_attr_destroy(&attributes);
	for (int i = 0; i < 30; i++) {
		struct leakgc_result r = scene_run(nothing_arranged, 0);

		assert_int_equal(r.leaked, 0);
		done += r.status == STRAND_SEARCH_DONE;
		leakgc_result_done(&r);
	}
	atomic_store(&storm_ends, 1);
	pthread_join(thread, NULL);
	munmap(stack, size);
	atomic_store(&hop_on_heap, 0);
	assert_true(done > 0);
}

/* The first thread has ended, the process lives on: it cannot and need not be stopped. */
static void *search_as_last(void *unused)
{
	char text[256];
	int verdict;

	(void)unused;
	do { /* until the first thread is a zombie */
		FILE *stat = fopen("/proc/self/stat", "r");

		if (!fgets(text, sizeof(text), stat))
			_exit(3);
		fclose(stat);
	} while (!strstr(text, ") Z "));
	struct leakgc_result r = scene_run(nothing_arranged, 0);
	verdict = r.status == STRAND_SEARCH_DONE && r.leaked == 1;
	if (!verdict)
		fprintf(stderr, "%s (%llu), leaked: %llu, root 0x%llx\n",
			leakgc_cause_text(r.cause), (unsigned long long)r.cause_detail,
			(unsigned long long)r.leaked,
			(unsigned long long)(r.verdicts ? r.verdicts->root : 0));
	_exit(verdict ? 0 : 1);
}

static void test_first_thread_ended(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, search_as_last, NULL);
		pthread_exit(NULL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- the world alone -------------------------------------------------------------- */

#define CHAIN 100000

/* task 0 <- object 0 <- ... : a chain that would take for ever if it were rescanned. */
static void test_long_chain(void **state)
{
	size_t size = 64u << 20;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct leakgc_world w = {.limits = &scene.limits};
	leakgc_node task, object;

	(void)state;
	assert_ptr_not_equal(memory, MAP_FAILED);
	w.arena = (struct leakgc_arena){(uintptr_t)memory, (uintptr_t)memory + size};
	assert_int_equal(leakgc_world_begin(&w), 0);
	for (int i = 0; i < CHAIN; i++) {
		struct leakgc_task t = {.id = (uint64_t)i + 1, .candidate = true};
		struct leakgc_object o = {.lo = 0, .hi = 0};

		assert_int_equal(leakgc_world_add_task(&w, &t, &task), 0);
		assert_int_equal(leakgc_world_add_object(&w, &o, &object), 0);
		assert_int_equal(leakgc_world_add_wait(&w, task, object), 0);
		if (i) /* the task before holds this object */
			assert_int_equal(leakgc_world_add_edge(&w, task - 2, object), 0);
	}
	assert_int_equal(leakgc_world_seal(&w), 0);
	assert_int_equal(w.candidates_open, CHAIN);
	leakgc_world_propagate(&w);
	assert_int_equal(w.candidates_open, CHAIN);
	leakgc_world_mark_live(&w, 1, STRAND_ROOT_MEMORY, 4711);
	leakgc_world_propagate(&w);
	assert_int_equal(w.candidates_open, 0);
	assert_int_equal(w.nodes[0].root_kind, STRAND_ROOT_MEMORY);
	assert_int_equal(w.nodes[0].root, 4711);
	assert_int_equal(w.nodes[task].root_kind, STRAND_ROOT_TASK);
	assert_int_equal(w.nodes[task].root, CHAIN - 1);
	munmap(memory, size);
}

static void test_world_runs_out_of_memory(void **state)
{
	static char memory[4096] __attribute__((aligned(16)));
	struct leakgc_world w = {.limits = &scene.limits};
	struct leakgc_task task = {.candidate = true};
	leakgc_node node = 0;
	int r, edges = 0;

	(void)state;
	w.arena = (struct leakgc_arena){(uintptr_t)memory, (uintptr_t)memory + sizeof(memory)};
	assert_int_equal(leakgc_world_begin(&w), 0);
	assert_int_equal(leakgc_world_add_task(&w, &task, &node), 0);
	assert_int_equal(leakgc_world_add_task(&w, &task, &node), 0);
	while ((r = leakgc_world_add_edge(&w, 0, (uint32_t)edges)) == 0)
		edges++;
	assert_int_equal(r, -ENOMEM);
	assert_true(edges > 100);
	assert_int_equal(leakgc_world_add_task(&w, &task, &node), -ENOMEM);
	assert_int_equal(leakgc_world_mask(&w, 0, 1), -ENOMEM);
}

static void test_cause_texts(void **state)
{
	(void)state;
	assert_string_equal(leakgc_cause_text(STRAND_CAUSE_NONE), "");
	for (int i = 1; i < STRAND_SEARCH_CAUSE_COUNT; i++)
		assert_string_not_equal(leakgc_cause_text(i), "");
	assert_string_equal(leakgc_cause_text(STRAND_SEARCH_CAUSE_COUNT), "");
}

static int setup(void **state)
{
	*heap_slot = 0;
	return scene_setup(state);
}

#define SCENE_TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE_TEST(test_leaked),
		SCENE_TEST(test_waits_on_nothing),
		SCENE_TEST(test_root_is_named),
		SCENE_TEST(test_live_task_is_named),
		SCENE_TEST(test_below_the_stack_pointer),
		SCENE_TEST(test_cycle),
		SCENE_TEST(test_object_in_object),
		SCENE_TEST(test_owner),
		SCENE_TEST(test_in_place),
		SCENE_TEST(test_child_crashes),
		SCENE_TEST(test_child_hangs),
		SCENE_TEST(test_cancel),
		SCENE_TEST(test_describe_fails),
		SCENE_TEST(test_time_budget),
		SCENE_TEST(test_pause_budget),
		SCENE_TEST(test_signal_taken),
		SCENE_TEST(test_nothing_is_left_behind),
		SCENE_TEST(test_thread_storm),
		SCENE_TEST(test_hopping_pointer),
		SCENE_TEST(test_first_thread_ended),
		SCENE_TEST(test_long_chain),
		SCENE_TEST(test_world_runs_out_of_memory),
		cmocka_unit_test(test_cause_texts),
	};

	heap_slot = calloc(1, 64);
	if (!heap_slot)
		return 1;
	return SCENE_RUN_BOTH(tests);
}

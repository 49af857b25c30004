/* SPDX-License-Identifier: MIT */
/*
 * The search of live memory: what moves while it runs must be seen all the same, the kernel must
 * track what it says it tracks, and nothing of it may stay behind.
 *
 * What moves does so at one moment: when all memory has been searched, before the world stops.
 */
#include "leakgc_scene.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leakgc/tracker.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define PAGE 4096ul

static uintptr_t pages; /* of the application: eight, written before the search */

static void nothing_arranged(void)
{
}

static void map_pages(void)
{
	pages = (uintptr_t)mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);
	assert_ptr_not_equal((void *)pages, MAP_FAILED);
	memset((void *)pages, 1, 8 * PAGE);
}

static void unmap_pages(void)
{
	munmap((void *)pages, 8 * PAGE);
}

/* The move is seen; without the treatment the same move makes a false positive. */
static void expect_seen(void (*move)(void), unsigned without)
{
	scene.before_stop = move;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LIVE);
	unmap_pages();
	map_pages();
	scene_expect(scene_run(nothing_arranged, without), 0, STRAND_VERDICT_LEAKED);
}

/* ---- what moves ---------------------------------------------------------------------- */

static void into_page(void)
{
	scene_put(pages + 3 * PAGE + 64, scene_object(0));
}

static void test_written_page(void **state)
{
	(void)state;
	expect_seen(into_page, LEAKGC_WITHOUT_RESCAN);
}

/* Half of a pointer that lies across two pages. On the searching thread, whose stack is masked. */
static void put_half(bool upper)
{
	uint64_t word = scene_object(0);

	memcpy((void *)(pages + 4 * PAGE - (upper ? 0 : 4)), (char *)&word + (upper ? 4 : 0), 4);
}

static void put_upper_half(void)
{
	put_half(true);
}

static void put_lower_half(void)
{
	put_half(false);
}

/* The other half lies in a page that is not written. */
static void test_half_written_word(void **state)
{
	(void)state;
	for (int lower = 0; lower < 2; lower++) {
		void (*first)(void) = lower ? put_upper_half : put_lower_half;

		scene.before_stop = lower ? put_lower_half : put_upper_half;
		scene_expect(scene_run(first, 0), 0, STRAND_VERDICT_LIVE);
		memset((void *)pages, 1, 8 * PAGE);
		scene_expect(scene_run(first, LEAKGC_WITHOUT_FRINGES), 0, STRAND_VERDICT_LEAKED);
		memset((void *)pages, 1, 8 * PAGE);
	}
}

static void into_new_mapping(void)
{
	unmap_pages();
	map_pages();
	into_page();
}

static void test_new_mapping(void **state)
{
	(void)state;
	expect_seen(into_new_mapping, LEAKGC_WITHOUT_RESCAN);
}

/* What was there is gone, and what takes its place was never armed. */
static void into_replaced_mapping(void)
{
	mmap((void *)pages, 8 * PAGE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	into_page();
}

static void test_replaced_mapping(void **state)
{
	(void)state;
	expect_seen(into_replaced_mapping, LEAKGC_WITHOUT_RESCAN);
}

static void into_protected_page(void)
{
	into_page();
	mprotect((void *)pages, 8 * PAGE, PROT_NONE);
}

static void test_protected_page(void **state)
{
	(void)state;
	expect_seen(into_protected_page, LEAKGC_WITHOUT_RESCAN);
}

/* A task that is not LIVE holds the object only now: both are leaked, and no less. */
static void into_candidate(void)
{
	scene_put(scene_sp(1) + 64, scene_object(0));
}

static void test_written_candidate(void **state)
{
	(void)state;
	scene_add_task(1, -1);
	scene.before_stop = into_candidate;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LEAKED);
	scene.tasks[1].live = true;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LIVE);
}

/* ---- what the runtime says has changed --------------------------------------------------- */

static int all_is_changed(struct leakgc_world *w)
{
	size_t at = 0;
	leakgc_node node;

	while (leakgc_world_next_open(w, &at, &node))
		leakgc_world_changed(w, node);
	return 0;
}

static void test_changed_task(void **state)
{
	(void)state;
	scene.changes_hook = all_is_changed;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LIVE);
	scene_expect(scene_run(nothing_arranged, LEAKGC_WITHOUT_CHANGES), 0, STRAND_VERDICT_LEAKED);
}

/* Masked memory that no node names: a new task's stack. */
static void into_masked_memory(void)
{
	scene_put(scene_sp(9) + 64, scene_object(0));
}

static int masked_memory_is_root(struct leakgc_world *w)
{
	return leakgc_world_add_root(w, scene_sp(9), scene_sp(9) + 128);
}

static void test_new_user_data(void **state)
{
	(void)state;
	scene.before_stop = into_masked_memory;
	scene.changes_hook = masked_memory_is_root;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LIVE);
	scene.changes_hook = NULL;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LEAKED);
}

static int out_of_memory(struct leakgc_world *w)
{
	(void)w;
	return -ENOMEM;
}

static void test_changes_fail(void **state)
{
	(void)state;
	scene.changes_hook = out_of_memory;
	scene_expect_cause(scene_run(nothing_arranged, 0), STRAND_CAUSE_MEMORY_BUDGET);
}

/* ---- no pause without a reason ------------------------------------------------------------- */

static void test_no_suspects_no_pause(void **state)
{
	struct leakgc_result r;

	(void)state;
	r = scene_run(into_page, 0);
	assert_int_equal(r.status, STRAND_SEARCH_DONE);
	assert_int_equal(r.candidates, 1);
	assert_int_equal(r.leaked, 0);
	assert_int_equal(r.stopped_ns, 0);
	assert_int_equal(r.pause_ns, 0);
	leakgc_result_done(&r);
}

/* ---- a child that does not end well ---------------------------------------------------------- */

static atomic_int hunt_ends;
static int hunt_signal;

/* Send a signal to every child of this process that appears. */
static void *hunter(void *unused)
{
	while (!atomic_load(&hunt_ends)) {
		DIR *folder = opendir("/proc/self/task");
		struct dirent *entry;

		while ((entry = readdir(folder))) {
			char path[300];
			FILE *children;
			int pid;

			snprintf(path, sizeof(path), "/proc/self/task/%s/children", entry->d_name);
			children = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
			while (children && fscanf(children, "%d", &pid) == 1)
				kill(pid, hunt_signal);
			if (children)
				fclose(children);
		}
		closedir(folder);
	}
	return unused;
}

/* Until the hunter was in time once. */
static void hunt(int signal, enum strand_search_cause cause)
{
	size_t size = 64u << 20; /* so that the child lives for a while */
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	enum strand_search_cause seen = STRAND_CAUSE_NONE;
	pthread_t thread;

	memset(memory, 1, size);
	hunt_signal = signal;
	atomic_store(&hunt_ends, 0);
	assert_int_equal(pthread_create(&thread, NULL, hunter, NULL), 0);
	for (int i = 0; i < 50 && seen != cause; i++) {
		struct leakgc_result r = scene_run(nothing_arranged, 0);

		seen = r.cause;
		assert_true(seen == cause || r.status == STRAND_SEARCH_DONE);
		leakgc_result_done(&r);
	}
	atomic_store(&hunt_ends, 1);
	pthread_join(thread, NULL);
	munmap(memory, size);
	assert_int_equal(seen, cause);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1); /* reaped */
}

static void test_child_killed(void **state)
{
	(void)state;
	hunt(SIGKILL, STRAND_CAUSE_CHILD_DIED);
}

static void test_child_hangs(void **state)
{
	(void)state;
	scene.limits.time_ns = 300000000;
	hunt(SIGSTOP, STRAND_CAUSE_TIME_BUDGET);
}

/* ---- nothing stays behind ---------------------------------------------------------------------- */

static int protected_mappings(void)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	char line[512];
	int count = 0;

	while (fgets(line, sizeof(line), smaps))
		count += !strncmp(line, "VmFlags:", 8) && strstr(line, " uw");
	fclose(smaps);
	return count;
}

static int forked_pipe[2];
static pid_t forked;

/* It inherits the descriptor, and keeps it. */
static void fork_now(void)
{
	char byte;

	forked = fork();
	if (forked == 0) {
		ssize_t n = read(forked_pipe[0], &byte, 1);

		_exit(n != 1 || protected_mappings());
	}
}

static void test_nothing_stays(void **state)
{
	int status;

	(void)state;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LEAKED);
	assert_int_equal(protected_mappings(), 0);
	assert_int_equal(pipe(forked_pipe), 0);
	scene.before_stop = fork_now;
	scene_expect(scene_run(nothing_arranged, 0), 0, STRAND_VERDICT_LEAKED);
	assert_int_equal(protected_mappings(), 0);
	assert_int_equal(write(forked_pipe[1], "x", 1), 1);
	assert_int_equal(waitpid(forked, &status, 0), forked);
	assert_int_equal(status, 0);
	close(forked_pipe[0]);
	close(forked_pipe[1]);
}

/* ---- the tracker alone --------------------------------------------------------------------------- */

static struct leakgc_tracker tracker;
static struct leakgc_memory tracked_memory;
static _Alignas(16) char arena_memory[8u << 20];

static void tracker_setup(void)
{
	struct leakgc_arena arena = {(uintptr_t)arena_memory,
				     (uintptr_t)arena_memory + sizeof(arena_memory)};

	leakgc_memory_init(&tracked_memory, LEAKGC_MEMORY_LIVE);
	assert_int_equal(leakgc_memory_open(&tracked_memory), 0);
	assert_int_equal(leakgc_tracker_open(&tracker, &arena, tracked_memory.pagemap_fd), 0);
}

static void tracker_teardown(void)
{
	leakgc_tracker_close(&tracker);
	leakgc_memory_close(&tracked_memory);
}

static void track(uintptr_t lo, uintptr_t hi)
{
	assert_int_equal(leakgc_tracker_add(&tracker, lo, hi), 1);
	assert_int_equal(leakgc_tracker_arm(&tracker, lo, hi), 0);
}

/* A bit for each of the eight pages that counts as written. */
static unsigned written(uintptr_t lo, bool rearm)
{
	uintptr_t at = lo;
	unsigned bits = 0;

	while (at < lo + 8 * PAGE) {
		int n = leakgc_tracker_written(&tracker, &at, lo + 8 * PAGE, rearm);

		assert_true(n >= 0);
		for (int i = 0; i < n; i++)
			for (uintptr_t p = tracker.runs[i].lo; p < tracker.runs[i].hi; p += PAGE)
				bits |= 1u << (p - lo) / PAGE;
	}
	return bits;
}

static void put(uintptr_t address)
{
	*(volatile char *)address = 7;
}

static void test_tracker(void **state)
{
	uintptr_t moved =
		(uintptr_t)mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	tracker_setup();
	assert_int_equal(written(pages, false), 0xff); /* not tracked is written */
	track(pages, pages + 8 * PAGE);
	assert_int_equal(written(pages, false), 0);
	put(pages + 2 * PAGE);
	put(pages + 6 * PAGE + 5);
	assert_int_equal(written(pages, false), 0x44);
	assert_int_equal(written(pages, true), 0x44);
	assert_int_equal(written(pages, false), 0);
	madvise((void *)pages, PAGE, MADV_DONTNEED);
	assert_int_equal(written(pages, false), 0);
	put(pages);
	assert_int_equal(written(pages, false), 1);
	assert_int_equal(read(open("/dev/zero", O_RDONLY), (void *)(pages + PAGE), 16), 16);
	assert_int_equal(written(pages, false), 3); /* the kernel writes, too */
	assert_ptr_equal(mremap((void *)pages, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
				(void *)moved),
			 (void *)moved);
	assert_int_equal(written(moved, false), 0xff);
	tracker_teardown();
	munmap((void *)moved, 8 * PAGE);
}

static void test_tracker_unpopulated(void **state)
{
	uintptr_t lo = (uintptr_t)mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	tracker_setup();
	track(lo, lo + 8 * PAGE);
	assert_int_equal(written(lo, false), 0);
	put(lo + PAGE);
	assert_int_equal(*(volatile char *)(lo + 3 * PAGE), 0); /* a page of zeros is nothing */
	assert_int_equal(written(lo, false), 2);
	tracker_teardown();
	munmap((void *)lo, 8 * PAGE);
}

static sigjmp_buf faulted;

static void on_fault(int signal)
{
	(void)signal;
	siglongjmp(faulted, 1);
}

/* A guard stays one, and is never taken for a written page. */
static void test_tracker_guard(void **state)
{
	struct sigaction action = {.sa_handler = on_fault}, before;
	volatile bool caught = false;

	(void)state;
	if (madvise((void *)(pages + 4 * PAGE), PAGE, MADV_GUARD_INSTALL) < 0)
		skip();
	tracker_setup();
	track(pages, pages + 8 * PAGE);
	assert_int_equal(written(pages, false), 0);
	sigaction(SIGSEGV, &action, &before);
	if (sigsetjmp(faulted, 1))
		caught = true;
	else
		put(pages + 4 * PAGE);
	tracker_teardown();
	assert_true(caught);
	caught = false;
	if (sigsetjmp(faulted, 1))
		caught = true;
	else
		put(pages + 4 * PAGE);
	sigaction(SIGSEGV, &before, NULL);
	assert_true(caught);
}

static int setup(void **state)
{
	scene_method = LEAKGC_METHOD_TRACKING;
	map_pages();
	return scene_setup(state);
}

static int teardown(void **state)
{
	(void)state;
	unmap_pages();
	return 0;
}

#define LIVE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE(test_written_page),        LIVE(test_half_written_word),
		LIVE(test_new_mapping),         LIVE(test_replaced_mapping),
		LIVE(test_protected_page),      LIVE(test_written_candidate),
		LIVE(test_changed_task),        LIVE(test_new_user_data),
		LIVE(test_changes_fail),        LIVE(test_no_suspects_no_pause),
		LIVE(test_child_killed),        LIVE(test_child_hangs),
		LIVE(test_nothing_stays),       LIVE(test_tracker),
		LIVE(test_tracker_unpopulated), LIVE(test_tracker_guard),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, NULL);
}

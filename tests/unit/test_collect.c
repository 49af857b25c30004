/* SPDX-License-Identifier: MIT */
/*
 * collect.c against maps of the kernel's that the test fills itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "observe/collect.h"

#define TICK_NS 10000000u

static int make_maps(void **state)
{
	static struct collect_maps maps;
	LIBBPF_OPTS(bpf_map_create_opts, lazy, .map_flags = BPF_F_NO_PREALLOC);

	maps.waiting = bpf_map_create(BPF_MAP_TYPE_HASH, "waiting", sizeof(struct waiting_key),
				      sizeof(struct waiting_task), 20000, &lazy);
	if (maps.waiting == -EPERM) {
		*state = NULL; /* each test skips */
		return 0;
	}
	maps.sites = bpf_map_create(BPF_MAP_TYPE_HASH, "sites", sizeof(struct site_key),
				    sizeof(struct site_stats), 64, NULL);
	maps.processes = bpf_map_create(BPF_MAP_TYPE_HASH, "processes", 4,
					sizeof(struct process_account), 64, NULL);
	maps.wanted = bpf_map_create(BPF_MAP_TYPE_HASH, "wanted", 4, 8, 64, NULL);
	maps.counters = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "counters", 4,
				       sizeof(struct global_counters), 1, NULL);
	maps.events = -1;
	*state = &maps;
	return maps.waiting < 0 || maps.sites < 0 || maps.processes < 0 || maps.wanted < 0 ||
	       maps.counters < 0;
}

static int close_maps(void **state)
{
	struct collect_maps *maps = *state;

	if (!maps)
		return 0;
	close(maps->waiting);
	close(maps->sites);
	close(maps->processes);
	close(maps->wanted);
	close(maps->counters);
	return 0;
}

static struct collect_maps *maps_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static void add_account(const struct collect_maps *maps, uint32_t tgid, uint32_t instance,
			uint64_t start_ticks)
{
	struct process_account account = {
		.start_boottime = start_ticks * TICK_NS + 7,
		.instance = instance,
		.map_full = 2,
		.over_quota = 3,
		.bad_record = 4,
	};

	assert_int_equal(bpf_map_update_elem(maps->processes, &tgid, &account, BPF_ANY), 0);
}

static void add_waiting(const struct collect_maps *maps, uint32_t tgid, uint32_t instance,
			uint64_t task, uint64_t generation)
{
	struct waiting_key key = {tgid, instance, task};
	struct waiting_task value = {
		.host_since_ns = 1000 + task,
		.generation = generation,
		.reason = STRAND_WAIT_SELECT,
		.created_pc = 0xc0de,
		.fn = 0xf00,
		.name = "twenty-four-characters!!", /* no NUL */
	};

	assert_int_equal(bpf_map_update_elem(maps->waiting, &key, &value, BPF_ANY), 0);
}

static void test_empty_maps_give_an_empty_copy(void **state)
{
	struct collect_maps *maps = maps_of(state);
	struct collected c;

	assert_int_equal(collect_read(maps, &c), 0);
	assert_int_equal(c.task_count, 0);
	assert_int_equal(c.process_count, 0);
	assert_null(collect_slice(&c, 1, 1).account);
	assert_int_equal(collect_purge(maps, &c), 0);
	collect_done(&c);
}

static void test_all_batches_arrive_sorted_and_once(void **state)
{
	struct collect_maps *maps = maps_of(state);
	struct collected_slice slice;
	struct collected c;

	add_account(maps, 5, 1, 50);
	add_account(maps, 6, 2, 60);
	for (uint64_t task = 1; task <= 9001; task++) { /* more than two batches */
		add_waiting(maps, 5, 1, task, 1);
		if (task <= 10)
			add_waiting(maps, 6, 2, task, 1);
	}
	assert_int_equal(collect_read(maps, &c), 0);
	assert_int_equal(c.task_count, 9011);
	slice = collect_slice(&c, 5, 50);
	assert_int_equal(slice.count, 9001);
	for (size_t i = 0; i < slice.count; i++)
		assert_int_equal(slice.tasks[i].key.task, i + 1);
	assert_int_equal(collect_slice(&c, 6, 60).count, 10);
	collect_done(&c);
}

/* From now on the kernel is one without BPF_MAP_LOOKUP_BATCH, as before 5.6. */
static int forbid_batches(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BPF_MAP_LOOKUP_BATCH, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Status 0: the batches were refused, and all entries were read all the same. */
static void read_without_batches(const struct collect_maps *maps)
{
	uint8_t keys[64 * sizeof(struct waiting_key)], values[64 * sizeof(struct waiting_task)];
	uint32_t position, count = 64;
	struct collected c;

	if (forbid_batches())
		_exit(2);
	if (bpf_map_lookup_batch(maps->waiting, NULL, &position, keys, values, &count, NULL) !=
	    -EINVAL)
		_exit(3);
	if (collect_read(maps, &c) || c.task_count != 500 || c.process_count != 1)
		_exit(4);
	for (size_t i = 0; i < 500; i++)
		if (c.tasks[i].key.task != i + 1 || c.tasks[i].task.generation != 3)
			_exit(5);
	_exit(0);
}

static void test_an_old_kernel_is_read_one_by_one(void **state)
{
	struct collect_maps *maps = maps_of(state);
	int status;
	pid_t child;

	add_account(maps, 5, 1, 50);
	for (uint64_t task = 1; task <= 500; task++)
		add_waiting(maps, 5, 1, task, 3);
	child = fork();
	if (!child)
		read_without_batches(maps);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_another_start_time_is_another_process(void **state)
{
	struct collect_maps *maps = maps_of(state);
	struct collected c;

	add_account(maps, 5, 1, 50);
	add_waiting(maps, 5, 1, 1, 1);
	assert_int_equal(collect_read(maps, &c), 0);
	assert_int_equal(collect_slice(&c, 5, 50).count, 1);
	assert_null(collect_slice(&c, 5, 51).account);
	assert_int_equal(collect_slice(&c, 5, 51).count, 0);
	collect_done(&c);
}

static void test_an_earlier_instance_is_hidden_and_purged(void **state)
{
	struct collect_maps *maps = maps_of(state);
	struct collected_slice slice;
	struct collected c;

	add_account(maps, 5, 8, 50);
	add_waiting(maps, 5, 7, 1, 1); /* before its exec */
	add_waiting(maps, 5, 8, 2, 1);
	add_waiting(maps, 4, 3, 1, 1); /* has exited */
	assert_int_equal(collect_read(maps, &c), 0);
	slice = collect_slice(&c, 5, 50);
	assert_int_equal(slice.count, 1);
	assert_int_equal(slice.tasks[0].key.task, 2);
	assert_int_equal(collect_purge(maps, &c), 2);
	collect_done(&c);

	assert_int_equal(collect_read(maps, &c), 0);
	assert_int_equal(c.task_count, 1);
	assert_int_equal(collect_purge(maps, &c), 0);
	collect_done(&c);
}

static void test_a_task_is_copied_with_bounds(void **state)
{
	struct collected_task from = {
		.key = {.tgid = 5, .instance = 1, .task = 9},
		.task = {.generation = 4,
			 .host_since_ns = 77,
			 .reason = 250,
			 .has_deadline = 9,
			 .name = "twenty-four-characters!!"},
	};
	struct model_process *p;
	struct model_task *t;
	struct model m;

	(void)state;
	model_init(&m);
	assert_int_equal(model_add_process(&m, &p), 0);
	assert_int_equal(collect_add_task(&from, p, &t), 0);
	assert_int_equal(t->id, 9);
	assert_int_equal(t->generation, 4);
	assert_int_equal(t->since_ns, 77);
	assert_true(t->has_deadline);
	assert_string_equal(t->name, "twenty-four-characters!!");
	assert_string_equal(model_reason_text(t->reason), "unknown");
	model_done(&m);
}

static void test_counters_of_all_cpus_are_added(void **state)
{
	struct collect_maps *maps = maps_of(state);
	int cpus = libbpf_num_possible_cpus();
	struct global_counters each[cpus];
	uint32_t zero = 0;
	struct collected c;

	for (int i = 0; i < cpus; i++)
		each[i] = (struct global_counters){.ring_full = 1, .processes_full = 10};
	assert_int_equal(bpf_map_update_elem(maps->counters, &zero, each, BPF_ANY), 0);
	assert_int_equal(collect_read(maps, &c), 0);
	assert_int_equal(c.counters.ring_full, cpus);
	assert_int_equal(c.counters.processes_full, 10 * cpus);
	collect_done(&c);
}

static void test_still_waiting_means_the_same_park(void **state)
{
	struct collect_maps *maps = maps_of(state);
	struct collected c;

	add_account(maps, 5, 1, 50);
	add_waiting(maps, 5, 1, 1, 3);
	assert_int_equal(collect_read(maps, &c), 0);
	assert_true(collect_still_waiting(maps, &c.tasks[0]));
	add_waiting(maps, 5, 1, 1, 4);
	assert_false(collect_still_waiting(maps, &c.tasks[0]));
	assert_int_equal(bpf_map_delete_elem(maps->waiting, &c.tasks[0].key), 0);
	assert_false(collect_still_waiting(maps, &c.tasks[0]));
	collect_done(&c);
}

#define WITH_MAPS(test) cmocka_unit_test_setup_teardown(test, make_maps, close_maps)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MAPS(test_empty_maps_give_an_empty_copy),
		WITH_MAPS(test_all_batches_arrive_sorted_and_once),
		WITH_MAPS(test_an_old_kernel_is_read_one_by_one),
		WITH_MAPS(test_another_start_time_is_another_process),
		WITH_MAPS(test_an_earlier_instance_is_hidden_and_purged),
		cmocka_unit_test(test_a_task_is_copied_with_bounds),
		WITH_MAPS(test_counters_of_all_cpus_are_added),
		WITH_MAPS(test_still_waiting_means_the_same_park),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

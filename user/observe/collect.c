/* SPDX-License-Identifier: MIT */
/*
 * Reads the BPF maps: waiting tasks, accounts of processes, losses, events.
 *
 * C1. The waiting map and the sites are read before the accounts. An account is made before the
 *     first entry of its instance, so an entry whose instance has no account by
 *     then belongs to a life that has ended, and may be deleted. The other order
 *     would delete tasks of processes that appear in between.
 * C2. An instance number is never used twice, so deleting an old instance's entry
 *     cannot hit a new one, whenever it happens.
 */
#include "observe/collect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* Elements per system call: 4096 entries are 600 KB. A hash bucket must fit in, or ENOSPC. */
#define BATCH 4096

/* ---- maps ---------------------------------------------------------------- */

struct map_copy { /* keys and values in one array of records */
	uint8_t *records;
	size_t key_size, value_size;
	size_t count, room;
};

static int copy_reserve(struct map_copy *copy, size_t more)
{
	size_t room = copy->room ? copy->room : BATCH;
	uint8_t *records;

	while (room < copy->count + more)
		room *= 2;
	if (room == copy->room)
		return 0;
	records = reallocarray(copy->records, room, copy->key_size + copy->value_size);
	if (!records)
		return -ENOMEM;
	copy->records = records;
	copy->room = room;
	return 0;
}

static int copy_append(struct map_copy *copy, const void *keys, const void *values, size_t count)
{
	size_t size = copy->key_size + copy->value_size;
	int error = copy_reserve(copy, count);

	if (error)
		return error;
	for (size_t i = 0; i < count; i++) {
		uint8_t *record = copy->records + (copy->count + i) * size;

		memcpy(record, (const uint8_t *)keys + i * copy->key_size, copy->key_size);
		memcpy(record + copy->key_size, (const uint8_t *)values + i * copy->value_size,
		       copy->value_size);
	}
	copy->count += count;
	return 0;
}

/* What is done with each batch that was read. */
struct map_reader {
	int map;
	size_t key_size, value_size, max_entries;
	int (*take)(void *context, const void *keys, const void *values, size_t count);
	void *context;
};

static int append_batch(void *context, const void *keys, const void *values, size_t count)
{
	return copy_append(context, keys, values, count);
}

/* -EOPNOTSUPP or -EINVAL at the first call: the kernel has no batches (before 5.6). */
static int read_batches(const struct map_reader *r)
{
	uint8_t *keys = calloc(BATCH, r->key_size);
	uint8_t *values = calloc(BATCH, r->value_size);
	uint32_t position = 0;
	bool first = true;
	int error = keys && values ? 0 : -ENOMEM;

	while (!error) {
		uint32_t count = BATCH;
		int result = bpf_map_lookup_batch(r->map, first ? NULL : &position, &position, keys,
						  values, &count, NULL);

		if (result && result != -ENOENT) {
			error = result;
			break;
		}
		error = r->take(r->context, keys, values, count);
		first = false;
		if (result == -ENOENT) /* the end; what came with it counts */
			break;
	}
	free(keys);
	free(values);
	return error;
}

/*
 * A key that is deleted while we stand on it sends us back to the start: elements may come
 * twice (sort_unique drops them) and the number of steps is bounded.
 */
static int read_one_by_one(const struct map_reader *r)
{
	uint8_t *key = calloc(2, r->key_size);
	uint8_t *value = calloc(1, r->value_size);
	size_t steps = 2 * r->max_entries;
	uint8_t *previous = NULL;
	int error = key && value ? 0 : -ENOMEM;

	while (!error && steps--) {
		uint8_t *next = previous == key ? key + r->key_size : key;

		if (bpf_map_get_next_key(r->map, previous, next))
			break;
		if (!bpf_map_lookup_elem(r->map, next, value))
			error = r->take(r->context, next, value, 1);
		previous = next;
	}
	free(key);
	free(value);
	return error;
}

/* Both keys begin with the __u32 tgid, so one order serves both maps. */
static int compare_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_processes(const void *a, const void *b)
{
	return compare_u32(((const struct collected_process *)a)->tgid,
			   ((const struct collected_process *)b)->tgid);
}

static int compare_tasks(const void *a, const void *b)
{
	const struct waiting_key *x = &((const struct collected_task *)a)->key;
	const struct waiting_key *y = &((const struct collected_task *)b)->key;

	if (x->tgid != y->tgid)
		return compare_u32(x->tgid, y->tgid);
	if (x->instance != y->instance)
		return compare_u32(x->instance, y->instance);
	return (x->task > y->task) - (x->task < y->task);
}

int collect_compare_sites(const struct site_key *a, const struct site_key *b)
{
	const uint64_t x[] = {a->tgid, a->instance, a->pc, a->created_pc, a->fn, a->reason};
	const uint64_t y[] = {b->tgid, b->instance, b->pc, b->created_pc, b->fn, b->reason};

	for (size_t i = 0; i < sizeof(x) / sizeof(x[0]); i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

static int compare_sites(const void *a, const void *b)
{
	return collect_compare_sites(&((const struct collected_site *)a)->key,
				     &((const struct collected_site *)b)->key);
}

static size_t sort_unique(uint8_t *records, size_t count, size_t size,
			  int (*compare)(const void *a, const void *b))
{
	size_t kept = 0;

	if (!count)
		return 0;
	qsort(records, count, size, compare);
	for (size_t i = 1; i < count; i++) {
		if (compare(records + kept * size, records + i * size))
			kept++;
		if (kept != i)
			memcpy(records + kept * size, records + i * size, size);
	}
	return kept + 1;
}

static int read_map(int map, size_t max_entries, struct map_copy *copy)
{
	const struct map_reader reader = {
		.map = map,
		.key_size = copy->key_size,
		.value_size = copy->value_size,
		.max_entries = max_entries,
		.take = append_batch,
		.context = copy,
	};
	int error = read_batches(&reader);

	if (error == -EINVAL || error == -EOPNOTSUPP || error == -ENOSPC) {
		copy->count = 0;
		error = read_one_by_one(&reader);
	}
	return error;
}

static int read_counters(int map, struct global_counters *ret_counters)
{
	int cpus = libbpf_num_possible_cpus();
	struct global_counters *each;
	uint32_t zero = 0;
	int error;

	if (cpus < 0)
		return cpus;
	each = calloc(cpus, sizeof(*each));
	if (!each)
		return -ENOMEM;
	error = bpf_map_lookup_elem(map, &zero, each);
	for (int i = 0; i < cpus && !error; i++) {
		ret_counters->ring_full += each[i].ring_full;
		ret_counters->processes_full += each[i].processes_full;
	}
	free(each);
	return error;
}

_Static_assert(sizeof(struct collected_task) ==
		       sizeof(struct waiting_key) + sizeof(struct waiting_task),
	       "a record of the copy");

static int read_waiting(int map, struct collected *c)
{
	struct map_copy copy = {
		.key_size = sizeof(struct waiting_key),
		.value_size = sizeof(struct waiting_task),
	};
	int error = read_map(map, WAITING_MAX, &copy);

	c->tasks = (struct collected_task *)copy.records;
	c->task_count =
		sort_unique(copy.records, copy.count, sizeof(struct collected_task), compare_tasks);
	return error;
}

_Static_assert(sizeof(struct collected_site) == sizeof(struct site_key) + sizeof(struct site_stats),
	       "a record of the copy");

static int read_sites(int map, struct collected *c)
{
	struct map_copy copy = {
		.key_size = sizeof(struct site_key),
		.value_size = sizeof(struct site_stats),
	};
	int error = read_map(map, SITES_MAX, &copy);

	c->sites = (struct collected_site *)copy.records;
	c->site_count =
		sort_unique(copy.records, copy.count, sizeof(struct collected_site), compare_sites);
	return error;
}

static int read_processes(int map, struct collected *c)
{
	struct map_copy copy = {
		.key_size = sizeof(uint32_t),
		.value_size = sizeof(struct process_account),
	};
	size_t size = copy.key_size + copy.value_size;
	int error = read_map(map, PROCESSES_MAX, &copy);

	c->processes = error ? NULL : calloc(copy.count + 1, sizeof(*c->processes));
	if (!c->processes) {
		free(copy.records);
		return error ? error : -ENOMEM;
	}
	for (size_t i = 0; i < copy.count; i++) {
		memcpy(&c->processes[i].tgid, copy.records + i * size, copy.key_size);
		memcpy(&c->processes[i].account, copy.records + i * size + copy.key_size,
		       copy.value_size);
	}
	free(copy.records);
	c->process_count = sort_unique((uint8_t *)c->processes, copy.count, sizeof(*c->processes),
				       compare_processes);
	return 0;
}

static int read_all(const struct collect_maps *maps, bool with_tasks,
		    struct collected *ret_collected)
{
	struct collected c = {0};
	int error = with_tasks ? read_waiting(maps->waiting, &c) : 0; /* C1: first */

	if (!error)
		error = read_sites(maps->sites, &c);
	if (!error)
		error = read_processes(maps->processes, &c);
	if (!error)
		error = read_counters(maps->counters, &c.counters);
	if (error) {
		collect_done(&c);
		return error;
	}
	*ret_collected = c;
	return 0;
}

int collect_read(const struct collect_maps *maps, struct collected *ret_collected)
{
	return read_all(maps, true, ret_collected);
}

int collect_read_sites(const struct collect_maps *maps, struct collected *ret_collected)
{
	return read_all(maps, false, ret_collected);
}

void collect_done(struct collected *c)
{
	free(c->tasks);
	free(c->sites);
	free(c->processes);
	*c = (struct collected){0};
}

/* ---- one by one ----------------------------------------------------------- */

struct task_visit {
	int (*visit)(void *context, const struct collected_task *task);
	void *context;
};

static int visit_batch(void *context, const void *keys, const void *values, size_t count)
{
	const struct task_visit *v = context;
	const struct waiting_key *key = keys;
	const struct waiting_task *value = values;
	int result = 0;

	for (size_t i = 0; i < count && !result; i++) {
		const struct collected_task task = {.key = key[i], .task = value[i]};

		result = v->visit(v->context, &task);
	}
	return result;
}

int collect_each_task(const struct collect_maps *maps,
		      int (*visit)(void *context, const struct collected_task *task), void *context)
{
	struct task_visit v = {.visit = visit, .context = context};
	const struct map_reader reader = {
		.map = maps->waiting,
		.key_size = sizeof(struct waiting_key),
		.value_size = sizeof(struct waiting_task),
		.max_entries = WAITING_MAX,
		.take = visit_batch,
		.context = &v,
	};
	int error = read_batches(&reader);

	if (error == -EINVAL || error == -EOPNOTSUPP)
		error = read_one_by_one(&reader);
	return error;
}

int collect_find_task(const struct collect_maps *maps, const struct waiting_key *key,
		      struct collected_task *ret_task)
{
	ret_task->key = *key;
	return bpf_map_lookup_elem(maps->waiting, key, &ret_task->task) ? -ENOENT : 0;
}

struct site_key collect_site_of(const struct collected_task *task)
{
	return (struct site_key){
		.tgid = task->key.tgid,
		.instance = task->key.instance,
		.pc = task->task.pc,
		.fn = task->task.fn,
		.created_pc = task->task.created_pc,
		.reason = task->task.reason,
	};
}

/* ---- into the model ------------------------------------------------------ */

static const struct process_account *find_account(const struct collected *c, uint32_t tgid)
{
	struct collected_process key = {.tgid = tgid};
	const struct collected_process *found = NULL;

	if (c->process_count)
		found = bsearch(&key, c->processes, c->process_count, sizeof(key),
				compare_processes);
	return found ? &found->account : NULL;
}

/* The index of the first task that is not before (tgid, instance, 0). */
static size_t first_task(const struct collected *c, uint32_t tgid, uint64_t instance)
{
	size_t low = 0, high = c->task_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct waiting_key *key = &c->tasks[middle].key;

		if (key->tgid < tgid || (key->tgid == tgid && key->instance < instance))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t first_site(const struct collected *c, uint32_t tgid, uint64_t instance)
{
	size_t low = 0, high = c->site_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct site_key *key = &c->sites[middle].key;

		if (key->tgid < tgid || (key->tgid == tgid && key->instance < instance))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint64_t ticks_of(uint64_t ns)
{
	return ns / (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

struct collected_slice collect_slice(const struct collected *c, pid_t pid, uint64_t start_ticks)
{
	const struct process_account *account = find_account(c, pid);
	struct collected_slice slice = {0};
	size_t first;

	if (!account || ticks_of(account->start_boottime) != start_ticks)
		return slice;
	first = first_task(c, pid, account->instance);
	slice.account = account;
	slice.tasks = c->tasks + first;
	slice.count = first_task(c, pid, (uint64_t)account->instance + 1) - first;
	first = first_site(c, pid, account->instance);
	slice.sites = c->sites + first;
	slice.site_count = first_site(c, pid, (uint64_t)account->instance + 1) - first;
	return slice;
}

int collect_add_task(const struct collected_task *from, struct model_process *p,
		     struct model_task **ret_task)
{
	const struct waiting_task *w = &from->task;
	struct model_task *t;
	int error = model_add_task(p, &t);

	if (error)
		return error;
	t->id = from->key.task;
	t->generation = w->generation;
	t->parent = w->parent;
	t->name = strndup(w->name, sizeof(w->name));
	t->reason = w->reason < STRAND_WAIT_REASON_COUNT ? w->reason : STRAND_WAIT_REASON_COUNT;
	t->has_deadline = w->has_deadline != 0;
	t->object = w->object;
	t->since_ns = w->host_since_ns;
	t->created_by.pc = w->created_pc;
	t->entry.pc = w->fn;
	*ret_task = t;
	return t->name ? 0 : -ENOMEM;
}

bool collect_is_current(const struct collected *c, uint32_t tgid, uint32_t instance)
{
	const struct process_account *account = find_account(c, tgid);

	return account && account->instance == instance;
}

size_t collect_purge(const struct collect_maps *maps, const struct collected *c)
{
	size_t purged = 0;

	for (size_t i = 0; i < c->task_count; i++) {
		const struct waiting_key *key = &c->tasks[i].key;

		if (!collect_is_current(c, key->tgid, key->instance) &&
		    !bpf_map_delete_elem(maps->waiting, key))
			purged++;
	}
	for (size_t i = 0; i < c->site_count; i++) {
		const struct site_key *key = &c->sites[i].key;

		if (!collect_is_current(c, key->tgid, key->instance))
			bpf_map_delete_elem(maps->sites, key);
	}
	return purged;
}

bool collect_still_waiting(const struct collect_maps *maps, const struct collected_task *task)
{
	struct collected_task now;

	return !collect_find_task(maps, &task->key, &now) &&
	       now.task.generation == task->task.generation;
}

/* ---- events -------------------------------------------------------------- */

struct event_reader {
	struct ring_buffer *ring;
	struct collect_callbacks callbacks;
};

static int handle_event(void *context, void *data, size_t size)
{
	const struct collect_callbacks *callbacks = &((struct event_reader *)context)->callbacks;
	const struct event *event = data;

	if (size < sizeof(*event))
		return 0;
	if (event->type == EVENT_EXEC && callbacks->exec)
		callbacks->exec(callbacks->context, event->tgid);
	else if (event->type == EVENT_EXIT && callbacks->exit)
		callbacks->exit(callbacks->context, event->tgid);
	else if (event->type == EVENT_SCAN_DONE && callbacks->scan_done &&
		 size >= sizeof(struct event_scan_done))
		callbacks->scan_done(callbacks->context, data);
	return 0;
}

int event_reader_new(const struct collect_maps *maps, const struct collect_callbacks *callbacks,
		     struct event_reader **ret_reader)
{
	struct event_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->callbacks = *callbacks;
	r->ring = ring_buffer__new(maps->events, handle_event, r, NULL);
	if (!r->ring) {
		int error = -errno;

		free(r);
		return error;
	}
	*ret_reader = r;
	return 0;
}

void event_reader_free(struct event_reader *r)
{
	if (!r)
		return;
	ring_buffer__free(r->ring);
	free(r);
}

int event_reader_fd(const struct event_reader *r)
{
	return ring_buffer__epoll_fd(r->ring);
}

int event_reader_wait(struct event_reader *r, int64_t timeout_ns)
{
	/* Rounded up: rounding down would spin through the last millisecond. */
	int64_t timeout_ms = timeout_ns > 0 ? (timeout_ns + 999999) / 1000000 : 0;
	int result = ring_buffer__poll(r->ring, timeout_ms > 60000 ? 60000 : (int)timeout_ms);

	return result < 0 ? result : 0;
}

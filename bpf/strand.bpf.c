// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The kernel side of the observer: probes of libstrand fill the map of waiting tasks.
 *
 * B1. Nothing that a record says is trusted: every field that steers a loop or a
 *     lookup is bounded here, the rest is copied as a claim. Whose record it is
 *     says the kernel.
 * B2. A process can only touch entries of its own key range (tgid, instance),
 *     and no more than its quota of them.
 * B3. What is not kept is counted, by process if it has an account.
 * B4. account.waiting and the counts of sites count entries: they grow when an insert made a
 *     new entry and shrink when a delete removed one, and the map decides both atomically.
 *     Which site shrinks is read just before the delete; if another CPU puts a newer park of
 *     the same task there in between, one count of two sites of this process is off by one.
 * B5. User memory is read by bpf_probe_read_user, which fails and never waits;
 *     kernel memory through BTF pointers, which lockdown allows. The target is
 *     never written to.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <strand/abi.h>
#include "maps.h"

/* Set by the observer before the load. */
const volatile __u32 only_tgid = 0; /* 0: every process */
const volatile __u64 quota = WAITING_QUOTA;
const volatile __u32 site_quota = SITES_QUOTA;

_Static_assert(sizeof(struct waiting_task) == sizeof(struct strand_rec_park), "read in place");
_Static_assert(__builtin_offsetof(struct waiting_task, generation_addr) ==
		       __builtin_offsetof(struct strand_rec_park, generation_addr),
	       "read in place");
_Static_assert(__builtin_offsetof(struct waiting_task, name) ==
		       __builtin_offsetof(struct strand_rec_park, name),
	       "read in place");
_Static_assert(sizeof(((struct process_account *)0)->records) == STRAND_PROBE_COUNT * sizeof(__u64),
	       "one counter per probe");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WAITING_MAX);
	__type(key, struct waiting_key);
	__type(value, struct waiting_task);
} waiting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SITES_MAX);
	__type(key, struct site_key);
	__type(value, struct site_stats);
} sites SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PROCESSES_MAX);
	__type(key, __u32);
	__type(value, struct process_account);
} processes SEC(".maps");

/* tgid -> the request whose answer the observer waits for. A flood of scan_done ends here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PROCESSES_MAX);
	__type(key, __u32);
	__type(value, __u64);
} wanted SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct global_counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_BYTES);
} events SEC(".maps");

/* What a site begins with. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct site_stats);
} no_waits SEC(".maps");

#define EEXIST 17

static __u32 next_instance;

/* ---- accounts and losses ------------------------------------------------- */

static struct global_counters *global_counters(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

static void count_ring_full(void)
{
	struct global_counters *c = global_counters();

	/* Atomic: a program on this CPU may be preempted by another one. */
	if (c)
		__sync_fetch_and_add(&c->ring_full, 1);
}

static void count_processes_full(void)
{
	struct global_counters *c = global_counters();

	if (c)
		__sync_fetch_and_add(&c->processes_full, 1);
}

static struct process_account *account_add(__u32 tgid, __u64 start_boottime)
{
	struct process_account fresh = {.start_boottime = start_boottime};

	/* 0 is never an instance. Two threads may race here: BPF_NOEXIST lets one win. */
	fresh.instance = __sync_fetch_and_add(&next_instance, 1) + 1;
	bpf_map_update_elem(&processes, &tgid, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&processes, &tgid);
}

/* The account of the running process; made at its first record. NULL: there is no room. */
static struct process_account *account_get(__u32 tgid)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 start_boottime = task->group_leader->start_boottime;
	struct process_account *account = bpf_map_lookup_elem(&processes, &tgid);

	/* An account of an earlier holder of the pid whose exit went unseen. */
	if (account && account->start_boottime != start_boottime) {
		bpf_map_delete_elem(&processes, &tgid);
		account = NULL;
	}
	if (!account)
		account = account_add(tgid, start_boottime);
	if (!account)
		count_processes_full();
	return account;
}

/* ---- park, unpark, exit -------------------------------------------------- */

/*
 * When did it park, on the host's clock? now - since on its clock is an age, and that
 * holds in every time namespace. A claim of an age before its birth is cut.
 */
static __u64 host_since(__u64 process_now, __u64 since)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 start = task->group_leader->start_time;
	__u64 now = bpf_ktime_get_ns();
	__u64 age = process_now > since ? process_now - since : 0;

	return now > start && age < now - start ? now - age : start;
}

/* ---- sites ---------------------------------------------------------------- */

static void site_key_of(struct site_key *key, const struct waiting_key *of,
			const struct waiting_task *task)
{
	key->tgid = of->tgid;
	key->instance = of->instance;
	key->pc = task->pc;
	key->fn = task->fn;
	key->created_pc = task->created_pc;
	key->reason = task->reason;
	key->reserved = 0;
}

static void site_make_other(struct site_key *key)
{
	key->pc = key->fn = key->created_pc = 0;
	key->reason = SITE_OTHER;
}

/* NULL: there is no room, not even for all others together. */
static struct site_stats *site_add(struct process_account *account, struct site_key *key)
{
	struct site_stats *site;
	__u32 zero = 0;

	if (account->sites >= site_quota)
		site_make_other(key);
	site = bpf_map_lookup_elem(&sites, key);
	if (site)
		return site;
	/* All zero, and too large for the stack. */
	site = bpf_map_lookup_elem(&no_waits, &zero);
	if (site && !bpf_map_update_elem(&sites, key, site, BPF_NOEXIST))
		__sync_fetch_and_add(&account->sites, 1);
	return bpf_map_lookup_elem(&sites, key);
}

static void site_enter(struct process_account *account, const struct waiting_key *of,
		       const struct waiting_task *task)
{
	struct site_stats *site;
	struct site_key key;

	site_key_of(&key, of, task);
	site = bpf_map_lookup_elem(&sites, &key);
	if (!site)
		site = site_add(account, &key);
	if (!site) {
		__sync_fetch_and_add(&account->sites_full, 1);
		return;
	}
	__sync_fetch_and_add(&site->since_sum, task->host_since_ns);
	if (!__sync_fetch_and_add(&site->waiting, 1) ||
	    task->host_since_ns < site->oldest_since_ns) {
		site->oldest_since_ns = task->host_since_ns;
		site->oldest_task = of->task;
	}
}

static __u32 wait_slot(__u64 ns)
{
	__u32 slot = 0;

	ns >>= 10;
	for (__u32 step = 16; step; step /= 2) {
		if (ns >> step) {
			ns >>= step;
			slot += step;
		}
	}
	slot += ns != 0;
	return slot < WAIT_SLOTS ? slot : WAIT_SLOTS - 1;
}

static void site_leave(struct site_key *key, __u64 since)
{
	struct site_stats *site = bpf_map_lookup_elem(&sites, key);
	__u64 now = bpf_ktime_get_ns();
	__u64 waited = now > since ? now - since : 0;

	if (!site) {
		site_make_other(key);
		site = bpf_map_lookup_elem(&sites, key);
	}
	if (!site)
		return;
	__sync_fetch_and_add(&site->waiting, -1);
	__sync_fetch_and_add(&site->since_sum, -since);
	__sync_fetch_and_add(&site->ended, 1);
	__sync_fetch_and_add(&site->ended_ns, waited);
	__sync_fetch_and_add(&site->slots[wait_slot(waited) & (WAIT_SLOTS - 1)], 1);
}

/* ---- tasks ---------------------------------------------------------------- */

static __noinline long forget_task(struct process_account *account, struct waiting_key *key,
				   struct waiting_task *known)
{
	struct site_key site;
	__u64 since;

	if (!account || !key || !known)
		return 0;
	site_key_of(&site, key, known);
	since = known->host_since_ns;
	if (bpf_map_delete_elem(&waiting, key))
		return 0;
	__sync_fetch_and_add(&account->waiting, -1);
	site_leave(&site, since);
	return 0;
}

static __noinline long keep_park(struct process_account *account, struct waiting_key *key,
				 struct waiting_task *task)
{
	struct waiting_task *known;
	long error;

	if (!account || !key || !task)
		return 0;
	known = bpf_map_lookup_elem(&waiting, key);
	/* Announced anew, or overtaken by a newer park of the same task. */
	if (known && known->generation == task->generation)
		known->seen = task->seen;
	if (known && known->generation >= task->generation)
		return 0;
	if (known) /* the unpark before it was lost */
		forget_task(account, key, known);
	if (account->waiting >= quota) {
		__sync_fetch_and_add(&account->over_quota, 1);
		return 0;
	}
	error = bpf_map_update_elem(&waiting, key, task, BPF_NOEXIST);
	if (!error) {
		__sync_fetch_and_add(&account->waiting, 1);
		site_enter(account, key, task);
	} else if (error != -EEXIST) {
		__sync_fetch_and_add(&account->map_full, 1);
	}
	return 0;
}

static __always_inline void on_park(struct process_account *account, __u32 tgid, void *record,
				    __u32 count)
{
	struct waiting_key key = {.tgid = tgid, .instance = account->instance};
	struct strand_rec_park_batch *batch = record;
	struct waiting_task task;
	__u64 now;

	if (bpf_probe_read_user(&now, sizeof(now), &batch->now_ns))
		goto bad;
	for (__u32 i = 0; i < STRAND_PARK_BATCH && i < count; i++) {
		if (bpf_probe_read_user(&task, sizeof(task), &batch->park[i]))
			goto bad;
		/* The first word of the record is the task's id. */
		key.task = task.host_since_ns;
		if (!key.task)
			goto bad;
		task.host_since_ns = host_since(now, task.since_ns);
		task.seen = bpf_ktime_get_ns() >> 20;
		keep_park(account, &key, &task);
	}
	return;
bad:
	__sync_fetch_and_add(&account->bad_record, 1);
}

static __always_inline void on_unpark(struct process_account *account, __u32 tgid, void *record)
{
	struct waiting_key key = {.tgid = tgid, .instance = account->instance};
	struct strand_rec_unpark unpark;
	struct waiting_task *known;

	if (bpf_probe_read_user(&unpark, sizeof(unpark), record)) {
		__sync_fetch_and_add(&account->bad_record, 1);
		return;
	}
	key.task = unpark.task;
	known = bpf_map_lookup_elem(&waiting, &key);
	/* A newer park of the same task, announced by another CPU meanwhile, stays. */
	if (known && known->generation <= unpark.generation)
		forget_task(account, &key, known);
}

static __always_inline void on_exit(struct process_account *account, __u32 tgid, void *record)
{
	struct waiting_key key = {.tgid = tgid, .instance = account->instance};
	struct waiting_task *known;
	struct strand_rec_exit exit;

	if (bpf_probe_read_user(&exit, sizeof(exit), record)) {
		__sync_fetch_and_add(&account->bad_record, 1);
		return;
	}
	key.task = exit.task;
	known = bpf_map_lookup_elem(&waiting, &key);
	if (known)
		forget_task(account, &key, known);
}

/* ---- events -------------------------------------------------------------- */

static __always_inline void event_init(struct event *event, __u32 type, __u32 tgid,
				       __u64 start_boottime)
{
	event->type = type;
	event->tgid = tgid;
	event->time_ns = bpf_ktime_get_ns();
	event->start_boottime = start_boottime;
}

static __always_inline void emit_event(__u32 type, __u32 tgid, __u64 start_boottime)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count_ring_full();
		return;
	}
	event_init(event, type, tgid, start_boottime);
	bpf_ringbuf_submit(event, 0);
}

/* Is it the answer that the observer waits for, for the first time? */
static __always_inline bool take_wanted(__u32 tgid, __u64 request)
{
	__u64 *expected = bpf_map_lookup_elem(&wanted, &tgid);

	return expected && *expected == request && !bpf_map_delete_elem(&wanted, &tgid);
}

static __always_inline void on_scan_done(struct process_account *account, __u32 tgid, void *record)
{
	struct strand_rec_scan_done done;
	struct event_scan_done *event;

	if (bpf_probe_read_user(&done, sizeof(done), record)) {
		__sync_fetch_and_add(&account->bad_record, 1);
		return;
	}
	if (!take_wanted(tgid, done.request))
		return;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_ring_full();
		return;
	}
	event_init(&event->event, EVENT_SCAN_DONE, tgid, account->start_boottime);
	event->request = done.request;
	event->report_fd = done.report_fd;
	event->status = done.status;
	event->cause = done.cause;
	event->reserved = 0;
	event->report_size = done.report_size;
	bpf_ringbuf_submit(event, 0);
}

/* ---- programs ------------------------------------------------------------ */

/* Is the header what this probe sends? */
static __always_inline bool header_valid(const struct strand_rec_header *h, __u64 probe)
{
	if (h->abi_major != STRAND_ABI_MAJOR || h->probe != probe)
		return false;
	if (probe != STRAND_PROBE_PARK)
		return h->size >= 64 && h->count == 1;
	return h->count <= STRAND_PARK_BATCH &&
	       h->size >= __builtin_offsetof(struct strand_rec_park_batch, park) +
				  h->count * sizeof(struct strand_rec_park);
}

static __always_inline void dispatch(struct process_account *account, __u32 tgid, __u64 probe,
				     void *record, __u32 count)
{
	if (probe == STRAND_PROBE_PARK)
		on_park(account, tgid, record, count);
	else if (probe == STRAND_PROBE_UNPARK)
		on_unpark(account, tgid, record);
	else if (probe == STRAND_PROBE_EXIT)
		on_exit(account, tgid, record);
	else if (probe == STRAND_PROBE_SCAN_DONE)
		on_scan_done(account, tgid, record);
	/* spawn, chan, send, recv: counted, no more */
}

/* One program for all probe points: which it is says the cookie, so one link holds a binary. */
SEC("uprobe")
int strand_probe(struct pt_regs *ctx)
{
	void *record = (void *)PT_REGS_PARM1(ctx);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u64 probe = bpf_get_attach_cookie(ctx);
	struct process_account *account;
	struct strand_rec_header h;

	if (probe >= STRAND_PROBE_COUNT || (only_tgid && tgid != only_tgid))
		return 0;
	account = account_get(tgid);
	if (!account)
		return 0;
	if (bpf_probe_read_user(&h, sizeof(h), record) || !header_valid(&h, probe)) {
		__sync_fetch_and_add(&account->bad_record, 1);
		return 0;
	}
	__sync_fetch_and_add(&account->records[probe], h.count);
	dispatch(account, tgid, probe, record, h.count);
	return 0;
}

/* The old program's tasks are gone; its account goes, and with it the right to its entries. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task)
{
	__u32 tgid = task->tgid;

	bpf_map_delete_elem(&processes, &tgid);
	bpf_map_delete_elem(&wanted, &tgid);
	if (!only_tgid || tgid == only_tgid)
		emit_event(EVENT_EXEC, tgid, task->group_leader->start_boottime);
	return 0;
}

/* The last thread of a process ends it, and that need not be the leader. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	__u32 tgid = task->tgid;

	if (task->signal->live.counter > 0)
		return 0;
	bpf_map_delete_elem(&wanted, &tgid);
	if (!bpf_map_delete_elem(&processes, &tgid))
		emit_event(EVENT_EXIT, tgid, task->group_leader->start_boottime);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";

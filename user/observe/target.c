/* SPDX-License-Identifier: MIT */
/*
 * Finds the processes that contain the runtime and holds on to them.
 *
 * I1. A target is (pid, start time, stack start): other values under the same number are
 *     another process or, after an exec, another program. Its directory was opened before
 *     they were read, so the two belong together.
 * I2. Reading the target's memory may wait for the target: only a disposable process does.
 * I3. What could not be looked at is not removed: a target goes when its process has exited or
 *     its mapping is seen to be gone.
 * I4. Counts are capped: one user's processes cannot use up the observer's memory or files.
 */
#include "observe/target.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "observe/binary.h"
#include "observe/disposable.h"
#include "observe/procfs.h"

#define SECOND_NS       1000000000LL

/* Each costs a descriptor. */
#define TARGETS_MAX     4096

/* Programs map a few hundred files at most; a hostile one may map 65530. */
#define MAPPINGS_MAX    2048

/* How long reading a process's memory may take, and when to try again after that. */
#define READ_TIMEOUT_NS SECOND_NS
#define RETRY_NS        (60 * SECOND_NS)

/* After so many hung ones a scan reads no more descriptors; the next one goes on. */
#define HUNG_MAX        3

/* Descriptors above this are no number that a sane program has. */
#define CONTROL_FD_MAX  (1 << 20)

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

/* ---- processes: which binary with the runtime does it map, and where? ---- */

struct search {
	struct discovery *d;
	int proc_fd;
	const struct target *known; /* what this number was before; NULL: nothing */
	unsigned looked_at;
	struct binary *binary; /* found; NULL: none */
	uint64_t bias;
	int error; /* a mapping could not be looked at for want of descriptors or memory */
};

/* The load bias, if the mapping is the one that holds the probes. */
static bool bias_of(const struct image *im, const struct procfs_mapping *m, uint64_t *ret_bias)
{
	uint64_t probe = im->probe_offset[STRAND_PROBE_PARK];

	if (probe < m->offset || probe - m->offset >= m->end - m->start)
		return false;
	/* Modulo 2^64: the bias of a library linked high and loaded low is "negative". */
	*ret_bias = m->start - m->offset + im->text_offset - im->text_vaddr;
	return true;
}

static bool look_at_mapping(void *context, const struct procfs_mapping *m)
{
	struct search *s = context;
	struct binary *b;
	uint64_t bias = 0;
	int fd;

	if (++s->looked_at > MAPPINGS_MAX)
		return false;
	fd = procfs_open_mapped(s->proc_fd, m);
	if (fd < 0) {
		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
			s->error = fd;
		return !s->error;
	}
	b = binary_of_file(s->d, fd);
	close(fd);
	if (!b || (!b->error && !bias_of(&b->image, m, &bias)))
		return true;
	if (s->known && b == s->known->binary && bias == s->known->bias) {
		s->binary = b; /* it stays what it was, even if there is another copy by now */
		s->bias = bias;
		return false;
	}
	if (s->binary && (b->error || !s->binary->error))
		return true; /* the first, unless a later one can be observed */
	s->binary = b;
	s->bias = bias;
	return b->error || s->known;
}

/* ---- descriptors --------------------------------------------------------- */

static void set_status(struct target *t, enum model_process_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void set_status(struct target *t, enum model_process_status status, const char *format, ...)
{
	va_list args;

	free(t->status_text);
	t->status_text = NULL;
	t->status = status;
	if (status == MODEL_OBSERVED)
		return;
	va_start(args, format);
	if (vasprintf(&t->status_text, format, args) < 0)
		t->status_text = NULL;
	va_end(args);
}

static void set_unsupported(struct target *t, unsigned major)
{
	set_status(t, MODEL_UNSUPPORTED_ABI, "its libstrand speaks ABI %u, this observer speaks %d",
		   major, STRAND_ABI_MAJOR);
}

/* The status that follows from the file alone. True if the process may be observed. */
static bool judge_binary(struct target *t)
{
	switch (t->binary->error) {
	case 0:
		if (!t->has_descriptor)
			set_status(t, MODEL_NO_CONTROL, "its descriptor has not been read yet");
		return true;
	case -EPROTONOSUPPORT:
		set_unsupported(t, t->binary->image.abi_major);
		return false;
	case -EREMOTE:
		set_status(t, MODEL_UNTRUSTED,
			   "its libstrand lies on a FUSE file system, which could hang the kernel");
		return false;
	default:
		set_status(t, MODEL_UNTRUSTED, "the ELF note of its libstrand is malformed");
		return false;
	}
}

/* Is what was read a descriptor at all? Sets the status and returns -EBADMSG if not. */
static int check_descriptor(struct target *t, const struct strand_descriptor *desc)
{
	if (desc->magic != STRAND_DESCRIPTOR_MAGIC) {
		set_status(t, MODEL_UNTRUSTED, "its descriptor has no magic number");
		return -EBADMSG;
	}
	if (desc->abi_major != STRAND_ABI_MAJOR) {
		set_unsupported(t, desc->abi_major);
		return -EBADMSG;
	}
	if (desc->size < sizeof(*desc) || !memchr(desc->build, '\0', sizeof(desc->build)) ||
	    desc->pid < 0 || desc->control_fd < -1 || desc->control_fd >= CONTROL_FD_MAX) {
		set_status(t, MODEL_UNTRUSTED, "its descriptor is malformed");
		return -EBADMSG;
	}
	return 0;
}

/*
 * What a sound descriptor says about control. A forked child has its parent's descriptor, and
 * the parent's pipe, until the runtime starts in it: pid tells the two apart.
 */
static void judge_control(struct target *t)
{
	const struct strand_descriptor *desc = &t->descriptor;

	if (!desc->pid)
		set_status(t, MODEL_NO_CONTROL, "its runtime is not running");
	else if (t->inner_pid && desc->pid != t->inner_pid)
		set_status(t, MODEL_NO_CONTROL,
			   "forked from process %d, its runtime is not running", desc->pid);
	else if (desc->control_fd < 0)
		set_status(t, MODEL_NO_CONTROL,
			   "it has no control pipe (STRAND_OBSERVE=0, or under Valgrind?)");
	else
		set_status(t, MODEL_OBSERVED, "%s", "");
}

/*
 * tasks_exited and tasks_spawned are read one after the other while both grow, the first
 * field first: an exit may be seen whose spawn was not. That is no malformed descriptor.
 */
static void settle_counters(struct strand_descriptor *desc)
{
	if (desc->tasks_exited > desc->tasks_spawned)
		desc->tasks_spawned = desc->tasks_exited;
}

/* What reading memory came to: 0 or -errno, and the bytes. Returns as target_read_descriptor. */
static int take_descriptor(struct target *t, int error, struct strand_descriptor *desc)
{
	switch (error) {
	case 0:
		break;
	case -EPERM:
	case -EACCES:
		set_status(t, MODEL_DENIED,
			   "no permission to read its memory (needs root or CAP_SYS_PTRACE)");
		return -EACCES;
	case -ESRCH:
		return -ESRCH;
	case -ETIMEDOUT:
		t->retry_ns = now_ns() + RETRY_NS;
		set_status(t, MODEL_HUNG, "its memory could not be read within %lld s",
			   READ_TIMEOUT_NS / SECOND_NS);
		return -ETIMEDOUT;
	case -EFAULT:
		set_status(t, MODEL_UNTRUSTED, "its descriptor is not in its memory");
		return -EBADMSG;
	default: /* the observer's own trouble says nothing about the target */
		return error;
	}
	settle_counters(desc);
	int err = check_descriptor(t, desc);
	t->has_descriptor = !err;
	if (err)
		return err;
	t->descriptor = *desc;
	judge_control(t);
	return 0;
}

struct read_job {
	struct target *target;
	pid_t pid;
	uint64_t address;
	int error;
	struct strand_descriptor descriptor;
};

/* Shared with the child, which says what it has done so far: it may never say more. */
struct read_batch {
	size_t count;
	size_t done;
	struct read_job jobs[];
};

/*
 * In a child. By pid and not through the directory: process_vm_readv waits for a page so that
 * it can be killed, /proc/PID/mem does not always. The pid is checked afterwards.
 */
static ssize_t read_batch_work(void *context, void *buffer, size_t room)
{
	struct read_batch *batch = context;

	(void)buffer;
	(void)room;
	disposable_keep_only(-1);
	while (batch->done < batch->count) {
		struct read_job *job = &batch->jobs[batch->done];
		struct iovec to = {&job->descriptor, sizeof(job->descriptor)};
		struct iovec from = {(void *)(uintptr_t)job->address, sizeof(job->descriptor)};
		ssize_t n = process_vm_readv(job->pid, &to, 1, &from, 1, 0);

		job->error = n < 0 ? -errno : n == sizeof(job->descriptor) ? 0 : -EFAULT;
		__atomic_store_n(&batch->done, batch->done + 1, __ATOMIC_RELEASE);
	}
	return 0;
}

/* Run the jobs. The one that hangs is marked, and another child goes on behind it. */
static void run_batch(struct read_batch *batch)
{
	for (unsigned hung = 0; batch->done < batch->count;) {
		void *buffer;
		ssize_t n = disposable_run(read_batch_work, batch, 0, READ_TIMEOUT_NS, &buffer);

		if (n >= 0) {
			disposable_buffer_free(buffer, 0);
			continue;
		}
		if (n != -ETIMEDOUT || ++hung > HUNG_MAX)
			break;
		if (batch->done < batch->count)
			batch->jobs[batch->done++].error = -ETIMEDOUT;
	}
	while (batch->done < batch->count)
		batch->jobs[batch->done++].error = -EAGAIN;
}

static struct read_batch *new_batch(size_t room)
{
	size_t size = sizeof(struct read_batch) + room * sizeof(struct read_job);
	struct read_batch *batch =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return batch == MAP_FAILED ? NULL : batch;
}

static void free_batch(struct read_batch *batch, size_t room)
{
	munmap(batch, sizeof(*batch) + room * sizeof(struct read_job));
}

static void add_job(struct read_batch *batch, struct target *t)
{
	batch->jobs[batch->count++] =
		(struct read_job){.target = t, .pid = t->pid, .address = t->descriptor_address};
}

/* The bytes count only if the number still was this process's after they were read. */
static int finish_job(struct read_job *job)
{
	return take_descriptor(job->target, target_alive(job->target) ? job->error : -ESRCH,
			       &job->descriptor);
}

int target_read_descriptor(struct target *t)
{
	struct read_batch *batch;
	int err;

	if (!judge_binary(t))
		return -EBADMSG;
	batch = new_batch(1);
	if (!batch)
		return -ENOMEM;
	add_job(batch, t);
	run_batch(batch);
	err = finish_job(&batch->jobs[0]);
	free_batch(batch, 1);
	return err;
}

bool target_alive(const struct target *t)
{
	struct procfs_stat stat;

	return !procfs_read_stat(t->proc_fd, &stat) && !procfs_has_exited(&stat) &&
	       stat.start_ticks == t->start_ticks;
}

static size_t index_of(const struct discovery *d, pid_t pid)
{
	for (size_t i = 0; i < d->target_count; i++)
		if (d->targets[i]->pid == pid)
			return i;
	return SIZE_MAX;
}

/* ---- the list of targets ------------------------------------------------- */

static void target_free(struct target *t)
{
	close(t->proc_fd);
	free(t->exe);
	free(t->status_text);
	free(t);
}

struct scan {
	struct discovery *d;
	const struct discovery_events *events;
	int error;
};

static void announce_binary(struct scan *scan, struct binary *b)
{
	if (b->announced || b->error)
		return;
	b->announced = true;
	if (scan->events->binary_added)
		scan->events->binary_added(scan->events->context, b);
}

static void release_binary(struct scan *scan, struct binary *b)
{
	if (--b->users)
		return;
	if (b->announced && scan->events->binary_removed)
		scan->events->binary_removed(scan->events->context, b);
	binary_forget(scan->d, b);
}

static void remove_target(struct scan *scan, size_t index)
{
	struct discovery *d = scan->d;
	struct target *t = d->targets[index];

	d->targets[index] = d->targets[--d->target_count];
	if (t->announced && scan->events->target_removed)
		scan->events->target_removed(scan->events->context, t);
	release_binary(scan, t->binary);
	target_free(t);
}

static int reserve_target(struct discovery *d)
{
	size_t room = d->target_room ? d->target_room * 2 : 64;
	struct target **targets;

	if (d->target_count < d->target_room)
		return 0;
	targets = reallocarray(d->targets, room, sizeof(struct target *));
	if (!targets)
		return -ENOMEM;
	d->targets = targets;
	d->target_room = room;
	return 0;
}

/* Takes over proc_fd if it succeeds. */
static int add_target(struct scan *scan, pid_t pid, const struct search *found,
		      const struct procfs_stat *stat, const struct procfs_status *status)
{
	struct discovery *d = scan->d;
	struct target *t;

	if (d->target_count == TARGETS_MAX) {
		d->ignored++;
		return -ENOSPC;
	}
	if (reserve_target(d))
		return -ENOMEM;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct target){
		.pid = pid,
		.start_ticks = stat->start_ticks,
		.stack_start = stat->stack_start,
		.uid = status->uid,
		.inner_pid = status->inner_pid,
		.proc_fd = found->proc_fd,
		.binary = found->binary,
		.bias = found->bias,
		.descriptor_address = found->bias + found->binary->image.descriptor_vaddr,
		.seen = true,
	};
	procfs_read_command(t->proc_fd, t->command);
	t->exe = procfs_read_exe(t->proc_fd);
	judge_binary(t);
	d->targets[d->target_count++] = t;
	t->binary->users++;
	announce_binary(scan, t->binary);
	return 0;
}

static bool is_same_program(const struct target *t, const struct procfs_stat *stat)
{
	return t->start_ticks == stat->start_ticks &&
	       (!stat->stack_start || !t->stack_start || t->stack_start == stat->stack_start);
}

/* A process that is known already. True if it still is what it was. */
static bool is_still_target(const struct target *t, const struct procfs_stat *stat,
			    const struct search *found, int err)
{
	if (procfs_has_exited(stat) || !is_same_program(t, stat))
		return false;
	if (err || found->error)
		return true; /* not seen, so not gone */
	if (!found->looked_at && stat->threads > 1)
		return true; /* its leader has ended, and with it this view of the memory */
	return found->binary == t->binary && found->bias == t->bias;
}

/*
 * Settle what becomes of the target that had this number. The caller holds what was found now:
 * removing the old program may remove the last user of the same binary.
 * True if the process is still that target.
 */
static bool keep_known(struct scan *scan, pid_t pid, const struct procfs_stat *stat,
		       const struct search *found, int err)
{
	size_t index = index_of(scan->d, pid);
	struct target *t;

	if (index == SIZE_MAX)
		return false;
	t = scan->d->targets[index];
	if (!is_still_target(t, stat, found, err)) {
		remove_target(scan, index);
		return false;
	}
	t->seen = true;
	if (err == -EACCES || err == -EPERM)
		set_status(t, MODEL_DENIED,
			   "no permission to see its mappings (needs root or CAP_SYS_PTRACE)");
	return true;
}

static bool in_scope(const struct scope *scope, pid_t pid, const struct procfs_status *status)
{
	return (!scope->pid || pid == scope->pid) && (!scope->by_uid || status->uid == scope->uid);
}

static void leave_scope(struct scan *scan, pid_t pid)
{
	size_t index = index_of(scan->d, pid);

	if (index != SIZE_MAX)
		remove_target(scan, index);
}

/* Look at a process whose directory is open. True if the directory was taken over. */
static bool look_at_open_process(struct scan *scan, pid_t pid, int proc_fd)
{
	struct search found = {
		.d = scan->d, .proc_fd = proc_fd, .known = discovery_find(scan->d, pid)};
	struct procfs_status status;
	struct procfs_stat stat;
	bool added = false;
	int err;

	if (procfs_read_stat(proc_fd, &stat) || procfs_read_status(proc_fd, &status))
		return false;
	if (!in_scope(&scan->d->scope, pid, &status)) {
		leave_scope(scan, pid);
		return false;
	}
	err = procfs_each_executable(proc_fd, look_at_mapping, &found);
	if (found.error)
		scan->error = found.error;
	if (found.binary)
		found.binary->users++;
	if (!keep_known(scan, pid, &stat, &found, err) && found.binary && !procfs_has_exited(&stat))
		added = !add_target(scan, pid, &found, &stat, &status);
	if (found.binary)
		release_binary(scan, found.binary);
	return added;
}

static void look_at_process(struct scan *scan, pid_t pid)
{
	int proc_fd = procfs_open(pid);

	if (proc_fd == -EMFILE || proc_fd == -ENFILE)
		scan->error = proc_fd;
	if (proc_fd >= 0 && !look_at_open_process(scan, pid, proc_fd))
		close(proc_fd);
}

static int look_at_all(struct scan *scan)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		if (isdigit((unsigned char)*entry->d_name))
			look_at_process(scan, atoi(entry->d_name));
	closedir(dir);
	return 0;
}

/* Gone are those that were not seen and whose own directory says that they have exited. */
static void remove_exited(struct scan *scan, pid_t pid)
{
	struct discovery *d = scan->d;

	for (size_t i = d->target_count; i-- > 0;)
		if (!d->targets[i]->seen && (!pid || d->targets[i]->pid == pid) &&
		    !target_alive(d->targets[i]))
			remove_target(scan, i);
}

/* Files that turned out to be mapped by no target, or not where their note says. */
static void remove_unused_binaries(struct discovery *d)
{
	for (size_t i = d->binary_count; i-- > 0;)
		if (!d->binaries[i]->users)
			binary_forget(d, d->binaries[i]);
}

static bool wants_reading(const struct target *t, pid_t pid)
{
	return (!pid || t->pid == pid) && !t->binary->error &&
	       (t->status != MODEL_HUNG || now_ns() >= t->retry_ns);
}

static void finish_jobs(struct scan *scan, struct read_batch *batch)
{
	const struct discovery_events *events = scan->events;

	for (size_t i = 0; i < batch->count; i++) {
		struct target *t = batch->jobs[i].target;
		enum model_process_status status = t->status;
		int pid = t->descriptor.pid, control_fd = t->descriptor.control_fd;

		finish_job(&batch->jobs[i]);
		if (t->announced && events->target_changed &&
		    (status != t->status || pid != t->descriptor.pid ||
		     control_fd != t->descriptor.control_fd))
			events->target_changed(events->context, t);
	}
}

static int read_descriptors(struct scan *scan, pid_t pid)
{
	struct discovery *d = scan->d;
	size_t room = d->target_count;
	struct read_batch *batch = new_batch(room);

	if (!batch)
		return -ENOMEM;
	for (size_t i = 0; i < room; i++)
		if (wants_reading(d->targets[i], pid))
			add_job(batch, d->targets[i]);
	run_batch(batch);
	finish_jobs(scan, batch);
	free_batch(batch, room);
	return 0;
}

static void announce_targets(struct scan *scan)
{
	for (size_t i = 0; i < scan->d->target_count; i++) {
		struct target *t = scan->d->targets[i];

		if (t->announced)
			continue;
		t->announced = true;
		if (scan->events->target_added)
			scan->events->target_added(scan->events->context, t);
	}
}

/* ---- public -------------------------------------------------------------- */

void discovery_init(struct discovery *d)
{
	*d = (struct discovery){0};
}

void discovery_done(struct discovery *d)
{
	for (size_t i = 0; i < d->target_count; i++)
		target_free(d->targets[i]);
	for (size_t i = 0; i < d->binary_count; i++)
		binary_free(d->binaries[i]);
	free(d->targets);
	free(d->binaries);
	free(d->negatives);
	discovery_init(d);
}

struct target *discovery_find(const struct discovery *d, pid_t pid)
{
	size_t index = index_of(d, pid);

	return index == SIZE_MAX ? NULL : d->targets[index];
}

int discovery_scan(struct discovery *d, pid_t pid, const struct discovery_events *events)
{
	struct scan scan = {.d = d, .events = events};
	int err = 0;

	for (size_t i = 0; i < d->target_count; i++)
		d->targets[i]->seen = false;
	pid = pid ? pid : d->scope.pid;
	if (pid)
		look_at_process(&scan, pid);
	else
		err = look_at_all(&scan);
	if (!err) {
		remove_exited(&scan, pid);
		remove_unused_binaries(d);
		err = read_descriptors(&scan, pid);
		announce_targets(&scan);
	}
	return err ? err : scan.error;
}

void discovery_refresh(struct discovery *d)
{
	const struct discovery_events nobody = {0};
	struct scan scan = {.d = d, .events = &nobody};

	read_descriptors(&scan, 0);
}

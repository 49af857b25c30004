/* SPDX-License-Identifier: MIT */
/*
 * Loads the BPF programs and attaches their probes to binaries, by inode.
 */
#include "observe/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <strand.skel.h>
#include "../bpf/maps.h"

/* Of newer kernels than the headers of Debian 12: 89ae89f53d20 ("bpf: Add multi uprobe link"). */
#define BPF_TRACE_UPROBE_MULTI_TYPE 48

struct uprobe_multi_attr { /* union bpf_attr, BPF_LINK_CREATE, with its uprobe_multi member */
	__u32 prog_fd;
	__u32 target_fd;
	__u32 attach_type;
	__u32 flags;
	__aligned_u64 path;
	__aligned_u64 offsets;
	__aligned_u64 ref_ctr_offsets;
	__aligned_u64 cookies;
	__u32 cnt;
	__u32 multi_flags;
	__u32 pid;
	__u32 reserved;
};

struct attacher {
	struct strand *skeleton;
	enum attach_method method;
	struct bpf_link *exec_link;
	struct bpf_link *exit_link;
};

struct attachment {   /* binary->link */
	int multi_fd; /* -1: perf */
	struct bpf_link *perf_links[STRAND_PROBE_COUNT];
};

/* ---- what the kernel can ------------------------------------------------- */

struct probe_list { /* of one binary, as the kernel wants them */
	size_t count;
	uint64_t offsets[STRAND_PROBE_COUNT];
	uint64_t semaphores[STRAND_PROBE_COUNT];
	uint64_t cookies[STRAND_PROBE_COUNT];
};

/* @pid  0: every process that maps the file */
static int uprobe_multi_create(int program_fd, const char *path, const struct probe_list *probes,
			       pid_t pid)
{
	struct uprobe_multi_attr attr = {
		.prog_fd = program_fd,
		.attach_type = BPF_TRACE_UPROBE_MULTI_TYPE,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)probes->offsets,
		.ref_ctr_offsets = (uintptr_t)probes->semaphores,
		.cookies = (uintptr_t)probes->cookies,
		.cnt = probes->count,
		.pid = pid,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

/* A kernel that knows the link type says that "/" is no regular file; others say EINVAL. */
static bool kernel_has_uprobe_multi(void)
{
	struct bpf_insn return_0[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options,
		    .expected_attach_type = (enum bpf_attach_type)BPF_TRACE_UPROBE_MULTI_TYPE);
	const struct probe_list one = {.count = 1};
	int program, error;

	program = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "probe_multi", "GPL", return_0,
				sizeof(return_0) / sizeof(return_0[0]), &options);
	if (program < 0)
		return false;
	error = uprobe_multi_create(program, "/", &one, 0);
	close(program);
	if (error >= 0)
		close(error);
	return error == -EBADF;
}

/* ---- load ---------------------------------------------------------------- */

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

static const char *load_advice(int error)
{
	if (error == -EPERM || error == -EACCES)
		return "run it as root or with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and "
		       "CAP_DAC_READ_SEARCH";
	if (error == -ENOSYS)
		return "this kernel is built without the bpf system call";
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return "this kernel has no BTF (/sys/kernel/btf/vmlinux); use one built with "
		       "CONFIG_DEBUG_INFO_BTF";
	if (error == -EINVAL)
		return "this kernel lacks a BPF feature that is needed; use Linux 5.15 or newer";
	if (error == -ENOMEM)
		return "free some memory or raise the limit of locked memory (ulimit -l)";
	return "see `dmesg`, and STRANDED_DEBUG=1 for the verifier's words";
}

static int load_error(int error, const char *step, char **ret_error)
{
	if (asprintf(ret_error, "stranded: cannot %s: %s; %s", step, strerror(-error),
		     load_advice(error)) < 0)
		*ret_error = NULL;
	return error;
}

static void configure(struct strand *skeleton, const struct attach_options *options,
		      enum attach_method method)
{
	skeleton->rodata->only_tgid = options->only_pid;
	if (options->waiting_quota)
		skeleton->rodata->quota = options->waiting_quota;
	if (method == ATTACH_UPROBE_MULTI)
		bpf_program__set_expected_attach_type(
			skeleton->progs.strand_probe,
			(enum bpf_attach_type)BPF_TRACE_UPROBE_MULTI_TYPE);
}

static int attach_process_events(struct attacher *a)
{
	a->exec_link = bpf_program__attach(a->skeleton->progs.process_exec);
	if (!a->exec_link)
		return -errno;
	a->exit_link = bpf_program__attach(a->skeleton->progs.process_exit);
	return a->exit_link ? 0 : -errno;
}

static int load(struct attacher *a, const struct attach_options *options, char **ret_error)
{
	/* Before 5.11 BPF memory is accounted as locked memory; later this changes nothing. */
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	int error;

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (!getenv("STRANDED_DEBUG"))
		libbpf_set_print(quiet);
	a->skeleton = strand__open();
	if (!a->skeleton)
		return load_error(-errno, "open its BPF programs", ret_error);
	a->method = options->method;
	if (a->method == ATTACH_BEST)
		a->method = kernel_has_uprobe_multi() ? ATTACH_UPROBE_MULTI : ATTACH_PERF;
	configure(a->skeleton, options, a->method);
	error = strand__load(a->skeleton);
	if (error)
		return load_error(error, "load BPF programs", ret_error);
	error = attach_process_events(a);
	if (error)
		return load_error(error, "watch process starts and ends", ret_error);
	return 0;
}

int attacher_new(const struct attach_options *options, struct attacher **ret_attacher,
		 char **ret_error)
{
	struct attacher *a = calloc(1, sizeof(*a));
	int error;

	if (!a) {
		*ret_error = NULL;
		return -ENOMEM;
	}
	error = load(a, options, ret_error);
	if (error) {
		attacher_free(a);
		return error;
	}
	*ret_attacher = a;
	return 0;
}

void attacher_free(struct attacher *a)
{
	if (!a)
		return;
	bpf_link__destroy(a->exec_link);
	bpf_link__destroy(a->exit_link);
	strand__destroy(a->skeleton);
	free(a);
}

enum attach_method attacher_method(const struct attacher *a)
{
	return a->method;
}

struct collect_maps attacher_maps(const struct attacher *a)
{
	return (struct collect_maps){
		.waiting = bpf_map__fd(a->skeleton->maps.waiting),
		.sites = bpf_map__fd(a->skeleton->maps.sites),
		.processes = bpf_map__fd(a->skeleton->maps.processes),
		.wanted = bpf_map__fd(a->skeleton->maps.wanted),
		.counters = bpf_map__fd(a->skeleton->maps.counters),
		.events = bpf_map__fd(a->skeleton->maps.events),
	};
}

/* ---- attach -------------------------------------------------------------- */

/* The kernel emulates nops and pushes; all else it executes out of line under a debug trap. */
bool attach_probe_is_slow(uint8_t first_byte)
{
#if defined(__x86_64__)
	bool is_nop = first_byte == 0x90 || first_byte == 0x0f || first_byte == 0x66;
	bool is_push = first_byte >= 0x50 && first_byte <= 0x57;

	return !is_nop && !is_push;
#else
	return first_byte != 0x1f; /* nop is 0xd503201f, little-endian */
#endif
}

static void warn_if_slow(const struct binary *binary)
{
	for (size_t i = 0; i < STRAND_PROBE_COUNT; i++) {
		if (!binary->image.probe_offset[i] ||
		    !attach_probe_is_slow(binary->image.probe_byte[i]))
			continue;
		fprintf(stderr,
			"stranded: a probe of the runtime in file %lu:%lu starts with byte 0x%02x: "
			"each hit will cost about 10 us; build libstrand as its Makefile does\n",
			(unsigned long)binary->dev, (unsigned long)binary->ino,
			binary->image.probe_byte[i]);
		return;
	}
}

static struct probe_list list_probes(const struct image *image)
{
	struct probe_list list = {0};

	for (size_t i = 0; i < STRAND_PROBE_COUNT; i++) {
		if (!image->probe_offset[i])
			continue;
		list.offsets[list.count] = image->probe_offset[i];
		list.semaphores[list.count] = image->semaphore_offset;
		list.cookies[list.count++] = i;
	}
	return list;
}

static int attach_multi(struct attacher *a, const char *path, const struct probe_list *probes,
			pid_t pid, struct attachment *attachment)
{
	attachment->multi_fd = uprobe_multi_create(bpf_program__fd(a->skeleton->progs.strand_probe),
						   path, probes, pid);
	return attachment->multi_fd < 0 ? attachment->multi_fd : 0;
}

static int attach_perf(struct attacher *a, const char *path, const struct probe_list *probes,
		       pid_t pid, struct attachment *attachment)
{
	for (size_t i = 0; i < probes->count; i++) {
		LIBBPF_OPTS(bpf_uprobe_opts, options, .ref_ctr_offset = probes->semaphores[i],
			    .bpf_cookie = probes->cookies[i]);

		attachment->perf_links[i] =
			bpf_program__attach_uprobe_opts(a->skeleton->progs.strand_probe,
							pid ? pid : -1, path, probes->offsets[i],
							&options);
		if (!attachment->perf_links[i])
			return -errno;
	}
	return 0;
}

static void attachment_free(struct attachment *attachment)
{
	for (size_t i = 0; i < STRAND_PROBE_COUNT; i++)
		bpf_link__destroy(attachment->perf_links[i]);
	if (attachment->multi_fd >= 0)
		close(attachment->multi_fd);
	free(attachment);
}

static int attach(struct attacher *a, const struct binary *binary, pid_t pid, void **ret_link)
{
	const struct probe_list probes = list_probes(&binary->image);
	struct attachment *attachment = calloc(1, sizeof(*attachment));
	char path[32];
	int error = -ENOENT;

	if (!attachment)
		return -ENOMEM;
	attachment->multi_fd = -1;
	/* The open file itself, whatever has become of its name. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", binary->fd);
	if (probes.count && a->method == ATTACH_UPROBE_MULTI)
		error = attach_multi(a, path, &probes, pid, attachment);
	else if (probes.count)
		error = attach_perf(a, path, &probes, pid, attachment);
	if (error) {
		attachment_free(attachment);
		return error;
	}
	warn_if_slow(binary);
	*ret_link = attachment;
	return 0;
}

static void detach(void **link)
{
	if (*link)
		attachment_free(*link);
	*link = NULL;
}

int attacher_attach(struct attacher *a, struct binary *binary)
{
	return attach(a, binary, 0, &binary->link);
}

void attacher_detach(struct binary *binary)
{
	detach(&binary->link);
}

int attacher_attach_target(struct attacher *a, struct target *target)
{
	return attach(a, target->binary, target->pid, &target->link);
}

void attacher_detach_target(struct target *target)
{
	detach(&target->link);
}

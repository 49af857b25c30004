/* SPDX-License-Identifier: MIT */
/* Finds out, by trying, what an observer may do here. */
#include "observe/feature.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <linux/capability.h>
#include "observe/attach.h"

__attribute__((format(printf, 5, 6))) static void add(struct feature_list *list, const char *name,
						      enum feature_state state, const char *advice,
						      const char *format, ...)
{
	struct feature *f = &list->features[list->count++];
	va_list arguments;

	*f = (struct feature){.name = name, .state = state, .advice = advice};
	va_start(arguments, format);
	vsnprintf(f->found, sizeof(f->found), format, arguments);
	va_end(arguments);
}

static void probe_kernel(struct feature_list *list)
{
	struct utsname name;

	if (uname(&name))
		return;
	add(list, "kernel", FEATURE_OK, NULL, "%.60s on %.30s", name.release, name.machine);
}

static void probe_btf(struct feature_list *list)
{
	if (!access("/sys/kernel/btf/vmlinux", R_OK))
		add(list, "BTF", FEATURE_OK, NULL, "/sys/kernel/btf/vmlinux");
	else
		add(list, "BTF", FEATURE_MISSING, "use a kernel with CONFIG_DEBUG_INFO_BTF",
		    "/sys/kernel/btf/vmlinux: %s", strerror(errno));
}

/* The word in brackets is the mode. */
static void probe_lockdown(struct feature_list *list)
{
	char text[128] = "";
	int fd = open("/sys/kernel/security/lockdown", O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	char *mode = size > 0 ? strchr(text, '[') : NULL;

	if (fd >= 0)
		close(fd);
	if (!mode) {
		add(list, "lockdown", FEATURE_OK, NULL, "not in this kernel, or not to be seen");
		return;
	}
	mode[strcspn(mode, "]")] = '\0';
	add(list, "lockdown", FEATURE_OK, NULL,
	    "%.40s (the BPF programs read kernel memory through BTF only)", mode + 1);
}

/* ---- capabilities ------------------------------------------------------------- */

static uint64_t effective_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data))
		return 0;
	return data[0].effective | (uint64_t)data[1].effective << 32;
}

static const struct {
	const char *name;
	unsigned number;
	bool needed;
	const char *advice;
} capabilities[] = {
	{"CAP_BPF", CAP_BPF, true, "BPF programs cannot be loaded without it"},
	{"CAP_PERFMON", CAP_PERFMON, true, "probes cannot be placed without it"},
	{"CAP_SYS_PTRACE", CAP_SYS_PTRACE, false,
	 "other users' processes are not found without it, and cannot be searched"},
	{"CAP_DAC_READ_SEARCH", CAP_DAC_READ_SEARCH, false,
	 "other users' programs cannot be opened without it"},
	{"CAP_SETUID", CAP_SETUID, false,
	 "the sandbox that reads names and lines needs it: addresses are shown"},
	{"CAP_SETGID", CAP_SETGID, false,
	 "the sandbox that reads names and lines needs it: addresses are shown"},
};

/* CAP_SYS_ADMIN stands for these two, as it did before Linux 5.8. */
static bool has(uint64_t effective, unsigned number)
{
	uint64_t wanted = UINT64_C(1) << number;

	if (number == CAP_BPF || number == CAP_PERFMON)
		wanted |= UINT64_C(1) << CAP_SYS_ADMIN;
	return effective & wanted;
}

static void probe_capabilities(struct feature_list *list)
{
	uint64_t effective = effective_capabilities();

	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
		bool there = has(effective, capabilities[i].number);
		enum feature_state lacking =
			capabilities[i].needed ? FEATURE_MISSING : FEATURE_DEGRADED;

		add(list, capabilities[i].name, there ? FEATURE_OK : lacking,
		    there ? NULL : capabilities[i].advice, there ? "yes" : "no");
	}
}

/* ---- loading and attaching ------------------------------------------------------- */

static const char *method_text(enum attach_method method)
{
	return method == ATTACH_UPROBE_MULTI
		       ? "uprobe_multi: one link for each file, CAP_SYS_ADMIN not needed"
		       : "perf events: CAP_SYS_ADMIN needed, and 0.1 s a probe to take out";
}

/* The very programs of the observer, with its very maps. */
static void probe_load(struct feature_list *list)
{
	const struct attach_options options = {0};
	struct attacher *attacher = NULL;
	enum attach_method method;
	char *why = NULL;

	if (attacher_new(&options, &attacher, &why)) {
		add(list, "BPF programs", FEATURE_MISSING, "see the lines above", "%.150s",
		    why ? why : "out of memory");
		free(why);
		return;
	}
	method = attacher_method(attacher);
	add(list, "BPF programs", FEATURE_OK, NULL, "loaded, and attached to exec and exit");
	add(list, "probes by", method == ATTACH_UPROBE_MULTI ? FEATURE_OK : FEATURE_DEGRADED,
	    method == ATTACH_UPROBE_MULTI ? NULL : "Linux 6.6 has uprobe_multi", "%s",
	    method_text(method));
	attacher_free(attacher);
}

static void probe_namespace(struct feature_list *list)
{
	static const char initial[] = "pid:[4026531836]"; /* PROC_PID_INIT_INO, fixed */
	char name[64];
	ssize_t length = readlink("/proc/self/ns/pid", name, sizeof(name) - 1);

	name[length > 0 ? length : 0] = '\0';
	if (!strcmp(name, initial))
		add(list, "PID namespace", FEATURE_OK, NULL, "the host's");
	else
		add(list, "PID namespace", FEATURE_MISSING,
		    "run it on the host, or in a container with --pid=host",
		    "not the host's: the kernel names processes by other numbers");
}

void feature_probe(struct feature_list *ret_list)
{
	*ret_list = (struct feature_list){0};
	probe_kernel(ret_list);
	probe_namespace(ret_list);
	probe_btf(ret_list);
	probe_lockdown(ret_list);
	probe_capabilities(ret_list);
	probe_load(ret_list);
}

bool feature_usable(const struct feature_list *list)
{
	for (unsigned i = 0; i < list->count; i++)
		if (list->features[i].state == FEATURE_MISSING)
			return false;
	return true;
}

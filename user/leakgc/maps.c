/* SPDX-License-Identifier: MIT */
/* Parse /proc/PID/maps and smaps from raw reads: no allocation, no stdio. */
#include "leakgc/maps.h"

#include <errno.h>
#include <string.h>

#include "leakgc/syscall.h"

struct text {
	const char *at;
	const char *end;
};

static bool take_hex(struct text *t, uintptr_t *ret_value)
{
	const char *start = t->at;
	uintptr_t value = 0;

	for (; t->at < t->end; t->at++) {
		char c = *t->at;
		unsigned digit;

		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (unsigned)(c - 'a') + 10;
		else
			break;
		if (value >> (8 * sizeof(value) - 4))
			return false;
		value = value << 4 | digit;
	}
	*ret_value = value;
	return t->at > start;
}

static bool take_char(struct text *t, char c)
{
	if (t->at == t->end || *t->at != c)
		return false;
	t->at++;
	return true;
}

static void skip_field(struct text *t)
{
	while (t->at < t->end && *t->at != ' ')
		t->at++;
	while (t->at < t->end && *t->at == ' ')
		t->at++;
}

static bool starts_with(const struct text *t, const char *prefix)
{
	size_t length = strlen(prefix);

	return (size_t)(t->end - t->at) >= length && !memcmp(t->at, prefix, length);
}

static bool is_text(const struct text *t, const char *text)
{
	return starts_with(t, text) && (size_t)(t->end - t->at) == strlen(text);
}

static bool ends_with(const struct text *t, const char *suffix)
{
	size_t length = strlen(suffix);

	return (size_t)(t->end - t->at) >= length && !memcmp(t->end - length, suffix, length);
}

static enum leakgc_backing backing_of(const struct text *name)
{
	/* Pages that the kernel maps into every process; the program stores nothing there. */
	static const char *const kernel[] = {"[vdso]",     "[vvar]",    "[vvar_vclock]",
					     "[vsyscall]", "[vectors]", "[sigpage]"};

	for (size_t i = 0; i < sizeof(kernel) / sizeof(kernel[0]); i++)
		if (is_text(name, kernel[i]))
			return LEAKGC_BACKING_KERNEL;
	if (is_text(name, "[uprobes]") || is_text(name, "[uprobes-trampoline]"))
		return LEAKGC_BACKING_UPROBES;
	if (starts_with(name, "/[aio]"))
		return LEAKGC_BACKING_AIO;
	if (name->at == name->end || *name->at == '[')
		return LEAKGC_BACKING_ANONYMOUS;
	if (starts_with(name, "/dev/shm/") || starts_with(name, "/dev/zero") ||
	    starts_with(name, "/memfd:") || starts_with(name, "/SYSV") ||
	    starts_with(name, "/anon_hugepage") || ends_with(name, " (deleted)"))
		return LEAKGC_BACKING_ANONYMOUS;
	if (starts_with(name, "/dev/") || starts_with(name, "anon_inode:"))
		return LEAKGC_BACKING_DEVICE;
	return LEAKGC_BACKING_FILE;
}

int leakgc_parse_region(const char *line, size_t length, struct leakgc_region *ret_region)
{
	struct text t = {line, line + length};
	struct leakgc_region region = {0};

	/* Key lines of smaps start with a capital, addresses are in small letters. */
	if (!length || (line[0] >= 'A' && line[0] <= 'Z'))
		return 0;
	if (!take_hex(&t, &region.lo) || !take_char(&t, '-') || !take_hex(&t, &region.hi) ||
	    !take_char(&t, ' ') || region.hi < region.lo || t.end - t.at < 5 || t.at[4] != ' ')
		return -EINVAL;
	region.readable = t.at[0] == 'r';
	region.writable = t.at[1] == 'w';
	if (t.at[3] != 's' && t.at[3] != 'p')
		return -EINVAL;
	region.shared = t.at[3] == 's';
	for (int field = 0; field < 4; field++) /* protection, offset, device, inode */
		skip_field(&t);
	region.backing = backing_of(&t);
	/* A private mapping of a deleted file still shows that file where it was not written. */
	if (!region.shared && ends_with(&t, " (deleted)") && !starts_with(&t, "/dev/zero") &&
	    !starts_with(&t, "/anon_hugepage"))
		region.backing = LEAKGC_BACKING_FILE;
	if (starts_with(&t, "/anon_hugepage"))
		region.vm_flags |= LEAKGC_VM_HUGETLB;
	*ret_region = region;
	return 1;
}

int leakgc_parse_vm_flags(const char *line, size_t length, unsigned *ret_flags)
{
	static const struct {
		char name[3];
		unsigned flag;
	} known[] = {
		{"wf", LEAKGC_VM_WIPEONFORK},
		{"dc", LEAKGC_VM_DONTFORK},
		{"ht", LEAKGC_VM_HUGETLB},
		{"mw", LEAKGC_VM_MAY_WRITE},
	};
	struct text t = {line, line + length};
	unsigned flags = 0;

	if (!starts_with(&t, "VmFlags:"))
		return 0;
	skip_field(&t);
	for (; t.end - t.at >= 2; skip_field(&t))
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (!memcmp(t.at, known[i].name, 2))
				flags |= known[i].flag;
	*ret_flags = flags;
	return 1;
}

struct walk {
	leakgc_region_fn fn;
	void *context;
	struct leakgc_region region; /* not handed out yet: its flags may follow */
	bool pending;
};

static int hand_out(struct walk *w)
{
	if (!w->pending)
		return 0;
	w->pending = false;
	return w->fn(w->context, &w->region);
}

static int take_line(struct walk *w, const char *line, size_t length)
{
	struct leakgc_region region;
	unsigned flags;
	int r = leakgc_parse_region(line, length, &region);

	if (r < 0)
		return r;
	if (r > 0) {
		r = hand_out(w);
		if (r)
			return r;
		w->region = region;
		w->pending = true;
	} else if (w->pending && leakgc_parse_vm_flags(line, length, &flags)) {
		w->region.vm_flags |= flags;
	}
	return 0;
}

int leakgc_walk_maps(int fd, char *buffer, size_t size, leakgc_region_fn fn, void *context)
{
	struct walk w = {.fn = fn, .context = context};
	size_t have = 0;
	int r;

	for (;;) {
		long n = leakgc_read_fd(fd, buffer + have, size - have);
		char *line = buffer, *newline;

		if (n < 0)
			return (int)n;
		if (n == 0)
			return have ? -EINVAL : hand_out(&w);
		have += (size_t)n;
		while ((newline = memchr(line, '\n', have - (size_t)(line - buffer)))) {
			r = take_line(&w, line, (size_t)(newline - line));
			if (r)
				return r;
			line = newline + 1;
		}
		have -= (size_t)(line - buffer);
		memmove(buffer, line, have);
		if (have == size)
			return -E2BIG;
	}
}

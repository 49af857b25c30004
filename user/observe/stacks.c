/* SPDX-License-Identifier: MIT */
/*
 * Copies parked stacks by process_vm_readv, in a child that may hang.
 *
 * K1. Every address comes from the target. They reach nothing but the target's own
 *     memory, and sizes are bounded here.
 * K2. One call reads generation, stack, generation, in this order: if both are what
 *     the park's record said, the stack between them is that of the park.
 * K3. The pid was the target's own during the read if the target is alive after it.
 */
#include "observe/stacks.h"

#include <errno.h>
#include <sys/uio.h>
#include "observe/disposable.h"

/* Deeper stacks are cut: a frame is rarely above 200 bytes, so these are some 150 frames. */
#define STACK_BYTES_MAX (32u << 10)
#define TIMEOUT_NS      1000000000LL

/* In the shared buffer, one a task; its stack follows. */
struct slot {
	uint64_t before, after; /* the generation word */
	int64_t result;         /* bytes that were read, or -errno */
	uint8_t stack[];
};

struct job {
	pid_t pid;
	const struct collected_task *tasks;
	size_t count;
};

static size_t stack_size(const struct waiting_task *w)
{
	uint64_t size = w->stack_hi > w->sp ? w->stack_hi - w->sp : 0;

	return size > STACK_BYTES_MAX ? STACK_BYTES_MAX : size;
}

static size_t slot_size(const struct waiting_task *w)
{
	return (sizeof(struct slot) + stack_size(w) + 7) & ~(size_t)7;
}

static void read_stack(pid_t pid, const struct waiting_task *w, struct slot *slot)
{
	void *generation = (void *)(uintptr_t)w->generation_addr;
	size_t size = stack_size(w);
	struct iovec local[] = {{&slot->before, 8}, {slot->stack, size}, {&slot->after, 8}};
	struct iovec remote[] = {
		{generation, 8}, {(void *)(uintptr_t)w->sp, size}, {generation, 8}};
	ssize_t got = process_vm_readv(pid, local, 3, remote, 3, 0);

	slot->result = got < 0 ? -errno : got;
}

static ssize_t read_stacks(void *context, void *buffer, size_t room)
{
	const struct job *job = context;
	size_t used = 0;

	for (size_t i = 0; i < job->count; i++) {
		const struct waiting_task *w = &job->tasks[i].task;

		if (used + slot_size(w) > room)
			return -ENOSPC;
		read_stack(job->pid, w, (struct slot *)((uint8_t *)buffer + used));
		used += slot_size(w);
	}
	return (ssize_t)used;
}

static struct stack_copy judge(const struct waiting_task *w, const struct slot *slot)
{
	size_t size = stack_size(w);

	if (slot->result >= 8 && slot->before != w->generation)
		return (struct stack_copy){.state = STACK_ENDED};
	if (!size || slot->result != (int64_t)(size + 16))
		return (struct stack_copy){.state = STACK_UNREADABLE};
	if (slot->after != w->generation)
		return (struct stack_copy){.state = STACK_ENDED};
	return (struct stack_copy){.state = STACK_READ, .bytes = slot->stack, .size = size};
}

int stacks_read(const struct target *t, const struct collected_task *tasks, size_t count,
		struct stack_copies *ret_copies)
{
	struct job job = {.pid = t->pid, .tasks = tasks, .count = count};
	const uint8_t *at;
	void *buffer;
	size_t room = 0;
	ssize_t used;

	for (size_t i = 0; i < count; i++)
		room += slot_size(&tasks[i].task);
	used = disposable_run(read_stacks, &job, room, TIMEOUT_NS, &buffer);
	if (used < 0)
		return (int)used;
	if (!target_alive(t)) {
		disposable_buffer_free(buffer, room);
		return -ESRCH;
	}
	at = buffer;
	for (size_t i = 0; i < count; i++) {
		ret_copies->copy[i] = judge(&tasks[i].task, (const struct slot *)at);
		at += slot_size(&tasks[i].task);
	}
	ret_copies->buffer = buffer;
	ret_copies->room = room;
	return 0;
}

void stacks_done(struct stack_copies *copies)
{
	disposable_buffer_free(copies->buffer, copies->room);
}

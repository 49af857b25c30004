/* SPDX-License-Identifier: MIT */
/* Turns addresses and copied stacks into frames with names. */
#include "observe/naming.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define FRAMES_MAX 128
#define RETRY_NS   1000000000LL

/* Frames that were named already, by address: tasks of a site share all of theirs. */
#define CACHE_SIZE 256

struct cached_frame {
	bool used, is_return;
	struct model_frame frame;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

void naming_prepare(struct naming *n, struct symboliser *symboliser, const struct target *t)
{
	n->symboliser = symboliser;
	if (!symboliser || n->symbols || now_ns() < n->retry_ns)
		return;
	if (symbol_process_new(symboliser, t->proc_fd, t->pid, &n->symbols)) {
		n->symbols = NULL;
		n->retry_ns = now_ns() + RETRY_NS;
	}
}

void naming_done(struct naming *n)
{
	for (size_t i = 0; n->cache && i < CACHE_SIZE; i++)
		model_frame_done(&n->cache[i].frame);
	free(n->cache);
	symbol_process_free(n->symbols);
	*n = (struct naming){0};
}

static int resolve(struct naming *n, uint64_t pc, bool is_return, struct model_frame *ret_frame)
{
	struct symbol_location location = {0};
	int error = n->symbols ? symbol_resolve(n->symbols, pc, is_return, &location) : 0;

	if (error)
		return error;
	*ret_frame = (struct model_frame){
		.pc = pc,
		.function = location.function,
		.file = location.file,
		.line = location.line,
		.function_offset = location.function_offset,
		.module = location.module,
		.module_offset = location.module_offset,
	};
	return 0;
}

int naming_frame(struct naming *n, uint64_t pc, bool is_return, struct model_frame *ret_frame)
{
	struct cached_frame *c;
	int error;

	if (!n->cache)
		n->cache = calloc(CACHE_SIZE, sizeof(*n->cache));
	if (!n->cache)
		return -ENOMEM;
	c = &n->cache[(pc ^ (pc >> 8)) % CACHE_SIZE];
	/* What was not in any mapping may be by now. */
	if (!c->used || c->frame.pc != pc || c->is_return != is_return || !c->frame.module) {
		model_frame_done(&c->frame);
		*c = (struct cached_frame){0};
		error = resolve(n, pc, is_return, &c->frame);
		if (error)
			return error;
		c->used = true;
		c->is_return = is_return;
	}
	return model_frame_copy(&c->frame, ret_frame);
}

/*
 * A task's function returns into the runtime, at one address that its descriptor names: what is
 * there is of no interest, and having got there says that the walk is whole.
 */
static size_t end_stack(uint64_t end, const uint64_t *pcs, size_t count, bool *truncated)
{
	for (size_t i = 1; i < count && end; i++) {
		if (pcs[i] == end) {
			*truncated = false;
			return i;
		}
	}
	return count;
}

int naming_stack(struct naming *n, const struct target *t, const struct waiting_task *w,
		 const struct stack_copy *copy, struct model_stack *ret_stack)
{
	struct symbol_stack_copy stack = {
		.pc = w->pc, .sp = w->sp, .fp = w->fp, .bytes = copy->bytes, .size = copy->size};
	uint64_t end = t->descriptor.task_end_pc;
	uint64_t pcs[FRAMES_MAX] = {w->pc};
	size_t count = w->pc != 0;

	if (copy->state == STACK_READ && n->symbols)
		count = symbol_unwind(n->symbols, &stack, pcs, FRAMES_MAX, &ret_stack->truncated);
	else
		ret_stack->truncated = true;
	count = end_stack(end, pcs, count, &ret_stack->truncated);
	ret_stack->frames = calloc(count + 1, sizeof(*ret_stack->frames));
	if (!ret_stack->frames)
		return -ENOMEM;
	/* The function's last act was the call, made as a jump: its own frame is gone. */
	if (w->pc && w->pc == end) {
		ret_stack->truncated = false;
		ret_stack->count = 1;
		return naming_frame(n, w->fn, false, &ret_stack->frames[0]);
	}
	for (size_t i = 0; i < count; i++) {
		/* The innermost pc is one, too: where the blocking call returns to. */
		int error = naming_frame(n, pcs[i], true, &ret_stack->frames[i]);

		if (error)
			return error;
		ret_stack->count++;
	}
	return 0;
}

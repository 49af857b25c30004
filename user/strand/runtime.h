/* SPDX-License-Identifier: MIT */
/* The runtime of a process: its workers, its memory and its control thread. */
#ifndef STRAND_RUNTIME_H
#define STRAND_RUNTIME_H

#include <pthread.h>
#include "strand/block.h"
#include "strand/control.h"
#include "strand/memory.h"
#include "strand/object.h"
#include "strand/seed.h"
#include "strand/task.h"

#define WORKERS_MAX 256

struct runtime {
	struct memory memory;
	struct task_pool tasks;
	struct stack_pool stacks;
	struct object_pool *objects; /* the process's: it outlives the runtime */
	struct control control;
	struct block_pool blocking;
	struct worker **workers;
	unsigned worker_count;
	_Atomic unsigned next_worker; /* for spawns by plain threads */
	_Atomic unsigned idle;        /* workers that sleep */
	_Atomic unsigned looking;     /* workers that look for work before they sleep */
	_Atomic bool stopping;
	_Atomic bool unusual; /* stopping or seeded: to choose a task takes a closer look */
	struct seed seed;
	_Atomic unsigned announce_epoch; /* grows with each HELLO: announce everything anew */
	struct main_call *main_call; /* on the stack of strand_main: user data, not to be masked */
	int main_result;
};

/* The running runtime, NULL if there is none. It lies in its own mapping, so it is masked. */
struct runtime *runtime_get(void);

#endif

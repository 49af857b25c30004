/* SPDX-License-Identifier: MIT */
/* Handles of tasks, and scopes. */
#ifndef STRAND_HANDLE_H
#define STRAND_HANDLE_H

#include <strand.h>
#include "strand/list.h"
#include "strand/object.h"
#include "strand/task.h"

/* Two halves hold a reference: the users, and the task itself until it has ended. */
struct strand_task {
	struct object object; /* its lock protects everything but refs */
	_Atomic unsigned refs;
	struct task *task; /* NULL: it has ended */
	int result;
	struct list joiners;        /* struct waiter */
	struct strand_scope *scope; /* NULL: none */
	struct list in_scope;       /* of a task in a scope; the scope's lock */
};

struct strand_scope {
	struct object object; /* its lock protects everything */
	struct list handles;  /* strand_task.in_scope, of tasks that have not ended */
	struct list waiters;  /* of strand_scope_wait */
	strand_time limit;
	int result; /* the first that was negative */
	bool cancelled;
	bool closing;
};

/* A handle with two references, the caller's and the task's; its kind is not set yet. */
struct strand_task *handle_new(struct runtime *rt);

/* strand_cancel of a handle, also with the lock of its scope held. */
void handle_cancel(struct strand_task *handle);

/* A task of the scope has ended; its handle leaves the scope. */
void scope_task_ended(struct strand_scope *scope, struct strand_task *handle, int result);

/* The current task's function has returned. Wakes who waits for it. */
void handle_task_ended(struct task *task, int result);

#endif

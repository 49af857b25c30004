/* SPDX-License-Identifier: MIT */
/* Task-local storage. */
#ifndef STRAND_LOCAL_H
#define STRAND_LOCAL_H

struct task;

/* In a task whose function has returned: run the destructors of what it has set. */
void local_task_ended(struct task *task);

#endif

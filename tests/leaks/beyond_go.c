/* SPDX-License-Identifier: MIT */
/*
 * What Go's search cannot prove: locks in globals, which know their owners here, and waits
 * that Go does not have (semaphores, joins, scopes).
 */
#include "corpus.h"

/* One of each per instance; all reachable by everybody, for ever. */
static struct {
	struct strand_mutex a, b, seats[5];
	struct strand_rwlock rwlock;
	struct strand_once once;
} globals[CORPUS_INSTANCES];

#define GLOBAL(instance, member) (&globals[(uintptr_t)(instance)].member)

/* ---- one lock ------------------------------------------------------------------------ */

void beyond_lock_twice(void *instance)
{
	lock(GLOBAL(instance, a));
	lock(GLOBAL(instance, a));
}

void beyond_lock_and_end(void *instance)
{
	lock(GLOBAL(instance, a));
}

void beyond_owner_ended(void *instance)
{
	go_and_settle(beyond_lock_and_end, instance);
	lock(GLOBAL(instance, a));
}

void beyond_write_and_end(void *instance)
{
	write_lock(GLOBAL(instance, rwlock));
}

void beyond_writer_ended(void *instance)
{
	go_and_settle(beyond_write_and_end, instance);
	read_lock(GLOBAL(instance, rwlock));
}

void beyond_write(void *instance)
{
	write_lock(GLOBAL(instance, rwlock));
}

/* Read, a writer queues up, read again. */
void beyond_rwr(void *instance)
{
	read_lock(GLOBAL(instance, rwlock));
	go_and_settle(beyond_write, instance);
	read_lock(GLOBAL(instance, rwlock));
}

/* Waits for itself to end reading. */
void beyond_upgrade(void *instance)
{
	read_lock(GLOBAL(instance, rwlock));
	write_lock(GLOBAL(instance, rwlock));
}

void beyond_once_again(void *instance)
{
	must(strand_once(GLOBAL(instance, once), beyond_once_again, instance), "once");
}

/* ---- several locks ------------------------------------------------------------------- */

void beyond_ba(void *instance)
{
	lock(GLOBAL(instance, b));
	lock(GLOBAL(instance, a));
}

void beyond_ab(void *instance)
{
	lock(GLOBAL(instance, a));
	go_and_settle(beyond_ba, instance);
	lock(GLOBAL(instance, b));
}

struct beyond_philosopher {
	struct strand_mutex *left, *right;
	struct strand_chan *all_seated;
};

void beyond_philosopher(void *arg)
{
	struct beyond_philosopher me = *(struct beyond_philosopher *)arg;

	lock(me.left);
	recv_from(me.all_seated);
	lock(me.right);
}

/* Each holds one fork and waits for the next one's. */
void beyond_dinner(void *instance)
{
	struct strand_chan *all_seated = new_chan(0);

	for (int i = 0; i < 5; i++) {
		struct beyond_philosopher next = {
			GLOBAL(instance, seats[i]),
			GLOBAL(instance, seats[(i + 1) % 5]),
			all_seated,
		};

		go_and_settle(beyond_philosopher, &next);
	}
	close_chan(all_seated);
}

void beyond_queue_up(void *instance)
{
	lock(GLOBAL(instance, a));
}

/* Its owner is stuck in a channel, so all who want the lock are, too. */
void beyond_stuck_owner(void *instance)
{
	lock(GLOBAL(instance, a));
	for (int i = 0; i < 3; i++)
		go(beyond_queue_up, instance);
	recv_from(new_chan(0));
}

/* ---- waits that Go does not have ------------------------------------------------------ */

void beyond_semaphore(void *instance UNUSED_ARG)
{
	struct strand_semaphore semaphore = STRAND_SEMAPHORE_INIT(2);

	must(strand_semaphore_acquire(&semaphore, 3, STRAND_FOREVER), "acquire");
}

int beyond_never_ends(void *chan)
{
	recv_from(chan);
	return 0;
}

void beyond_join(void *instance UNUSED_ARG)
{
	struct strand_task *task = NULL;

	must(strand_spawn(NULL, beyond_never_ends, new_chan(0), &task), "spawn");
	must(strand_join(task, STRAND_FOREVER, NULL), "join");
}

struct beyond_couple {
	struct strand_task *tasks[2];
	struct strand_chan *all_there;
};

int beyond_join_other(void *arg)
{
	struct beyond_couple *couple = arg;
	struct strand_task *other;

	recv_from(couple->all_there);
	other = couple->tasks[0];
	couple->tasks[0] = couple->tasks[1];
	return strand_join(other, STRAND_FOREVER, NULL);
}

/* The first to wait takes the handle of the second; then the second takes the first's. */
void beyond_join_each_other(void *instance UNUSED_ARG)
{
	struct beyond_couple couple = {.all_there = new_chan(0)};

	for (int i = 1; i >= 0; i--) {
		must(strand_spawn(NULL, beyond_join_other, &couple, &couple.tasks[i]), "spawn");
		settle();
	}
	for (int i = 0; i < 2; i++) {
		send_to(couple.all_there);
		settle();
	}
}

void beyond_scope(void *instance UNUSED_ARG)
{
	struct strand_scope *scope = NULL;

	must(strand_scope_new(STRAND_FOREVER, &scope), "make a scope");
	must(strand_scope_go(scope, NULL, beyond_never_ends, new_chan(0)), "start in a scope");
	must(strand_scope_wait(scope), "wait for a scope");
}

const struct corpus_case beyond_go_cases[] = {
	{"beyond/global mutex, locked twice", beyond_lock_twice,
	 .leaks = {{"beyond_lock_twice", "mutex lock", 1}}},
	{"beyond/global mutex, owner ended", beyond_owner_ended,
	 .leaks = {{"beyond_owner_ended", "mutex lock", 1}}},
	{"beyond/global rwlock, writer ended", beyond_writer_ended,
	 .leaks = {{"beyond_writer_ended", "rwlock rlock", 1}}},
	{"beyond/global rwlock, RWR", beyond_rwr,
	 .leaks = {{"beyond_rwr", "rwlock rlock", 1}, {"beyond_write", "rwlock lock", 1}}},
	{"beyond/global rwlock, upgrade", beyond_upgrade,
	 .leaks = {{"beyond_upgrade", "rwlock lock", 1}}},
	{"beyond/global once, recursive", beyond_once_again,
	 .leaks = {{"beyond_once_again", "mutex lock", 1}}},
	{"beyond/global mutexes, AB-BA", beyond_ab,
	 .leaks = {{"beyond_ab", "mutex lock", 1}, {"beyond_ba", "mutex lock", 1}}},
	{"beyond/global mutexes, 5 philosophers", beyond_dinner,
	 .leaks = {{"beyond_philosopher", "mutex lock", 5}}},
	{"beyond/global mutex, owner stuck", beyond_stuck_owner,
	 .leaks = {{"beyond_stuck_owner", "chan receive", 1},
		   {"beyond_queue_up", "mutex lock", 3}}},
	{"beyond/semaphore", beyond_semaphore,
	 .leaks = {{"beyond_semaphore", "semaphore acquire", 1}}},
	{"beyond/join", beyond_join,
	 .leaks = {{"beyond_join", "join", 1}, {"beyond_never_ends", "chan receive", 1}}},
	{"beyond/join each other", beyond_join_each_other,
	 .leaks = {{"beyond_join_other", "join", 2}}},
	{"beyond/scope", beyond_scope,
	 .leaks = {{"beyond_scope", "scope wait", 1}, {"beyond_never_ends", "chan receive", 1}}},
	{0},
};

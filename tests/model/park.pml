/* SPDX-License-Identifier: MIT */
/*
 * Handing over a parked task: the lock of its wait object is held across the switch (S3 of
 * sched.c), and whoever gets it may wake the task.
 *
 * One task parks twice on one object, for a waker each; a deadline may come first. With
 * migration the task's worker passes it on, and another worker may run it. What holds:
 *   - nobody runs the task before its registers were saved, and nobody runs it twice at once;
 *   - the leak search, which may look at any moment, sees a task PARKED with the lock free only
 *     if the task is linked, so truly waits (task.h, hole 28);
 *   - the task always comes to its end.
 *
 * VARIANTS: STAYS MIGRATES
 * MUTANTS: UNLOCK_BEFORE_SWITCH READY_AFTER_UNLOCK INTERRUPT_WITHOUT_LOCK
 */
#define PARKS 2

mtype = { NEW, RUNNING, PARKED, READY }

mtype state = NEW
bool locked
bool linked
bool saved = true /* its registers, and so its stack may be switched to */
byte running      /* on how many workers */
byte inbox        /* of the task's worker */
byte fresh        /* where thieves look: only for a task that migrates */
byte parks, wakes, timeouts
byte owner        /* task->worker */
bool ended

inline take_lock() { atomic { !locked -> locked = true } }
inline drop_lock() { locked = false }

/* waiter_take and sleeper_wake, each time the task waits. */
proctype waker()
{
	bool won;

	do
	:: take_lock();
	   won = linked;
	   if
	   :: won ->
		linked = false;
#ifndef READY_AFTER_UNLOCK
		state = READY;
#endif
		wakes++
	   :: else
	   fi;
	   drop_lock();
	   if
	   :: won ->
#ifdef READY_AFTER_UNLOCK
		state = READY;
#endif
		inbox++
	   :: else
	   fi
	:: ended -> break
	od
}

/* The stack of the task is used from here... */
inline resume(me)
{
	assert(saved);
	owner = me;
	saved = false;
	state = RUNNING;
	running++;
	assert(running == 1);
	may_expire = true
}

/* ...to here: sched_park and, on another stack, finish_switch. */
inline park(me)
{
	take_lock();
	linked = true;
	parks++;
#ifdef UNLOCK_BEFORE_SWITCH
	drop_lock();
#endif
	running--;
	saved = true;
	state = PARKED;
#ifndef UNLOCK_BEFORE_SWITCH
	drop_lock();
#endif
}

/* sleeper_interrupt on the task's worker, for a passed deadline. */
inline interrupt()
{
	bool won;

#ifndef INTERRUPT_WITHOUT_LOCK
	take_lock();
#endif
	won = linked;
	if
	:: won ->
		linked = false;
		state = READY;
		timeouts++
	:: else
	fi;
#ifndef INTERRUPT_WITHOUT_LOCK
	drop_lock();
#endif
	if
	:: won -> fresh++ /* as good as its own queue: whoever takes it first */
	:: else
	fi
}

proctype worker(byte me)
{
	bool may_expire, got;

	do
	:: owner == me && inbox ->
		inbox--; /* take_inbox */
		fresh++
	:: owner == me && state == PARKED && may_expire ->
		may_expire = false;
		interrupt()
	:: atomic { fresh -> fresh--; got = true };
		resume(me);
		if
		:: parks < PARKS -> park(me)
		:: else -> running--; ended = true
		fi
	:: ended -> break
	od
}

/* Stops everybody at one moment. */
proctype search()
{
	do
	:: atomic { state == PARKED && !locked -> assert(linked) }
	:: ended -> break
	od
}

init {
	atomic {
		fresh = 1;
		run worker(0);
#ifdef MIGRATES
		run worker(1);
#endif
		run waker();
		run search()
	}
	_nr_pr == 1;
	assert(ended && parks == PARKS && wakes + timeouts == PARKS)
}

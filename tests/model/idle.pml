/* SPDX-License-Identifier: MIT */
/*
 * idle.c: a worker goes to sleep while others add work for it.
 *
 * Processors delay stores: a store goes into a buffer, and later loads of the same processor
 * may be done before it reaches memory (x86-TSO). So each pusher has a store buffer, emptied at
 * any time; atomic read-modify-writes, sequentially consistent stores and fences wait until
 * it is empty. Loads of a pusher are of words that it has not stored to.
 *
 * Two workers may sleep; a third one is busy, and its new tasks wait for a thief. What holds:
 * when nothing moves any more, no work is left that a sleeping worker would have to do.
 *
 * VARIANTS: BY_WAKER BY_THREAD BY_HELLO
 * MUTANTS: NO_FENCE NO_FENCE:BY_THREAD LOOK_BEFORE_SLEEPING KICK_BEFORE_PUSH
 * MUTANTS: NO_EPOCH_IN_LOOK:BY_HELLO LOOKS_UNTIL_ASLEEP LOOKS_UNTIL_ASLEEP:BY_THREAD
 */
#define WORKERS 2

mtype = { AWAKE, ON_FUTEX, IN_POLLER }

mtype sleeping[WORKERS] = AWAKE
bool in_futex[WORKERS]  /* the kernel has it on the futex's queue */
byte events[WORKERS]    /* of its eventfd */
byte inbox[WORKERS]
byte epoch
byte fresh[3]           /* new tasks of worker 0, of worker 1, and of the busy worker */
bool delayed[2]         /* stores of the pushers of new tasks */
byte idle_workers
byte looking            /* workers: while there are some, nobody is woken for new tasks */
byte served[WORKERS]    /* epochs */

/* ---- pushers ---------------------------------------------------------------------- */

/* A futex wakes who sleeps on it now; an eventfd keeps the kick. `flushed`: no store is delayed. */
inline idle_kick(w, flushed)
{
	if
	:: sleeping[w] != AWAKE ->
		atomic { flushed -> was = sleeping[w]; sleeping[w] = AWAKE }
		if
		:: was == ON_FUTEX -> in_futex[w] = false
		:: was == IN_POLLER -> events[w]++
		:: else
		fi
	:: else
	fi
}

/* inbox_push: the push is a compare-and-swap. Also sched_cancel, which has a list of its own. */
proctype waker(byte w)
{
	mtype was;

#ifdef KICK_BEFORE_PUSH
	idle_kick(w, true);
	inbox[w]++
#else
	inbox[w]++;
	idle_kick(w, true)
#endif
}

/* Of spawner and spawning_thread: a delayed store to a queue of new tasks. */
proctype store_buffer(byte who; byte queue)
{
end:	atomic { delayed[who] -> delayed[who] = false; fresh[queue]++ }
}

inline idle_kick_one(who)
{
	if
	:: looking
	:: else ->
		if
		:: !idle_workers
		:: else ->
			if
			:: sleeping[0] != AWAKE -> idle_kick(0, !delayed[who])
			:: else ->
				if
				:: sleeping[1] != AWAKE -> idle_kick(1, !delayed[who])
				:: else
				fi
			fi
		fi
	fi
}

/* To the end of fresh_push: lock_release_fully. */
inline push_fresh(who)
{
	delayed[who] = true;
#ifndef NO_FENCE
	!delayed[who]
#endif
}

/* The busy worker spawns a task, and goes on with something else. */
proctype spawner()
{
	mtype was;

	run store_buffer(0, 2);
	push_fresh(0);
	idle_kick_one(0)
}

/* spawn_from_thread: into the queue of worker 0, for whoever comes first. */
proctype spawning_thread()
{
	mtype was;

	run store_buffer(1, 0);
	push_fresh(1);
	if
	:: sleeping[0] != AWAKE -> idle_kick(0, !delayed[1])
	:: else -> idle_kick_one(1)
	fi
}

/* HELLO on the control pipe: everybody is to announce anew. */
proctype announcer()
{
	mtype was;

	epoch++;
	idle_kick(0, true);
	idle_kick(1, true)
}

/* ---- workers ------------------------------------------------------------------------ */

#ifdef NO_EPOCH_IN_LOOK
#define EPOCH_IS_NEW(w) false
#else
#define EPOCH_IS_NEW(w) (epoch != served[w])
#endif

/* One load after the other: others come in between. */
inline look(w, ret_work)
{
	ret_work = inbox[w] != 0;
	if
	:: !ret_work -> ret_work = EPOCH_IS_NEW(w)
	:: else
	fi;
	if
	:: !ret_work -> ret_work = fresh[0] != 0
	:: else
	fi;
	if
	:: !ret_work -> ret_work = fresh[1] != 0
	:: else
	fi;
	if
	:: !ret_work -> ret_work = fresh[2] != 0
	:: else
	fi
}

/* What poll_events, pick, steal and the sweep do until there is nothing left: here in one step. */
inline work_off(w)
{
	atomic {
		inbox[w] = 0;
		fresh[0] = 0;
		fresh[1] = 0;
		fresh[2] = 0;
		served[w] = epoch;
		if
		:: how = ON_FUTEX
		:: w == 0 -> how = IN_POLLER /* both ways for both would be three times the states */
		fi
	}
}

proctype worker(byte w)
{
	bool work;
	bool looked; /* and is still counted: the mutant */
	mtype how;

	do
	:: work_off(w);
	   if
	   :: skip /* it goes to sleep at once */
	   :: looking++;
	      look(w, work);
#ifdef LOOKS_UNTIL_ASLEEP
	      looked = true;
#else
	      looking--;
#endif
	      if
	      :: work -> goto found
	      :: else
	      fi
	   fi;
#ifdef LOOK_BEFORE_SLEEPING
	   look(w, work);
	   sleeping[w] = how;
	   idle_workers++;
#else
	   sleeping[w] = how; /* sequentially consistent, as is the next */
	   idle_workers++;
	   look(w, work);
#endif
	   looking = looking - looked;
	   looked = false;
	   if
	   :: work
	   :: !work && how == ON_FUTEX ->
		atomic { /* the kernel compares and queues in one */
			if
			:: sleeping[w] == ON_FUTEX -> in_futex[w] = true
			:: else
			fi
		}
end_futex:	!in_futex[w]
	   :: !work && how == IN_POLLER ->
end_poller:	atomic { events[w] > 0 -> events[w] = 0 }
	   fi;
	   idle_workers--;
	   sleeping[w] = AWAKE;
found:	   skip
	od
}

/* Nothing can move: then nothing may be left to do. */
proctype judge()
{
end:	timeout;
	assert(!inbox[0] && !inbox[1]);
	assert(!fresh[0] && !fresh[1] && !fresh[2]);
	assert(served[0] == epoch && served[1] == epoch)
}

init {
	atomic {
		run judge();
		run worker(0);
		run worker(1);
		run spawner();
#if defined(BY_THREAD)
		run spawning_thread()
#elif defined(BY_HELLO)
		run announcer()
#else
		run waker(0)
#endif
	}
}

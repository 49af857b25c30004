/* SPDX-License-Identifier: MIT */
/*
 * One select over two channels against senders, a deadline and a cancellation.
 *
 * Follows select.c and waiter.c. A sender that finds nobody to claim leaves its value in the
 * channel's buffer. What holds at each step:
 *   - the sleeper is claimed at most once, and made ready exactly then;
 *   - nobody touches a waiter or the sleeper after the select has returned: they lie on its stack;
 *   - a value is delivered or buffered, never both and never neither;
 *   - the select returns with no waiter linked, and always returns: in the end it is cancelled.
 *
 * MUTANTS: NO_FIRED INTERRUPT_BLINDLY NO_UNLINK NO_LOOK_AFTER_CANCEL
 */
#define NOBODY 9

bool locked[2]    /* of the channels */
bool linked[2]    /* the select's waiters */
byte buffered[2]
bool fired
bool parked       /* the task's state is PARKED */
byte winner = NOBODY
byte inbox        /* times the task is in its worker's inbox */
bool cancelled    /* the task's flag */
bool cancel_list  /* the task is on its worker's list */
bool has_deadline
bool returned
byte claims, delivered, sent

inline take_lock(c) { atomic { !locked[c] -> locked[c] = true } }
inline drop_lock(c) { locked[c] = false }

/* The sleeper's and the waiters' memory. */
inline touch() { assert(!returned) }

/* waiter_take, and what chan_try_send does with it. Some never come. */
proctype sender(byte c)
{
	bool was, won;

	if
	:: true
	:: goto stays_away
	fi;
	take_lock(c);
	if
	:: linked[c] ->
		touch();
		linked[c] = false;
		atomic { was = fired; fired = true }
#ifdef NO_FIRED
		was = false;
#endif
		if
		:: !was ->
			touch();
			winner = c;
			claims++;
			assert(claims == 1);
			parked = false;
			delivered++;
			won = true
		:: else -> buffered[c]++
		fi
	:: else -> buffered[c]++
	fi;
	sent++;
	drop_lock(c);
	if
	:: won -> touch(); atomic { inbox++; assert(inbox == 1) }
	:: else
	fi;
stays_away:
	skip
}

/* strand_cancel: the flag first, then the list. */
proctype canceller()
{
	cancelled = true;
	cancel_list = true
}

/* sleeper_interrupt. On the task's worker, so the task does not run meanwhile. */
inline interrupt(ret_won)
{
	atomic { ret_won = !fired; fired = true }
#ifdef INTERRUPT_BLINDLY
	ret_won = true;
#endif
	if
	:: ret_won -> claims++; assert(claims == 1); parked = false
	:: else
	fi
}

/* The task's worker: the task itself, and between its parking and its return the loop. */
proctype worker()
{
	bool won, expires;

	if
	:: has_deadline = true
	:: has_deadline = false
	fi;
	expires = has_deadline;
	take_lock(0);
	take_lock(1);
	/* try_all begins anywhere. */
	if
	:: buffered[0] -> buffered[0]--; delivered++; drop_lock(1); drop_lock(0); goto ended
	:: buffered[1] -> buffered[1]--; delivered++; drop_lock(1); drop_lock(0); goto ended
	:: !buffered[0] && !buffered[1]
	fi;
	if
	:: cancelled -> drop_lock(1); drop_lock(0); goto ended /* wait_allowed */
	:: else
	fi;
	linked[0] = true;
	linked[1] = true;
	parked = true; /* finish_switch: on another stack from here on */
	drop_lock(1);
	drop_lock(0);
	do
	:: inbox -> inbox--; break
	:: expires ->
		expires = false; /* off the heap of timers */
		interrupt(won);
		if
		:: won -> break
		:: else /* who has claimed it brings it here */
		fi
#ifndef NO_LOOK_AFTER_CANCEL
	:: cancel_list ->
		cancel_list = false;
		if
		:: parked ->
			interrupt(won);
			if
			:: won -> break
			:: else
			fi
		:: else
		fi
#endif
	od;
	/* unlink_all */
#ifndef NO_UNLINK
	take_lock(0);
	take_lock(1);
	linked[0] = false;
	linked[1] = false;
	drop_lock(1);
	drop_lock(0);
	assert(!linked[0] && !linked[1]);
#endif
	assert(claims == 1);
	assert((winner != NOBODY) == (delivered == 1));
ended:
	returned = true
}

/*
 * The leak search, at any moment: who is parked has not been claimed (task.h, hole 28). Who has a
 * deadline or is cancelled is no candidate anyway (leaks.c).
 */
proctype search()
{
	atomic {
		if
		:: parked && !locked[0] && !locked[1] && !cancelled && !has_deadline ->
			assert(claims == 0)
		:: else
		fi
	}
}

init {
	atomic {
		run worker();
		run sender(0);
		run sender(1);
		run sender(0);
		run canceller();
		run search()
	}
	_nr_pr == 1;
	assert(returned);
	assert(delivered + buffered[0] + buffered[1] == sent);
	assert(delivered <= 1)
}

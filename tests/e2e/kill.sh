#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Sudden deaths: of the observer during a search, and of the process that searches. In both cases
# the observed process lives on, without probes and without a verdict.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

readonly target=$build/tests/e2e/big_heap

start_target() { # MEGABYTES: process id in $REPLY
	local pid
	background target "$target" "$1" 300
	pid=$REPLY
	wait_for 30 'the target to be ready' grep -qx "$pid ready" "$scratch/target.out"
	REPLY=$pid
}

assert_works_on() { # PID: its count of naps still grows
	local naps
	assert_alive 'the target' "$1"
	naps=$(tail -n 1 "$scratch/target.out")
	wait_for 10 'the target to work on' naps_beyond "$naps"
}

naps_beyond() {
	[ "$(tail -n 1 "$scratch/target.out")" -gt "$1" ]
}

# The probes' reference counter in the target's memory: how many uprobes hold it up.
semaphore() { # PID
	local base address
	# Not the first line: the kernel may have put its uprobe trampoline before the program.
	base=$(awk -F- '/\/big_heap$/ { print $1; exit }' "/proc/$1/maps")
	address=$(nm "$target" | awk '$3 == "strand_probe_semaphore" { print $1 }')
	[ -n "$address" ] || fail 'the target has no symbol strand_probe_semaphore'
	dd if="/proc/$1/mem" bs=1 count=2 skip=$((16#$base + 16#$address)) 2>/dev/null |
		od -An -tu2 | tr -d ' '
}

semaphore_is_zero() {
	[ "$(semaphore "$1")" = 0 ]
}

observed() {
	[ "$(semaphore "$1")" -gt 0 ]
}

# stop_search PID: wait for the process that searches, and stop it; its id in $REPLY. While it is
# stopped the search goes on for as long as the test wants it to.
stop_search() {
	local deadline=$((SECONDS + 30)) child
	while [ "$SECONDS" -lt "$deadline" ]; do
		child=$(pgrep -P "$1" | head -n 1) || true
		if [ -n "$child" ] && kill -STOP "$child" 2>/dev/null; then
			started+=("$child")
			REPLY=$child
			return
		fi
	done
	fail 'no searching process appeared'
}

test_observer_killed() {
	local pid observer child
	start_target 300
	pid=$REPLY
	assert_equal 'semaphore before' 0 "$(semaphore "$pid")"
	background observer "$build/stranded" leaks --pid "$pid"
	observer=$REPLY
	stop_search "$pid"
	child=$REPLY
	observed "$pid" || fail 'the target is not observed during the search'
	kill -KILL "$observer"
	wait "$observer" 2>/dev/null || true
	wait_for 30 'the probes to vanish' semaphore_is_zero "$pid"
	assert_works_on "$pid"
	# It searches at idle priority, which on a busy machine is never.
	chrt --other --pid 0 "$child"
	kill -CONT "$child"
	wait_for 30 'the search to end' not_alive "$child"
	assert_works_on "$pid"
}

not_alive() {
	! alive "$1"
}

# Nothing stays behind that would keep a second observer from working.
test_second_observer() {
	local pid first
	example a_sender
	pid=$REPLY
	background first "$build/stranded" top -b -n 1000 -d 0.2
	first=$REPLY
	wait_for 20 'the first observer to see it' grep -qE "^ *$pid " "$scratch/first.out"
	kill -KILL "$first"
	wait "$first" 2>/dev/null || true
	observe leaks --pid "$pid"
	assert_equal 'exit status' 0 "$status"
	assert_match 'the second observer' '^goroutine [0-9]+ \[chan send \(leaked\)' "$(<"$scratch/out")"
}

test_search_killed() {
	local pid observer child
	start_target 300
	pid=$REPLY
	background observer "$build/stranded" leaks --pid "$pid"
	observer=$REPLY
	stop_search "$pid"
	child=$REPLY
	kill -KILL "$child"
	wait "$observer" && status=0 || status=$?
	assert_no_match 'verdicts' '\(leaked\)' "$(<"$scratch/observer.out")"
	assert_match 'why there are none' 'the searching process died' "$(<"$scratch/observer.err")"
	assert_works_on "$pid"
}

if [ "$(id -u)" -ne 0 ] || [ ! -r /sys/kernel/btf/vmlinux ]; then
	run_test 'sudden deaths' need_root
	finish
fi
run_test 'kill -9 of the observer during a search' test_observer_killed
run_test 'a second observer after a kill -9' test_second_observer
run_test 'kill -9 of the searching process' test_search_killed
finish

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What cannot be observed is said in one clear line with its cause, and the status is not 0.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# Everything on stderr is one line that starts with our name.
assert_one_line() { # PATTERN
	assert_equal 'lines on stderr' 1 "$(wc -l <"$scratch/err")"
	assert_match 'stderr' "^stranded: .*$1" "$(<"$scratch/err")"
}

test_not_root() { # SUBCOMMAND...
	[ "$(id -u)" -eq 0 ] || skip 'needs root, to become somebody else'
	# A copy that nobody may run, too, wherever the tree lies.
	chmod 755 "$scratch"
	cp "$build/stranded" "$scratch/stranded"
	status=0
	(cd / && timeout 60 setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all \
		"$scratch/stranded" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null) || status=$?
	rm "$scratch/stranded"
	[ "$status" -ne 0 ] || fail 'exit status is 0'
	assert_equal 'stdout' '' "$(<"$scratch/out")"
	assert_one_line '(root|CAP_)'
}

test_no_such_process() {
	local pid
	need_root
	background gone true
	pid=$REPLY
	wait "$pid"
	observe leaks --pid "$pid"
	[ "$status" -ne 0 ] || fail 'exit status is 0'
	assert_one_line "$pid"
}

# A process that dies while it is being searched: a line about it, and the observer ends.
test_vanishes_during_search() {
	local pid observer child deadline=$((SECONDS + 30))
	need_root
	background target "$build/tests/e2e/big_heap" 300 300
	pid=$REPLY
	wait_for 30 'the target to be ready' grep -qx "$pid ready" "$scratch/target.out"
	background observer "$build/stranded" leaks --pid "$pid"
	observer=$REPLY
	until child=$(pgrep -P "$pid"); do
		[ "$SECONDS" -lt "$deadline" ] || fail 'no searching process appeared'
	done
	kill -KILL "$pid"
	status=0
	wait "$observer" || status=$?
	wait_for 20 'the searching process to go with it' not_alive "$child"
	assert_no_match 'verdicts' '\(leaked\)' "$(<"$scratch/observer.out")"
	assert_match 'stderr' "^stranded: .*$pid" "$(<"$scratch/observer.err")"
}

not_alive() {
	! alive "$1"
}

test_usage() { # ARGUMENT...
	observe "$@"
	assert_equal 'exit status' 2 "$status"
	assert_equal 'stdout' '' "$(<"$scratch/out")"
	assert_match 'stderr' '^stranded' "$(<"$scratch/err")"
}

run_test 'leaks, not root' test_not_root leaks
run_test 'snapshot, not root' test_not_root snapshot -o json
run_test 'top, not root' test_not_root top -b -n 1
run_test 'leaks of a process that is gone' test_no_such_process
run_test 'a process that dies during its search' test_vanishes_during_search
run_test 'usage: unknown subcommand' test_usage nonsense
run_test 'usage: unknown option' test_usage leaks --nonsense
run_test 'usage: no number' test_usage leaks --pid 12x
finish

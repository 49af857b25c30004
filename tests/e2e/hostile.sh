#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Targets that are broken or lie (fake_runtime). Each time one clear line names the process and the
# cause, nothing is reported as leaked, and the good process beside it is reported as ever.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# fake OPTION...: start a target with one parked task; process id in $REPLY. It is driven through
# descriptor 3.
fake() {
	local pid
	mkfifo "$scratch/commands"
	"$build/tests/e2e/fake_runtime" "$@" <"$scratch/commands" >"$scratch/fake.out" \
		2>"$scratch/fake.err" &
	pid=$!
	started+=("$pid")
	exec 3>"$scratch/commands"
	wait_for 10 'the fake to be ready' grep -qx ready "$scratch/fake.out"
	tell 'park 7 1 5000'
	tell 'leak 7'
	REPLY=$pid
}

tell() { # COMMAND: and wait until it is done
	local answers
	answers=$(wc -l <"$scratch/fake.out")
	echo "$1" >&3
	wait_for 10 "an answer to '$1'" answered "$answers"
	assert_equal "answer to '$1'" ok "$(tail -n 1 "$scratch/fake.out")"
}

answered() {
	[ "$(wc -l <"$scratch/fake.out")" -gt "$1" ]
}

# Without this, none of the tests below could tell a refused target from one that is never seen.
test_well_behaved() {
	local pid
	fake
	pid=$REPLY
	observe leaks --pid "$pid"
	assert_equal 'exit status' 0 "$status"
	assert_match 'the leak' '^goroutine 7 \[chan receive \(leaked\)' "$(<"$scratch/out")"
}

# OPTION: what is wrong; PATTERN: how stderr names the cause. The fake's process id in $REPLY.
beside_a_good_one() { # OPTION PATTERN
	local pid good
	fake "$1"
	pid=$REPLY
	example a_sender
	good=$REPLY
	observe leaks
	assert_equal 'exit status' 0 "$status"
	assert_no_match 'stdout' '^goroutine 7 ' "$(<"$scratch/out")"
	assert_match 'the good process' 'ask_backend\(' "$(<"$scratch/out")"
	assert_equal "lines about process $pid" 1 "$(grep -c "$pid" "$scratch/err")"
	assert_match 'stderr' "^stranded: .*\b$pid\b.*$2" "$(grep "$pid" "$scratch/err")"
	assert_alive 'the fake' "$pid"
	assert_alive 'a_sender' "$good"
	REPLY=$pid
}

test_hostile() { # OPTION PATTERN
	beside_a_good_one "$1" "$2"
	# Alone, it leaves nothing that could be observed.
	observe leaks --pid "$REPLY"
	[ "$status" -ne 0 ] || fail 'the exit status for this process alone is 0'
}

# Searches that end without a verdict were observed all the same.
test_no_verdict() { # REPORT PATTERN
	local pid
	fake "--report=$1"
	pid=$REPLY
	observe leaks --pid "$pid"
	assert_no_match 'stdout' '\(leaked\)' "$(<"$scratch/out")"
	assert_match 'stderr' "\b$pid\b.*$2" "$(<"$scratch/err")"
	assert_alive 'the fake' "$pid"
}

# Records that are not what they say are dropped; what came before and comes after them stays.
test_bad_records() {
	local pid top
	fake
	pid=$REPLY
	background top "$build/stranded" top -b -n 1000 -d 0.2 --no-search
	top=$REPLY
	tell wait-probes
	tell wait-hello
	tell bad-records
	tell 'park 8 1 3000'
	wait_for 20 'both tasks' grep -qE "^ *$pid .* chan receive +2 " "$scratch/top.out"
	alive "$top" || fail 'the observer died of it'
	observe snapshot -o json
	assert_equal 'exit status' 0 "$status"
}

if [ "$(id -u)" -ne 0 ] || [ ! -r /sys/kernel/btf/vmlinux ]; then
	run_test 'hostile targets' need_root
	finish
fi
run_test 'a fake that behaves' test_well_behaved
run_test 'an unknown ABI version' test_hostile --abi=9 'ABI 9'
run_test 'no control pipe' test_hostile --no-pipe 'pipe'
run_test 'a closed control pipe' test_hostile --close-pipe 'pipe'
run_test 'a garbage report' test_hostile --report=garbage 'report'
run_test 'a truncated report' test_hostile --report=truncated 'report'
run_test 'an unsealed report' test_hostile --report=unsealed 'report'
run_test 'a report that is a pipe' test_hostile --report=pipe 'report'
run_test 'a report of another request' test_hostile --report=other-request 'report'
run_test 'no answer' beside_a_good_one --no-answer 'answer'
run_test 'an inconclusive report' test_no_verdict inconclusive 'time budget used up'
run_test 'a refused search' test_no_verdict refused 'searched too recently'
run_test 'malformed records' test_bad_records
finish

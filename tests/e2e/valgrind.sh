#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Programs that run under Valgrind: no findings that are not theirs, and no harm by an observer.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# start_on_valgrind EXAMPLE WORKERS SECONDS: under memcheck, until it has leaked; pid in $REPLY.
start_on_valgrind() {
	local pid
	command -v valgrind >/dev/null || skip 'there is no valgrind'
	background valgrind env STRAND_WORKERS="$2" valgrind -q --error-exitcode=9 \
		"$build/examples/$1" "$3"
	pid=$REPLY
	wait_for 60 'the program to be ready' grep -q ' ready$' "$scratch/valgrind.out"
	REPLY=$pid
}

# Without the registration of stacks memcheck takes each switch for an error.
test_memcheck() { # EXAMPLE WORKERS
	local pid
	start_on_valgrind "$1" "$2" 1
	pid=$REPLY
	status=0
	wait "$pid" || status=$?
	assert_equal 'what memcheck says' '' "$(head -n 8 "$scratch/valgrind.err")"
	assert_equal 'exit status' 0 "$status"
}

announced_another() { # PID
	jq -e --argjson pid "$1" '.processes[] | select(.pid == $pid) | .tasks | length > 0' \
		"$scratch/out"
}

# Its page of the library has the breakpoints of the other process's probes, too.
test_survives_observer() {
	local pid other
	need_root
	start_on_valgrind a_sender 1 300
	pid=$REPLY
	example a_sender
	other=$REPLY
	observe snapshot -o json
	announced_another "$other" >/dev/null || fail 'the other process was not observed'
	observe top -b -n 2 -d 1
	assert_alive 'the program under Valgrind' "$pid"
	assert_equal 'what memcheck says' '' "$(head -n 8 "$scratch/valgrind.err")"
	assert_match 'stderr' "$pid .*cannot be searched: it has no control pipe .*Valgrind" "$(<"$scratch/err")"
}

run_test 'valgrind, memcheck finds nothing in an example' test_memcheck a_sender 1
run_test 'valgrind, memcheck finds nothing with two workers' test_memcheck c_range 2
run_test 'valgrind, a program survives an observer' test_survives_observer
finish

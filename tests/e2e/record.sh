#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What root records, an ordinary user can look at later, in every view, and it says the same.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# replay ARGUMENT...: as an ordinary user, who may not observe; $scratch/out, $scratch/err, $status.
replay() {
	status=0
	# Copies: the tree may lie where others may not look.
	cp -n "$build/stranded" "$scratch/stranded"
	chmod 755 "$scratch" "$scratch/stranded"
	chmod 644 "$scratch/seen"
	setpriv --reuid=65534 --regid=65534 --clear-groups -- timeout 60 "$scratch/stranded" "$@" \
		--replay "$scratch/seen" >"$scratch/out" 2>"$scratch/err" </dev/null || status=$?
}

test_replay() {
	local pid
	example a_sender
	pid=$REPLY
	observe record -o "$scratch/seen" -n 3 -d 0.2 --pid "$pid"
	assert_equal 'exit status of record' 0 "$status"
	kill -KILL "$pid"

	replay leaks
	assert_equal 'exit status of leaks' 0 "$status"
	assert_match 'the leak' '^goroutine [0-9]+ \[chan send \(leaked\)' "$(<"$scratch/out")"
	assert_match 'its line' "a_sender\.c:$(line_of a_sender LEAKS)" "$(<"$scratch/out")"
	replay snapshot -o json
	assert_equal 'exit status of snapshot' 0 "$status"
	assert_equal 'the process in JSON' "$pid" "$(jq '.processes[].pid' "$scratch/out")"
	replay top -b
	assert_equal 'exit status of top' 0 "$status"
	assert_equal 'blocks' 3 "$(grep -c '^stranded ' "$scratch/out")"
	replay leaks --pid 1
	assert_equal 'exit status for a process that is not in it' 3 "$status"
}

test_damaged() {
	example a_sender
	observe record -o "$scratch/seen" -n 1 --pid "$REPLY"
	truncate -s -3 "$scratch/seen"
	replay leaks
	assert_equal 'exit status' 3 "$status"
	assert_match 'stderr' '^stranded: cannot replay .*damaged' "$(<"$scratch/err")"
}

test_no_file_is_lost() {
	example a_sender
	echo precious >"$scratch/seen"
	observe record -o "$scratch/seen" -n 1 --pid "$REPLY"
	assert_equal 'exit status' 1 "$status"
	assert_equal 'the file' precious "$(<"$scratch/seen")"
}

if [ "$(id -u)" -ne 0 ] || [ ! -r /sys/kernel/btf/vmlinux ]; then
	run_test 'record and replay' need_root
	finish
fi
run_test 'a recording shows the same to an ordinary user' test_replay
run_test 'a damaged recording is refused' test_damaged
run_test 'a file that is there is not overwritten' test_no_file_is_lost
finish

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The five example programs, shared with debug information and static and stripped, seen by
# `stranded leaks`, `snapshot` and `top`, started before the observer and after it.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# What each program must show: leaked tasks, waiting tasks, wait reason, waiting function.
expectation() { # EXAMPLE
	case ${1%.static} in
	a_sender) echo '1 0 chan send:ask_backend' ;;
	b_receiver) echo '1 0 chan receive:apply_config' ;;
	c_range) echo '1 0 chan receive:consume' ;;
	d_close) echo '0 0 :' ;;
	e_global) echo '0 1 chan receive:consume' ;;
	esac
}

headers() { # FILE: the headers of the tasks printed
	grep -E '^goroutine [0-9]+ \[' "$1" || true
}

test_leaks() { # EXAMPLE
	local name=$1 pid leaked waiting reason found
	read -r leaked waiting reason < <(expectation "$name")
	example "$name"
	pid=$REPLY
	observe leaks --pid "$pid"
	assert_equal 'exit status' 0 "$status"
	found=$(headers "$scratch/out")
	assert_equal 'leaked tasks' "$leaked" "$(grep -c . <<<"$found" || true)"
	assert_alive "$name" "$pid"
	[ "$leaked" -eq 1 ] || return 0
	assert_match 'header' "^goroutine [0-9]+ \[${reason%%:*} \(leaked\)(, [0-9]+ minutes?)?\]:$" "$found"
	[[ $name != *.static ]] || return 0
	assert_match 'where it waits' "^${reason#*:}\(" "$(<"$scratch/out")"
	assert_match 'line of the wait' "/$name\.c:$(line_of "$name" LEAKS)( |$)" "$(<"$scratch/out")"
	assert_match 'line of the creation' "/$name\.c:$(line_of "$name" CREATES)( |$)" \
		"$(grep -A1 '^created by' "$scratch/out")"
}

# Why a task is leaked, and which variable keeps alive one that is not.
test_explain() {
	local pid task
	example a_sender
	pid=$REPLY
	observe leaks -o json --pid "$pid"
	task=$(jq -r '.processes[].tasks[0].id' "$scratch/out")
	observe explain "$pid" "$task"
	assert_equal 'exit status' 0 "$status"
	assert_match 'why' '^leaked: nothing else reaches what it waits for$' "$(<"$scratch/out")"
	assert_match 'memory' '^retains [1-9][0-9]* bytes$' "$(<"$scratch/out")"
	example e_global
	pid=$REPLY
	observe snapshot -o json --pid "$pid"
	task=$(jq -r '.processes[].tasks[] | select(.reason == "chan receive").id' "$scratch/out")
	observe explain "$pid" "$task"
	assert_equal 'exit status' 0 "$status"
	assert_match 'root' "^  global 'jobs' \(e_global\)$" "$(<"$scratch/out")"
	assert_match 'chain' '^  (→|->) channel at 0x[0-9a-f]+$' "$(<"$scratch/out")"
	observe explain "$pid" 999
	assert_equal 'exit status without such a task' 3 "$status"
	observe explain "$pid"
	assert_equal 'exit status without a task' 2 "$status"
}

# One document for all five processes at once.
test_snapshot() { # SUFFIX
	local suffix=$1 name pid leaked waiting reason task
	local -A pids=()
	for name in a_sender b_receiver c_range d_close e_global; do
		example "$name$suffix"
		pids[$name]=$REPLY
	done
	observe snapshot -o json
	assert_equal 'exit status' 0 "$status"
	jq -e '.schema == "stranded.snapshot/v1"' "$scratch/out" >/dev/null || fail 'wrong schema name'
	for name in "${!pids[@]}"; do
		pid=${pids[$name]}
		read -r leaked waiting reason < <(expectation "$name")
		jq --argjson pid "$pid" '.processes[] | select(.pid == $pid)' "$scratch/out" \
			>"$scratch/$name.json"
		# The main task's own nap is no finding.
		jq -c '.tasks[] | select(.reason != "sleep")' "$scratch/$name.json" >"$scratch/$name.tasks"
		assert_equal "$name: linking" "$([ "$suffix" ] && echo static || echo shared)" \
			"$(jq -r .linking "$scratch/$name.json")"
		assert_equal "$name: leaked" "$leaked" "$(grep -c '"state":"leaked"' "$scratch/$name.tasks" || true)"
		assert_equal "$name: waiting" "$waiting" "$(grep -c '"state":"waiting"' "$scratch/$name.tasks" || true)"
		assert_alive "$name" "$pid"
		[ "$((leaked + waiting))" -eq 1 ] || continue
		task=$(<"$scratch/$name.tasks")
		assert_equal "$name: reason" "${reason%%:*}" "$(jq -r .reason <<<"$task")"
		assert_equal "$name: verdict" "$([ "$leaked" -eq 1 ] && echo leaked || echo live)" \
			"$(jq -r .verdict <<<"$task")"
		jq -e '.waiting_seconds > 0 and .waiting_seconds < 300' <<<"$task" >/dev/null ||
			fail "$name: waiting_seconds is out of range: $task"
		[ -z "$suffix" ] || continue
		assert_equal "$name: function" "${reason#*:}" "$(jq -r '.stack[0].function' <<<"$task")"
		assert_equal "$name: line" "$(line_of "$name" "$([ "$leaked" -eq 1 ] && echo LEAKS || echo WAITS)")" \
			"$(jq -r '.stack[0].line' <<<"$task")"
		assert_equal "$name: created at" "$(line_of "$name" CREATES)" \
			"$(jq -r '.created_by.line' <<<"$task")"
	done
}

row_shown() { # PID PATTERN: is there a row of this process like this in the table so far?
	grep -E "^ *$1 " "$scratch/top.out" | grep -qE -- "$2"
}

# The observer runs first; the programs come later.
test_started_after() { # SUFFIX
	local suffix=$1 top name pid leaked waiting reason
	local -A pids=()
	background top "$build/stranded" top -b -n 1000 -d 0.5 --search-interval 1
	top=$REPLY
	wait_for 20 'a first table' grep -q PID "$scratch/top.out"
	for name in a_sender b_receiver c_range d_close e_global; do
		example "$name$suffix"
		pids[$name]=$REPLY
	done
	for name in a_sender b_receiver c_range; do
		read -r leaked waiting reason < <(expectation "$name")
		wait_for 30 "$name in the table" row_shown "${pids[$name]}" \
			" ${reason%%:*} \(leaked\) +1 "
	done
	wait_for 30 'e_global in the table' row_shown "${pids[e_global]}" ' chan receive +1 '
	kill -TERM "$top"
	wait "$top" || true
	! row_shown "${pids[d_close]}" 'leaked' || fail 'd_close has a leaked task'
	! row_shown "${pids[e_global]}" 'leaked' || fail 'e_global has a leaked task'
	for pid in "${pids[@]}"; do
		assert_alive 'example' "$pid"
	done
}

# `top -b -n 3` ends by itself after three tables.
test_batches() {
	local pid
	example a_sender
	pid=$REPLY
	observe top -b -n 3 -d 0.3
	assert_equal 'exit status' 0 "$status"
	assert_equal 'tables' 3 "$(grep -cE '^ *PID ' "$scratch/out")"
	assert_equal 'rows of a_sender' 3 "$(grep -cE "^ *$pid .* chan send( \(leaked\))? +1 " "$scratch/out")"
	assert_match 'last row' "chan send \(leaked\) +1 .*a_sender\.c:$(line_of a_sender LEAKS)" \
		"$(grep -E "^ *$pid " "$scratch/out" | tail -n 1)"
}

need_root_for_all() {
	if [ "$(id -u)" -ne 0 ] || [ ! -r /sys/kernel/btf/vmlinux ]; then
		run_test 'leaks' need_root
		finish
	fi
}

need_root_for_all
for program in a_sender b_receiver c_range d_close e_global; do
	run_test "leaks of $program, shared" test_leaks "$program"
	run_test "leaks of $program, static and stripped" test_leaks "$program.static"
done
run_test 'snapshot of five processes, shared' test_snapshot ''
run_test 'snapshot of five processes, static and stripped' test_snapshot .static
run_test 'a task is explained: leaked, and held by a global variable' test_explain
run_test 'top -b -n 3' test_batches
run_test 'processes that start after the observer, shared' test_started_after ''
run_test 'processes that start after the observer, static' test_started_after .static
finish

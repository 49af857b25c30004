#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# gdb: its list of tasks and their stacks, on a live process and on a core file.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# The same program, linked to the shared library.
link_shared() {
	"${CC:-gcc}" -I"$root/include" -std=gnu11 -O1 -g -o "$scratch/waiting" "$root/tests/e2e/waiting.c" \
		-L"$build" -lstrand -Wl,-rpath,"$build"
}

start_waiting() { # LINKING
	local program=$build/tests/e2e/waiting pid
	command -v gdb >/dev/null || skip 'there is no gdb'
	if [ "$1" = shared ]; then
		link_shared
		program=$scratch/waiting
	fi
	background waiting "$program"
	pid=$REPLY
	wait_for 20 'the program to be ready' grep -qx "$pid ready" "$scratch/waiting.out"
	REPLY=$pid
}

# gdb_says TARGET-OPTIONS... : the table and all stacks into $scratch/gdb.
gdb_says() {
	timeout 120 gdb -q -nx -batch "$@" -ex "source $root/user/strand/strand-gdb.py" \
		-ex 'strand tasks' -ex 'strand bt 2' -ex 'strand bt all' -ex 'echo end\\n' -ex 'strand bt 99' \
		>"$scratch/gdb" 2>&1 || true
}

expect_tasks() {
	local said bt
	said=$(<"$scratch/gdb")
	assert_match 'table' '^ +1  main +running ' "$said"
	assert_match 'table' '^ +2  receiver +parked +chan receive +[0-9]+\.[0-9]{3}s  wait_for_message at .*waiting\.c:[0-9]+$' "$said"
	assert_match 'table' '^ +3  sleeper +parked +sleep +[0-9]+\.[0-9]{3}s  sleeper at ' "$said"
	assert_match 'table' '^ +4  newcomer +new ' "$said"
	assert_match 'error' 'there is no task 99; try: strand tasks' "$said"
	# The stack of the receiver, from the switch out to the entry of the task, and no further.
	bt=$(sed -n '/^task 2 /,/^task 1 /p' "$scratch/gdb")
	assert_match 'stack' '^#[0-9]+ .* in strand_chan_recv \(\)' "$bt"
	assert_match 'stack' '^#[0-9]+ .* in wait_for_message \(\) at .*waiting\.c:' "$bt"
	assert_match 'stack' '^#[0-9]+ .* in receiver \(\) at .*waiting\.c:' "$bt"
	assert_equal 'outermost frame' switch_enter \
		"$(grep '^#' <<<"$bt" | tail -n 1 | sed 's/.* in \([a-z_]*\) .*/\1/')"
	assert_no_match 'stacks' '\?\?|Backtrace stopped|Python Exception' "$said"
}

test_live() { # LINKING
	start_waiting "$1"
	gdb_says -p "$REPLY"
	expect_tasks
	assert_alive 'the program' "$REPLY"
}

# gcore gives up on a mapping with a page that it cannot read: guards have to be mappings.
test_gcore() { # LINKING
	local pid
	command -v gcore >/dev/null || skip 'there is no gcore'
	export STRAND_GUARD=mprotect
	start_waiting "$1"
	pid=$REPLY
	timeout 60 gcore -o "$scratch/core" "$pid" >"$scratch/gcore" 2>&1 || fail 'gcore failed'
	gdb_says "/proc/$pid/exe" "$scratch/core.$pid"
	expect_tasks
	rm "$scratch/core.$pid"
}

process_ended() { # PID
	! alive "$1"
}

# The kernel's own core files hold everything, with any guard.
test_core() { # LINKING
	local pid core
	[[ $(</proc/sys/kernel/core_pattern) =~ ^core ]] || skip 'core files go elsewhere'
	cd "$scratch"
	ulimit -c unlimited || skip 'core files are switched off'
	start_waiting "$1"
	pid=$REPLY
	cp "/proc/$pid/exe" "$scratch/program"
	kill -ABRT "$pid" # not QUIT: a background process of the shell ignores it
	wait_for 20 'the program to end' process_ended "$pid"
	core=$(compgen -G "$scratch/core*") || skip 'the kernel wrote no core file here'
	gdb_says "$scratch/program" "$core"
	expect_tasks
	rm "$core"
}

# Where a thread's own stack is one of a task, the usual backtrace ends at the task's entry, too.
test_plain_backtrace() {
	start_waiting static
	timeout 60 gdb -q -nx -batch -p "$REPLY" -ex bt >"$scratch/gdb" 2>&1
	assert_match 'backtrace' '^#[0-9]+ .*start_all' "$(<"$scratch/gdb")"
	assert_match 'backtrace' '^#[0-9]+ .*switch_enter' "$(grep '^#' "$scratch/gdb" | tail -n 1)"
	assert_no_match 'backtrace' 'Backtrace stopped|\?\? \(\)' "$(<"$scratch/gdb")"
}

run_test 'gdb, live, static' test_live static
run_test 'gdb, live, shared' test_live shared
run_test 'gdb, core file, static' test_core static
run_test 'gdb, core file, shared' test_core shared
run_test 'gdb, gcore, static' test_gcore static
run_test 'gdb, gcore, shared' test_gcore shared
run_test 'gdb, plain backtrace ends at the entry of the task' test_plain_backtrace
finish

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# `stranded check` on single programs and on a small test suite: its status, its words, its files.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# check STATUS ARGUMENT...: run it, compare the status; output in $scratch/out and err.
check() {
	local expected=$1
	shift
	observe check "$@"
	assert_equal "status of check $*" "$expected" "$status"
}

test_leaking() {
	check 1 -- "$build/examples/a_sender" 0
	assert_match 'where it waits' \
		"^tests/examples/a_sender\.c:$(line_of a_sender LEAKS): leak: 1 task waits for ever \(chan send\) in ask_backend$" \
		"$(<"$scratch/err")"
	assert_match 'who created it' \
		"^tests/examples/a_sender\.c:$(line_of a_sender CREATES): note: created by handle_request$" \
		"$(<"$scratch/err")"
	assert_match 'the sum' '^stranded: 1 leaked task in 1 process$' "$(<"$scratch/err")"
}

test_clean() {
	check 0 "$build/examples/$1" 0
	assert_match 'the sum' '^stranded: 0 leaked tasks in 1 process$' "$(<"$scratch/err")"
}

# An unprivileged user, who may not even read the tree.
test_ordinary_user() {
	[ "$(id -u)" -eq 0 ] || skip 'needs root, to become somebody else'
	chmod 755 "$scratch"
	cp "$build/stranded" "$build/examples/a_sender" "$build/libstrand.so.0" "$scratch"
	status=0
	(cd "$scratch" && LD_LIBRARY_PATH=$scratch timeout 60 setpriv --reuid=65534 --regid=65534 \
		--clear-groups --inh-caps=-all ./stranded check ./a_sender 0 >out 2>err </dev/null) ||
		status=$?
	rm "$scratch"/{stranded,a_sender,libstrand.so.0}
	assert_equal 'exit status' 1 "$status"
	assert_match 'where it waits' "a_sender\.c:$(line_of a_sender LEAKS): leak:" "$(<"$scratch/err")"
}

# A suite of several programs, started by a shell that closes all other descriptors.
suite() { # FILE PROGRAM...
	local file=$1
	shift
	printf '#!/bin/sh\nset -e\nfor fd in 3 4 5 6 7 8 9; do eval "exec $fd>&-"; done\n' >"$file"
	printf '%s 0 &\n' "$@" >>"$file"
	echo 'wait' >>"$file"
	chmod +x "$file"
}

test_suite() {
	suite "$scratch/suite" "$build"/examples/{a_sender,b_receiver,c_range,d_close,e_global}
	check 1 "$scratch/suite"
	assert_match 'the sum' '^stranded: 3 leaked tasks in 5 processes$' "$(<"$scratch/err")"
	suite "$scratch/suite" "$build"/examples/{d_close,e_global}
	check 0 "$scratch/suite"
	assert_match 'the sum' '^stranded: 0 leaked tasks in 2 processes$' "$(<"$scratch/err")"
}

test_own_failure_is_passed_on() {
	check 7 -- sh -c "$build/examples/a_sender 0; exit 7"
	assert_match 'the leak is told all the same' ': leak: ' "$(<"$scratch/err")"
	assert_match 'whose status it is' 'the command failed with status 7$' "$(<"$scratch/err")"
	# shellcheck disable=SC2016
	check 143 -- sh -c 'kill -TERM $$'
	status=0
	"$build/stranded" check --timeout 0.5 sleep 60 2>"$scratch/err" || status=$?
	assert_equal 'status after a time-out' 124 "$status"
	check 127 "$scratch/no_such_program"
}

test_exit() { # WHERE
	check 1 -- "$build/tests/e2e/exits" "$1"
	assert_match 'where it waits' 'exits\.c:[0-9]+: leak: 1 task waits for ever \(chan receive\) in wait_for_nobody$' \
		"$(<"$scratch/err")"
}

test_nothing_to_check() {
	check 3 true
	assert_match 'stderr' '^stranded: nothing to check: ' "$(<"$scratch/err")"
}

test_baseline() {
	local file=$scratch/known
	check 1 --baseline "$file" --update-baseline "$build/examples/a_sender" 0
	check 0 --baseline "$file" "$build/examples/a_sender" 0
	assert_match 'it is still told' ': known leak: ' "$(<"$scratch/err")"
	check 1 --baseline "$file" --fail-on any "$build/examples/a_sender" 0
	check 1 --baseline "$file" "$build/examples/b_receiver" 0
	check 0 --fail-on count:1 "$build/examples/a_sender" 0
	check 1 --fail-on count:0 "$build/examples/a_sender" 0
}

test_ignore() {
	printf '# slow backend, issue 12\nask_back*  # known\n' >"$scratch/ignore"
	check 0 --ignore "$scratch/ignore" "$build/examples/a_sender" 0
	assert_match 'the sum' '^stranded: 0 leaked tasks and 1 ignored in 1 process$' \
		"$(<"$scratch/err")"
	check 1 --ignore "$scratch/ignore" "$build/examples/b_receiver" 0
	check 2 --ignore "$scratch/no_such_file" "$build/examples/b_receiver" 0
}

test_junit() {
	command -v python3 >/dev/null || skip 'no python3 to read XML with'
	check 1 --junit "$scratch/junit.xml" "$build/examples/a_sender" 0
	python3 - "$scratch/junit.xml" <<-'EOF' || fail 'the file is not as expected'
		import sys, xml.etree.ElementTree as tree
		suite = tree.parse(sys.argv[1]).getroot().find('testsuite')
		cases = suite.findall('testcase')
		assert suite.get('tests') == '2' and suite.get('failures') == '1', suite.attrib
		assert cases[0].find('error') is None
		assert 'in ask_backend' in cases[1].find('failure').get('message')
	EOF
	check 3 --junit "$scratch/junit.xml" true
	python3 - "$scratch/junit.xml" <<-'EOF' || fail 'nothing searched looks like nothing found'
		import sys, xml.etree.ElementTree as tree
		assert tree.parse(sys.argv[1]).getroot().find('testsuite/testcase/error') is not None
	EOF
}

test_sarif() {
	check 1 --sarif "$scratch/out.sarif" "$build/examples/a_sender" 0
	assert_equal 'place of the result' "tests/examples/a_sender.c:$(line_of a_sender LEAKS)" \
		"$(jq -r '.runs[0].results[0].locations[0].physicalLocation |
			.artifactLocation.uri + ":" + (.region.startLine | tostring)' "$scratch/out.sarif")"
	assert_equal 'level' error "$(jq -r '.runs[0].results[0].level' "$scratch/out.sarif")"
	check 0 --sarif "$scratch/out.sarif" "$build/examples/d_close" 0
	assert_equal 'results' '[]' "$(jq -c '.runs[0].results' "$scratch/out.sarif")"
}

test_usage() { # ARGUMENT...
	check 2 "$@"
	assert_match 'stderr' '^stranded check' "$(<"$scratch/err")"
}

test_nagios() {
	local pid
	need_root
	example a_sender
	pid=$REPLY
	observe check-nagios --pid "$pid"
	assert_equal 'status with a leak' 1 "$status"
	assert_match 'line' '^STRANDED WARNING - 1 leaked task in 1 process \| leaked=1;1;10;0 ' \
		"$(<"$scratch/out")"
	observe check-nagios --pid "$pid" -c 1
	assert_equal 'status with a critical leak' 2 "$status"
	observe check-nagios --pid "$pid" -w 0
	assert_equal 'status after wrong usage' 3 "$status"
	assert_equal 'lines' 1 "$(wc -l <"$scratch/out")"
}

run_test 'check: a program that leaks' test_leaking
run_test 'check: a program that does not' test_clean d_close
run_test 'check: a global keeps it alive' test_clean e_global
run_test 'check: by an ordinary user' test_ordinary_user
run_test 'check: a test suite in both colours' test_suite
run_test 'check: the own failure of the command' test_own_failure_is_passed_on
run_test 'check: exit() in a task' test_exit task
run_test 'check: exit() in a thread' test_exit thread
run_test 'check: no program to search' test_nothing_to_check
run_test 'check: baseline' test_baseline
run_test 'check: functions to ignore' test_ignore
run_test 'check: JUnit' test_junit
run_test 'check: SARIF' test_sarif
run_test 'check: usage, no command' test_usage
run_test 'check: usage, wrong condition' test_usage --fail-on some true
run_test 'check-nagios: states' test_nagios
finish

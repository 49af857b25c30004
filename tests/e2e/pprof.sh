#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Go's own tools read the profiles: go tool pprof shows functions, lines and all sample types.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

need_go() {
	need_root
	command -v go >/dev/null || skip 'no go: its pprof is what reads the profiles'
	go tool pprof -help >/dev/null 2>&1 || go tool pprof -h 2>&1 | grep -q usage ||
		skip 'this go has no pprof'
}

pprof() { # ARGUMENT...: output in $scratch/pprof
	(cd "$root" && go tool pprof "$@") >"$scratch/pprof" 2>"$scratch/pprof.err" ||
		fail "go tool pprof $* failed"
}

test_leaks() {
	local pid
	need_go
	example a_sender
	pid=$REPLY
	observe leaks --pid "$pid" -o pprof --file "$scratch/leaks.pb.gz"
	assert_equal 'exit status' 0 "$status"
	pprof -top "$scratch/leaks.pb.gz"
	assert_match 'type' '^Type: goroutineleak$' "$(<"$scratch/pprof")"
	assert_match 'count' '^ +1 +100% +100% +1 +100% +ask_backend$' "$(<"$scratch/pprof")"
	pprof -list ask_backend "$scratch/leaks.pb.gz"
	assert_match 'the line that waits' "^ +1 +1 +$(line_of a_sender LEAKS):.*LEAKS" \
		"$(<"$scratch/pprof")"
	pprof -raw "$scratch/leaks.pb.gz"
	assert_match 'sample types' 'goroutineleak/count\[dflt\] waited/nanoseconds retained/bytes' \
		"$(<"$scratch/pprof")"
	assert_match 'labels' 'state:\[leaked\] wait_reason:\[chan send\]' "$(<"$scratch/pprof")"
	pprof -sample_index=waited -top "$scratch/leaks.pb.gz"
	assert_match 'time waited' '^ +[0-9.]+m?s .*ask_backend$' "$(<"$scratch/pprof")"
}

test_no_leaks() {
	need_go
	example e_global
	observe leaks --pid "$REPLY" -o pprof --file "$scratch/leaks.pb.gz"
	assert_equal 'exit status' 0 "$status"
	pprof -raw "$scratch/leaks.pb.gz"
	assert_match 'type' '^PeriodType: goroutineleak count$' "$(<"$scratch/pprof")"
	assert_match 'what that means' '^Comment: leaks: searched .* ago, 1 of 1 processes$' \
		"$(<"$scratch/pprof")"
}

test_all_profiles() {
	local profile
	need_go
	example e_global
	for profile in goroutineleak goroutine block mutex threadcreate; do
		observe snapshot --pid "$REPLY" -o pprof --profile "$profile" \
			--file "$scratch/profile.pb.gz"
		pprof -raw "$scratch/profile.pb.gz"
		[[ $profile != goroutine && $profile != block ]] ||
			assert_match "$profile" ' consume .*e_global\.c:' "$(<"$scratch/pprof")"
	done
	observe snapshot --pid "$REPLY" -o pprof --debug 1
	assert_match 'debug=1' '^goroutine profile: total [0-9]+$' "$(<"$scratch/out")"
	pprof -top "$scratch/out"
	assert_match 'read by pprof' '^Type: goroutine$' "$(<"$scratch/pprof")"
}

run_test 'pprof: leaks, by top, list and raw' test_leaks
run_test 'pprof: no leaks is a valid profile' test_no_leaks
run_test 'pprof: all profiles, and the text form' test_all_profiles
finish

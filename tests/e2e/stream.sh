#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# `stranded watch` tells of a leak when it is found, and when its process has gone.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

told() { # PID FILTER: is there a line about this process that the filter is true of?
	jq -e --argjson pid "$1" "select(.process.pid == \$pid) | select($2)" "$scratch/watch.out"
}

test_watch() {
	local pid watch
	need_root
	background watch "$build/stranded" watch -o jsonl -d 0.3 --search-interval 1
	watch=$REPLY
	wait_for 20 'a first summary' jq -e 'select(.event == "summary")' "$scratch/watch.out"
	example a_sender
	pid=$REPLY
	wait_for 30 'the process' told "$pid" '.event == "process_found"'
	wait_for 30 'the leak' told "$pid" '.event == "found" and .site.state == "leaked" and
		.site.count == 1 and .site.where.function == "ask_backend"'
	kill -KILL "$pid"
	wait_for 30 'its end' told "$pid" '.event == "gone" and .site.count_before == 1'
	wait_for 30 'the end of the process' told "$pid" '.event == "process_gone"'
	kill -TERM "$watch"
	status=0
	wait "$watch" || status=$?
	assert_equal 'exit status' 0 "$status"
	jq -es 'all(.schema == "stranded.event/v1" and has("time"))' "$scratch/watch.out" >/dev/null ||
		fail 'a line without schema or time'
	assert_equal 'lines and documents' "$(jq -c . "$scratch/watch.out" | wc -l)" \
		"$(wc -l <"$scratch/watch.out")"
}

run_test 'watch: a leak comes and goes' test_watch
finish

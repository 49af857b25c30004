#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Observed programs that fork: the children run as well as ever, and are observed, too.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# The child's probe sites are those of its parent, but what they lead to is not there.
test_children() {
	local pid child
	need_root
	background observer "$build/stranded" top -b -n 60 -d 1
	wait_for 20 'the observer to start' grep -q '^stranded ' "$scratch/observer.out"
	background forking "$build/tests/e2e/forking" 20
	pid=$REPLY
	wait_for 40 'the last child to wait' grep -Eq 'ready$|wait status' "$scratch/forking.out"
	assert_no_match 'children' 'wait status' "$(<"$scratch/forking.out")"
	child=$(sed 's/ ready//' "$scratch/forking.out")
	wait_for 40 'the child to be observed' grep -Eq "^ *$child +forking +chan receive \(nil chan\)" \
		"$scratch/observer.out"
	assert_alive 'the parent' "$pid"
	assert_alive 'the child' "$child"
}

run_test 'fork, children of an observed process' test_children
finish

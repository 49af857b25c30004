# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the end-to-end tests share: processes that end with their test, waiting for states, asserts.
#
# A script sources this, then calls run_test NAME FUNCTION [ARGUMENT...] for each test. The
# function runs in a subshell under `set -e`; it fails by fail(), by an assert or by any command's
# failure. All that it started through start(), example() or background() is killed when it ends.
# Times appear only as deadlines: a test waits for a state, never for a time to pass.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${BUILD:-$root/build}
readonly root build
tests_failed=0

# ---- tests and their outcomes --------------------------------------------------------

readonly skip_status=77

fail() { # WHY
	echo "FAILED: $1" >&2
	exit 1
}

skip() { # WHY
	echo "$1" >"$scratch/why_skipped"
	exit "$skip_status"
}

run_test() { # NAME FUNCTION [ARGUMENT...]
	local name=$1 status
	shift
	scratch=$(mktemp -d)
	(
		started=()
		trap cleanup EXIT
		trap 'exit 143' TERM INT HUP
		set -e
		"$@"
	)
	status=$?
	case $status in
	0) echo "ok - $name" ;;
	"$skip_status") echo "skip - $name # $(<"$scratch/why_skipped")" ;;
	*)
		tests_failed=1
		show_scratch
		echo "not ok - $name"
		;;
	esac
	rm -rf "$scratch"
}

# The last line of every script.
finish() {
	exit "$tests_failed"
}

cleanup() {
	local pid
	for pid in "${started[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	wait 2>/dev/null || true
}

show_scratch() {
	local file
	for file in "$scratch"/*; do
		[ -s "$file" ] || continue
		echo "--- ${file##*/}"
		tail -c 2000 "$file"
		echo
	done
}

need_root() {
	[ "$(id -u)" -eq 0 ] || skip 'needs root'
	[ -r /sys/kernel/btf/vmlinux ] || skip 'this kernel has no BTF'
}

# ---- processes ---------------------------------------------------------------------

# background NAME COMMAND...: start it, output in $scratch/NAME.out and .err, process id in $REPLY.
background() {
	local name=$1
	shift
	"$@" >"$scratch/$name.out" 2>"$scratch/$name.err" </dev/null &
	REPLY=$!
	started+=("$REPLY")
}

# example NAME: start an example program and wait until it has leaked; process id in $REPLY.
example() {
	local name=$1 pid
	background "$name" "$build/examples/$name" 300
	pid=$REPLY
	wait_for 20 "$name to be ready" grep -qx "$pid ready" "$scratch/$name.out"
	REPLY=$pid
}

# observe ARGUMENT...: run the observer to its end; $scratch/out, $scratch/err, $status.
observe() {
	status=0
	timeout 60 "$build/stranded" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null || status=$?
	[ "$status" -ne 124 ] || fail "stranded $* did not end within 60 s"
}

alive() { # PID: runs and is no zombie
	local state
	state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return
	[[ $state != [ZX]* ]]
}

# ---- waiting and asserting -----------------------------------------------------------

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || fail "waited in vain for $what"
		sleep 0.05
	done
}

assert_equal() { # WHAT EXPECTED ACTUAL
	[ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
}

assert_match() { # WHAT PATTERN TEXT
	grep -qE -- "$2" <<<"$3" || fail "$1: nothing matches '$2' in: $3"
}

assert_no_match() { # WHAT PATTERN TEXT
	! grep -qE -- "$2" <<<"$3" || fail "$1: '$2' must not be in: $3"
}

assert_alive() { # WHAT PID
	alive "$2" || fail "$1 (process $2) is dead"
}

# line_of EXAMPLE MARK: the number of the source line that carries the comment.
line_of() {
	grep -n "/\* $2 \*/" "$root/tests/examples/${1%.static}.c" | cut -d: -f1
}

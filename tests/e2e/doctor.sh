#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `stranded doctor` says is what then works: as root, with the capabilities that the README
# names, and without them.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

readonly enough=bpf,perfmon,sys_ptrace,dac_read_search,setuid,setgid

# with CAPABILITIES ARGUMENT...: run the observer as root with these only; $scratch/out, err, $status.
with() {
	local caps=-all item
	for item in ${1//,/ }; do
		caps+=,+$item
	done
	shift
	status=0
	timeout 60 setpriv --bounding-set "$caps" --inh-caps "$caps" -- "$build/stranded" "$@" \
		>"$scratch/out" 2>"$scratch/err" </dev/null || status=$?
}

multi_here() {
	observe doctor
	grep -q 'uprobe_multi' "$scratch/out"
}

test_root() {
	observe doctor
	assert_equal 'exit status' 0 "$status"
	assert_match 'stdout' '^ok +BPF programs +loaded' "$(<"$scratch/out")"
	assert_no_match 'stdout' 'MISSING' "$(<"$scratch/out")"
}

test_enough() {
	multi_here || skip 'this kernel has no uprobe_multi: CAP_SYS_ADMIN is needed'
	example a_sender
	with "$enough" doctor
	assert_equal 'exit status of doctor' 0 "$status"
	with "$enough" leaks --pid "$REPLY"
	assert_equal 'exit status of leaks' 0 "$status"
	assert_match 'the leak' '\(leaked\)' "$(<"$scratch/out")"
}

# WITHOUT NAME: of the capabilities that are needed, one is not there.
test_without() {
	with "${enough//$1,/}" doctor
	assert_equal 'exit status of doctor' 3 "$status"
	assert_match 'stdout' "^MISSING +$2 " "$(<"$scratch/out")"
	with "${enough//$1,/}" leaks
	assert_equal 'exit status of leaks' 3 "$status"
}

test_nobody() {
	cp "$build/stranded" "$scratch/stranded"
	chmod 755 "$scratch" "$scratch/stranded"
	status=0
	setpriv --reuid=65534 --regid=65534 --clear-groups -- "$scratch/stranded" doctor \
		>"$scratch/out" 2>"$scratch/err" || status=$?
	assert_equal 'exit status' 3 "$status"
	assert_match 'stdout' '^MISSING +CAP_BPF' "$(<"$scratch/out")"
	assert_no_match 'stderr' . "$(<"$scratch/err")"
}

if [ "$(id -u)" -ne 0 ] || [ ! -r /sys/kernel/btf/vmlinux ]; then
	run_test 'doctor' need_root
	finish
fi
run_test 'root' test_root
run_test 'the capabilities of the README are enough' test_enough
run_test 'without CAP_BPF' test_without bpf CAP_BPF
run_test 'without CAP_PERFMON' test_without perfmon CAP_PERFMON
run_test 'an ordinary user' test_nobody
finish

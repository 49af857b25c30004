#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Whatever malloc a program has, no proof is wrong; where it is not understood there are fewer.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

readonly libraries=/usr/lib/x86_64-linux-gnu
readonly suite=trixie # another glibc than that of Debian 12
readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg
readonly fewer='alone 50, lost 0, held 0' all='alone 50, lost 50, held 0'

need_x86() {
	[ "$(uname -m)" = x86_64 ] || skip 'glibc is understood on x86-64 alone'
}

test_glibc() {
	need_x86
	assert_equal 'proofs' "$all" "$(timeout 60 "$build/tests/e2e/heap_held")"
}

test_preloaded() { # LIBRARY
	[ -e "$libraries/$1" ] || skip "$1 is not installed"
	assert_equal 'proofs' "$fewer" \
		"$(LD_PRELOAD=$libraries/$1 timeout 60 "$build/tests/e2e/heap_held")"
}

# The library from its sources, for a libc of another kind. The kernel's headers come last.
test_musl() {
	need_x86
	command -v musl-gcc >/dev/null || skip 'musl-tools is not installed'
	musl-gcc -static -std=gnu11 -O1 -fno-omit-frame-pointer -D_GNU_SOURCE \
		-I"$root/include" -I"$root/user" -idirafter /usr/include -idirafter "/usr/include/$(uname -m)-linux-gnu" \
		-o "$scratch/musl" "$root"/tests/e2e/heap_held.c "$root"/user/strand/*.c \
		"$root"/user/leakgc/*.c "$root"/user/strand/*_x86_64.S -lpthread >"$scratch/cc" 2>&1 ||
		fail 'the library does not compile for musl'
	assert_equal 'proofs' "$fewer" "$(timeout 60 "$scratch/musl")"
}

# The libraries of it, into $build/SUITE, unless they are there.
fetch_libc() {
	local state=$scratch/apt options
	[ ! -e "$build/$suite/libc.so.6" ] || return 0
	mkdir -p "$state"/{lists/partial,cache/archives/partial,parts}
	echo "deb [signed-by=$keyring] http://deb.debian.org/debian $suite main" >"$state/sources.list"
	options=(-q -o "Dir::Etc::sourcelist=$state/sources.list" -o "Dir::Etc::sourceparts=$state/parts"
		-o "Dir::State::lists=$state/lists" -o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root)
	(cd "$state" && timeout 60 apt-get "${options[@]}" update && timeout 60 apt-get "${options[@]}" download libc6 &&
		dpkg-deb -x libc6_*.deb all && mkdir -p "$build/$suite" && cp -P all"$libraries"/*.so* "$build/$suite") >"$scratch/apt.log" 2>&1 ||
		skip "no libc6 of $suite can be had"
}

# Loader and libraries have to change at one stroke, for this test alone.
under_other_libc() { # COMMAND...
	unshare -m sh -c 'mount -t overlay overlay -o "lowerdir=$1:$2" "$2" && shift 2 && exec "$@"' sh \
		"$build/$suite" "$libraries" "$@"
}

test_other_glibc() {
	need_x86
	[ "$(id -u)" -eq 0 ] || skip 'needs root, to mount'
	[ -e "$keyring" ] || skip 'this is no Debian'
	fetch_libc
	under_other_libc true 2>"$scratch/mount" || skip "cannot mount: $(<"$scratch/mount")"
	assert_equal 'proofs' "$all" "$(under_other_libc timeout 60 "$build/tests/e2e/heap_held")"
	[ ! -x "$build/tests/unit/test_leakgc_arenas" ] ||
		under_other_libc timeout 60 "$build/tests/unit/test_leakgc_arenas" >"$scratch/arenas" 2>&1 ||
		fail "test_leakgc_arenas fails with the libc of $suite"
}

run_test "proofs through glibc's heap" test_glibc
run_test "proofs through the heap of $suite's glibc" test_other_glibc
run_test 'no wrong proof with jemalloc' test_preloaded libjemalloc.so.2
run_test 'no wrong proof with tcmalloc' test_preloaded libtcmalloc_minimal.so.4
run_test 'no wrong proof with mimalloc' test_preloaded libmimalloc.so.2.0
run_test 'no wrong proof with musl' test_musl
finish

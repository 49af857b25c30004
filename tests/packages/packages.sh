#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The Debian packages: clean, installable in a bare Debian 12, usable there, upgraded and purged.
# shellcheck source=../e2e/lib.sh
. "$(dirname "$0")/../e2e/lib.sh"

readonly packages=$build/packages/test
readonly chroot=$build/packages/chroot # kept: to make it takes a minute
readonly mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

debs() { # VERSION
	echo "$packages/libstrand0_${1}_amd64.deb" "$packages/libstrand-dev_${1}_amd64.deb" \
		"$packages/stranded_${1}_amd64.deb"
}

version() {
	dpkg-parsechangelog -l "$root/packaging/debian/changelog" -S Version
}

test_build() {
	local deb
	"$root/packaging/make-debs" "$packages"
	# shellcheck disable=SC2046
	for deb in $(debs "$(version)"); do
		[ -s "$deb" ] || fail "$deb was not built"
	done
	assert_match 'debug symbols' '\.debug$' "$(dpkg-deb -c "$packages/libstrand0-dbgsym_$(version)_amd64.deb")"
}

test_lintian() {
	command -v lintian >/dev/null || skip 'lintian is not installed'
	lintian --allow-root --fail-on error "$packages"/*.changes
}

# All that a program can link to is in the symbols file, by its version.
test_symbols() {
	local file
	file=$(dpkg-deb --info "$packages/libstrand0_$(version)_amd64.deb" symbols)
	assert_match 'symbols' '^libstrand.so.0 libstrand0 #MINVER#' "$file"
	assert_match 'symbols' 'strand_chan_send@LIBSTRAND_0\.1 ' "$file"
}

# ---- in a bare Debian 12 ---------------------------------------------------------------

need_chroot() {
	need_root
	command -v debootstrap >/dev/null || skip 'debootstrap is not installed'
	[ -e "$chroot/.complete" ] && return
	rm -rf "$chroot"
	debootstrap --variant=minbase --include=gcc,libc6-dev,pkg-config,libelf1,libdw1,libbpf1,procps \
		bookworm "$chroot" "$mirror" >"$scratch/debootstrap.log" 2>&1 ||
		skip "debootstrap failed: $(tail -n 1 "$scratch/debootstrap.log")"
	: >"$chroot/.complete"
}

# inside COMMAND...: in the chroot, with mounts that end with the command.
inside() {
	unshare --mount sh -c '
		mount --bind /proc "$0/proc" && mount --bind /sys "$0/sys" && mount --bind /dev "$0/dev" &&
		exec chroot "$0" "$@"' "$chroot" env DEBIAN_FRONTEND=noninteractive "$@"
}

# The same packages with a higher version, as the next build would be.
next_version() { # VERSION NEXT
	local deb tree=$scratch/tree
	# shellcheck disable=SC2046
	for deb in $(debs "$1"); do
		rm -rf "$tree"
		dpkg-deb -R "$deb" "$tree"
		sed -i "s/^Version: $1$/Version: $2/; s/(= $1)/(= $2)/" "$tree/DEBIAN/control"
		dpkg-deb -b "$tree" "${deb/_$1_/_$2_}" >/dev/null
	done
}

install_version() { # VERSION
	local deb
	# shellcheck disable=SC2046
	for deb in $(debs "$1"); do
		cp "$deb" "$chroot/tmp"
	done
	inside sh -c "dpkg -i /tmp/*_$1_amd64.deb || apt-get -y -q --no-install-recommends -f install" \
		>"$scratch/install.log" 2>&1
	rm -f "$chroot"/tmp/*.deb
	inside dpkg -s libstrand0 libstrand-dev stranded >"$scratch/status"
	assert_equal 'installed packages' 3 "$(grep -c '^Status: install ok installed' "$scratch/status")"
	assert_equal "packages of version $1" 3 "$(grep -c "^Version: $1\$" "$scratch/status")"
}

# Compiles the examples as a user would, runs one and lets the installed observer find its leak.
use_installed() {
	local source name pid
	rm -rf "$chroot/root/examples"
	cp -r "$root/tests/examples" "$chroot/root/examples"
	for source in "$root"/tests/examples/*.c; do
		name=$(basename "$source" .c)
		inside sh -c "cd /root/examples && gcc -g -Wall -Werror -o $name $name.c \
			\$(pkg-config --cflags --libs strand)"
	done
	background leaky inside /root/examples/a_sender 300
	wait_for 20 'the example to be ready' grep -q ' ready$' "$scratch/leaky.out"
	pid=$(awk '{ print $1 }' "$scratch/leaky.out")
	started+=("$pid")
	wait_for 30 'its leak to be shown' shown_leaked "$pid"
}

shown_leaked() { # PID
	inside stranded leaks --pid "$1" >"$scratch/leaks" 2>"$scratch/leaks.err" || true
	grep -q '(leaked)' "$scratch/leaks" && grep -q 'a_sender\.c:' "$scratch/leaks"
}

test_install_and_use() {
	need_chroot
	[ -e "$packages/libstrand0_$(version)_amd64.deb" ] || fail 'there are no packages'
	install_version "$(version)"
	use_installed
}

test_upgrade() {
	need_chroot
	next_version "$(version)" "$(version)+next"
	install_version "$(version)+next"
	use_installed
}

test_purge() {
	local file
	need_chroot
	inside sh -c 'apt-get -y -q purge libstrand0 libstrand-dev stranded' >"$scratch/purge.log" 2>&1
	file=$(inside find / -xdev \( -path /proc -o -path /root -o -path /var/log -o -path /var/cache \) \
		-prune -o \( -name '*strand*' -a ! -path '/var/lib/apt/*' \) -print)
	assert_equal 'files left behind' '' "$file"
}

run_test 'packages: built by make deb' test_build
run_test 'packages: lintian finds no error' test_lintian
run_test 'packages: symbols by version' test_symbols
run_test 'packages: installed and used in a bare Debian 12' test_install_and_use
run_test 'packages: upgraded' test_upgrade
run_test 'packages: purged without a trace' test_purge
finish

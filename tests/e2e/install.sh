#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# `make install` gives a library that a user's program is built with, as README.md shows it.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# The build folder is named as `make` names it: another spelling would be other flags.
install_tree() {
	make --no-print-directory -C "$root" BUILD="${build#"$root"/}" PREFIX=/usr DESTDIR="$scratch/root" \
		install >"$scratch/install.log" 2>&1
}

# The first C program of README.md.
readme_program() {
	awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' "$root/README.md"
}

test_files() {
	local file
	install_tree
	for file in bin/stranded include/strand.h include/strand/abi.h lib/libstrand.a \
		lib/libstrand.so lib/libstrand.so.0 lib/pkgconfig/strand.pc share/man/man8/stranded.8 \
		share/bash-completion/completions/stranded share/zsh/site-functions/_stranded; do
		[ -e "$scratch/root/usr/$file" ] || fail "/usr/$file is missing"
	done
	assert_equal 'what libstrand.so points to' libstrand.so.0 \
		"$(readlink "$scratch/root/usr/lib/libstrand.so")"
	assert_match 'version' '^stranded [0-9]+\.[0-9]+\.[0-9]+' "$("$scratch/root/usr/bin/stranded" --version)"
}

build_user_program() { # LINKING: '' or --static
	local flags
	install_tree
	readme_program >"$scratch/service.c"
	grep -q strand_main "$scratch/service.c" || fail 'README.md has no C program'
	flags=$(PKG_CONFIG_SYSROOT_DIR=$scratch/root PKG_CONFIG_LIBDIR=$scratch/root/usr/lib/pkgconfig \
		PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 \
		pkg-config --cflags --libs ${1:+"$1"} strand)
	# Words of pkg-config, so they are split.
	# shellcheck disable=SC2086
	gcc -Wall -Wextra -Werror -g -o "$scratch/service" "$scratch/service.c" ${1:+"-static"} $flags
}

lines_of_service() { # FILE
	grep -oE '/service\.c:[0-9]+' "$1" || true
}

# What README.md says of its program: one task leaks, in ask_backend().
shows_leak() { # PID
	observe leaks --pid "$1"
	grep -qE '^goroutine [0-9]+ \[chan send \(leaked\)' "$scratch/out" &&
		grep -q '^ask_backend(' "$scratch/out"
}

test_user_program() { # LINKING
	local pid
	build_user_program "$1"
	background service env LD_LIBRARY_PATH="$scratch/root/usr/lib" "$scratch/service"
	pid=$REPLY
	need_root
	wait_for 30 'the leak to be proved' shows_leak "$pid"
	assert_equal 'lines that README.md shows' "$(lines_of_service "$root/README.md")" \
		"$(lines_of_service "$scratch/out")"
}

# What a subcommand takes by its own --help.
long_options() { # SUBCOMMAND
	"$build/stranded" "$1" --help | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort -u
}

subcommands() {
	"$build/stranded" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p'
}

test_manual() {
	local manual=$root/man/stranded.8 command option
	command -v mandoc >/dev/null || skip 'needs mandoc'
	mandoc -Tlint -W warning "$manual" >"$scratch/lint" || fail "mandoc: $(<"$scratch/lint")"
	mandoc -Tascii "$manual" | sed 's/.\x08//g' >"$scratch/manual"
	for command in $(subcommands); do
		grep -qx "${command^^}" "$scratch/manual" || fail "stranded.8 has no section for $command"
		for option in $(long_options "$command"); do
			grep -qE -- "$option([^a-z-]|\$)" "$scratch/manual" ||
				fail "stranded.8 does not tell of $command $option"
		done
		[ "$("$build/stranded" "$command" --help | wc -l)" -le 24 ] ||
			fail "stranded $command --help does not fit a screen"
	done
}

# complete WORD...: what bash would offer for the last word.
complete_bash() {
	bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _stranded
		printf "%s\n" "${COMPREPLY[@]}"' - "$root/completions/stranded.bash" stranded "$@"
}

test_completion() {
	local command option
	assert_equal 'a subcommand' snapshot "$(complete_bash sn)"
	assert_equal 'a format' openmetrics "$(complete_bash snapshot -o openm)"
	for command in $(subcommands); do
		grep -q "'$command:" "$root/completions/_stranded" || fail "zsh does not know $command"
		for option in $(long_options "$command"); do
			complete_bash "$command" "$option" | grep -qx -- "$option" ||
				fail "bash does not complete $command $option"
			[ "$option" = --help ] || grep -q -- "$option" "$root/completions/_stranded" ||
				fail "zsh does not complete $command $option"
		done
	done
}

run_test 'make install' test_files
run_test 'the manual tells of every option' test_manual
run_test 'bash and zsh complete every option' test_completion
run_test "README's program with the shared library" test_user_program ''
run_test "README's program with the static library" test_user_program --static
finish

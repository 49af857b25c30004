#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The live view in a terminal (tmux): every key, sizes, a storm of resizes, hostile names, settings.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# ---- a terminal ------------------------------------------------------------------------

term() { tmux -S "$scratch/tmux" -f /dev/null "$@"; }
keys() { term send-keys -t top "$@"; }
screen() { term capture-pane -p -t top; }
shows() { screen | grep -qE -- "$1"; }
shows_not() { ! shows "$1"; }
see() { # PATTERN
	wait_for 15 "'$1' on the screen: $(screen)" shows "$1"
}

# open_top COLUMNS ROWS [ARGUMENT...]: stranded top in a terminal of its own.
open_top() {
	local columns=$1 rows=$2
	shift 2
	term new-session -d -x "$columns" -y "$rows" -s top \
		"XDG_CONFIG_HOME=$scratch/config ${environment:-} $build/stranded top -d 0.3 $*
		echo ended with \$?; exec sleep 300"
	REPLY=$(term display-message -p -t top '#{pid}')
	started+=("$REPLY")
}

need_terminal() {
	need_root
	command -v tmux >/dev/null || skip 'needs tmux'
}

quit() {
	keys q
	see 'ended with 0'
}

# ---- tests -------------------------------------------------------------------------------

test_keys() {
	need_terminal
	example a_sender
	example e_global
	open_top 120 24
	see 'a_sender .*chan send \(leaked\)'
	see 'e_global .*chan receive'
	see '1 leaked'
	keys Enter
	see 'WHY'
	see 'nothing that lives can ever wake it'
	keys Down Down Down j k Up PageDown
	see 'ask_backend .*a_sender.c:'
	keys PageUp Home Escape
	see 'by site'
	for view in process task channel cycle site; do
		keys t
		see "by $view"
	done
	keys 2
	see 'by process.*' && see 'STATUS'
	keys 3
	see 'TASK'
	keys 1 '>' '>'
	see 'COMMAND▲'
	keys r
	see 'COMMAND▼'
	keys '<' '<'
	see 'COMMAND +STATE'
	keys / 'state:leaked'
	see 'filter: state:leaked'
	wait_for 5 'the filter' shows_not '^ +[0-9]+ e_global'
	keys Enter Escape
	see '^ +[0-9]+ e_global'
	keys c j ' ' Enter
	see 'PID STATE'
	keys c j ' ' Enter
	see 'COMMAND'
	keys d BSpace BSpace BSpace 0.5 Enter
	keys p
	see 'PAUSED'
	keys p
	wait_for 5 'going on' shows_not 'PAUSED'
	keys s
	see 'is searched for leaks|searching'
	keys y
	see 'copied'
	keys '?'
	see 'search the selected process'
	keys x
	see 'by site'
	keys End Home G g j k PageDown PageUp
	quit
	grep -qx 'delay_ms 500' "$scratch/config/stranded/top.conf" || fail 'the delay is not kept'
	assert_alive 'the observed program' "${started[0]}"
}

# No line may be broken, whatever the size: the first line begins with the name.
test_sizes() {
	need_terminal
	example a_sender
	open_top 80 24
	see 'chan send \(leaked\)'
	for size in 250x60 132x43 40x10 20x5 10x3 1x1 80x24; do
		term resize-window -t top -x "${size%x*}" -y "${size#*x}"
		sleep 0.05
	done
	for _ in {1..40}; do
		term resize-window -t top -x $((RANDOM % 240 + 10)) -y $((RANDOM % 56 + 4))
		keys j
	done
	term resize-window -t top -x 80 -y 24
	see '^stranded '
	see 'chan send \(leaked\)'
	assert_equal 'lines on the screen' 24 "$(screen | wc -l)"
	quit
}

test_plain() {
	need_terminal
	example a_sender
	environment='LC_ALL=C NO_COLOR=1 TERM=vt100' open_top 100 20
	see 'chan send \(leaked\)'
	assert_no_match 'plain text' '[^ -~]' "$(screen)"
	assert_no_match 'no colour' $'\033\\[[0-9;]*3[0-8]' "$(term capture-pane -e -p -t top)"
	quit
}

# A name that would move the cursor, clear the screen or set the title.
test_hostile_names() {
	need_terminal
	cp "$build/examples/a_sender.static" "$scratch/"$'a\033[2J\033]0;x'
	background hostile "$scratch/"$'a\033[2J\033]0;x' 300
	wait_for 20 'the program to be ready' grep -q ready "$scratch/hostile.out"
	open_top 140 20
	see 'a\\x1b\[2J\\x1b\]0;x'
	see '^stranded '
	keys Enter
	see 'WHY'
	keys Escape
	quit
}

test_signal_restores_the_terminal() {
	need_terminal
	open_top 80 24
	see 'by site'
	keys C-c
	see 'ended with 0'
}

test_garbage_in_settings() {
	need_terminal
	mkdir -p "$scratch/config/stranded"
	head -c 5000 /dev/urandom >"$scratch/config/stranded/top.conf"
	open_top 80 24
	see 'by site'
	quit
	grep -qx 'view site' "$scratch/config/stranded/top.conf" || fail 'settings were not written'
}

test_batch() {
	need_root
	example a_sender
	observe top -n 1 --fields pid,state,count --sort -count --filter state:leaked
	assert_equal 'status' 0 "$status"
	assert_match 'titles' '^ *PID  STATE +COUNT$' "$(sed -n 2p "$scratch/out")"
	assert_match 'the leak' "^ *$REPLY +chan send \(leaked\) +1\$" "$(cat "$scratch/out")"
	observe top -n 1 --by process
	assert_match 'by process' 'STATUS' "$(cat "$scratch/out")"
	observe top -n 1 --fields nonsense
	assert_equal 'status' 2 "$status"
}

run_test 'every key' test_keys
run_test 'sizes from 250x60 to 1x1, resized again and again' test_sizes
run_test 'ASCII, no colour' test_plain
run_test 'hostile names' test_hostile_names
run_test 'an interrupt restores the terminal' test_signal_restores_the_terminal
run_test 'garbage in the settings' test_garbage_in_settings
run_test 'batch: fields, order, filter' test_batch
finish

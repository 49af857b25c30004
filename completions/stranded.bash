# SPDX-License-Identifier: MIT
# Completion of stranded for bash.
# shellcheck shell=bash

_stranded() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words=
	local common='--pid --uid --replay --help'
	if [ "$COMP_CWORD" -eq 1 ]; then
		words='top snapshot leaks report record watch explain check check-nagios daemon doctor --help --version'
	else
		case ${COMP_WORDS[1]}:$previous in
		*:-p | *:--pid) words=$(cd /proc && echo [0-9]*) ;;
		*:-u | *:--uid) words=$(compgen -u) ;;
		top:--by) words='site process task channel cycle' ;;
		top:--color) words='auto always never' ;;
		top:--sort | top:--fields)
			words='pid command status task name object state count senders receivers new leaked
				suspect retained oldest search waits-for where created seen'
			;;
		snapshot:-o | snapshot:--output) words='json jsonl text prometheus openmetrics pprof' ;;
		watch:-o | watch:--output) words=jsonl ;;
		leaks:-o | leaks:--output) words='text json jsonl pprof' ;;
		*:--group-by) words='command unit cgroup' ;;
		*:--profile) words='goroutine goroutineleak block mutex threadcreate' ;;
		*:--debug) words='0 1 2' ;;
		check:--fail-on) words='new any count:' ;;
		*:--replay | *:--socket | *:--file | *:--textfile | record:-o | record:--output | report:-o | report:--output | *:--baseline | *:--ignore | *:--junit | *:--sarif) ;;
		top:*) words="--batch --iterations --delay --by --sort --filter --fields --search-interval
			--no-search --color $common" ;;
		snapshot:*) words="--output --file --textfile --group-by --profile --debug --no-search $common" ;;
		leaks:*) words="--output --file --debug $common" ;;
		report:*) words="--output --no-search $common" ;;
		explain:*) words="$([ "$COMP_CWORD" -eq 2 ] && cd /proc && echo [0-9]*) --help" ;;
		check-nagios:*) words='--warning --critical --pid --uid --help' ;;
		doctor:*) words=--help ;;
		daemon:*) words='--socket --socket-mode --listen --search-interval --no-search --pid --uid --help' ;;
		record:*) words='--output --iterations --delay --sites --pid --uid --search-interval --no-search --help' ;;
		watch:*) words='--output --iterations --delay --pid --uid --search-interval --no-search --help' ;;
		check:*) words='--fail-on --baseline --update-baseline --ignore --junit --sarif --timeout --help' ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _stranded stranded

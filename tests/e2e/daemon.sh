#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The daemon answers over HTTP, to those who may ask, whatever its clients do.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# start_daemon PID [ARGUMENT...]: observe that process; $socket, $daemon.
start_daemon() {
	local pid=$1
	shift
	need_root
	socket=$scratch/stranded.sock
	chmod 755 "$scratch"
	background daemon "$build/stranded" daemon --socket "$socket" --pid "$pid" "$@"
	daemon=$REPLY
	wait_for 30 'the daemon to answer' curl -sf --unix-socket "$socket" http://localhost/healthz
	wait_for 30 'the process to be searched' has_searched
}

has_searched() {
	[ "$(get /v1/processes | jq -r '.processes[0].search.status')" = 'done' ]
}

get() { # PATH [CURL ARGUMENT...]
	local path=$1
	shift
	curl -sS -m 30 --unix-socket "$socket" "$@" "http://localhost$path"
}

status_of() { # PATH [CURL ARGUMENT...]
	get "$@" -o /dev/null -w '%{http_code}'
}

key_of() { # PID: PID-START
	get /v1/processes | jq -r --argjson pid "$1" '.processes[] | select(.pid == $pid) | "\(.pid)-\(.start)"'
}

test_documents() {
	local pid key
	example a_sender
	pid=$REPLY
	start_daemon "$pid"
	key=$(key_of "$pid")
	assert_equal 'leaks' '["stranded.leaks/v1",1,"chan send"]' \
		"$(get /v1/leaks | jq -c '[.schema, (.processes[0].tasks | length), .processes[0].tasks[0].reason]')"
	assert_equal 'snapshot' stranded.snapshot/v1 "$(get "/v1/snapshot?pid=$pid" | jq -r .schema)"
	assert_equal 'tasks' "[\"stranded.tasks/v1\",$pid,\"leaked\"]" \
		"$(get /v1/tasks | jq -c '[.schema, .tasks[0].pid, .tasks[0].state]')"
	assert_equal 'sites' '["stranded.sites/v1",1,"leaked",1]' \
		"$(get /v1/sites | jq -c '[.schema, (.sites | length), .sites[0].state, .sites[0].count]')"
	assert_match 'metrics' '^stranded_tasks\{group="a_sender",state="leaked"\} 1$' "$(get /metrics)"
	assert_match 'OpenMetrics' '^# EOF$' "$(get /metrics -H 'Accept: application/openmetrics-text')"
	assert_match 'profile as a dump' '^goroutine [0-9]+ \[chan send \(leaked\)' \
		"$(get "/pid/$key/debug/pprof/goroutineleak?debug=2")"
	assert_match 'profile as text' '^goroutineleak profile: total 1$' \
		"$(get "/pid/$key/debug/pprof/goroutineleak?debug=1")"
	get "/pid/$key/debug/pprof/goroutineleak" | gzip -t || fail 'the profile is not gzipped'
	[ "$(get "/pid/$key/debug/pprof/threadcreate" | wc -c)" -gt 0 ] || fail 'an empty profile is no profile'
	assert_match 'news' "^stranded: $pid \(a_sender\): 1 leaked task: chan send in ask_backend" \
		"$(<"$scratch/daemon.err")"
	assert_equal 'targets without a port' 0 "$(get /v1/targets | jq length)"
}

test_go_reads_profiles() {
	local pid port=19476
	command -v go >/dev/null || skip 'no go'
	example a_sender
	pid=$REPLY
	start_daemon "$pid" --listen "127.0.0.1:$port"
	go tool pprof -top "http://127.0.0.1:$port/pid/$(key_of "$pid")/debug/pprof/goroutineleak" \
		>"$scratch/top" 2>"$scratch/pprof.err" </dev/null
	assert_match 'go tool pprof -top' 'ask_backend' "$(<"$scratch/top")"
}

test_refusals() {
	local pid key name
	example a_sender
	pid=$REPLY
	start_daemon "$pid" --listen 127.0.0.1:19477
	key=$(key_of "$pid")
	assert_equal 'unknown path' 404 "$(status_of /v1/nonsense)"
	assert_equal 'unknown process' 404 "$(status_of /pid/1-1/debug/pprof/goroutine)"
	assert_equal 'unknown method' 405 "$(status_of /metrics -X BREW)"
	assert_equal 'unknown parameter' 400 "$(status_of '/metrics?x=1')"
	assert_equal 'headers of 10 kB' 431 "$(status_of /metrics -H "X: $(printf '%010000d' 0)")"
	assert_equal 'headers of 100 kB' 431 "$(status_of /metrics -H "X: $(printf '%0100000d' 0)")"
	assert_equal 'a large body' 413 "$(head -c 10000 /dev/zero |
		status_of "/v1/processes/$key/search" -X POST --data-binary @-)"
	assert_equal 'a search too soon' 429 "$(status_of "/v1/processes/$key/search" -X POST)"
	assert_equal 'an error is JSON' string "$(get /v1/nonsense | jq -r '.error | type')"
	assert_match 'an error for pprof' '^X-Go-Pprof: 1' "$(get "/pid/$key/debug/pprof/heap" -i)"
	name=http://127.0.0.1:19477
	assert_equal 'TCP' 1 "$(curl -sS "$name/v1/targets" | jq length)"
	assert_equal 'another name of this host' 403 \
		"$(curl -sS -o /dev/null -w '%{http_code}' -H 'Host: evil.example' "$name/metrics")"
	assert_equal 'a search over TCP' 403 \
		"$(curl -sS -o /dev/null -w '%{http_code}' -X POST "$name/v1/processes/$key/search")"
}

get_as() { # UID PATH
	setpriv --reuid="$1" --regid="$1" --clear-groups \
		curl -sS -m 30 --unix-socket "$socket" "http://localhost$2"
}

test_other_users() {
	local pid key
	example a_sender
	pid=$REPLY
	start_daemon "$pid" --socket-mode 0666
	key=$(key_of "$pid")
	assert_equal 'processes of root for another user' 0 "$(get_as 65533 /v1/processes | jq '.processes | length')"
	assert_equal 'tasks of root for another user' 0 "$(get_as 65533 /v1/tasks | jq '.tasks | length')"
	assert_no_match 'metrics for another user' a_sender "$(get_as 65533 /metrics)"
	assert_match 'a profile for another user' 'no such process' \
		"$(get_as 65533 "/pid/$key/debug/pprof/goroutine")"
}

test_socket_mode() {
	example a_sender
	start_daemon "$REPLY"
	assert_equal 'mode of the socket' 660 "$(stat -c %a "$socket")"
	assert_equal 'connected' 7 "$(get_as 65533 /healthz >/dev/null 2>&1 || echo $?)"
}

# Connections that say nothing, a half of a request each: the others are answered all the same.
test_many_clients() {
	local clients
	example a_sender
	start_daemon "$REPLY"
	cat >"$scratch/clients.py" <<'EOF'
import socket, sys, time
held = []
for i in range(1000):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.sendall(b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    held.append(s)
print("holding", flush=True)
for s in held:  # a byte now and then does not keep the connection
    s.settimeout(60)
ended = 0
deadline = time.monotonic() + 50
while held and time.monotonic() < deadline:
    time.sleep(2)
    for s in held[:]:
        try:
            s.sendall(b"a")
        except OSError:
            held.remove(s)
            ended += 1
print("ended", ended, flush=True)
EOF
	background clients python3 "$scratch/clients.py" "$socket"
	clients=$REPLY
	wait_for 20 '1000 connections' grep -q holding "$scratch/clients.out"
	assert_match 'an answer for one more' '^(200|503)$' "$(status_of /healthz)"
	wait "$clients" || fail 'the clients failed'
	assert_match 'connections closed' 'ended 1000' "$(<"$scratch/clients.out")"
	assert_equal 'afterwards' 200 "$(status_of /healthz)"
	assert_alive 'the daemon' "$daemon"
}

# Many ask for the same: few documents are made.
test_storm() {
	local pids=() i
	example a_sender
	start_daemon "$REPLY"
	for i in {1..20}; do
		for _ in {1..20}; do status_of /metrics; echo; done >"$scratch/storm.$i" &
		pids+=("$!")
	done
	wait "${pids[@]}"
	assert_equal 'answers' '400 200' "$(cat "$scratch"/storm.* | sort | uniq -c | tr -s ' ' | sed 's/^ //')"
	rm "$scratch"/storm.*
}

children_of() {
	pgrep -P "$1" | sort
}

none_alive() { # PID...
	local pid
	for pid in "$@"; do
		! alive "$pid" || return
	done
}

test_end() { # SIGNAL
	local children
	example a_sender
	start_daemon "$REPLY"
	mapfile -t children < <(children_of "$daemon")
	[ "${#children[@]}" -ge 2 ] || fail 'the daemon has no helpers'
	kill "-$1" "$daemon"
	status=0
	wait "$daemon" || status=$?
	[ "$1" = KILL ] || assert_equal 'exit status' 0 "$status"
	wait_for 10 'its helpers to end' none_alive "${children[@]}"
	[ "$1" = KILL ] || [ ! -e "$socket" ] || fail 'its socket is left'
}

# The HTTP process has no privileges, and a new one takes its place if it dies.
test_http_process() {
	local http
	example a_sender
	start_daemon "$REPLY"
	http=$(pgrep -P "$daemon" stranded-http)
	assert_match 'capabilities' '^CapEff:.0+$' "$(grep CapEff "/proc/$http/status")"
	assert_match 'seccomp' '^Seccomp:.2$' "$(grep '^Seccomp:' "/proc/$http/status")"
	assert_no_match 'user' '^Uid:.0' "$(grep '^Uid' "/proc/$http/status")"
	kill -HUP "$daemon"
	kill -KILL "$http"
	wait_for 10 'a new one' status_is_200
	assert_alive 'the daemon' "$daemon"
}

status_is_200() {
	[ "$(status_of /healthz)" = 200 ]
}

test_second_daemon() {
	local pid
	example a_sender
	pid=$REPLY
	start_daemon "$pid"
	observe daemon --socket "$socket" --pid "$pid"
	assert_equal 'exit status' 3 "$status"
	assert_match 'stderr' '^stranded: cannot listen on .*another daemon' "$(<"$scratch/err")"
	assert_equal 'the first' 200 "$(status_of /healthz)"
}

# What the unit gives it: root's number, and six capabilities.
test_least_capabilities() {
	local pid
	need_root
	example a_sender
	pid=$REPLY
	cat >"$scratch/least" <<'EOF'
#!/bin/sh
exec setpriv --no-new-privs --inh-caps=-all \
	--bounding-set=-all,+bpf,+perfmon,+sys_ptrace,+dac_read_search,+setuid,+setgid "$@"
EOF
	chmod 755 "$scratch/least"
	socket=$scratch/stranded.sock
	background daemon "$scratch/least" "$build/stranded" daemon --socket "$socket" --pid "$pid"
	daemon=$REPLY
	wait_for 30 'the process to be searched' has_searched
	assert_equal 'leaks' 1 "$(get /v1/leaks | jq '.processes[0].tasks | length')"
	kill "$daemon"
	wait_for 10 'the daemon to end' none_alive "$daemon"
}

# The protocol of sd_notify(3), spoken to a socket of our own.
test_notify() {
	local pid
	need_root
	example a_sender
	pid=$REPLY
	cat >"$scratch/manager.py" <<'EOF'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode(), flush=True)
EOF
	background manager python3 "$scratch/manager.py" "$scratch/notify"
	wait_for 10 'the manager' test -S "$scratch/notify"
	background daemon env NOTIFY_SOCKET="$scratch/notify" WATCHDOG_USEC=2000000 \
		"$build/stranded" daemon --socket "$scratch/stranded.sock" --pid "$pid"
	wait_for 20 'READY' grep -qx READY=1 "$scratch/manager.out"
	wait_for 20 'WATCHDOG' grep -qx WATCHDOG=1 "$scratch/manager.out"
}

run_test 'daemon: documents' test_documents
run_test 'daemon: go tool pprof' test_go_reads_profiles
run_test 'daemon: refusals' test_refusals
run_test 'daemon: other users see their own' test_other_users
run_test 'daemon: mode of the socket' test_socket_mode
run_test 'daemon: a storm of scrapes' test_storm
run_test 'daemon: ended by SIGTERM' test_end TERM
run_test 'daemon: killed' test_end KILL
run_test 'daemon: its HTTP process' test_http_process
run_test 'daemon: the least capabilities' test_least_capabilities
run_test 'daemon: a second one' test_second_daemon
run_test 'daemon: tells the service manager' test_notify
run_test 'daemon: 1000 slow clients' test_many_clients
finish

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A real Prometheus reads our metrics in both dialects, evaluates the rules that we ship and fires
# their alert for a program that leaks; every query of the dashboard is one that it understands.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

readonly packaging=$root/packaging

need() { # PROGRAM
	command -v "$1" >/dev/null || skip "no $1"
}

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

test_rules() {
	need promtool
	promtool check rules "$packaging/prometheus/rules.yml" >"$scratch/out" 2>&1 ||
		fail 'the rules are malformed'
	(cd "$packaging/prometheus" && promtool test rules rules_test.yml) >"$scratch/out" 2>&1 ||
		fail 'the rules do not do what their test says'
}

test_lint() {
	need_root
	need promtool
	example a_sender
	observe snapshot --pid "$REPLY" -o prometheus
	assert_equal 'exit status' 0 "$status"
	promtool check metrics <"$scratch/out" >"$scratch/lint" 2>&1 || fail 'promtool objects'
	assert_equal 'remarks of promtool' '' "$(<"$scratch/lint")"
	assert_match 'the leak' '^stranded_tasks\{group="a_sender",state="leaked"\} 1$' "$(<"$scratch/out")"
}

# A collector may read at any moment: the file is always whole, and readable for others.
test_textfile() {
	local pid
	need_root
	example a_sender
	pid=$REPLY
	observe snapshot --pid "$pid" --textfile "$scratch/strand.prom"
	assert_equal 'exit status' 0 "$status"
	assert_equal 'stdout' '' "$(<"$scratch/out")"
	assert_equal 'mode' 644 "$(stat -c %a "$scratch/strand.prom")"
	assert_equal 'files' strand.prom "$(basename -a "$scratch"/strand.prom*)"
	assert_match 'the leak' '^stranded_tasks\{.*state="leaked"\} 1$' "$(<"$scratch/strand.prom")"
	observe snapshot --pid "$pid" --textfile /nonexistent/strand.prom
	assert_equal 'exit status' 1 "$status"
	assert_match 'stderr' '^stranded: cannot write /nonexistent/strand\.prom: ' "$(<"$scratch/err")"
}

ask() { # PATH [CURL-ARGUMENT...]
	local path=$1
	shift
	curl -sS --max-time 5 -G "http://127.0.0.1:$port/api/v1/$path" "$@"
}

scraped() { # JOB: the server has read it without an error
	[ "$(ask query --data-urlencode "query=up{job=\"$1\"}" | jq -r '.data.result[0].value[1]')" = 1 ]
}

firing() { # ALERT
	ask alerts | jq -e --arg name "$1" \
		'.data.alerts[] | select(.labels.alertname == $name and .state == "firing")'
}

# The rules with their waiting times cut: what is tested here is not that Prometheus can wait.
write_configuration() { # METRICS-PORT
	sed 's/^\( *for:\).*/\1 0s/' "$packaging/prometheus/rules.yml" >"$scratch/rules.yml"
	cat >"$scratch/prometheus.yml" <<-EOF
		global: {scrape_interval: 1s, evaluation_interval: 1s}
		rule_files: [$scratch/rules.yml]
		scrape_configs:
		  - job_name: text
		    metrics_path: /text
		    static_configs: [{targets: ['127.0.0.1:$1']}]
		  - job_name: openmetrics
		    metrics_path: /openmetrics
		    static_configs: [{targets: ['127.0.0.1:$1']}]
	EOF
}

readonly metrics_server='
import http.server, sys
folder, port = sys.argv[1], int(sys.argv[2])
types = {"/text": "text/plain; version=0.0.4; charset=utf-8",
         "/openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8"}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open(folder + self.path, "rb").read()
        self.send_response(200)
        self.send_header("Content-Type", types[self.path])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *ignored):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
'

check_dashboard() {
	local query reply
	jq -r '.. | .expr? // empty' "$packaging/grafana/dashboard.json" >"$scratch/queries"
	[ -s "$scratch/queries" ] || fail 'the dashboard has no queries'
	while read -r query; do
		query=${query//\$__rate_interval/1m}
		query=${query//\$group/.*}
		query=${query//\$instance/.*}
		reply=$(ask query --data-urlencode "query=$query")
		assert_equal "query of the dashboard: $query" success "$(jq -r .status <<<"$reply")"
	done <"$scratch/queries"
}

test_server() {
	local pid metrics_port
	need_root
	need prometheus
	need python3
	need curl
	example a_sender
	pid=$REPLY
	mkdir "$scratch/metrics"
	observe snapshot --pid "$pid" -o prometheus --file "$scratch/metrics/text"
	observe snapshot --pid "$pid" -o openmetrics --file "$scratch/metrics/openmetrics"
	metrics_port=$(free_port)
	port=$(free_port)
	write_configuration "$metrics_port"
	background metrics python3 -c "$metrics_server" "$scratch/metrics" "$metrics_port"
	background prometheus prometheus --config.file="$scratch/prometheus.yml" \
		--storage.tsdb.path="$scratch/data" --web.listen-address="127.0.0.1:$port"
	wait_for 30 'a scrape of the text form' scraped text
	wait_for 30 'a scrape of the OpenMetrics form' scraped openmetrics
	wait_for 30 'the alert' firing StrandedLeakedTasks
	assert_equal 'the group that leaks' a_sender \
		"$(firing StrandedLeakedTasks | jq -rs '.[0].labels.group')"
	assert_equal 'both dialects say the same' 1 "$(ask query --data-urlencode \
		'query=count(count by (group, state, __name__) (stranded_searches_total{result="done"} == 1))' |
		jq -r '.data.result[0].value[1]')"
	check_dashboard
}

# The daemon itself is scraped, and its leak fires the alert.
test_daemon() {
	local pid daemon_port
	need_root
	need prometheus
	need python3
	need curl
	example a_sender
	pid=$REPLY
	daemon_port=$(free_port)
	port=$(free_port)
	background daemon "$build/stranded" daemon --socket "$scratch/socket" --pid "$pid" \
		--search-interval 5 --listen "127.0.0.1:$daemon_port"
	wait_for 30 'the daemon to answer' curl -sf --max-time 5 "http://127.0.0.1:$daemon_port/metrics"
	sed 's/^\( *for:\).*/\1 0s/' "$packaging/prometheus/rules.yml" >"$scratch/rules.yml"
	cat >"$scratch/prometheus.yml" <<-EOF
		global: {scrape_interval: 1s, evaluation_interval: 1s}
		rule_files: [$scratch/rules.yml]
		scrape_configs:
		  - job_name: stranded
		    static_configs: [{targets: ['127.0.0.1:$daemon_port']}]
	EOF
	background prometheus prometheus --config.file="$scratch/prometheus.yml" \
		--storage.tsdb.path="$scratch/data" --web.listen-address="127.0.0.1:$port"
	wait_for 30 'a scrape of the daemon' scraped stranded
	wait_for 60 'the alert' firing StrandedLeakedTasks
	assert_equal 'the group that leaks' a_sender \
		"$(firing StrandedLeakedTasks | jq -rs '.[0].labels.group')"
}

run_test 'prometheus: rules' test_rules
run_test 'prometheus: promtool reads the metrics' test_lint
run_test 'prometheus: textfile' test_textfile
run_test 'prometheus: a server scrapes and fires the alert' test_server
run_test 'prometheus: a server scrapes the daemon' test_daemon
finish

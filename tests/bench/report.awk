# SPDX-License-Identifier: MIT
# Medians of the samples: a table for people on standard output, lines of JSON in `jsonl`.
# Input: tests/bench/goals, then lines of `metric contender value`.

function median(list,   n, i, j, t, v) {
	n = split(list, v, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) {
			t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
		}
	return n % 2 ? v[(n + 1) / 2] + 0 : (v[n / 2] + v[n / 2 + 1]) / 2
}

function short(value) {
	return value >= 1e9 ? sprintf("%.2fG", value / 1e9) : \
		value >= 1e6 ? sprintf("%.1fM", value / 1e6) : \
		value >= 100 ? sprintf("%.0f", value) : sprintf("%.1f", value)
}

# The ratio that the peer's value should have to ours; "" if none is set.
function ratio_goal(metric, peer) {
	if (peer == "without_probes")
		return unit[metric] == "ns" ? 0.99 : ""
	return peer == "go" && go_ratio[metric] != "-" ? go_ratio[metric] : ""
}

function json(metric, ours, peer, theirs, goal, met) {
	printf "{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",", metric, ours, unit[metric] >jsonl
	if (peer == "")
		printf "\"peer\":null,\"peer_value\":null,\"ratio\":null," >jsonl
	else
		printf "\"peer\":\"%s\",\"peer_value\":%.3f,\"ratio\":%.3f,", peer, theirs,
			(ours > 0 ? theirs / ours : 0) >jsonl
	printf "\"goal\":%s,\"met\":%s}\n", (goal == "" ? "null" : "\"" goal "\""),
		(goal == "" ? "null" : met ? "true" : "false") >jsonl
}

# Adds one goal to the row of the table.
function note(goal, met, name) {
	row_goal = row_goal (row_goal == "" ? "" : ", ") goal (name == "" ? "" : " " name)
	if (!met)
		row_missed = row_missed (row_missed == "" ? "" : ", ") goal (name == "" ? "" : " " name)
}

function show(metric,   ours, best, peer, theirs, i, goal, met) {
	ours = median(sample[metric, "strand"])
	row_goal = row_missed = best = ""
	if (limit[metric] != "-") {
		met = ours <= limit[metric]
		note("<= " limit[metric], met, "")
		json(metric, ours, "", 0, "<= " limit[metric] " " unit[metric], met)
	}
	for (i = 1; i <= contenders; i++) {
		peer = contender[i]
		if (peer == "strand" || !((metric, peer) in sample))
			continue
		theirs = median(sample[metric, peer])
		goal = ratio_goal(metric, peer)
		met = goal == "" || theirs >= goal * ours
		json(metric, ours, peer, theirs, goal == "" ? "" : ">= " goal "x", met)
		if (goal != "")
			note(goal "x", met, peer)
		if (peer != "without_probes" && (best == "" || theirs < best_value)) {
			best = peer
			best_value = theirs
		}
	}
	if (limit[metric] == "-" && best == "")
		json(metric, ours, "", 0, "", 0)
	printf "%-26s %9s %-4s  %-13s %9s %6s  %-34s %s\n", metric, short(ours), unit[metric],
		best == "" ? "-" : best, best == "" ? "-" : short(best_value),
		best == "" || ours <= 0 ? "-" : sprintf("%.2fx", best_value / ours),
		row_goal == "" ? "-" : row_goal,
		row_goal == "" ? "" : row_missed == "" ? "yes" : "no: " row_missed
}

/^#/ || !NF { next }

FILENAME ~ /goals$/ {
	metric[++metrics] = $1
	unit[$1] = $2
	limit[$1] = $3
	go_ratio[$1] = $4
	next
}

{
	if (!($2 in known)) {
		known[$2] = 1
		contender[++contenders] = $2
	}
	if (!($1 in unit)) {
		print "bench: " $1 " is not in tests/bench/goals" >"/dev/stderr"
		exit 1
	}
	sample[$1, $2] = sample[$1, $2] " " $3
}

END {
	printf "" >jsonl
	printf "%-26s %9s %-4s  %-13s %9s %6s  %-34s %s\n", "benchmark", "strand", "unit",
		"best peer", "its value", "ratio", "goals", "met"
	for (m = 1; m <= metrics; m++)
		if ((metric[m], "strand") in sample)
			show(metric[m])
	if (missing != "")
		print "missing peers: " missing
	print "every figure, each peer: " jsonl
}

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The HTML report in a browser: it shows what leaks, its search hides rows, it loads nothing.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# browse FILE: the page as it is after its scripts have run; $scratch/dom.
browse() {
	local browser
	browser=$(command -v chromium-headless-shell || command -v chromium || true)
	[ -n "$browser" ] || skip 'needs chromium-headless-shell'
	timeout 60 "$browser" --no-sandbox --disable-gpu --user-data-dir="$scratch/browser" \
		--dump-dom "file://$1" >"$scratch/dom" 2>"$scratch/browser.log" ||
		fail 'the browser failed'
}

test_page() {
	local page=$scratch/leaks.html
	need_root
	example a_sender
	example e_global
	observe report -o "$page"
	assert_equal 'status' 0 "$status"
	assert_no_match 'addresses of other pages' '(src|href)=|https?://' "$(cat "$page")"
	# As if somebody typed into the search: the page's policy allows inline scripts only.
	sed 's#</body>#<script>q.value="ASK_backend";q.dispatchEvent(new Event("input"))</script>&#' \
		"$page" >"$scratch/searched.html"
	browse "$scratch/searched.html"
	assert_match 'what leaks' '<tr class="leaked">.*ask_backend' "$(cat "$scratch/dom")"
	assert_match 'the flame graph' '<rect ' "$(cat "$scratch/dom")"
	assert_match 'what does not fit is hidden' '<tr class="waiting" hidden="">.*e_global' \
		"$(cat "$scratch/dom")"
	assert_no_match 'what fits is shown' '<tr class="leaked" hidden' "$(cat "$scratch/dom")"
}

run_test 'the report in a browser' test_page
finish

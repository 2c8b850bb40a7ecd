#!/bin/sh
# The table of faults (tests/e2e/README.md) names tests that exist: in each last column `PROGRAM: test`
# or a further `test` of the same program, where an ellipsis stands for any rest of a name.
set -u
cd "$(dirname "$0")/../.." || exit 2
awk -F'|' '
function source(p,   f) {
	f = (p ~ /^(e2e|vm)_/ ? "tests/e2e/" p "_main.c" : "tests/unit/" p ".c")
	if (!(p in text)) {
		text[p] = ""
		while ((getline line < f) > 0) text[p] = text[p] line "\n"
		close(f)
	}
	return text[p]
}
/^\|/ && NF > 3 && !/^\|-/ {
	rest = $(NF - 1); program = ""
	while (match(rest, /`[^`]+`/)) {
		t = substr(rest, RSTART + 1, RLENGTH - 2); rest = substr(rest, RSTART + RLENGTH)
		if (t ~ /^tests\// || t ~ /^(listen_needs_voice)$/) continue
		if (match(t, /^(test|e2e|vm)_[a-z0-9_]+/)) {
			first = substr(t, 1, RLENGTH)
			if (first == t || substr(t, RLENGTH + 1) ~ /^[: ]/) {
				if (source(first) != "") {
					program = first
					t = substr(t, RLENGTH + 1); sub(/^: */, "", t)
				}
			}
		}
		if (t == "" || t ~ / /) continue
		sub(/^…/, "", t); sub(/…$/, "", t)
		if (program == "" || index(source(program), t) == 0) {
			print "tests/e2e/README.md: no test \"" t "\" in " program; bad = 1
		}
	}
}
END { if (!bad) print "fault table: every test exists"; exit bad }' tests/e2e/README.md

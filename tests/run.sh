#!/bin/sh
# Runs test programs one after the other and counts their "ok", "not ok" and "skip" lines.
# usage: BUILD=dir tests/run.sh [--append FILE] PROGRAM...
# TEST_TIMEOUT (seconds, default 300) bounds each program. WRAP is put before each (valgrind, …).
# A program that ends badly without a "not ok" line, or reports nothing, counts as one failure.
# RETRY=1: a program that failed is run once more, its first failure printed as "flaky" lines: for
# programs that need real time on machines whose time others take. A flaky line is a bug to find.
# The last line is "N passed, N failed, N skipped"; with --append the three numbers are added to
# FILE as well, so that several runs can be summed.
set -u
append=
if [ "${1:-}" = --append ]; then append=$2; shift 2; fi
BUILD=${BUILD:-build}
passed=0 failed=0 skipped=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for program in "$@"; do
	name=${program##*/}
	timeout -k 10 "${TEST_TIMEOUT:-300}" ${WRAP:-} "$program" >"$out" 2>"$out.err" </dev/null
	status=$?
	if [ "$status" -ne 0 ] && [ "${RETRY:-0}" = 1 ]; then
		grep '^not ok ' "$out" | sed "s/^not ok/flaky $name:/"
		echo "flaky $name: ended with status $status, run once more"
		timeout -k 10 "${TEST_TIMEOUT:-300}" ${WRAP:-} "$program" >"$out" 2>"$out.err" </dev/null
		status=$?
	fi
	p=$(grep -c '^ok ' "$out"); f=$(grep -c '^not ok ' "$out"); s=$(grep -c '^skip ' "$out")
	grep -E '^(not ok|skip) ' "$out" | sed "s/^/$name: /"
	if [ "$f" -eq 0 ]; then
		if [ "$status" -eq 124 ]; then
			echo "$name: not ok: still running after ${TEST_TIMEOUT:-300} s"; f=1
		elif [ "$status" -ne 0 ]; then
			echo "$name: not ok: ended with status $status"; f=1
		elif [ $((p + s)) -eq 0 ]; then
			echo "$name: not ok: reported no test"; f=1
		fi
	fi
	[ "$f" -eq 0 ] || { echo "--- $name, last lines of stderr:"; tail -n 40 "$out.err"; }
	echo "$name: $p passed, $f failed, $s skipped"
	passed=$((passed + p)); failed=$((failed + f)); skipped=$((skipped + s))
	rm -f "$out.err"
done
[ -z "$append" ] || echo "$passed $failed $skipped" >>"$append"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]

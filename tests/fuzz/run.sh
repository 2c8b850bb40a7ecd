#!/bin/bash
# Runs each libFuzzer target for a number of seconds, as many at once as there are processors.
# usage: tests/fuzz/run.sh SECONDS PROGRAM...
# The committed corpus tests/fuzz/corpus/TARGET is read, never written: what is found on the way
# goes to build/fuzz/corpus/TARGET, a crash to build/fuzz/crash-TARGET-*, which is how to repeat it.
set -u
seconds=$1; shift
[ $# -gt 0 ] || { echo "skip fuzz: no targets"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
fuzz_one() {
	local seconds=$1 program=$2 name
	name=$(basename "$program")
	mkdir -p "build/fuzz/corpus/$name"
	local seeds=tests/fuzz/corpus/$name
	[ -d "$seeds" ] || seeds=
	if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-verbosity=0 -artifact_prefix="build/fuzz/crash-$name-" "build/fuzz/corpus/$name" $seeds \
		>"build/fuzz/$name.log" 2>&1; then
		echo "ok $name ($(sed -n 's/stat::number_of_executed_units: *//p' "build/fuzz/$name.log") inputs)"
	else
		echo "not ok $name: see build/fuzz/$name.log"
		tail -n 30 "build/fuzz/$name.log" >&2
	fi
}
export -f fuzz_one
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c "fuzz_one $seconds {}" | tee build/fuzz/results
p=$(grep -c '^ok ' build/fuzz/results); f=$(grep -c '^not ok ' build/fuzz/results)
echo "$p passed, $f failed, 0 skipped"
[ "$f" -eq 0 ]

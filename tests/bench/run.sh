#!/bin/sh
# Runs the bench: every figure as one row of a table (goal and verdict beside it), and the same in
# $BUILD/bench/report.json. Exits 0 when all figures were made, whatever the verdicts are;
# BENCH_STRICT=1 exits 1 when a goal is missed. BENCH=name,name runs only those parts, of
#	resampler cost drift conceal			the same everywhere
#	delay stalls quality clocks usage crowd lines	in real time: the machine must be quiet
# or `live` for the first five of the latter; `soak` and `slope`, which take twenty minutes each, only when they
# are named.
set -u
BUILD=${BUILD:-build}
dir=$BUILD/bench
parts=$(echo "${BENCH:-resampler,cost,drift,conceal,live,crowd,lines}" | tr ',' ' ' |
	sed 's/\<live\>/delay stalls quality clocks usage/')
mkdir -p "$dir"
# as on a service's /run: a cable's file on a disk's file system costs a third more
[ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ] && [ -w /dev/shm ] && export TMPDIR="${TMPDIR:-/dev/shm}"
rows=$dir/rows.tsv
: >"$rows"
broken=0

instructions() { # instructions PROGRAM NAME N
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$1" "$2" "$3" 2>&1 |
		sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

cost_of() { # cost_of GROUP PROGRAM FEW MANY: the difference of two runs, start-up cancels out
	if ! command -v valgrind >/dev/null; then
		echo "valgrind is not installed: no instruction counts" >&2
		return
	fi
	"$BUILD/tests/$2" list | while IFS='	' read -r name what goal; do
		few=$(instructions "$BUILD/tests/$2" "$name" "$3")
		many=$(instructions "$BUILD/tests/$2" "$name" "$4")
		awk -v few="$few" -v many="$many" -v n="$(($4 - $3))" -v what="$what" -v goal="$goal" \
			-v group="$1" 'BEGIN {
			k = (many - few) / n / 1000
			printf "row\t" group "\t%s\t%.1f\tk instructions\t%s\t%s\n", what, k,
				(goal + 0 > 0 ? "<= " goal : ""), (goal + 0 > 0 ? (k <= goal ? "ok" : "MISSED") : "") }'
	done
}

run_part() { # run_part PROGRAM [ARGUMENT]
	"$BUILD/tests/$1" ${2:+"$2"} 2>"$dir/$part.log" | grep '^row' >>"$rows" || {
		echo "$1 $part failed, see $dir/$part.log" >&2
		broken=1
	}
}

for part in $parts; do
	echo "bench: $part" >&2
	case $part in
	cost) { # thousands of instructions for 20 ms of sound; for a change of an encrypted group
		cost_of "cost per 20 ms" cost_alsa 20 220
		cost_of "cost of group changes (P-256)" cost_mls 1 3
	} >>"$rows" || broken=1 ;;
	delay|slope|stalls|quality|clocks|usage|soak) run_part bench_live "$part" ;;
	resampler|drift|conceal|crowd|lines) run_part "bench_$part" ;;
	*) echo "there is no part $part" >&2
		broken=1 ;;
	esac
done

awk -F'\t' '
	$2 != group { printf "\n%s\n", $2; group = $2 }
	{ v = sprintf("%.4g %s", $4, $5); printf "  %-72s %16s  %-22s %s\n", $3, v, $6, $7 }
	$7 == "ok" { ok++ } $7 == "MISSED" { missed++ }
	END { printf "\n%d figures, %d goals met, %d missed\n", NR, ok, missed }' "$rows"

awk -F'\t' -v cpu="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
	-v cores="$(nproc)" -v kernel="$(uname -r)" '
	function quote(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); return "\"" s "\"" }
	BEGIN { printf "{\"machine\":{\"cpu\":%s,\"cores\":%d,\"kernel\":%s},\"rows\":[", quote(cpu), cores,
		quote(kernel) }
	{ printf "%s\n{\"group\":%s,\"what\":%s,\"value\":%s,\"unit\":%s,\"goal\":%s,\"verdict\":%s}",
		(NR > 1 ? "," : ""), quote($2), quote($3), ($4 ~ /nan|inf/ ? "null" : $4), quote($5),
		($6 == "" ? "null" : quote($6)), ($7 == "" ? "null" : quote($7)) }
	END { print "\n]}" }' "$rows" >"$dir/report.json"
echo "as JSON: $dir/report.json"
[ $broken -eq 0 ] || exit 1
[ "${BENCH_STRICT:-0}" != 1 ] || ! grep -q 'MISSED$' "$rows"

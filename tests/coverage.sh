#!/bin/bash
# Runs unit tests of a build made with COVERAGE=1 and says how many lines of some folders they reach.
# usage: BUILD=dir tests/coverage.sh "FOLDER..." PROGRAM...
set -u
folders=$1; shift
find "$BUILD" -name '*.gcda' -delete
for program in "$@"; do
	"$program" >"$BUILD/coverage.log" 2>&1 || { echo "$program failed:"; grep '^not ok' "$BUILD/coverage.log"; exit 1; }
done
for folder in $folders; do
	for source in "$folder"/*.c; do
		object=$BUILD/obj/${source%.c}
		percent=0 lines=0
		[ ! -f "$object.gcda" ] || read -r percent lines <<<"$(gcov -n -o "${object%/*}" "$object.gcda" 2>/dev/null |
			awk -v f="$source" -F "[:%' ]+" '$1 == "File" { mine = $2 == f }
			mine && /^Lines executed/ { print $3, $5; exit }')"
		echo "$source ${percent:-0} ${lines:-0}"
	done | awk -v folder="$folder" '{ printf "%-32s %6.2f%% of %4d lines\n", $1, $2, $3; hit += $2 * $3 / 100; all += $3 }
		END { printf "%-32s %6.2f%% of %4d lines\n", folder, all ? 100 * hit / all : 0, all }'
done

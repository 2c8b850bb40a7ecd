#!/bin/bash
# clang-tidy, cppcheck and clang-format over the sources. usage: static.sh "CFLAGS" FILE...
# Missing tools are reported as skipped, one line each. Findings are errors.
set -u
cflags=$1; shift
p=0 f=0 s=0
verdict() { if [ "$2" -eq 0 ]; then echo "ok $1"; p=$((p + 1)); else echo "not ok $1"; f=$((f + 1)); fi; }
skip() { echo "skip $1: not installed"; s=$((s + 1)); }
mkdir -p build

if command -v clang-tidy >/dev/null; then
	printf '%s\n' "$@" | xargs -P "$(nproc)" -n 4 sh -c \
		'flags=$0; clang-tidy --quiet "$@" -- $flags -Wno-unknown-warning-option "-DLOOPLINE_VERSION=\"0\"" 2>/dev/null' "$cflags" >build/clang-tidy.log
	grep -E 'warning:|error:' build/clang-tidy.log | sort -u
	! grep -qE 'warning:|error:' build/clang-tidy.log
	verdict clang-tidy $?
else
	skip clang-tidy
fi

if command -v cppcheck >/dev/null; then
	cppcheck --quiet -j "$(nproc)" --std=c11 --language=c --enable=warning,performance,portability \
		--inline-suppr --error-exitcode=1 --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
		--suppress=unknownMacro -D_GNU_SOURCE -D__x86_64__ -D__linux__ -DLOOPLINE_VERSION='"0"' -I. "$@"
	verdict cppcheck $?
else
	skip cppcheck
fi
echo "$p passed, $f failed, $s skipped"
[ "$f" -eq 0 ]

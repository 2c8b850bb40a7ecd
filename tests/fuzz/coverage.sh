#!/bin/bash
# How many lines of the parsers the fuzz targets reach: each runs once over its committed corpus and over what
# was found so far (build/fuzz/corpus). Needs llvm-cov and llvm-profdata.
# usage: tests/fuzz/coverage.sh DIRECTORY-OF-PROGRAMS   (make fuzz-coverage)
set -u
bin=$1 out=$(dirname "$1")/profile
for tool in llvm-cov llvm-profdata; do
	command -v $tool >/dev/null || { echo "skip: no $tool"; exit 0; }
done
mkdir -p "$out"
programs=() profiles=() every=()
while read -r target sources; do
	corpus=("tests/fuzz/corpus/fuzz_$target" "build/fuzz/corpus/fuzz_$target")
	args=()
	for c in "${corpus[@]}"; do [ ! -d "$c" ] || args+=("$c"); done
	files=()
	for s in $sources; do for f in $s; do files+=("$f"); done; done
	[ ${#args[@]} -gt 0 ] || { mkdir -p "$out/none"; args=("$out/none"); }
	LLVM_PROFILE_FILE="$out/$target.raw" "$bin/fuzz_$target" -runs=1 "${args[@]}" >"$out/$target.log" 2>&1 ||
		echo "fuzz_$target failed: see $out/$target.log"
	llvm-profdata merge -sparse "$out/$target.raw" -o "$out/$target.data" || exit 1
	# columns: file, regions missed %, functions missed %, lines missed %, ...
	report=$(llvm-cov report "$bin/fuzz_$target" -instr-profile="$out/$target.data" "${files[@]}" 2>/dev/null |
		awk '$NF ~ /^[0-9.-]+%?$/ && $1 ~ /\.c$/ { print $1, $8, $9 }')
	[ ${#programs[@]} -eq 0 ] || programs+=(-object)
	programs+=("$bin/fuzz_$target")
	profiles+=("$out/$target.data")
	every+=("${files[@]}")
	while read -r file lines missed; do
		[ -n "$file" ] || continue
		for f in "${files[@]}"; do [ "${f##*/}" != "${file##*/}" ] || file=$f; done
		awk "BEGIN { printf \"%-14s %-34s %6.1f%% of %4d lines\\n\", \"$target\", \"$file\", \
			$lines ? 100 * ($lines - $missed) / $lines : 0, $lines }"
	done <<<"$report"
done <<'END'
webhook bridge/webhook.c bridge/form.c bridge/signature.c bridge/token.c
media_message bridge/media_message.c bridge/media_stream.c
json common/json.c common/api_schema.c
url common/url.c common/encode.c
gateway discord/gateway.c discord/commands.c
voice_gateway discord/voice_gateway.c discord/voice_codes.c
rest discord/rest_limits.c
rtp discord/rtp.c discord/ip_discovery.c discord/transport_cipher.c discord/speaker.c
dave_frame discord/dave/frame*.c discord/dave/media*.c
dave_session discord/dave/session*.c
mls_parse discord/mls/codec.c discord/mls/messages.c discord/mls/tree*.c
mls_join discord/mls/group*.c
mls_process discord/mls/group*.c
mls_propose discord/mls/group*.c
settings common/settings*.c
wav bridge/wav.c
state discord/identify_budget.c discord/calls.c
cable alsa/cable/cable.c alsa/cable/cable_file.c
END
# A file that several targets read counts once, with what any of them reached.
llvm-profdata merge -sparse "${profiles[@]}" -o "$out/all.data" || exit 1
mapfile -t every < <(printf '%s\n' "${every[@]}" | sort -u)
llvm-cov report "${programs[@]}" -instr-profile="$out/all.data" "${every[@]}" 2>/dev/null |
	awk '$NF ~ /^[0-9.-]+%?$/ && $1 ~ /\.c$/ { all += $8; missed += $9 }
	     END { if (all) printf "all            %41.1f%% of %4d lines\n", 100 * (all - missed) / all, all }'
